//! The field's command line and API as they are, so that we can say what of them is here.
//!
//! Reads: `field/commands.txt`, facts, and the command table. Gives: for a command that is not built yet a sentence
//! ([`not_built`]); for README the table of parts, which a test keeps (`field/readme.rs`).

#[cfg(test)]
mod readme;

use crate::command::Entry;

/// A part of the field: a row of README's table.
pub struct Part {
    /// As it stands in README.
    #[cfg_attr(not(test), expect(dead_code, reason = "README's test reads it"))]
    pub title: &'static str,
    /// Behind "this version has no": for parts of which nothing is here.
    pub noun: &'static str,
    /// Beginnings of the names of its commands.
    pub commands: &'static [&'static str],
    /// Beginnings of the paths of its routes.
    #[cfg_attr(not(test), expect(dead_code, reason = "README's test reads it"))]
    pub routes: &'static [&'static str],
    /// Its keys at the top level of an agent's configuration, or `block.key`.
    #[cfg_attr(not(test), expect(dead_code, reason = "README's test reads it"))]
    pub settings: &'static [&'static str],
}

const fn part(
    title: &'static str,
    noun: &'static str,
    commands: &'static [&'static str],
    routes: &'static [&'static str],
    settings: &'static [&'static str],
) -> Part {
    Part { title, noun, commands, routes, settings }
}

/// Every part. What belongs to several belongs to the one with the longest beginning.
pub static PARTS: &[Part] = &[
    part("Jobs: run, plan, versions, dispatch, periodic", "", &["job", "fmt"], &["/v1/job", "/v1/validate"], &[]),
    part(
        "Allocations: logs, files, exec, signals",
        "",
        &["alloc"],
        &["/v1/allocation", "/v1/client/fs", "/v1/client/allocation"],
        &[],
    ),
    part("Evaluations and deployments", "", &["eval", "deployment"], &["/v1/evaluation", "/v1/deployment"], &[]),
    part("Nodes: drain, eligibility, metadata", "", &["node"], &["/v1/node", "/v1/client"], &["client"]),
    part("Services with health checks", "", &["service"], &["/v1/service"], &[]),
    part("Search and the event stream", "", &["status", "ui"], &["/v1/search", "/v1/event"], &["ui"]),
    part(
        "The agent: roles, configuration, figures",
        "",
        &["agent", "agent-info", "config", "version", "monitor", "check", "server members", "system", "operator"],
        &["/v1/agent", "/v1/metrics", "/v1/regions", "/v1/status", "/v1/system", "/v1/operator"],
        &[""],
    ),
    part("Scaling policies", "scaling policies", &["scaling"], &["/v1/scaling"], &[]),
    part(
        "Namespaces and node pools of one's own",
        "namespaces of one's own",
        &["namespace", "node pool"],
        &["/v1/namespace", "/v1/node/pool"],
        &[],
    ),
    part(
        "More than one server",
        "more than one server",
        &["server", "operator raft", "operator autopilot", "operator gossip"],
        &[
            "/v1/agent/join",
            "/v1/agent/force-leave",
            "/v1/agent/keyring",
            "/v1/operator/raft",
            "/v1/operator/autopilot",
        ],
        &["server.bootstrap_expect", "server.server_join", "server.encrypt", "autopilot", "rpc"],
    ),
    part("Access control", "access control", &["acl", "login"], &["/v1/acl"], &["acl"]),
    part("TLS", "TLS", &["tls"], &[], &["tls"]),
    part("Variables", "variables", &["var"], &["/v1/var"], &[]),
    part(
        "Keyring and workload identities",
        "keyring",
        &["operator root", "node identity", "node intro"],
        &["/.well-known", "/v1/operator/keyring", "/v1/client/identity"],
        &["keyring", "server.client_introduction"],
    ),
    part(
        "Volumes and their plugins",
        "volumes",
        &["volume", "plugin"],
        &["/v1/volume", "/v1/plugin"],
        &["client.host_volume"],
    ),
    part("Snapshots", "snapshots", &["operator snapshot"], &["/v1/operator/snapshot"], &[]),
    part(
        "Consul and Vault",
        "links to Consul and Vault",
        &["setup"],
        &["/v1/operator/upgrade-check"],
        &["consul", "vault"],
    ),
];

/// Groups of commands that the field sells; its free edition only says so.
const SOLD: [&str; 5] = ["license", "quota", "recommendation", "sentinel", "operator utilization"];

/// One command of the field.
pub struct Known {
    pub name: &'static str,
    pub others: Vec<&'static str>,
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares them with ours"))]
    pub flags: Vec<&'static str>,
}

