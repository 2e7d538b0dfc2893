//! Checks a parsed file against the schema and turns it into plain values; merges such values in order.
//!
//! Gives trees in which every key is known and has its kind: blocks and labelled blocks are objects (by label), texts that
//! mean numbers or booleans are numbers or booleans. Mistakes are collected, not only the first.

use serde_json::{Map, Value as Json, json};
use tarpan_model::duration::Dur;

use crate::hcl1::{Body, Item, Position, Value};
use crate::schema::{Block, Kind};

/// One mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub at: Position,
    pub message: String,
}

/// The tree of `body`, without what is wrong, and what is wrong.
pub fn check(body: &Body, schema: &'static Block) -> (Json, Vec<Mistake>) {
    let mut checker = Checker { mistakes: Vec::new() };
    let tree = checker.block(body, schema, "");
    (Json::Object(tree), checker.mistakes)
}

/// Lays `over` on `base`: later scalars win, maps and blocks merge by key, lists follow their kind.
pub fn merge(base: &mut Json, over: Json, schema: &'static Block) {
    let (Json::Object(base), Json::Object(over)) = (base, over) else { return };
    for (key, value) in over {
        let Some(old) = base.get_mut(&key) else {
            base.insert(key, value);
            continue;
        };
        match (schema.kind(&key), value) {
            (Some(Kind::Block(inner)), value) => merge(old, value, inner),
            (Some(Kind::Labelled(inner)), Json::Object(labels)) => merge_labels(old, labels, inner),
            (Some(Kind::Map | Kind::Options(_) | Kind::Free), Json::Object(entries)) if old.is_object() => {
                merge_free(old, entries);
            }
            (Some(Kind::Appended), Json::Array(items)) => append(old, items),
            (_, value) => *old = value,
        }
    }
}

fn merge_labels(old: &mut Json, labels: Map<String, Json>, schema: &'static Block) {
    let Json::Object(old) = old else { return };
    for (label, value) in labels {
        match old.get_mut(&label) {
            Some(known) => merge(known, value, schema),
            None => {
                old.insert(label, value);
            }
        }
    }
}

/// Objects merge by key, at every depth; anything else is replaced.
fn merge_free(old: &mut Json, entries: Map<String, Json>) {
    let Json::Object(old) = old else { return };
    for (key, value) in entries {
        match (old.get_mut(&key), value) {
            (Some(known @ Json::Object(_)), Json::Object(inner)) => merge_free(known, inner),
            (_, value) => {
                old.insert(key, value);
            }
        }
    }
}

fn append(old: &mut Json, items: Vec<Json>) {
    if let Json::Array(old) = old {
        let fresh: Vec<Json> = items.into_iter().filter(|item| !old.contains(item)).collect();
        old.extend(fresh);
    }
}

struct Checker {
    mistakes: Vec<Mistake>,
}

impl Checker {
    fn wrong(&mut self, at: Position, message: String) {
        self.mistakes.push(Mistake { at, message });
    }

    fn block(&mut self, body: &Body, schema: &'static Block, path: &str) -> Map<String, Json> {
        let mut out = Json::Object(Map::new());
        for item in body {
            let full = if path.is_empty() { item.key.clone() } else { format!("{path}.{}", item.key) };
            let Some(kind) = schema.kind(&item.key) else {
                let place = if path.is_empty() { String::new() } else { format!(" in {path:?}") };
                let near = nearest(&item.key, schema).map(|k| format!("; did you mean {k:?}?")).unwrap_or_default();
                self.wrong(item.at, format!("unknown key {:?}{place}{near}", item.key));
                continue;
            };
            if let Some(value) = self.item(item, kind, &full) {
                let mut one = Map::new();
                one.insert(item.key.clone(), value);
                merge(&mut out, Json::Object(one), schema);
            }
        }
        match out {
            Json::Object(map) => map,
            _ => Map::new(),
        }
    }

