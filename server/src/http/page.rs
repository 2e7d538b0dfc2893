//! Filters and pages of lists.

use std::cmp::Ordering;
use std::fmt::Display;
use std::str::FromStr;

use serde::Serialize;

use super::error::ApiError;
use super::params::Standard;

/// Where a row stands in its list; the wire's token names the first row of a page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// By create or modify index, then id: `<index>.<id>`.
    Index(u64, String),
    /// By id, or namespace and id: `<namespace>.<id>`.
    Name(String, String),
}

impl Place {
    pub fn id(id: impl ToString) -> Place {
        Place::Name(String::new(), id.to_string())
    }

    fn token(&self, shape: Shape) -> String {
        match (self, shape) {
            (Place::Index(index, _), Shape::BareIndex) => index.to_string(),
            (Place::Index(index, id), _) => format!("{index}.{id}"),
            (Place::Name(first, id), _) if first.is_empty() => id.clone(),
            (Place::Name(first, id), _) => format!("{first}.{id}"),
        }
    }

    /// `None`: no list has such a token.
    fn parse(token: &str, shape: Shape) -> Option<Place> {
        Some(match shape {
            Shape::Index => {
                let (first, id) = token.split_once('.').unwrap_or((token, ""));
                Place::Index(first.parse().ok()?, id.to_owned())
            }
            Shape::BareIndex => Place::Index(token.parse().ok()?, String::new()),
            Shape::Id => Place::id(token),
            Shape::Namespaced => {
                let (namespace, id) = token.split_once('.').unwrap_or((token, ""));
                Place::Name(namespace.to_owned(), id.to_owned())
            }
        })
    }
}

/// How places of a list are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Index,
    /// The index alone.
    BareIndex,
    Id,
    Namespaced,
}

/// A list and how its rows are named and seen.
pub struct List<'a, R> {
    pub shape: Shape,
    pub place: &'a dyn Fn(&R) -> Place,
    /// What filters are asked of: the object in its wire form.
    pub value: &'a dyn Fn(&R) -> serde_json::Value,
    pub fields: &'a [&'a str],
}

/// A list whose rows stand in the order they were made, or in that of their ids where a prefix of ids was asked for.
pub struct Made<'a, R, Id> {
    pub by_id: bool,
    /// Raft index at which the row was made, and its id.
    pub made: &'a dyn Fn(&R) -> (u64, Id),
    /// As in [`List`].
    pub value: &'a dyn Fn(&R) -> serde_json::Value,
    pub fields: &'a [&'a str],
}

impl<R, Id: Ord + Display> Made<'_, R, Id> {
    /// As [`List::page`]: rows that come in the list's order, so that no more are looked at than the page needs.
    pub fn page(&self, std: &Standard, rows: impl Iterator<Item = R>) -> Result<(Vec<R>, Option<String>), ApiError> {
        let place = |row: &R| match (self.made)(row) {
            (_, id) if self.by_id => Place::id(id),
            (index, id) => Place::Index(index, id.to_string()),
        };
        let shape = if self.by_id { Shape::Id } else { Shape::Index };
        List { shape, place: &place, value: self.value, fields: self.fields }.page(std, rows)
    }

    /// As [`Made::page`]: rows that come in the order of their ids, as tables have them.
    pub fn page_of(&self, std: &Standard, mut rows: Vec<R>) -> Result<(Vec<R>, Option<String>), ApiError> {
        if !self.by_id {
            rows.sort_unstable_by_key(|row| (self.made)(row));
        }
        if std.reverse {
            rows.reverse();
        }
        self.page(std, rows.into_iter())
    }
}

/// Where the page begins in a list of rows in the order in which they were made, if its token says so.
pub fn begin<Id: FromStr>(std: &Standard) -> Option<(u64, Id)> {
    match Place::parse(std.next_token.as_deref()?, Shape::Index)? {
        Place::Index(index, id) => Some((index, id.parse().ok()?)),
        Place::Name(..) => None,
    }
}

/// The same of a list in the order of ids.
pub fn begin_id<Id: FromStr>(std: &Standard) -> Option<Id> {
    std.next_token.as_deref()?.parse().ok()
}

