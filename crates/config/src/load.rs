//! Files and flags to one [`AgentConfig`]: defaults, then each `-config` in order, then flags.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::agent::AgentConfig;
use crate::effects::{self, Note, Notes};
use crate::hcl1;
use crate::schema::AGENT;
use crate::tree;

/// Where a configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Start from the development defaults.
    pub dev: bool,
    /// Files and directories, in order.
    pub paths: Vec<PathBuf>,
    /// Flags as the tree that a file would be.
    pub flags: Json,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("reading {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// One line for each mistake: `file:line:column: …`.
    #[error("{0}")]
    Mistakes(String),
    #[error("the configuration does not fit together: {0}")]
    Typed(String),
}

/// A configuration and the files it was read from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: AgentConfig,
    pub files: Vec<PathBuf>,
    /// Keys that would protect and do not, a line each (`file:line:column: …`): no agent starts with them.
    pub refused: Vec<String>,
    /// Keys without an effect, a line each.
    pub idle: Vec<String>,
}

/// Reads and merges everything. Does not judge the result: [`problems`] does.
pub fn load(sources: &Sources) -> Result<Loaded, LoadError> {
    let mut merged = if sources.dev { dev_defaults() } else { json!({}) };
    let mut files = Vec::new();
    let mut mistakes = String::new();
    let mut notes = BTreeMap::new();
    for path in &sources.paths {
        for file in files_of(path)? {
            let text =
                std::fs::read_to_string(&file).map_err(|source| LoadError::Read { path: file.clone(), source })?;
            match read(&file, &text) {
                Ok(mut one) => {
                    leave_on(&mut one.tree);
                    tree::merge(&mut merged, one.tree, &AGENT);
                    // A later file may take a wish back.
                    notes.extend(one.notes.into_iter().map(|(path, note)| (path, note.map(|n| (file.clone(), n)))));
                }
                Err(lines) => mistakes.push_str(&lines),
            }
            files.push(file);
        }
    }
    if !mistakes.is_empty() {
        return Err(LoadError::Mistakes(mistakes.trim_end().to_owned()));
    }
    if sources.flags.is_object() {
        tree::merge(&mut merged, sources.flags.clone(), &AGENT);
    }
    let mut config: AgentConfig =
        serde_path_to_error::deserialize(merged).map_err(|e| LoadError::Typed(e.to_string()))?;
    config.dev = sources.dev;
    let (refused, idle): (Vec<_>, Vec<_>) = notes.into_values().flatten().partition(|(_, note)| note.refused);
    let lines = |notes: Vec<(PathBuf, Note)>| {
        notes.into_iter().map(|(file, n)| format!("{}:{}: {}", file.display(), n.at, n.message)).collect()
    };
    Ok(Loaded { config, files, refused: lines(refused), idle: lines(idle) })
}

/// Switches that files, flags and `-dev` only ever turn on, as in the field: `false` says no more than leaving the key out.
const SWITCHES: [(&str, &[&str]); 4] = [
    ("", &["log_json", "log_include_location"]),
    ("server", &["enabled"]),
    ("client", &["enabled", "disable_remote_exec", "default_ineligible"]),
    ("tls", &["http", "rpc", "verify_server_hostname", "verify_https_client", "rpc_upgrade_mode"]),
];

/// Takes the switches out of a file's tree that it does not turn on.
fn leave_on(tree: &mut Json) {
    for (block, keys) in SWITCHES {
        let block = if block.is_empty() { Some(&mut *tree) } else { tree.get_mut(block) };
        let Some(Json::Object(block)) = block else { continue };
        block.retain(|key, value| !(keys.contains(&key.as_str()) && *value == Json::Bool(false)));
    }
}

/// One file, checked.
#[derive(Debug)]
pub struct File {
    pub tree: Json,
    pub notes: Notes,
}

