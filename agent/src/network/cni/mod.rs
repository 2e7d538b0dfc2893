//! Networks that an operator has configured for plugins of CNI, for groups with `mode = "cni/<name>"`.
//!
//! [`config`] reads the files, [`result`] what plugins answer. Here programs are run: `ADD`, `CHECK` and `DEL`, with what is
//! wanted in their environment and on their standard input. What a network was added with is kept in a file beside the
//! namespace from before it is added until after it is deleted, so that plugins give back what they hold whatever happens.
//! Source: the CNI specification 1.1.0, and `reference/semantics.md` 19.4.

#![allow(
    clippy::disallowed_methods,
    reason = "the operator's configuration, and the agent's own directory of namespaces"
)]

pub mod config;
pub mod result;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tarpan_model::alloc::NetworkStatus;
use tarpan_model::resources::PortMapping;

use self::config::Network;
use super::INTERFACE;
use super::program::{self, Bounds};
use crate::options::CniOptions;

/// Some plugins wait for a lease; what they answer is a page at most.
const BOUNDS: Bounds = Bounds { patience: Duration::from_secs(60), most: 1 << 20 };
/// A plugin that is only asked for its version.
const ASKED: Bounds = Bounds { patience: Duration::from_secs(2), most: 64 << 10 };
/// Between tries to take something back.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];
/// Bytes of a file of configuration.
const FILE: u64 = 1 << 20;
/// Programs of a directory that are asked for their version.
const PROGRAMS: usize = 200;

/// What an allocation's network was, or is to be, added with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    pub network: Network,
    pub id: String,
    pub netns: PathBuf,
    /// `CNI_ARGS`.
    pub args: String,
    /// What plugins are told where they say that they can do it.
    pub wishes: Map<String, Value>,
    /// What the plugins gave; `None`: they may have got anywhere.
    pub result: Option<Value>,
}

impl Call {
    fn file(netns: &Path) -> PathBuf {
        netns.with_extension("json")
    }

    /// What was written down for a namespace; one that is not readable counts as none.
    pub fn read(netns: &Path) -> Option<Call> {
        let text = read(&Call::file(netns)).ok()?;
        serde_json::from_str(&text).ok()
    }

    fn write(&self) -> io::Result<()> {
        let (file, new) = (Call::file(&self.netns), self.netns.with_extension("new"));
        std::fs::write(&new, serde_json::to_vec(self)?)?;
        std::fs::rename(new, file)
    }

    fn forget(&self) -> io::Result<()> {
        match std::fs::remove_file(Call::file(&self.netns)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE).read_to_string(&mut text)?;
    Ok(text)
}

/// Ports as plugins are told them, for who can map ports. `wildcard`: those of the default host network answer everywhere.
pub fn wishes(ports: &[PortMapping], wildcard: bool) -> Map<String, Value> {
    let one = |port: &PortMapping| {
        let anywhere = wildcard && &*port.host_network == "default";
        let (inside, ip) = (if port.to == 0 { port.value } else { port.to }, if anywhere { "" } else { &port.host_ip });
        ["tcp", "udp"].map(
            |protocol| json!({"hostPort": port.value, "containerPort": inside, "protocol": protocol, "hostIP": ip}),
        )
    };
    let all: Vec<Value> = ports.iter().flat_map(one).collect();
    Map::from_iter((!all.is_empty()).then(|| ("portMappings".to_owned(), Value::Array(all))))
}

/// The text of `CNI_ARGS`: what every plugin may want to know, and what the job adds. The error is a sentence.
pub fn args(facts: &[(&str, &str)], own: &BTreeMap<String, String>) -> Result<String, String> {
    let own = own.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let mut text = "IgnoreUnknown=true".to_owned();
    for (key, value) in facts.iter().copied().chain(own) {
        if key.contains([';', '=']) || value.contains(';') {
            return Err(format!(
                "the argument {key:?} of the cni block holds a character that separates arguments: {value:?}"
            ));
        }
        text.push_str(&format!(";{key}={value}"));
    }
    Ok(text)
}

#[derive(Clone)]
pub struct Cni {
    options: CniOptions,
}

impl Cni {
    pub fn new(options: CniOptions) -> Cni {
        Cni { options }
    }

