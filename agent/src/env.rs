//! The environment of a task, and `${…}` in what its job says.
//!
//! Reads: node, allocation, job, directories, ports. Gives: [`TaskEnv`]. Names and precedence: `reference/runtime.md`
//! ("Task environment variables", "Interpolation variables") and `reference/semantics.md` 18.11.

use std::collections::BTreeMap;

use serde_json::Value;
use tarpan_model::job::Task;
use tarpan_model::resources::PortMapping;
use tarpan_model::{Allocation, Node};

/// Directories as the task sees them.
#[derive(Clone, Debug, Default)]
pub struct SeenDirs {
    pub alloc: String,
    pub local: String,
    pub secrets: String,
}

/// What the environment is made from.
pub struct Source<'a> {
    pub node: &'a Node,
    pub region: &'a str,
    pub alloc: &'a Allocation,
    pub task: &'a Task,
    pub dirs: SeenDirs,
    /// Address of the allocation in its own network, where it has one.
    pub alloc_ip: Option<&'a str>,
    pub alloc_interface: Option<&'a str>,
    pub cgroup_parent: &'a str,
    /// The agent's own environment, already filtered; empty for tasks with an image.
    pub host_env: BTreeMap<String, String>,
}

/// A task's variables, and what `${…}` may name besides.
#[derive(Clone, Debug, Default)]
pub struct TaskEnv {
    /// What the task gets.
    pub vars: BTreeMap<String, String>,
    /// `node.…`, `attr.…`, `meta.…`.
    facts: BTreeMap<String, String>,
}

/// Host variables that no task gets unless `env.denylist` says otherwise.
pub const DENIED: &str = "CONSUL_TOKEN,CONSUL_HTTP_TOKEN,CONSUL_HTTP_TOKEN_FILE,NOMAD_TOKEN,VAULT_TOKEN,CONSUL_LICENSE,\
NOMAD_LICENSE,VAULT_LICENSE,CONSUL_LICENSE_PATH,NOMAD_LICENSE_PATH,VAULT_LICENSE_PATH,AWS_ACCESS_KEY_ID,\
AWS_SECRET_ACCESS_KEY,AWS_SESSION_TOKEN,AWS_METADATA_URL,GOOGLE_APPLICATION_CREDENTIALS,GOOGLE_OAUTH_ACCESS_TOKEN";

impl TaskEnv {
    pub fn new(source: &Source<'_>) -> TaskEnv {
        let mut env = TaskEnv { vars: BTreeMap::new(), facts: facts(source) };
        env.identity(source);
        env.limits(source);
        for port in &source.alloc.resources.ports {
            env.port(port, source);
        }
        env.meta(source);
        for (key, value) in &source.host_env {
            env.vars.entry(key.clone()).or_insert_with(|| value.clone());
        }
        let own: Vec<(String, String)> = source.task.env.clone().unwrap_or_default().into_iter().collect();
        for (key, value) in own {
            let (key, value) = (env.text(&key), env.text(&value));
            let key = if is_cleaned(&key) { clean(&key) } else { key };
            env.vars.insert(key, value);
        }
        env
    }

    fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.vars.insert(key.into(), value.into());
    }

    fn identity(&mut self, s: &Source<'_>) {
        let alloc = s.alloc;
        let id = alloc.id.to_string();
        let job_name = alloc.job.name.clone().unwrap_or_else(|| alloc.job_id.to_string());
        for (key, value) in [
            ("NOMAD_ALLOC_DIR", s.dirs.alloc.clone()),
            ("NOMAD_TASK_DIR", s.dirs.local.clone()),
            ("NOMAD_SECRETS_DIR", s.dirs.secrets.clone()),
            ("NOMAD_SHORT_ALLOC_ID", id[..8].to_owned()),
            ("NOMAD_ALLOC_ID", id),
            ("NOMAD_ALLOC_NAME", alloc.name.to_string()),
            ("NOMAD_ALLOC_INDEX", alloc.index().map(|i| i.to_string()).unwrap_or_default()),
            ("NOMAD_TASK_NAME", s.task.name().to_owned()),
            ("NOMAD_GROUP_NAME", alloc.task_group.to_string()),
            ("NOMAD_JOB_ID", alloc.job_id.to_string()),
            ("NOMAD_JOB_NAME", job_name),
            ("NOMAD_DC", s.node.datacenter.to_string()),
            ("NOMAD_REGION", s.region.to_owned()),
            ("NOMAD_NAMESPACE", alloc.namespace.to_string()),
            ("NOMAD_PARENT_CGROUP", s.cgroup_parent.to_owned()),
        ] {
            self.set(key, value);
        }
        if let Some(parent) = alloc.job.parent_id.as_deref().filter(|p| !p.is_empty()) {
            self.set("NOMAD_JOB_PARENT_ID", parent);
        }
    }

    fn limits(&mut self, s: &Source<'_>) {
        let Some(given) = s.alloc.resources.tasks.get(s.task.name()) else { return };
        self.set("NOMAD_CPU_LIMIT", given.cpu_mhz.to_string());
        self.set("NOMAD_CPU_CORES", core_ranges(&given.cores));
        if given.memory_mb > 0 {
            self.set("NOMAD_MEMORY_LIMIT", given.memory_mb.to_string());
        }
        if given.memory_mb_max > 0 {
            self.set("NOMAD_MEMORY_MAX_LIMIT", given.memory_mb_max.to_string());
        }
    }

    fn port(&mut self, port: &PortMapping, s: &Source<'_>) {
        let label = clean(&port.label);
        let inside = if port.to == 0 { port.value } else { port.to };
        self.set(format!("NOMAD_IP_{label}"), &*port.host_ip);
        self.set(format!("NOMAD_PORT_{label}"), inside.to_string());
        self.set(format!("NOMAD_ADDR_{label}"), join(&port.host_ip, port.value));
        self.set(format!("NOMAD_HOST_IP_{label}"), &*port.host_ip);
        self.set(format!("NOMAD_HOST_PORT_{label}"), port.value.to_string());
        self.set(format!("NOMAD_HOST_ADDR_{label}"), join(&port.host_ip, port.value));
        self.set(format!("NOMAD_ALLOC_PORT_{label}"), inside.to_string());
        if let Some(ip) = s.alloc_ip {
            self.set(format!("NOMAD_ALLOC_IP_{label}"), ip);
            self.set(format!("NOMAD_ALLOC_ADDR_{label}"), join(ip, inside));
            self.set(format!("NOMAD_ALLOC_INTERFACE_{label}"), s.alloc_interface.unwrap_or_default());
        }
    }

    fn meta(&mut self, s: &Source<'_>) {
        let mut merged: BTreeMap<String, String> = BTreeMap::new();
        let optional = s.alloc.job.parameterized_job.as_ref().and_then(|p| p.meta_optional.clone());
        merged.extend(optional.unwrap_or_default().into_iter().map(|key| (key, String::new())));
        let group = s.alloc.group();
        for meta in [s.alloc.job.meta.as_ref(), group.and_then(|g| g.meta.as_ref()), s.task.meta.as_ref()] {
            merged.extend(meta.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
        }
        for (key, value) in merged {
            let value = self.text(&value);
            let key = clean(&key);
            self.set(format!("NOMAD_META_{}", key.to_uppercase()), value.clone());
            self.set(format!("NOMAD_META_{key}"), value);
        }
    }

    /// Variables of a rendered template or a hook: they win over everything before.
    pub fn extend(&mut self, more: impl IntoIterator<Item = (String, String)>) {
        self.vars.extend(more);
    }

    /// Replaces `${…}`; what is not known stays as it was typed. `$${` stands for `${`.
    pub fn text(&self, text: &str) -> String {
        if !text.contains("${") {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let Some(len) = rest[at..].find('}') else { break };
            let (before, reference) = (&rest[..at], &rest[at + 2..at + len]);
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str(&rest[at..=at + len]);
            } else {
                out.push_str(before);
                match self.lookup(reference.trim()) {
                    Some(value) => out.push_str(value),
                    None => out.push_str(&rest[at..=at + len]),
                }
            }
            rest = &rest[at + len + 1..];
        }
        out.push_str(rest);
        out
    }

    fn lookup(&self, reference: &str) -> Option<&str> {
        if let Some(quoted) = reference.strip_prefix("env[").and_then(|r| r.strip_suffix(']')) {
            return self.vars.get(quoted.trim_matches('"')).map(String::as_str);
        }
        let found = self.facts.get(reference).or_else(|| self.vars.get(reference));
        let found = found.or_else(|| self.vars.get(&clean(reference)).filter(|_| reference.starts_with("NOMAD_")));
        found.map(String::as_str)
    }

    /// Every text within a value.
    pub fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => Value::Array(items.iter().map(|v| self.value(v)).collect()),
            Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (self.text(k), self.value(v))).collect()),
            other => other.clone(),
        }
    }

    pub fn texts(&self, texts: &[String]) -> Vec<String> {
        texts.iter().map(|t| self.text(t)).collect()
    }
}

