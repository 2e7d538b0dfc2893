//! The parameters of a request's query, and the ones that every route understands.

use std::time::Duration;

use tarpan_model::{Dur, go};

use super::error::ApiError;
use super::filter::Filter;

/// The pairs of a query in order, decoded.
#[derive(Clone, Debug, Default)]
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    pub fn parse(query: &str) -> Pairs {
        Pairs(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The first value of `name`; empty when it has none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn without(&self, name: &str) -> Pairs {
        Pairs(self.0.iter().filter(|(n, _)| n != name).cloned().collect())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// `None` when it is missing or empty; 400 when it is no boolean.
    pub fn bool(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.get(name) {
            None | Some("") => Ok(None),
            Some(text) => go::boolean(text).map(Some).ok_or_else(|| {
                ApiError::bad_request(format!(
                    "Failed to parse value of {name:?} ({text}) as a bool: \
                     strconv.ParseBool: parsing {text:?}: invalid syntax"
                ))
            }),
        }
    }

    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        Ok(self.bool(name)?.unwrap_or(false))
    }
}

/// Longest wait of a blocking query, and the usual one.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// The parameters that every route understands.
#[derive(Clone, Debug)]
pub struct Standard {
    /// `*`: every namespace.
    pub namespace: String,
    pub region: Option<String>,
    pub prefix: String,
    pub stale: bool,
    /// 0: do not wait.
    pub index: u64,
    pub wait: Duration,
    /// 0: all.
    pub per_page: usize,
    /// A page of less than no rows was asked for: it is empty.
    pub no_rows: bool,
    pub next_token: Option<String>,
    pub filter: Option<Filter>,
    pub reverse: bool,
    pub pretty: bool,
}

impl Standard {
    pub fn read(pairs: &Pairs) -> Result<Standard, ApiError> {
        let text = |name: &str| pairs.get(name).filter(|v| !v.is_empty()).map(str::to_owned);
        let per_page = match text("per_page") {
            Some(n) => n
                .parse::<i32>()
                .map_err(|_| ApiError::bad_request("Expect a number for `per_page` query string parameter"))?,
            None => 0,
        };
        Ok(Standard {
            namespace: text("namespace").unwrap_or_else(|| "default".to_owned()),
            region: text("region"),
            prefix: text("prefix").unwrap_or_default(),
            stale: stale(pairs)?,
            index: match text("index") {
                Some(index) => index.parse().map_err(|_| ApiError::bad_request("Invalid index"))?,
                None => 0,
            },
            wait: wait(text("wait"))?,
            per_page: usize::try_from(per_page).unwrap_or(0),
            no_rows: per_page < 0,
            next_token: text("next_token"),
            filter: match text("filter") {
                Some(expression) => Some(Filter::parse(&expression).map_err(|e| {
                    ApiError::bad_request(format!(
                        "failed to create result paginator: failed to read filter expression: {e}"
                    ))
                })?),
                None => None,
            },
            reverse: pairs.get("reverse") == Some("true"),
            pretty: pairs.get("pretty").is_some_and(|v| v != "0"),
        })
    }

    pub fn all_namespaces(&self) -> bool {
        self.namespace == "*"
    }

    /// Is a row of `namespace` asked for?
    pub fn asks_for(&self, namespace: &str) -> bool {
        self.all_namespaces() || self.namespace == namespace
    }
}

fn stale(pairs: &Pairs) -> Result<bool, ApiError> {
    match pairs.get("stale") {
        None => Ok(false),
        Some("") => Ok(true),
        Some(text) => go::boolean(text)
            .ok_or_else(|| ApiError::bad_request("Expect `true` or `false` for `stale` query string parameter")),
    }
}

fn wait(text: Option<String>) -> Result<Duration, ApiError> {
    let Some(text) = text else { return Ok(MAX_WAIT) };
    let wait: Dur = text.parse().map_err(|_| ApiError::bad_request("Invalid wait time"))?;
    Ok(match wait.to_std() {
        Duration::ZERO => MAX_WAIT,
        wait => wait.min(MAX_WAIT),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: &str) -> String {
        Standard::read(&Pairs::parse(query)).expect_err(query).message
    }

    #[test]
    fn defaults_and_values() {
        let std = Standard::read(&Pairs::parse("")).expect("nothing is fine");
        assert_eq!((std.namespace.as_str(), std.index, std.wait, std.per_page), ("default", 0, MAX_WAIT, 0));
        let std =
            Standard::read(&Pairs::parse("namespace=%2A&index=7&wait=1m30s&stale&per_page=3&pretty&reverse=true"))
                .expect("all fine");
        assert!(std.all_namespaces() && std.stale && std.pretty && std.reverse);
        assert_eq!((std.index, std.wait.as_secs(), std.per_page), (7, 90, 3));
        assert_eq!(Standard::read(&Pairs::parse("wait=9h")).expect("capped").wait, MAX_WAIT);
    }

    #[test]
    fn refusals_are_the_fields() {
        assert_eq!(refused("index=abc"), "Invalid index");
        assert_eq!(refused("wait=forever"), "Invalid wait time");
        assert_eq!(refused("per_page=x"), "Expect a number for `per_page` query string parameter");
        assert_eq!(refused("stale=no"), "Expect `true` or `false` for `stale` query string parameter");
        assert!(refused("filter=Status%20%3D").starts_with("failed to create result paginator: failed to read filter"));
    }
}