/// What one file's text says, or its mistakes, a line each.
pub fn read(file: &Path, text: &str) -> Result<File, String> {
    let name = file.display();
    let body = hcl1::parse(text).map_err(|e| format!("{name}:{e}\n"))?;
    let (tree, mistakes) = tree::check(&body, &AGENT);
    if mistakes.is_empty() {
        return Ok(File { tree, notes: effects::notes(&body, &AGENT) });
    }
    Err(mistakes.iter().fold(String::new(), |mut lines, m| {
        let _ = writeln!(lines, "{name}:{}: {}", m.at, m.message);
        lines
    }))
}

/// The file itself, or a directory's `*.hcl` and `*.json` by name, without what editors leave behind.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let failed = |source| LoadError::Read { path: path.to_owned(), source };
    if !std::fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(failed)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|p| p.is_file() && is_config_name(p))
        .collect();
    files.sort();
    Ok(files)
}

fn is_config_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let left_behind = name.ends_with('~') || name.starts_with(".#") || (name.starts_with('#') && name.ends_with('#'));
    !left_behind && (name.ends_with(".hcl") || name.ends_with(".json"))
}

/// What `-dev` starts from.
fn dev_defaults() -> Json {
    json!({
        "bind_addr": "127.0.0.1",
        "log_level": "DEBUG",
        "server": {"enabled": true, "bootstrap_expect": 1},
        "client": {
            "enabled": true,
            "network_interface": "lo",
            "gc_interval": "10m",
            "gc_disk_usage_threshold": 99.0,
            "gc_inode_usage_threshold": 99.0,
            "gc_max_allocs": 50
        },
        "plugin": {
            "raw_exec": {"config": {"enabled": true}},
            "docker": {"config": {"volumes": {"enabled": true}}}
        }
    })
}

/// Why no agent can run with this configuration; empty when one can.
pub fn problems(config: &AgentConfig) -> Vec<String> {
    let mut out = Vec::new();
    let mut say = |wrong: bool, text: &str| {
        if wrong {
            out.push(text.to_owned());
        }
    };
    let (server, client) = (&config.server, &config.client);
    say(!server.enabled && !client.enabled, "Must specify either server, client or dev mode for the agent.");
    say(config.region.is_empty(), "Must specify a region.");
    say(config.region.contains([' ', '\0']), "\"region\" may not hold blanks.");
    say(config.datacenter.is_empty(), "Must specify a datacenter.");
    say(config.datacenter.contains(['*', '\0']), "\"datacenter\" may not hold \"*\".");
    say(client.node_pool == "all", "\"client.node_pool\" may not be \"all\": that pool holds every node.");
    say(
        client.min_dynamic_port > client.max_dynamic_port,
        "\"client.min_dynamic_port\" is larger than \"client.max_dynamic_port\".",
    );
    say(
        crate::agent::parse_ranges(&client.reserved.cores).is_none(),
        "\"client.reserved.cores\" needs numbers and ranges such as \"0-2,5\".",
    );
    for (key, ports) in reserved_ports(config) {
        say(
            crate::agent::parse_ranges(ports).is_none(),
            &format!("{key:?} needs ports and ranges such as \"22,80-90\"."),
        );
    }
    say(
        !matches!(client.preferred_address_family.as_str(), "" | "ipv4" | "ipv6"),
        "\"client.preferred_address_family\" needs \"ipv4\" or \"ipv6\".",
    );
    say(
        crate::agent::log_level(&config.log_level).is_none(),
        "\"log_level\" needs TRACE, DEBUG, INFO, WARN, ERROR or OFF.",
    );
    if !config.dev {
        match &config.data_dir {
            None => say(true, "Must specify \"data_dir\" config option or \"data-dir\" CLI flag"),
            Some(dir) => say(!dir.is_absolute(), "\"data_dir\" must be an absolute path."),
        }
    }
    out.extend(bridge_faults(client));
    for (name, volume) in &client.host_volume {
        if volume.path.is_empty() {
            out.push(format!("\"client.host_volume.{name}\" needs a \"path\"."));
        }
    }
    out
}