fn facts(s: &Source<'_>) -> BTreeMap<String, String> {
    let node = s.node;
    let mut facts: BTreeMap<String, String> = [
        ("node.unique.id", node.id.to_string()),
        ("node.unique.name", node.name.to_string()),
        ("node.datacenter", node.datacenter.to_string()),
        ("node.region", s.region.to_owned()),
        ("node.class", node.node_class.to_string()),
        ("node.pool", node.node_pool.to_string()),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v))
    .collect();
    facts.extend(node.attributes.iter().map(|(k, v)| (format!("attr.{k}"), v.to_string())));
    facts.extend(node.meta.iter().map(|(k, v)| (format!("meta.{k}"), v.to_string())));
    facts
}

/// Everything but letters, digits, `_` and `.` becomes `_`.
pub fn clean(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.') { c } else { '_' }).collect()
}

/// Names that are made of labels and keys are cleaned, even where a task sets one itself; no other name of its own is.
fn is_cleaned(key: &str) -> bool {
    const MADE: [&str; 5] = ["NOMAD_ADDR_", "NOMAD_IP_", "NOMAD_PORT_", "NOMAD_HOST_PORT_", "NOMAD_META_"];
    MADE.iter().any(|prefix| key.starts_with(prefix))
}

/// `ip:port`, with brackets around an IPv6 address.
pub fn join(ip: &str, port: u16) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// `0-3,6` of core numbers; empty without cores.
pub(crate) fn core_ranges(cores: &[u16]) -> String {
    let mut parts: Vec<(u16, u16)> = Vec::new();
    let mut sorted = cores.to_vec();
    sorted.sort_unstable();
    for core in sorted {
        match parts.last_mut() {
            Some((_, to)) if *to + 1 == core => *to = core,
            _ => parts.push((core, core)),
        }
    }
    let text = |(from, to): (u16, u16)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    parts.into_iter().map(text).collect::<Vec<_>>().join(",")
}