    /// The networks of the configured directory by name, and a sentence for each file that is none. The first file of a name
    /// counts, in the order of their names.
    pub fn networks(&self) -> (BTreeMap<String, Network>, Vec<String>) {
        let (mut networks, mut wrong) = (BTreeMap::new(), Vec::new());
        let entries = std::fs::read_dir(&self.options.config_dir).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        files.sort();
        for file in files {
            let list = match file.extension().and_then(|e| e.to_str()) {
                Some("conflist") => true,
                Some("conf" | "json") => false,
                _ => continue,
            };
            let network = read(&file).map_err(|e| e.to_string()).and_then(|text| Network::parse(&text, list));
            match network {
                Ok(network) => drop(networks.entry(network.name.clone()).or_insert(network)),
                Err(why) => wrong.push(format!("{} is no network of CNI: {why}", file.display())),
            }
        }
        (networks, wrong)
    }

    /// Versions of the plugins by name, as far as they say them.
    pub fn versions(&self) -> BTreeMap<String, String> {
        let mut versions = BTreeMap::new();
        for dir in &self.options.path {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            let mut files: Vec<PathBuf> = entries.map(|e| e.path()).filter(|path| executable(path)).collect();
            files.sort();
            for file in files.into_iter().take(PROGRAMS) {
                let Some(name) = file.file_name().and_then(|n| n.to_str()).map(str::to_owned) else { continue };
                // The first directory that has it is where it is run from.
                if !versions.contains_key(&name)
                    && let Some(version) = version(&file)
                {
                    versions.insert(name, version);
                }
            }
        }
        versions
    }

    /// Adds a namespace to its network; where that does not work, takes back what was done. The error is a sentence.
    pub fn add(&self, mut call: Call) -> Result<NetworkStatus, String> {
        let noted = call.write();
        noted.map_err(|e| format!("writing down what the network is added with: {e}"))?;
        crate::crash::point("network-noted");
        let mut before: Option<Value> = None;
        for plugin in &call.network.plugins {
            match self.run("ADD", &call, plugin, before.as_ref()) {
                Ok(text) => before = serde_json::from_str(&text).ok().or(before),
                Err(error) => {
                    if let Err(also) = self.delete(&call) {
                        tracing::warn!(alloc_id = call.id, "taking back what plugins did: {also}");
                    }
                    return Err(error);
                }
            }
        }
        call.result = Some(before.unwrap_or_default());
        let noted = call.write();
        noted.map_err(|e| format!("writing down what the plugins gave: {e}"))?;
        Ok(result::status(call.result.as_ref().unwrap_or(&Value::Null)))
    }

    /// Whether the network is still as it was made; versions before 0.4.0 can't say, and are believed.
    pub fn check(&self, call: &Call) -> Result<NetworkStatus, String> {
        let result = call.result.as_ref().ok_or("nobody knows how far it had got")?;
        if !call.network.version.starts_with("0.3.") {
            for plugin in &call.network.plugins {
                self.run("CHECK", call, plugin, Some(result))?;
            }
        }
        Ok(result::status(result))
    }

    /// Gives back what the plugins hold, the last first. What is not there any more is no error to them.
    pub fn delete(&self, call: &Call) -> Result<(), String> {
        let wrong: Vec<String> =
            call.network.plugins.iter().rev().filter_map(|plugin| self.take_back(call, plugin).err()).collect();
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        call.forget().map_err(|e| format!("forgetting what the network was added with: {e}"))
    }

    /// More than once: what a plugin takes out of the packet filter the kernel may still hold for a moment, and then the plugin fails.
    #[allow(clippy::disallowed_methods, reason = "a thread that may wait")]
    fn take_back(&self, call: &Call, plugin: &Map<String, Value>) -> Result<(), String> {
        let delete = || self.run("DEL", call, plugin, call.result.as_ref()).map(drop);
        for pause in PAUSES {
            match delete() {
                Ok(()) => return Ok(()),
                Err(error) => tracing::debug!("it is tried again: {error}"),
            }
            std::thread::sleep(pause);
        }
        delete()
    }

