//! The parameters that most questions share, and how paths are written.

use std::fmt::Write as _;

use tarpan_model::duration::Dur;

/// Parameters of a request; the default asks nothing special.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// `None`: the server's default, `default`. `*`: every namespace, for lists.
    pub namespace: Option<String>,
    pub region: Option<String>,
    /// Start of the ids or names wanted.
    pub prefix: Option<String>,
    /// Wait until the answer's index is past this one; 0 does not wait.
    pub index: u64,
    /// How long to wait at most; the server's default is five minutes.
    pub wait: Option<Dur>,
    /// 0: all.
    pub per_page: u64,
    pub next_token: Option<String>,
    /// A filter expression such as `Status == "running"`.
    pub filter: Option<String>,
    pub reverse: bool,
    /// Any server may answer, without asking the leader.
    pub stale: bool,
    /// Further parameters by name.
    pub more: Vec<(String, String)>,
}

impl Query {
    pub fn new() -> Query {
        Query::default()
    }
    pub fn in_namespace(namespace: impl Into<String>) -> Query {
        Query { namespace: Some(namespace.into()), ..Query::default() }
    }
    pub fn region(mut self, region: impl Into<String>) -> Query {
        self.region = Some(region.into());
        self
    }
    pub fn prefix(mut self, prefix: impl Into<String>) -> Query {
        self.prefix = Some(prefix.into());
        self
    }
    /// Makes it a blocking query: the answer comes once its index is past `index`, or after `wait`.
    pub fn past(mut self, index: u64, wait: Option<Dur>) -> Query {
        self.index = index;
        self.wait = wait;
        self
    }
    pub fn page(mut self, per_page: u64, next_token: Option<String>) -> Query {
        self.per_page = per_page;
        self.next_token = next_token;
        self
    }
    pub fn filter(mut self, filter: impl Into<String>) -> Query {
        self.filter = Some(filter.into());
        self
    }
    /// Adds a parameter.
    pub fn with(mut self, name: &str, value: impl ToString) -> Query {
        self.more.push((name.to_owned(), value.to_string()));
        self
    }

    /// `path` with these parameters behind it.
    pub fn on(&self, path: &str) -> String {
        let mut out = path.to_owned();
        let mut separator = if path.contains('?') { '&' } else { '?' };
        let mut add = |name: &str, value: &str| {
            let _ = write!(out, "{separator}{}={}", escape(name), escape(value));
            separator = '&';
        };
        let texts = [
            ("namespace", &self.namespace),
            ("region", &self.region),
            ("prefix", &self.prefix),
            ("next_token", &self.next_token),
            ("filter", &self.filter),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                add(name, value);
            }
        }
        if self.index > 0 {
            add("index", &self.index.to_string());
        }
        if let Some(wait) = self.wait {
            add("wait", &wait.to_string());
        }
        if self.per_page > 0 {
            add("per_page", &self.per_page.to_string());
        }
        for (name, on) in [("reverse", self.reverse), ("stale", self.stale)] {
            if on {
                add(name, "true");
            }
        }
        for (name, value) in &self.more {
            add(name, value);
        }
        out
    }
}

/// Text as one segment of a path or one value of a query: everything but letters, digits and `-_.~` is escaped.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(Query::new().on("/v1/jobs"), "/v1/jobs");
        let query = Query::in_namespace("*").prefix("a b").past(7, Some(Dur::from_secs(5))).with("all", true);
        assert_eq!(query.on("/v1/jobs"), "/v1/jobs?namespace=%2A&prefix=a%20b&index=7&wait=5s&all=true");
        assert_eq!(Query::new().page(2, Some("x".into())).on("/p?a=1"), "/p?a=1&next_token=x&per_page=2");
        assert_eq!(escape("setup/dispatch-1"), "setup%2Fdispatch-1");
    }
}