/// The same of a list by namespace and id.
pub fn begin_name(std: &Standard) -> Option<(String, String)> {
    match Place::parse(std.next_token.as_deref()?, Shape::Namespaced)? {
        Place::Name(namespace, id) => Some((namespace, id)),
        Place::Index(..) => None,
    }
}

impl<R> List<'_, R> {
    /// The rows of the asked page, and the token of the next one. `rows` come in the list's order, reversal included.
    pub fn page(&self, std: &Standard, rows: impl Iterator<Item = R>) -> Result<(Vec<R>, Option<String>), ApiError> {
        let Some(start) = self.start(std) else { return Ok((Vec::new(), None)) };
        let mut page = Vec::new();
        for row in rows {
            if !self.is_past(std, start.as_ref(), &row) {
                continue;
            }
            if let Some(filter) = &std.filter {
                let wanted = filter
                    .matches(&(self.value)(&row), self.fields)
                    .map_err(|e| ApiError::bad_request(format!("failed to read result page: {e}")))?;
                if !wanted {
                    continue;
                }
            }
            if std.per_page > 0 && page.len() == std.per_page {
                let token = (self.place)(&row).token(self.shape);
                return Ok((page, Some(token)));
            }
            page.push(row);
        }
        Ok((page, None))
    }

    /// As [`List::page`], of rows in any order; no more of them are put in order than the page and its token need.
    pub fn page_of(
        &self,
        std: &Standard,
        mut rows: Vec<R>,
        compare: impl Fn(&R, &R) -> Ordering,
    ) -> Result<(Vec<R>, Option<String>), ApiError> {
        let Some(start) = self.start(std) else { return Ok((Vec::new(), None)) };
        let compare = |a: &R, b: &R| if std.reverse { compare(b, a) } else { compare(a, b) };
        rows.retain(|row| self.is_past(std, start.as_ref(), row));
        // How many of them a filter lets through is not known before.
        if std.per_page > 0 && std.filter.is_none() && rows.len() > std.per_page + 1 {
            rows.select_nth_unstable_by(std.per_page, compare);
            rows.truncate(std.per_page + 1);
        }
        rows.sort_unstable_by(compare);
        self.page(std, rows.into_iter())
    }

    /// Where the page begins, `Some(None)` being the list's own beginning. `None`: nothing is to be shown, for nothing comes after a
    /// place that is none.
    fn start(&self, std: &Standard) -> Option<Option<Place>> {
        let start = std.next_token.as_deref().map(|token| Place::parse(token, self.shape));
        start.map_or(Some(None), |place| place.map(Some)).filter(|_| !std.no_rows)
    }

    /// Whether a row stands on the page that begins at `start`, or after it.
    fn is_past(&self, std: &Standard, start: Option<&Place>, row: &R) -> bool {
        start.is_none_or(|start| {
            let place = (self.place)(row);
            if std.reverse { place <= *start } else { place >= *start }
        })
    }
}