    fn item(&mut self, item: &Item, kind: Kind, path: &str) -> Option<Json> {
        // consul, vault and keyring may carry a name; there is one of each.
        let takes_label = matches!(kind, Kind::Labelled(_) | Kind::Free) || matches!(path, "consul" | "vault");
        if !item.labels.is_empty() && !takes_label {
            self.wrong(item.at, format!("{path:?} takes no label"));
            return None;
        }
        match (kind, &item.value) {
            (_, Value::Null) => None,
            (Kind::Labelled(schema), _) => self.labelled(item, schema, path),
            (Kind::Block(schema), value) => self
                .bodies(value)
                .map(|bodies| {
                    let mut all = Json::Object(Map::new());
                    for body in bodies {
                        let one = self.block(body, schema, path);
                        merge(&mut all, Json::Object(one), schema);
                    }
                    all
                })
                .or_else(|| self.expected(item, path, "a block")),
            (Kind::Map | Kind::Options(_), value) => match self.bodies(value) {
                Some(bodies) => Some(self.map(bodies, path)),
                None => self.expected(item, path, "a map"),
            },
            (Kind::Free, value) => {
                self.plugin(path, value);
                Some(item.labels.iter().rev().fold(free(value), |inner, label| json!({ label: inner })))
            }
            (Kind::List | Kind::Appended, value) => self.list(item, value, path),
            (scalar, value) => {
                let read = self.scalar(scalar, value);
                if read.is_none() {
                    return self.expected(item, path, wanted(scalar));
                }
                read
            }
        }
    }

    fn expected(&mut self, item: &Item, path: &str, what: &str) -> Option<Json> {
        self.wrong(item.value_at, format!("{path:?} needs {what}, not {}", item.value.kind()));
        None
    }

    /// The options of a driver of ours are known: a misspelled one would be passed over by it.
    fn plugin(&mut self, path: &str, value: &Value) {
        let name = path.strip_prefix("plugin.").and_then(|rest| rest.strip_suffix(".config"));
        let Some(schema) = name.and_then(crate::schema::plugin_config) else { return };
        for body in self.bodies(value).unwrap_or_default() {
            // Only for its mistakes: drivers read the values themselves.
            self.block(body, schema, path);
        }
    }

