//! NVIDIA's GPUs, by the files of their kernel driver: `/proc/driver/nvidia` and `/dev/nvidia*`. No library of theirs is asked, so there are no figures.

#![allow(clippy::disallowed_methods, reason = "files of the kernel below /proc and /dev")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use serde::Deserialize;
use tarpan_model::resources::{NodeDevice, NodeDeviceGroup};

use super::{Reservation, Source};
use crate::driver::{DeviceNode, lenient};

pub(crate) const NAME: &str = "nvidia-gpu";
/// What every GPU is reached by besides its own file; those that are there are given.
const COMMON: [&str; 4] = ["nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset"];

/// `plugin "nvidia-gpu"` of the agent's configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PluginConfig {
    /// On unless it is said to be off.
    #[serde(deserialize_with = "lenient::flag")]
    pub enabled: Option<bool>,
    /// Ids of GPUs that tasks do not get.
    pub ignored_gpu_ids: Vec<String>,
}

pub(crate) struct Nvidia {
    config: PluginConfig,
    /// `/`, but for tests.
    root: PathBuf,
}

/// One GPU, as the driver tells of it.
#[derive(Debug, PartialEq, Eq)]
struct Gpu {
    model: String,
    id: String,
    minor: u32,
}

impl Nvidia {
    pub fn new(config: PluginConfig, root: &Path) -> Nvidia {
        Nvidia { config, root: root.to_owned() }
    }

    fn gpus(&self) -> Vec<Gpu> {
        if self.config.enabled == Some(false) {
            return Vec::new();
        }
        let entries = std::fs::read_dir(self.root.join("proc/driver/nvidia/gpus")).into_iter().flatten().flatten();
        let texts = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("information")).ok());
        let mut gpus: Vec<Gpu> = texts.filter_map(|text| parse(&text)).collect();
        gpus.retain(|gpu| !self.config.ignored_gpu_ids.contains(&gpu.id));
        gpus.sort_by(|a, b| (a.minor, &a.id).cmp(&(b.minor, &b.id)));
        gpus
    }

    fn groups(&self) -> Vec<NodeDeviceGroup> {
        let version = std::fs::read_to_string(self.root.join("proc/driver/nvidia/version")).unwrap_or_default();
        let attributes = driver_version(&version).map(|version| ("driver_version".to_owned(), version));
        let mut groups: BTreeMap<String, NodeDeviceGroup> = BTreeMap::new();
        for gpu in self.gpus() {
            let group = groups.entry(gpu.model.clone()).or_insert_with(|| NodeDeviceGroup {
                vendor: "nvidia".to_owned(),
                type_: "gpu".to_owned(),
                name: gpu.model.clone(),
                instances: Vec::new(),
                attributes: attributes.clone().into_iter().collect(),
            });
            let file = self.root.join(format!("dev/nvidia{}", gpu.minor));
            let healthy = file.exists();
            let health_description = if healthy { String::new() } else { format!("{} is missing", file.display()) };
            group.instances.push(NodeDevice { id: gpu.id, healthy, health_description });
        }
        groups.into_values().collect()
    }

    fn give(&self, ids: &[String]) -> Result<Reservation, String> {
        let gpus = self.gpus();
        let mut names = Vec::new();
        for id in ids {
            let gpu = gpus.iter().find(|gpu| gpu.id == *id).ok_or_else(|| format!("there is no GPU {id} any more"))?;
            names.push(format!("nvidia{}", gpu.minor));
        }
        names.extend(COMMON.map(str::to_owned));
        names.retain(|name| self.root.join("dev").join(name).exists());
        let node = |name: String| {
            let path = PathBuf::from("/dev").join(name);
            DeviceNode { source: path.clone(), target: path, permissions: "rw".to_owned() }
        };
        Ok(Reservation {
            // What NVIDIA's own container runtime goes by.
            env: BTreeMap::from([("NVIDIA_VISIBLE_DEVICES".to_owned(), ids.join(","))]),
            mounts: Vec::new(),
            nodes: names.into_iter().map(node).collect(),
        })
    }
}