/// Anything as a JSON value, for filters.
pub fn value_of<T: Serialize>(value: &T) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::params::Pairs;

    fn page(query: &str, shape: Shape, reverse: bool) -> Result<(Vec<u64>, Option<String>), ApiError> {
        let std = Standard::read(&Pairs::parse(query)).expect("readable");
        let place = |n: &u64| match shape {
            Shape::Index | Shape::BareIndex => Place::Index(*n, format!("id{n}")),
            Shape::Id => Place::id(n),
            Shape::Namespaced => Place::Name("default".to_owned(), n.to_string()),
        };
        let value = |n: &u64| serde_json::json!({"N": n});
        let list = List { shape, place: &place, value: &value, fields: &[] };
        let rows: Vec<u64> = if reverse { vec![4, 3, 2, 1] } else { vec![1, 2, 3, 4] };
        list.page(&std, rows.into_iter())
    }

    #[test]
    fn pages_follow_each_other() {
        let (rows, token) = page("per_page=2", Shape::Index, false).expect("a page");
        assert_eq!((rows, token.as_deref()), (vec![1, 2], Some("3.id3")));
        let (rows, token) = page("per_page=2&next_token=3.id3", Shape::Index, false).expect("a page");
        assert_eq!((rows, token), (vec![3, 4], None));
        let (rows, token) = page("per_page=3&reverse=true&next_token=3.id3", Shape::Index, true).expect("a page");
        assert_eq!((rows, token), (vec![3, 2, 1], None));
        assert_eq!(page("per_page=1", Shape::Namespaced, false).expect("a page").1.as_deref(), Some("default.2"));
        assert_eq!(page("per_page=1", Shape::Id, false).expect("a page").1.as_deref(), Some("2"));
        assert_eq!(page("next_token=x", Shape::Index, false).expect("an empty page"), (vec![], None));
        assert_eq!(page("per_page=-1", Shape::Id, false).expect("an empty page"), (vec![], None));
    }

    /// However many rows there are, no more are looked at than the page and its token need.
    #[test]
    fn a_full_page_ends_the_looking() {
        let looked = std::cell::Cell::new(0);
        let rows = (0_u64..1_000_000).inspect(|_| looked.set(looked.get() + 1));
        let std = Standard::read(&Pairs::parse("per_page=2&filter=N%20!%3D%201")).expect("readable");
        let value = |n: &u64| serde_json::json!({"N": n});
        let list = Made { by_id: false, made: &|n: &u64| (*n, *n), value: &value, fields: &[] };
        let (page, token) = list.page(&std, rows).expect("a page");
        assert_eq!((page, token.as_deref(), looked.get()), (vec![0, 2], Some("3.3"), 4));
        assert_eq!(begin::<u64>(&Standard::read(&Pairs::parse("next_token=3.3")).expect("readable")), Some((3, 3)));
    }

    #[test]
    fn rows_in_any_order_come_in_the_lists() {
        for (query, expected) in [
            ("per_page=2", (vec![1, 2], Some("3"))),
            ("per_page=2&reverse=true", (vec![5, 4], Some("3"))),
            ("per_page=2&next_token=3", (vec![3, 4], Some("5"))),
            ("per_page=2&next_token=4", (vec![4, 5], None)),
            ("per_page=2&reverse=true&next_token=3", (vec![3, 2], Some("1"))),
            ("per_page=2&filter=N%20!%3D%201", (vec![2, 3], Some("4"))),
            ("next_token=x", (vec![], None)),
            ("", (vec![1, 2, 3, 4, 5], None)),
        ] {
            let std = Standard::read(&Pairs::parse(query)).expect("readable");
            let place = |n: &u64| Place::Index(*n, String::new());
            let value = |n: &u64| serde_json::json!({"N": n});
            let list = List { shape: Shape::BareIndex, place: &place, value: &value, fields: &[] };
            let (page, token) = list.page_of(&std, vec![4, 1, 5, 3, 2], u64::cmp).expect("a page");
            assert_eq!((page, token.as_deref()), expected, "{query}");
        }
    }

    #[test]
    fn filters_count_before_pages() {
        let (rows, token) = page("per_page=1&filter=N%20!%3D%201", Shape::Id, false).expect("a page");
        assert_eq!((rows, token.as_deref()), (vec![2], Some("3")));
        let why = page("filter=Bogus%20%3D%3D%201", Shape::Id, false).expect_err("unknown field");
        assert!(why.message.starts_with("failed to read result page: error finding value in datum: /Bogus"));
    }

    #[test]
    fn fuzz_tokens_name_the_places_that_they_came_from() {
        let seeds = ["7.a", "default.web", "18446744073709551616.x", "7", ".", "a.b.c", "+1"];
        let fuzz = tarpan_testkit::fuzz::Fuzz::new(env!("CARGO_MANIFEST_DIR"), "tokens");
        fuzz.words(&[".", "7", "+", "-", "default"]).seeds(seeds).texts(|token| {
            let shapes = [Shape::Index, Shape::BareIndex, Shape::Id, Shape::Namespaced];
            let read = shapes.map(|shape| match Place::parse(token, shape) {
                // No row lives in a namespace without a name.
                Some(_) if token.starts_with('.') => "read".to_owned(),
                Some(place) => {
                    let again = Place::parse(&place.token(shape), shape).expect("a token of ours");
                    assert_eq!(again, place, "{token:?} as {shape:?}");
                    "read".to_owned()
                }
                None => "no token".to_owned(),
            });
            read.join(" ")
        });
    }
}