    /// The bodies of a block; JSON writes several as a list.
    fn bodies<'a>(&self, value: &'a Value) -> Option<Vec<&'a Body>> {
        match value {
            Value::Object(body) => Some(vec![body]),
            Value::List(items) => items
                .iter()
                .map(|(_, v)| match v {
                    Value::Object(body) => Some(body),
                    _ => None,
                })
                .collect(),
            _ => None,
        }
    }

    /// `host_volume "a" { … }`, or in JSON `{"a": {…}}`.
    fn labelled(&mut self, item: &Item, schema: &'static Block, path: &str) -> Option<Json> {
        let Some(bodies) = self.bodies(&item.value) else { return self.expected(item, path, "a block") };
        let mut out = Json::Object(Map::new());
        for body in bodies {
            let named: Vec<(String, &Body)> = match item.labels.as_slice() {
                [label] => vec![(label.clone(), body)],
                [] => body
                    .iter()
                    .flat_map(|inner| {
                        let bodies = self.bodies(&inner.value).unwrap_or_default();
                        bodies.into_iter().map(|b| (inner.key.clone(), b))
                    })
                    .collect(),
                _ => Vec::new(),
            };
            if named.is_empty() {
                let short = path.rsplit('.').next().unwrap_or(path);
                self.wrong(item.at, format!("{path:?} needs one label: {short} \"name\" {{ … }}"));
                return None;
            }
            for (label, body) in named {
                let one = self.block(body, schema, &format!("{path}.{label}"));
                merge_labels(&mut out, Map::from_iter([(label, Json::Object(one))]), schema);
            }
        }
        Some(out)
    }

    fn map(&mut self, bodies: Vec<&Body>, path: &str) -> Json {
        let mut out = Map::new();
        for item in bodies.into_iter().flatten() {
            match self.scalar(Kind::Str, &item.value) {
                Some(value) => {
                    out.insert(item.key.clone(), value);
                }
                None => self
                    .wrong(item.value_at, format!("\"{path}.{}\" needs a text, not {}", item.key, item.value.kind())),
            }
        }
        Json::Object(out)
    }

    fn list(&mut self, item: &Item, value: &Value, path: &str) -> Option<Json> {
        let items = match value {
            Value::List(items) => items.clone(),
            single @ Value::Text(_) => vec![(item.value_at, single.clone())],
            _ => return self.expected(item, path, "a list of texts"),
        };
        let mut out = Vec::new();
        for (at, value) in items {
            match self.scalar(Kind::Str, &value) {
                Some(text) => out.push(text),
                None => self.wrong(at, format!("{path:?} holds texts, not {}", value.kind())),
            }
        }
        Some(Json::Array(out))
    }

    /// Reads a scalar as the field does: `"1"` is a number where one is needed, `5` a text where one is.
    fn scalar(&self, kind: Kind, value: &Value) -> Option<Json> {
        match (kind, value) {
            (Kind::Str, Value::Text(text) | Value::Number(text)) => Some(json!(text)),
            (Kind::Str, Value::Bool(b)) => Some(json!(b.to_string())),
            (Kind::Bool, Value::Bool(b)) => Some(json!(b)),
            (Kind::Bool, Value::Text(text)) => text.to_ascii_lowercase().parse::<bool>().ok().map(|b| json!(b)),
            (Kind::Bool, Value::Number(text)) => match text.as_str() {
                "0" => Some(json!(false)),
                "1" => Some(json!(true)),
                _ => None,
            },
            (Kind::Int, Value::Number(text) | Value::Text(text)) => counted(text).map(|n| json!(n)),
            (Kind::Float, Value::Number(text) | Value::Text(text)) => {
                text.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0).map(|n| json!(n))
            }
            (Kind::Duration, Value::Number(text)) => counted(text).map(|n| json!(n)),
            (Kind::Duration, Value::Text(text)) => text.parse::<Dur>().ok().filter(|d| d.0 >= 0).map(|_| json!(text)),
            (Kind::Size, Value::Number(text) | Value::Text(text)) => {
                crate::agent::parse_size(text).map(|_| json!(text))
            }
            _ => None,
        }
    }
}

/// No key of an agent means anything below zero.
fn counted(text: &str) -> Option<i64> {
    integer(text).filter(|n| *n >= 0)
}

fn integer(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Str => "a text",
        Kind::Int => "an integer that is not negative",
        Kind::Float => "a number",
        Kind::Bool => "true or false",
        Kind::Duration => "a duration such as \"30s\"",
        Kind::Size => "a size such as \"10MB\"",
        Kind::List | Kind::Appended => "a list of texts",
        Kind::Map | Kind::Options(_) => "a map",
        Kind::Labelled(_) | Kind::Block(_) | Kind::Free => "a block",
    }
}

/// Plain values, for readers that know the keys themselves; a repeated block becomes a list.
fn free(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(b) => json!(b),
        Value::Number(text) => {
            integer(text).map(|n| json!(n)).unwrap_or_else(|| json!(text.parse::<f64>().unwrap_or(0.0)))
        }
        Value::Text(text) => json!(text),
        Value::List(items) => items.iter().map(|(_, v)| free(v)).collect(),
        Value::Object(body) => {
            let mut out: Map<String, Json> = Map::new();
            for item in body {
                let value = item.labels.iter().rev().fold(free(&item.value), |inner, label| json!({ label: inner }));
                match (out.get_mut(&item.key), value) {
                    (Some(known @ Json::Object(_)), Json::Object(more)) => merge_free(known, more),
                    (_, value) => {
                        out.insert(item.key.clone(), value);
                    }
                }
            }
            Json::Object(out)
        }
    }
}