/// `information` of one GPU: lines of `Key: value`.
fn parse(text: &str) -> Option<Gpu> {
    let field = |name: &str| {
        text.lines().find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name).map(|(_, v)| v.trim()))
    };
    let minor = field("Device Minor")?.parse().ok()?;
    Some(Gpu { model: field("Model")?.to_owned(), id: field("GPU UUID")?.to_owned(), minor })
}

/// The number in `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  …`.
fn driver_version(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("NVRM version:"))?;
    let is = |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    line.split_whitespace().find(is).map(str::to_owned)
}

impl Source for Nvidia {
    fn name(&self) -> &str {
        NAME
    }

    fn look(&self) -> BoxFuture<'_, Result<Vec<NodeDeviceGroup>, String>> {
        Box::pin(async { Ok(self.groups()) })
    }

    fn reserve(&self, ids: Vec<String>) -> BoxFuture<'_, Result<Reservation, String>> {
        Box::pin(async move { self.give(&ids) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("below the root")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    /// Two GPUs of one model; the file of the second is missing.
    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        let gpu = |minor: u32, id: &str| {
            format!(
                "Model: \t\t Example T4\nIRQ:   \t\t 66\nGPU UUID: \t {id}\nBus Type: \t PCIe\nDevice Minor: \t {minor}\n"
            )
        };
        put(root.path(), "proc/driver/nvidia/gpus/0000:03:00.0/information", &gpu(0, "GPU-a"));
        put(root.path(), "proc/driver/nvidia/gpus/0000:04:00.0/information", &gpu(1, "GPU-b"));
        put(root.path(), "proc/driver/nvidia/gpus/0000:05:00.0/information", "odd\n");
        put(
            root.path(),
            "proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu\nGCC version: 12.2\n",
        );
        for file in ["dev/nvidia0", "dev/nvidiactl", "dev/nvidia-uvm"] {
            put(root.path(), file, "");
        }
        root
    }

    #[test]
    fn gpus_are_found_by_the_drivers_files() {
        let root = machine();
        let gpus = Nvidia::new(PluginConfig::default(), root.path());
        let groups = gpus.groups();
        assert_eq!(groups.len(), 1);
        assert_eq!(
            (groups[0].vendor.as_str(), groups[0].type_.as_str(), groups[0].name.as_str()),
            ("nvidia", "gpu", "Example T4")
        );
        assert_eq!(groups[0].attributes, BTreeMap::from([("driver_version".to_owned(), "535.129.03".to_owned())]));
        let told: Vec<(&str, bool)> = groups[0].instances.iter().map(|i| (i.id.as_str(), i.healthy)).collect();
        assert_eq!(told, [("GPU-a", true), ("GPU-b", false)]);
        assert!(groups[0].instances[1].health_description.ends_with("dev/nvidia1 is missing"));
        let given = gpus.give(&["GPU-a".to_owned()]).expect("there");
        assert_eq!(given.env["NVIDIA_VISIBLE_DEVICES"], "GPU-a");
        let files: Vec<String> = given.nodes.iter().map(|node| node.source.display().to_string()).collect();
        assert_eq!(files, ["/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm"]);
        assert_eq!(gpus.give(&["GPU-c".to_owned()]), Err("there is no GPU GPU-c any more".to_owned()));
    }

    #[test]
    fn what_the_operator_keeps_is_not_there() {
        let root = machine();
        let ignoring = PluginConfig { ignored_gpu_ids: vec!["GPU-a".to_owned()], ..PluginConfig::default() };
        assert_eq!(Nvidia::new(ignoring, root.path()).groups()[0].instances.len(), 1);
        let off = PluginConfig { enabled: Some(false), ..PluginConfig::default() };
        assert!(Nvidia::new(off, root.path()).groups().is_empty());
    }
}
