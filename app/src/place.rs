//! Where the page is: the parts of its address, decoded once.
//!
//! The router's own parameters are decoded twice, so that an id with a `%` in it would name something else.

use leptos::prelude::*;
use leptos_router::hooks::use_location;

use crate::paths::{Query, decode, encode};

/// What the path says after `prefix`. While another page is on its way in, what it said last.
pub fn after(prefix: &'static str) -> Memo<String> {
    let path = use_location().pathname;
    Memo::new(move |before: Option<&String>| {
        let here = path.with(|p| p.strip_prefix(prefix).map(decode));
        here.or_else(|| before.cloned()).unwrap_or_default()
    })
}

/// The query.
pub fn query() -> Memo<Query> {
    let search = use_location().search;
    Memo::new(move |_| search.with(|s| Query::parse(s)))
}

/// The page of a list that the address asks for, from 1.
pub fn page() -> Memo<usize> {
    let query = query();
    Memo::new(move |_| query.with(|q| q.get("page")).and_then(|n| n.parse().ok()).unwrap_or(1).max(1))
}

/// The address of another page of the same list.
pub fn at_page(path: &str, search: &str, page: usize) -> String {
    with(path, search, "page", &if page > 1 { page.to_string() } else { String::new() })
}

/// The address with another value in its query; with an empty one it is left out.
pub fn with(path: &str, search: &str, name: &str, value: &str) -> String {
    let named = |pair: &str| pair.split('=').next() == Some(name);
    let kept = search.split('&').filter(|pair| !pair.is_empty() && !named(pair)).map(str::to_owned);
    let new = (!value.is_empty()).then(|| format!("{name}={}", encode(value, false)));
    let query = kept.chain(new).collect::<Vec<_>>().join("&");
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_keep_the_rest_of_the_address() {
        assert_eq!(at_page("/ui/jobs", "q=a&page=2&sort=name", 3), "/ui/jobs?q=a&sort=name&page=3");
        assert_eq!(at_page("/ui/jobs/a%20b", "page=2", 1), "/ui/jobs/a%20b");
        assert_eq!(
            with("/ui/evaluations", "status=a&next=1.b&nexts=1", "next", "2.c&"),
            "/ui/evaluations?status=a&nexts=1&next=2.c%26"
        );
    }
}