/// Every command of the field's free edition.
pub fn commands() -> impl Iterator<Item = Known> {
    lines(include_str!("field/commands.txt")).map(|line| {
        let (names, flags) = line.split_once(':').unwrap_or((line, ""));
        let (name, others) = names.split_once('|').unwrap_or((names, ""));
        Known {
            name: name.trim(),
            others: others.split_whitespace().collect(),
            flags: flags.split_whitespace().collect(),
        }
    })
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty())
}

/// A sentence about the command or group of the field that `words` begin with, where nothing of it is built.
pub fn not_built(program: &str, table: &[Entry], words: &[String]) -> Option<String> {
    let names: Vec<&str> = words.iter().map(String::as_str).take_while(|w| !w.starts_with('-')).take(4).collect();
    (1..=names.len()).rev().find_map(|used| {
        let name = names[..used].join(" ");
        if SOLD.iter().any(|sold| begins(&name, sold)) {
            return Some(format!("{:?} belongs to an edition that is sold; there is none of it here.", name));
        }
        let within = |path: &str| begins(path, &name);
        if table.iter().any(|e| within(e.path)) {
            return None;
        }
        let built = |known: &Known| table.iter().any(|e| e.path == known.name);
        let means = |known: &Known| within(known.name) || known.others.contains(&name.as_str());
        let known = commands().find(|known| means(known) && !built(known))?;
        let whole = if known.others.contains(&name.as_str()) { known.name } else { &name };
        Some(sentence(program, &name, part_of(whole, |part| part.commands), table))
    })
}

fn sentence(program: &str, name: &str, part: &Part, table: &[Entry]) -> String {
    let begun = table.iter().any(|e| std::ptr::eq(part_of(e.path, |p| p.commands), part));
    let why = if begun || part.noun.is_empty() {
        String::new()
    } else {
        format!(", because this version has no {}", part.noun)
    };
    format!("\"{program} {name}\" is not built yet{why}: README.md says what is.")
}

/// Is `name` the command or group `prefix`, or something of it?
fn begins(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// The part with the longest beginning of `name` among those that `beginnings` gives.
fn part_of(name: &str, beginnings: fn(&Part) -> &'static [&'static str]) -> &'static Part {
    let length = |part: &&Part| beginnings(part).iter().filter(|b| name.starts_with(**b)).map(|b| b.len()).max();
    let found = PARTS.iter().filter(|part| length(part).is_some()).max_by_key(length);
    found.unwrap_or_else(|| panic!("no part has {name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::table;

    fn said(words: &str) -> Option<String> {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        not_built("tarpan", &table(), &words)
    }

    #[test]
    fn what_is_not_built_is_named() {
        let no = |name: &str, noun: &str| {
            Some(format!(
                "\"tarpan {name}\" is not built yet, because this version has no {noun}: README.md says what is."
            ))
        };
        assert_eq!(said("var get nomad/jobs"), no("var get", "variables"));
        assert_eq!(said("var"), no("var", "variables"));
        assert_eq!(said("acl policy -h"), no("acl policy", "access control"));
        assert_eq!(said("node identity renew 1"), no("node identity renew", "keyring"));
        assert_eq!(
            said("alloc pause x"),
            Some("\"tarpan alloc pause\" is not built yet: README.md says what is.".into())
        );
        assert!(said("sentinel apply").is_some_and(|text| text.contains("sold")));
        for built in ["job run", "run", "job", "operator", "operator nosuch", "nosuch", "node", ""] {
            assert_eq!(said(built), None, "{built}");
        }
    }

    /// What the field's command line takes is taken here, in every command that is here.
    #[test]
    fn built_commands_have_the_fields_flags_and_names() {
        let table = table();
        for known in commands() {
            let Some(entry) = table.iter().find(|e| e.path == known.name) else { continue };
            let flags = (entry.flags)();
            let has = |name: &str| {
                flags
                    .get_arguments()
                    .any(|a| a.get_long() == Some(name) || a.get_all_aliases().is_some_and(|all| all.contains(&name)))
            };
            let missing: Vec<&str> = known.flags.iter().copied().filter(|flag| !has(flag)).collect();
            assert!(missing.is_empty(), "{}: {missing:?}", known.name);
            let unnamed: Vec<&str> = known.others.iter().copied().filter(|n| !entry.aliases.contains(n)).collect();
            assert!(unnamed.is_empty(), "{}: {unnamed:?}", known.name);
        }
    }

    /// The field has it in the edition that is paid for.
    const BESIDE: &[&str] = &["operator snapshot agent"];

    /// Every command of ours is the field's.
    #[test]
    fn no_command_is_made_up() {
        for entry in table().iter().filter(|entry| !BESIDE.contains(&entry.path)) {
            assert!(commands().any(|known| known.name == entry.path), "{} is not the field's", entry.path);
        }
    }
}
