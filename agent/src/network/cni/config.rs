//! Network configurations of CNI as operators write them: one plugin in a `.conf` or `.json` file, several in a `.conflist`. Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Versions whose results have the form that we read. Older ones have one of their own.
const KNOWN: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// A network: its plugins in order, each with its own settings. Kept in the record of an allocation, which is taken off
/// the network by what it was put on it with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    pub name: String,
    pub version: String,
    pub plugins: Vec<Map<String, Value>>,
}

impl Network {
    /// `list`: the text is of a `.conflist`. Errors are sentences.
    pub fn parse(text: &str, list: bool) -> Result<Network, String> {
        let value: Value = serde_json::from_str(text).map_err(|e| format!("it is no JSON: {e}"))?;
        let Value::Object(mut all) = value else { return Err("it is no JSON object".to_owned()) };
        let text = |all: &Map<String, Value>, key: &str| all.get(key).and_then(Value::as_str).map(str::to_owned);
        let name = text(&all, "name").filter(|n| !n.is_empty()).ok_or("it has no \"name\"")?;
        let version = text(&all, "cniVersion").ok_or("it has no \"cniVersion\"")?;
        if !KNOWN.contains(&version.as_str()) {
            return Err(format!("its \"cniVersion\" is {version:?}, and {} are known", KNOWN.join(", ")));
        }
        let plugins = match (list, all.remove("plugins")) {
            (false, _) => vec![Value::Object(all)],
            (true, Some(Value::Array(plugins))) if !plugins.is_empty() => plugins,
            (true, _) => return Err("it has no list of \"plugins\"".to_owned()),
        };
        let plugin = |plugin: Value| match plugin {
            Value::Object(plugin) if kind(&plugin).is_some() => Ok(plugin),
            _ => Err("one of its plugins has no \"type\" that is the name of a program".to_owned()),
        };
        let plugins = plugins.into_iter().map(plugin).collect::<Result<_, String>>()?;
        Ok(Network { name, version, plugins })
    }
}

/// The name of a plugin's program; `None`: it has none, or one that would lead elsewhere.
pub fn kind(plugin: &Map<String, Value>) -> Option<&str> {
    let kind = plugin.get("type").and_then(Value::as_str)?;
    let plain = !kind.is_empty() && !kind.contains('/') && !kind.starts_with('.');
    plain.then_some(kind)
}

/// What a plugin reads: its settings with the network's name and version, what it can do of what is wanted now, and what the
/// plugins before it (or an earlier `ADD`) gave.
pub fn input(
    network: &Network,
    plugin: &Map<String, Value>,
    wishes: &Map<String, Value>,
    before: Option<&Value>,
) -> String {
    let mut input = plugin.clone();
    input.insert("name".to_owned(), Value::from(network.name.as_str()));
    input.insert("cniVersion".to_owned(), Value::from(network.version.as_str()));
    let able = input.remove("capabilities").unwrap_or_default();
    let granted: Map<String, Value> =
        wishes.iter().filter(|(key, _)| able[key.as_str()] == true).map(|(k, v)| (k.clone(), v.clone())).collect();
    if !granted.is_empty() {
        input.insert("runtimeConfig".to_owned(), Value::Object(granted));
    }
    if let Some(before) = before {
        input.insert("prevResult".to_owned(), before.clone());
    }
    Value::Object(input).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_of_either_kind() {
        let one = r#"{"cniVersion": "0.4.0", "name": "lan", "type": "macvlan", "master": "eth0"}"#;
        let one = Network::parse(one, false).expect("a network");
        assert_eq!((one.name.as_str(), one.plugins.len(), kind(&one.plugins[0])), ("lan", 1, Some("macvlan")));
        let list = r#"{"cniVersion": "1.0.0", "name": "lan", "plugins": [{"type": "bridge"}, {"type": "portmap"}]}"#;
        assert_eq!(Network::parse(list, true).expect("a network").plugins.len(), 2);
        for (text, list, why) in [
            ("{", false, "no JSON"),
            ("[]", false, "no JSON object"),
            (r#"{"cniVersion": "1.0.0", "type": "x"}"#, false, "no \"name\""),
            (r#"{"name": "x", "type": "x"}"#, false, "no \"cniVersion\""),
            (r#"{"cniVersion": "0.2.0", "name": "x", "type": "x"}"#, false, "\"0.2.0\", and 0.3.0"),
            (r#"{"cniVersion": "1.0.0", "name": "x"}"#, false, "no \"type\""),
            (r#"{"cniVersion": "1.0.0", "name": "x", "type": "../x"}"#, false, "no \"type\""),
            (r#"{"cniVersion": "1.0.0", "name": "x", "plugins": []}"#, true, "no list of \"plugins\""),
        ] {
            let said = Network::parse(text, list).expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn a_plugin_is_told_what_it_can_do() {
        let text = r#"{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "portmap", "capabilities": {"portMappings": true}}]}"#;
        let network = Network::parse(text, true).expect("a network");
        let Value::Object(wishes) = json!({"portMappings": [{"hostPort": 1}], "ips": ["10.0.0.1/8"]}) else { panic!() };
        let told: Value =
            serde_json::from_str(&input(&network, &network.plugins[0], &wishes, Some(&json!({"ips": []}))))
                .expect("JSON");
        let wanted = json!({"type": "portmap", "name": "n", "cniVersion": "1.0.0", "prevResult": {"ips": []},
                            "runtimeConfig": {"portMappings": [{"hostPort": 1}]}});
        assert_eq!(told, wanted);
    }
}