    fn run(
        &self,
        command: &str,
        call: &Call,
        plugin: &Map<String, Value>,
        before: Option<&Value>,
    ) -> Result<String, String> {
        let kind = config::kind(plugin).unwrap_or_default();
        let found = self.options.path.iter().map(|dir| dir.join(kind)).find(|path| executable(path));
        let path = found.ok_or_else(|| {
            let dirs: Vec<String> = self.options.path.iter().map(|dir| dir.display().to_string()).collect();
            format!("there is no plugin {kind:?} in {}: client.cni_path names other directories", dirs.join(" nor in "))
        })?;
        let joined = std::env::join_paths(&self.options.path).unwrap_or_default().to_string_lossy().into_owned();
        let search = std::env::var("PATH").unwrap_or_default();
        let env = [
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", &call.id),
            ("CNI_NETNS", &call.netns.to_string_lossy()),
            ("CNI_IFNAME", INTERFACE),
            ("CNI_ARGS", &call.args),
            ("CNI_PATH", &joined),
            // Some of them call `iptables`.
            ("PATH", &format!("{search}:/usr/sbin:/sbin")),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let input = config::input(&call.network, plugin, &call.wishes, before);
        let said = program::run(&path, &[], Some(&env), input, BOUNDS)?;
        match said.status.success() {
            true => Ok(said.out),
            false => Err(format!(
                "plugin {kind:?} of network {:?} failed at {command}: {}",
                call.network.name,
                result::failure(&said.out, &said.err)
            )),
        }
    }
}

fn executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The plugin's own version where it says one; else the newest version of the interface that it speaks.
fn version(path: &Path) -> Option<String> {
    let said = program::run(path, &[], Some(&[]), String::new(), ASKED).ok();
    let text = said.map(|said| format!("{}\n{}", said.out, said.err)).unwrap_or_default();
    version_in(&text).or_else(|| {
        let env = [("CNI_COMMAND".to_owned(), "VERSION".to_owned())];
        let said = program::run(path, &[], Some(&env), json!({"cniVersion": "1.0.0"}).to_string(), ASKED).ok()?;
        let told: Value = serde_json::from_str(&said.out).ok()?;
        let all = told["supportedVersions"].as_array()?.iter().filter_map(Value::as_str);
        all.max_by_key(|v| numbers(v)).map(str::to_owned)
    })
}

/// The first word that is a version such as `v1.2.3`, in the line that names the plugin.
fn version_in(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.contains("plugin"))?;
    let plain = line.split_whitespace().map(|word| word.trim_start_matches('v'));
    plain.filter(|word| numbers(word).is_some_and(|n| n.len() == 3)).map(str::to_owned).next()
}

/// `None`: the text is no version.
fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split('-').next()?.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_can_not_become_others() {
        let own = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let facts = [("NOMAD_REGION", "global")];
        assert_eq!(args(&facts, &own("a", "b c")).as_deref(), Ok("IgnoreUnknown=true;NOMAD_REGION=global;a=b c"));
        for (key, value) in [("a", "b;NOMAD_REGION=x"), ("a;b", "c"), ("a=b", "c")] {
            assert!(args(&facts, &own(key, value)).is_err_and(|e| e.contains(&format!("{key:?}"))), "{key} {value}");
        }
    }

    #[test]
    fn versions_of_plugins() {
        for (text, version) in [
            ("CNI bridge plugin v1.4.1\nCNI protocol versions supported: 0.1.0, 0.2.0", Some("1.4.1")),
            ("CNI portmap plugin version unknown\nCNI protocol versions supported: 0.1.0", None),
            ("CNI consul-cni plugin 1.4.0-rc1", Some("1.4.0-rc1")),
            ("", None),
        ] {
            assert_eq!(version_in(text).as_deref(), version, "{text}");
        }
    }
}