/// What is wrong with the bridge network's keys.
fn bridge_faults(client: &crate::agent::ClientConfig) -> Vec<String> {
    let mut out = Vec::new();
    // As the kernel has it for names of interfaces.
    let name = client.bridge_network_name.as_str();
    if name.is_empty() || name.len() > 15 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        out.push(format!(
            "\"client.bridge_network_name\" needs a name of at most 15 letters, digits, '.', '_' and '-', not {name:?}."
        ));
    }
    let v6 = Some(client.bridge_network_subnet_ipv6.as_str()).filter(|text| !text.is_empty());
    let subnets = [("", Some(client.bridge_network_subnet.as_str()), true), ("_ipv6", v6, false)];
    for (suffix, text, is_ipv4) in subnets.into_iter().filter_map(|(s, text, v4)| Some((s, text?, v4))) {
        let wrong = match text.parse::<tarpan_model::subnet::Subnet>() {
            Ok(subnet) if subnet.is_ipv4() == is_ipv4 => continue,
            Ok(_) => format!("{text:?} is of the other family"),
            Err(error) => error.to_string(),
        };
        out.push(format!("\"client.bridge_network_subnet{suffix}\": {wrong}."));
    }
    out
}

/// Every text of ports that tasks do not get, with its key.
fn reserved_ports(config: &AgentConfig) -> Vec<(String, &str)> {
    let own = ("client.reserved.reserved_ports".to_owned(), config.client.reserved.reserved_ports.as_str());
    let networks = config.client.host_network.iter();
    std::iter::once(own)
        .chain(
            networks.map(|(name, n)| (format!("client.host_network.{name}.reserved_ports"), n.reserved_ports.as_str())),
        )
        .collect()
}

/// What an operator should know, though the agent runs.
pub fn warnings(config: &AgentConfig) -> Vec<String> {
    let mut out = Vec::new();
    out.extend(in_clear(config).map(str::to_owned));
    if config.server.enabled && !config.dev {
        match config.server.bootstrap_expect {
            1 => out.push("Bootstrap mode enabled! Potentially unsafe operation.".to_owned()),
            n if n % 2 == 0 => {
                out.push("Number of bootstrap servers should ideally be set to an odd number.".to_owned());
            }
            _ => {}
        }
    }
    out
}