/// The known key that is spelled most alike.
fn nearest(key: &str, schema: &'static Block) -> Option<&'static str> {
    let near = schema.keys().map(|known| (distance(key, known), known)).min()?;
    (near.0 <= 2 && near.0 * 2 < key.len()).then_some(near.1)
}

/// Insertions, deletions and replacements between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let change = corner + usize::from(ca != *cb);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hcl1;
    use crate::schema::AGENT;

    #[track_caller]
    fn tree(text: &str) -> Json {
        let (tree, mistakes) = check(&hcl1::parse(text).expect("it parses"), &AGENT);
        assert_eq!(mistakes, [], "{text}");
        tree
    }

    fn mistakes(text: &str) -> String {
        let (_, mistakes) = check(&hcl1::parse(text).expect("it parses"), &AGENT);
        mistakes.iter().map(|m| format!("{}: {}\n", m.at, m.message)).collect()
    }

    #[test]
    fn hcl_and_json_give_the_same_tree() {
        let hcl = tree(
            r#"
            datacenter = "east"
            client {
              enabled = "true"
              meta { rack = 7 }
              options = { "driver.allowlist" = "docker" }
              host_volume "mysql" { path = "/srv/mysql" read_only = false }
              host_volume "storage" { path = "/srv/storage" }
            }
            plugin "docker" { config { volumes { enabled = true, selinuxlabel = "z" } } }
            limits { log_rotate_bytes = 1024 }
            "#,
        );
        let json = tree(
            r#"{"datacenter": "east",
                "client": {"enabled": true, "meta": {"rack": "7"}, "options": [{"driver.allowlist": "docker"}],
                    "host_volume": [{"mysql": {"path": "/srv/mysql", "read_only": false}}, {"storage": {"path": "/srv/storage"}}]},
                "plugin": {"docker": {"config": {"volumes": {"enabled": true, "selinuxlabel": "z"}}}},
                "limits": {"log_rotate_bytes": "1024"}}"#,
        );
        assert_eq!(hcl, json);
        assert_eq!(hcl["plugin"]["docker"]["config"]["volumes"]["enabled"], json!(true));
        assert_eq!(hcl["client"]["host_volume"]["mysql"]["path"], json!("/srv/mysql"));
    }

    #[test]
    fn mistakes_are_all_found() {
        insta::assert_snapshot!(mistakes(
            "datacentre = \"x\"\nserver {\n  enabled = \"perhaps\"\n  nope = 1\n  heartbeat_grace = \"10 s\"\n}\nclient \"a\" {}\nplugin {}\nclient {\n  servers = [{}]\n  meta = 3\n}",
        ), @r#"
        1:1: unknown key "datacentre"; did you mean "datacenter"?
        3:13: "server.enabled" needs true or false, not a text
        4:3: unknown key "nope" in "server"
        5:21: "server.heartbeat_grace" needs a duration such as "30s", not a text
        7:1: "client" takes no label
        8:1: "plugin" needs one label: plugin "name" { … }
        10:14: "client.servers" holds texts, not a block
        11:10: "client.meta" needs a map, not a number
        "#);
    }

    #[test]
    fn later_values_win_and_maps_merge() {
        let mut base = tree(
            "name = \"a\" client { meta { x = \"1\" y = \"1\" } servers = [\"one\"] host_volume \"v\" { path = \"/a\" } }",
        );
        let over = tree(
            "name = \"b\" client { meta { y = \"2\" } servers = [\"two\"] host_volume \"v\" { read_only = true } }",
        );
        merge(&mut base, over, &AGENT);
        assert_eq!(
            base,
            json!({"name": "b", "client": {"meta": {"x": "1", "y": "2"}, "servers": ["one", "two"],
                "host_volume": {"v": {"path": "/a", "read_only": true}}}})
        );
    }
}
