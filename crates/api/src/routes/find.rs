//! Finds the row of a request.
//!
//! A path is written with names: `:node` is one segment, `*job` one or more (job ids hold slashes). Paths are tried in the
//! order of the table, so the special ones stand before the general ones.

use std::collections::HashMap;

use http::Method;

use super::Route;

/// The names of a matched path with their decoded values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures(Vec<(&'static str, String)>);

impl Captures {
    /// The value of a name. Panics when the route's path does not have it: the table is at fault.
    pub fn get(&self, name: &str) -> &str {
        self.find(name).unwrap_or_else(|| panic!("the path of this route has no {name:?}"))
    }

    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }
}

#[derive(Clone, Copy, Debug)]
enum Segment {
    Literal(&'static str),
    One(&'static str),
    More(&'static str),
}

/// The rows of one path.
struct Entry {
    segments: Vec<Segment>,
    routes: Vec<&'static Route>,
}

/// The table, ready to be looked up in.
pub struct Table {
    /// By the literal after `/v1`, or the first segment of what is not below `/v1`.
    entries: HashMap<&'static str, Vec<Entry>>,
}

/// What the table says of a request.
pub enum Found {
    Route(&'static Route, Captures),
    WrongMethod,
    Unknown,
}

impl Table {
    pub fn new(routes: impl IntoIterator<Item = &'static Route>) -> Table {
        let mut entries: HashMap<&'static str, Vec<Entry>> = HashMap::new();
        for route in routes {
            let segments = segments(route.path);
            let bucket = entries.entry(bucket_of(route.path.trim_start_matches('/').split('/'))).or_default();
            match bucket.iter_mut().find(|e| e.routes[0].path == route.path) {
                Some(entry) => entry.routes.push(route),
                None => bucket.push(Entry { segments, routes: vec![route] }),
            }
        }
        Table { entries }
    }

    /// `path` as it came, still encoded.
    pub fn find(&self, method: &Method, path: &str) -> Found {
        let Some((entry, captures)) = self.entry(path) else { return Found::Unknown };
        match entry.routes.iter().find(|r| r.methods.contains(method)) {
            Some(route) => Found::Route(route, captures),
            None => Found::WrongMethod,
        }
    }

    /// The names of `path`, where there is such a one, whatever it is asked by.
    pub fn names(&self, path: &str) -> Option<Captures> {
        self.entry(path).map(|(_, captures)| captures)
    }

    /// Does `path` act whatever it is asked by?
    pub fn acts(&self, path: &str) -> bool {
        self.entry(path).is_some_and(|(entry, _)| entry.routes.iter().any(|r| r.acts))
    }

    fn entry(&self, path: &str) -> Option<(&Entry, Captures)> {
        let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
        let given: Vec<&str> = decoded.trim_start_matches('/').split('/').collect();
        let bucket = bucket_of(given.iter().copied());
        let mut entries = self.entries.get(bucket).into_iter().flatten();
        entries.find_map(|entry| Some((entry, Captures(capture(&entry.segments, &given)?))))
    }
}

fn bucket_of<'a>(mut segments: impl Iterator<Item = &'a str>) -> &'a str {
    match segments.next() {
        Some("v1") => segments.next().unwrap_or_default(),
        first => first.unwrap_or_default(),
    }
}

fn segments(path: &'static str) -> Vec<Segment> {
    let segment = |text: &'static str| match text.as_bytes().first() {
        Some(b':') => Segment::One(&text[1..]),
        Some(b'*') => Segment::More(&text[1..]),
        _ => Segment::Literal(text),
    };
    path.trim_start_matches('/').split('/').map(segment).collect()
}

/// The names of `pattern` in `given`; `None` when it does not match. A `*name` takes as much as leaves enough for the rest.
fn capture(pattern: &[Segment], given: &[&str]) -> Option<Vec<(&'static str, String)>> {
    let Some((first, rest)) = pattern.split_first() else { return given.is_empty().then(Vec::new) };
    match *first {
        Segment::Literal(text) => given.split_first().filter(|(g, _)| **g == text).and_then(|(_, g)| capture(rest, g)),
        Segment::One(name) => {
            let (value, given) = given.split_first().filter(|(value, _)| !value.is_empty())?;
            let mut captures = capture(rest, given)?;
            captures.push((name, (*value).to_owned()));
            Some(captures)
        }
        Segment::More(name) => (1..=given.len()).rev().find_map(|n| {
            let mut captures = capture(rest, &given[n..])?;
            let value = given[..n].join("/");
            if value.is_empty() {
                return None;
            }
            captures.push((name, value));
            Some(captures)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Capability, DELETE, GET, Jobs, Name, PUT, Where};
    use super::*;

    fn table() -> Table {
        fn row(methods: &'static [Method], path: &'static str) -> &'static Route {
            let name = Name::Jobs(Jobs::List);
            let (needs, answered) = (Capability::Open, Where::Server);
            Box::leak(Box::new(Route { name, methods, path, needs, answered, acts: false }))
        }
        Table::new([
            row(GET, "/v1/jobs"),
            row(GET, "/v1/job/*job/versions"),
            row(PUT, "/v1/job/*job/versions/:tag/tag"),
            row(GET, "/v1/job/*job"),
            row(DELETE, "/v1/job/*job"),
            row(GET, "/.well-known/jwks.json"),
        ])
    }

    fn look(method: Method, path: &str) -> String {
        match table().find(&method, path) {
            Found::Route(route, captures) => format!("{} {:?}", route.path, captures.0),
            Found::WrongMethod => "405".to_owned(),
            Found::Unknown => "404".to_owned(),
        }
    }

    #[test]
    fn paths_and_methods() {
        for (method, path, expected) in [
            (Method::GET, "/v1/jobs", "/v1/jobs []"),
            (Method::PATCH, "/v1/jobs", "405"),
            (Method::GET, "/v1/job/a", r#"/v1/job/*job [("job", "a")]"#),
            (Method::GET, "/v1/job/a%2Fdispatch-1", r#"/v1/job/*job [("job", "a/dispatch-1")]"#),
            (Method::GET, "/v1/job/a/b/versions", r#"/v1/job/*job/versions [("job", "a/b")]"#),
            (Method::PUT, "/v1/job/a/versions/x/tag", r#"/v1/job/*job/versions/:tag/tag [("tag", "x"), ("job", "a")]"#),
            (Method::PUT, "/v1/job/a", "405"),
            (Method::GET, "/v1/job/", "404"),
            (Method::GET, "/v1/nothing", "404"),
            (Method::GET, "/.well-known/jwks.json", "/.well-known/jwks.json []"),
        ] {
            assert_eq!(look(method.clone(), path), expected, "{method} {path}");
        }
    }
}