/// What goes over the network as it is. A dev agent talks to itself.
fn in_clear(config: &AgentConfig) -> impl Iterator<Item = &'static str> {
    let (rpc, http) = (config.tls.rpc, config.tls.http);
    let gossip = config.server.enabled && config.server.encrypt.as_deref().is_none_or(str::is_empty);
    let upgrading = rpc && config.tls.rpc_upgrade_mode;
    let all = [
        (!rpc && !http, "mTLS is not configured - the cluster is not secure without mTLS!"),
        (http && !rpc, "What agents and servers tell each other is not encrypted: \"tls.rpc\" is off."),
        (rpc && !http, "The HTTP API is not encrypted: \"tls.http\" is off."),
        (upgrading, "\"tls.rpc_upgrade_mode\" is on: servers and clients without TLS are still taken."),
        (rpc && gossip, "Gossip between servers is not encrypted: \"server.encrypt\" holds no key."),
    ];
    let told = !config.dev;
    all.into_iter().filter(move |(so, _)| told && *so).map(|(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_texts(files: &[(&str, &str)], flags: Json, dev: bool) -> Result<Loaded, LoadError> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).expect("written");
        }
        load(&Sources { dev, paths: vec![dir.path().to_owned()], flags })
    }

    #[test]
    fn files_of_a_directory_are_merged_under_flags() {
        let files = [
            ("1-server.hcl", "datacenter = \"a\"\nserver { enabled = true bootstrap_expect = 1 }\ndata_dir = \"/srv\""),
            ("2-client.json", r#"{"datacenter": "b", "client": {"enabled": true, "servers": ["10.0.0.1:4647"]}}"#),
            ("ignored.txt", "nonsense"),
            (".#lock.hcl", "nonsense"),
        ];
        let flags = json!({"region": "west", "client": {"meta": {"rack": "1"}}});
        let loaded = load_texts(&files, flags, false).expect("good files");
        let config = loaded.config;
        assert_eq!((config.datacenter.as_str(), config.region.as_str()), ("b", "west"));
        assert!(config.server.enabled && config.client.enabled);
        assert_eq!(config.client.servers, ["10.0.0.1:4647"]);
        assert_eq!(config.client.meta["rack"], "1");
        assert_eq!(loaded.files.len(), 2);
        assert_eq!(problems(&config), Vec::<String>::new());
    }

    #[test]
    fn mistakes_name_file_and_line() {
        let files = [("a.hcl", "name = \"x\"\nservr {\n}\n"), ("b.hcl", "client {\n  enabled = maybe\n}\n")];
        let error = load_texts(&files, Json::Null, false).expect_err("two mistakes").to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), 2, "{error}");
        assert!(lines[0].ends_with("a.hcl:2:1: unknown key \"servr\"; did you mean \"server\"?"), "{error}");
        assert!(lines[1].ends_with("b.hcl:2:13: texts need quotes: \"maybe\""), "{error}");
    }

    #[test]
    fn dev_needs_nothing_else() {
        let config = load_texts(&[], Json::Null, true).expect("no files").config;
        assert_eq!(problems(&config), Vec::<String>::new());
        assert_eq!(config.bind_addr, "127.0.0.1");
        assert_eq!(config.plugin["raw_exec"].config["enabled"], json!(true));
    }

    #[test]
    fn a_role_that_was_turned_on_stays_on() {
        let files = [
            ("1.hcl", "client {\n  disable_remote_exec = true\n}\nlog_json = true\n"),
            (
                "2.hcl",
                "client {\n  enabled = false\n  disable_remote_exec = false\n}\nserver {\n  enabled = false\n}\nlog_json = false\n",
            ),
        ];
        let config = load_texts(&files, Json::Null, true).expect("good files").config;
        assert!(config.client.enabled && config.server.enabled, "-dev runs both roles whatever files say");
        assert!(config.client.disable_remote_exec && config.log_json);
        let flags = json!({"client": {"enabled": true}});
        let config = load_texts(&files, flags, false).expect("good files").config;
        assert!(config.client.enabled && !config.server.enabled);
    }

    #[test]
    fn what_goes_in_clear_is_said_and_nothing_else() {
        let said = |tls: &str, encrypt: &str| {
            let text = format!(
                "server {{ enabled = true bootstrap_expect = 3 {encrypt} }}\ntls {{ {tls} }}\ndata_dir = \"/d\""
            );
            let config = load_texts(&[("a.hcl", &text)], Json::Null, false).expect("good files").config;
            warnings(&config)
                .into_iter()
                .map(|w| w.split([':', '-']).next().unwrap_or_default().trim().to_owned())
                .collect::<Vec<_>>()
        };
        let files = "ca_file = \"/ca\" cert_file = \"/c\" key_file = \"/k\"";
        assert_eq!(said(files, ""), ["mTLS is not configured"], "files alone encrypt nothing");
        assert_eq!(said("http = true", ""), ["What agents and servers tell each other is not encrypted"]);
        assert_eq!(said("rpc = true", "encrypt = \"k\""), ["The HTTP API is not encrypted"]);
        assert_eq!(said("rpc = true http = true", ""), ["Gossip between servers is not encrypted"]);
        assert_eq!(said("rpc = true http = true", "encrypt = \"k\""), Vec::<String>::new());
    }

    #[test]
    fn what_is_missing_is_said() {
        insta::assert_snapshot!(problems(&AgentConfig::default()).join("\n"), @r#"
        Must specify either server, client or dev mode for the agent.
        Must specify "data_dir" config option or "data-dir" CLI flag
        "#);
    }
}