/// The agent's environment without what tasks must not see.
pub fn host_env(denylist: &str) -> BTreeMap<String, String> {
    let denied: Vec<&str> = denylist.split(',').map(str::trim).collect();
    std::env::vars().filter(|(key, _)| !denied.contains(&key.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tarpan_model::resources::AllocatedResources;

    use super::*;

    fn env() -> TaskEnv {
        let mut alloc = crate::test_support::alloc("web");
        let ports = vec![PortMapping {
            label: Arc::from("http-x"),
            value: 20_100,
            to: 80,
            host_ip: Arc::from("10.0.0.1"),
            ..PortMapping::default()
        }];
        alloc.resources = Arc::new(AllocatedResources { ports, ..(*alloc.resources).clone() });
        let mut node = Node::new(tarpan_model::NodeId::NIL, "n1", "dc9");
        node.attributes.insert(Arc::from("kernel.name"), Arc::from("linux"));
        let mut task = alloc.group().and_then(|g| g.task("web")).cloned().expect("a task");
        task.env = Some(BTreeMap::from([
            ("A.B".to_owned(), "${attr.kernel.name}-${NOMAD_PORT_http_x}-${nothing.here}".to_owned()),
            ("ESCAPED".to_owned(), "$${node.class}".to_owned()),
            ("node-name".to_owned(), "n1".to_owned()),
            ("9LIVES".to_owned(), "cat".to_owned()),
            ("NOMAD_META_own-key".to_owned(), "x".to_owned()),
            ("USES".to_owned(), "${NOMAD_META_my-key} ${NOMAD_META_my_key}".to_owned()),
        ]));
        task.meta = Some(BTreeMap::from([
            ("Budget".to_owned(), "200 ${node.datacenter}".to_owned()),
            ("my-key".to_owned(), "dash".to_owned()),
            ("a.b".to_owned(), "dot".to_owned()),
        ]));
        TaskEnv::new(&Source {
            node: &node,
            region: "global",
            alloc: &alloc,
            task: &task,
            dirs: SeenDirs { alloc: "/alloc".into(), local: "/local".into(), secrets: "/secrets".into() },
            alloc_ip: None,
            alloc_interface: None,
            cgroup_parent: "nomad.slice",
            host_env: BTreeMap::from([
                ("PATH".to_owned(), "/bin".to_owned()),
                ("NOMAD_DC".to_owned(), "wrong".to_owned()),
            ]),
        })
    }

    #[test]
    fn variables() {
        let env = env();
        for (key, value) in [
            ("NOMAD_PORT_http_x", "80"),
            ("NOMAD_HOST_PORT_http_x", "20100"),
            ("NOMAD_ADDR_http_x", "10.0.0.1:20100"),
            ("NOMAD_META_Budget", "200 dc9"),
            ("NOMAD_META_BUDGET", "200 dc9"),
            ("NOMAD_DC", "dc9"),
            ("PATH", "/bin"),
            ("A.B", "linux-80-${nothing.here}"),
            ("node-name", "n1"),
            ("9LIVES", "cat"),
            ("NOMAD_META_own_key", "x"),
            ("NOMAD_META_my_key", "dash"),
            ("NOMAD_META_MY_KEY", "dash"),
            ("NOMAD_META_a.b", "dot"),
            ("USES", "dash dash"),
            ("ESCAPED", "${node.class}"),
            ("NOMAD_ALLOC_DIR", "/alloc"),
        ] {
            assert_eq!(env.vars.get(key).map(String::as_str), Some(value), "{key}");
        }
        for changed in ["A_B", "node_name", "_9LIVES", "NOMAD_META_own-key"] {
            assert_eq!(env.vars.get(changed), None, "{changed}");
        }
    }

    #[test]
    fn texts_within_values() {
        let env = env();
        let value = serde_json::json!({"args": ["--dc", "${node.datacenter}"], "n": 3, "e": "${env[\"PATH\"]}"});
        assert_eq!(env.value(&value), serde_json::json!({"args": ["--dc", "dc9"], "n": 3, "e": "/bin"}));
        assert_eq!(env.text("unfinished ${node"), "unfinished ${node");
    }

    #[test]
    fn cores() {
        assert_eq!(core_ranges(&[3, 0, 1, 6]), "0-1,3,6");
    }

    #[test]
    fn fuzz_what_stands_for_something_is_replaced_once_and_nothing_else() {
        let words = [
            "${",
            "}",
            "$",
            "{",
            "env[\"",
            "\"]",
            "NOMAD_DC",
            "attr.kernel.name",
            "node.class",
            "NOMAD_META_Budget",
            "NOMAD_",
            ".",
            " ",
        ];
        let seeds = [
            "${NOMAD_DC} and $${NOMAD_DC}",
            "${env[\"PATH\"]}${ NOMAD_META_Budget }",
            "${${NOMAD_DC}}",
            "$$${x}",
            "${nothing",
        ];
        let fuzz = tarpan_testkit::fuzz::Fuzz::new(env!("CARGO_MANIFEST_DIR"), "references").words(&words).seeds(seeds);
        let mut env = env();
        // What looks like a reference in a value is not one.
        env.vars.insert("SELF".to_owned(), "${SELF}".to_owned());
        let longest = env.vars.values().chain(env.facts.values()).map(String::len).max().unwrap_or(0);
        fuzz.words(&["${SELF}"]).texts(|text| {
            let out = env.text(text);
            let references = text.matches("${").count();
            assert!(out.len() <= text.len() + references * longest, "{text:?} grows to {} bytes", out.len());
            assert!(references > 0 || out == text);
            let nested = env.value(&serde_json::json!({ text: [text, 1, null] }));
            assert_eq!(nested, serde_json::json!({ out.as_str(): [out, 1, null] }));
            assert!(clean(text).bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')));
            format!("{} {} {}", references.min(4), out == text, out.contains("${"))
        });
    }
}
