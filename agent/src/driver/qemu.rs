//! Runs a virtual machine: QEMU under the task supervisor, as a process of the node.
//!
//! Source of the options: `reference/runtime.md`, qemu. What the guest can write is an image that QEMU reads again at its next start:
//! so its format is never guessed by QEMU, and an image that names further files is refused.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;
use tarpan_model::node::DriverInfo;

use super::supervised::Monitor;
use super::{
    Driver, DriverError, Handle, Isolation, Mark, Notices, Place, TaskRequest, Trace, lenient, probe, raw_exec,
    supervised,
};
use crate::alloc_dir::below;
use crate::cgroup::Limits;
use crate::supervisor::Spec;

const NAME: &str = "qemu";
const EMULATOR: &str = "qemu-system-x86_64";
/// What emulators are called: nothing else is run by this driver.
const EMULATORS: &str = "qemu-system-";
/// Beside the monitor's socket, in the task's directory. QEMU is there, so that the paths it is given are short: a socket's path
/// has no more than 107 bytes.
const GUEST_AGENT: &str = "qemu-guest-agent.sock";

/// `plugin "qemu"` of the agent's configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PluginConfig {
    /// Directories besides the allocation's that images may lie in.
    pub image_paths: Vec<PathBuf>,
    /// Flags that a task's `args` may have; empty: any.
    pub args_allowlist: Vec<String>,
    /// Emulators that tasks may use; empty: all there are.
    pub emulators_allowlist: Vec<String>,
}

/// A task's `config`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    #[serde(deserialize_with = "lenient::text")]
    image_path: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    emulator: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    machine_type: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    drive_interface: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    accelerator: Option<String>,
    #[serde(deserialize_with = "lenient::flag")]
    graceful_shutdown: Option<bool>,
    #[serde(deserialize_with = "lenient::flag")]
    guest_agent: Option<bool>,
    #[serde(deserialize_with = "lenient::texts")]
    args: Vec<String>,
    /// Label of a port to the guest's port.
    #[serde(deserialize_with = "lenient::text_map")]
    port_map: std::collections::BTreeMap<String, String>,
}

pub struct Qemu {
    plugin: PluginConfig,
    found: Mutex<Option<(probe::Identity, String)>>,
}

fn refuse<T>(text: String) -> Result<T, DriverError> {
    Err(DriverError::Config(text))
}

/// A word of QEMU's that becomes part of an option: a comma would begin another.
fn word<'a>(key: &str, given: Option<&'a str>, default: &'a str) -> Result<&'a str, DriverError> {
    let given = given.filter(|text| !text.is_empty()).unwrap_or(default);
    match given.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        true => Ok(given),
        false => refuse(format!("{key} must be letters, digits, dots and dashes, not {given:?}")),
    }
}

/// A path inside an option: QEMU reads a doubled comma as one.
fn within_option(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

impl Qemu {
    pub fn new(plugin: PluginConfig) -> Qemu {
        Qemu { plugin, found: Mutex::default() }
    }

    async fn launch(&self, request: TaskRequest) -> Result<Arc<dyn Handle>, DriverError> {
        let config: Config = super::decode(&request.config)?;
        let emulator = self.emulator(config.emulator.as_deref())?;
        self.check_args(&config.args)?;
        let (plugin, dirs, asked) = (self.plugin.clone(), request.dirs.clone(), config.image_path.clone());
        let image = crate::blocking(move || image(&plugin, &dirs, asked.as_deref())).await?;
        let name = request.user.clone();
        let user = crate::blocking(move || raw_exec::user(&name)).await?;
        let args = arguments(&config, &request, &image)?;
        // The guest's memory is bounded by QEMU; what QEMU itself needs comes on top, and nobody knows how much that is.
        let limits = Limits { memory_hard: None, memory_soft: None, ..Limits::of(&request.resources) };
        let monitor = (config.graceful_shutdown == Some(true))
            .then(|| Monitor { alloc: request.dirs.alloc.clone(), task: request.task.clone() });
        let spec = Spec {
            command: emulator,
            args,
            work_dir: request.dirs.task.clone(),
            user,
            ..supervised::spec(NAME, &request)
        };
        supervised::launch_with(spec, supervised::cgroup_with(&request, &limits), monitor).await
    }

    #[allow(clippy::disallowed_methods, reason = "looks for the node's own programs")]
    fn emulator(&self, asked: Option<&str>) -> Result<PathBuf, DriverError> {
        let name = word("emulator", asked, EMULATOR)?;
        let allowed = &self.plugin.emulators_allowlist;
        if !name.starts_with(EMULATORS) {
            return refuse(format!("emulator {name:?} must be the name of a program such as {EMULATOR:?}"));
        }
        if !allowed.is_empty() && !allowed.iter().any(|one| one == name) {
            let line = format!("plugin \"qemu\" {{ config {{ emulators_allowlist = [{name:?}] }} }}");
            return refuse(format!("emulator {name:?} is not allowed on this node; {line} would allow it"));
        }
        let search = std::env::var("PATH").unwrap_or_default();
        let found = std::env::split_paths(&search).map(|dir| dir.join(name)).find(|path| path.is_file());
        found.ok_or_else(|| DriverError::start(format!("exec: {name:?}: executable file not found in $PATH"), false))
    }

    fn check_args(&self, args: &[String]) -> Result<(), DriverError> {
        let allowed = &self.plugin.args_allowlist;
        let plain = |flag: &str| flag.trim_start_matches('-').to_owned();
        let refused = |arg: &&String| arg.starts_with('-') && !allowed.iter().any(|one| plain(one) == plain(arg));
        match args.iter().find(|arg| !allowed.is_empty() && refused(arg)) {
            None => Ok(()),
            Some(arg) => {
                let line = format!("plugin \"qemu\" {{ config {{ args_allowlist = [{arg:?}] }} }}");
                refuse(format!("the argument {arg:?} is not allowed on this node; {line} would allow it"))
            }
        }
    }

    async fn look(&self) -> Result<String, String> {
        let identity = probe::identity(EMULATOR).ok_or("qemu-system-x86_64 was not found in the agent's PATH")?;
        if let Some((known, version)) = &*self.found.lock().expect("no panic while held")
            && *known == identity
        {
            return Ok(version.clone());
        }
        let said = probe::run(EMULATOR, &["--version"]).await?;
        let version = version(&said).ok_or("qemu-system-x86_64 --version says nothing that is understood")?;
        *self.found.lock().expect("no panic while held") = Some((identity, version.clone()));
        Ok(version)
    }

    /// Emulators of the node that tasks may use, sorted.
    fn emulators(&self) -> Vec<String> {
        let mut all = probe::programs(EMULATORS);
        let allowed = &self.plugin.emulators_allowlist;
        all.retain(|name| allowed.is_empty() || allowed.contains(name));
        all
    }
}

/// `7.2.5` of `QEMU emulator version 7.2.5 (Debian …)`.
fn version(said: &str) -> Option<String> {
    let text: String = said.split("version ").nth(1)?.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    (!text.is_empty()).then_some(text)
}

/// An image as QEMU is told of it.
#[derive(Debug, PartialEq, Eq)]
struct Image {
    path: PathBuf,
    format: &'static str,
}

/// Finds the image below the allocation's directory, or in one of the operator's, and looks at what it is.
#[allow(clippy::disallowed_methods, reason = "images in the operator's directories, which no task writes")]
fn image(plugin: &PluginConfig, dirs: &crate::alloc_dir::TaskDirs, asked: Option<&str>) -> Result<Image, DriverError> {
    let Some(asked) = asked.filter(|path| !path.is_empty()) else {
        return refuse("failed to parse config: image_path is required".to_owned());
    };
    let failed = |e: &dyn std::error::Error| {
        DriverError::start(format!("opening image_path {asked}: {}", crate::chain(e)), false)
    };
    let path = Path::new(asked);
    let inside = if path.is_absolute() {
        path.strip_prefix(&dirs.alloc).ok().map(Path::to_owned)
    } else {
        let whole = below(&dirs.task, asked).map_err(|e| failed(&e))?;
        whole.strip_prefix(&dirs.alloc).ok().map(Path::to_owned)
    };
    let (path, mut file) = match inside {
        Some(inside) => {
            let found = dirs.open().and_then(|alloc| alloc.find(&inside)).map_err(|e| failed(&e))?;
            (dirs.alloc.join(found.real()), found.file().map_err(|e| failed(&e))?)
        }
        None => {
            let real = path.canonicalize().map_err(|e| failed(&e))?;
            let listed = plugin.image_paths.iter().filter_map(|dir| dir.canonicalize().ok());
            if !listed.into_iter().any(|dir| real.starts_with(dir)) {
                let dir = path.parent().unwrap_or(path);
                let line = format!("plugin \"qemu\" {{ config {{ image_paths = [{dir:?}] }} }}");
                return refuse(format!(
                    "image_path {asked} is not in the allocation's directory; {line} would allow it"
                ));
            }
            let file = std::fs::File::open(&real).map_err(|e| failed(&e))?;
            (real, file)
        }
    };
    let mut head = Vec::new();
    file.by_ref().take(4096).read_to_end(&mut head).map_err(|e| failed(&e))?;
    match format(&head) {
        Ok(format) => Ok(Image { path, format }),
        Err(why) => refuse(format!("the image {asked} {why}")),
    }
}

/// By its first bytes. Source: docs/interop/qcow2.txt of QEMU, and the magic words of other formats.
fn format(head: &[u8]) -> Result<&'static str, &'static str> {
    let number = |at: usize, bytes: usize| {
        head.get(at..at + bytes).map_or(0, |b| b.iter().fold(0u64, |n, byte| (n << 8) | u64::from(*byte)))
    };
    let others: [&[u8]; 6] = [b"KDMV", b"COWD", b"vhdxfile", b"conectix", b"QED\0", b"WithoutFreeSpace"];
    if others.iter().any(|magic| head.starts_with(magic)) || head.get(64..68) == Some(&[0x7f, 0x10, 0xda, 0xbe][..]) {
        return Err("must be raw or qcow2: qemu-img convert -O qcow2 makes one of it");
    }
    if !head.starts_with(b"QFI\xfb") {
        return Ok("raw");
    }
    // What a guest or an image's author could name there is read by QEMU with its own rights.
    if number(8, 8) != 0 {
        return Err("names a backing file, which is not allowed: qemu-img convert makes a whole image of it");
    }
    match number(4, 4) >= 3 && number(72, 8) & 4 != 0 {
        true => Err("keeps its data in another file, which is not allowed: qemu-img convert makes a whole image of it"),
        false => Ok("qcow2"),
    }
}

fn arguments(config: &Config, request: &TaskRequest, image: &Image) -> Result<Vec<String>, DriverError> {
    let machine = word("machine_type", config.machine_type.as_deref(), "pc")?;
    let accelerator = word("accelerator", config.accelerator.as_deref(), "tcg")?;
    let interface = word("drive_interface", config.drive_interface.as_deref(), "ide")?;
    let mut all: Vec<String> = Vec::new();
    let mut add = |flag: &str, value: String| all.extend([flag.to_owned(), value]);
    add("-machine", format!("type={machine},accel={accelerator}"));
    add("-name", format!("{}-{}", request.task, request.alloc_id));
    add("-m", format!("{}M", request.resources.memory_mb.max(1)));
    add("-drive", format!("file={},format={},if={interface}", within_option(&image.path), image.format));
    if !request.resources.cores.is_empty() {
        add("-smp", request.resources.cores.len().to_string());
    }
    if accelerator == "kvm" {
        add("-cpu", "host".to_owned());
    }
    if config.graceful_shutdown == Some(true) {
        add("-chardev", format!("socket,path={},server=on,wait=off,id=charmonitor", Monitor::SOCKET));
        add("-mon", "chardev=charmonitor,mode=readline".to_owned());
    }
    if config.guest_agent == Some(true) {
        add("-chardev", format!("socket,path={GUEST_AGENT},server=on,wait=off,id=qga0"));
        add("-device", "virtio-serial".to_owned());
        add("-device", "virtserialport,chardev=qga0,name=org.qemu.guest_agent.0".to_owned());
    }
    if !config.port_map.is_empty() {
        add("-netdev", network(config, request)?);
        add("-device", "virtio-net,netdev=user.0".to_owned());
    }
    all.push("-nographic".to_owned());
    all.extend(config.args.iter().cloned());
    Ok(all)
}

/// A network of QEMU's own, with the group's ports passed on to the guest's.
fn network(config: &Config, request: &TaskRequest) -> Result<String, DriverError> {
    let mut text = "user,id=user.0".to_owned();
    for (label, guest) in &config.port_map {
        let Ok(guest) = guest.parse::<u16>() else {
            return refuse(format!("port_map: {guest:?} of {label:?} is no port"));
        };
        let Some(port) = request.ports.iter().find(|port| *port.label == **label) else {
            return refuse(format!("port_map: the group has no port {label:?}"));
        };
        for protocol in ["tcp", "udp"] {
            text.push_str(&format!(",hostfwd={protocol}:{}:{}-:{guest}", port.host_ip, port.value));
        }
    }
    Ok(text)
}

impl Driver for Qemu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn isolation(&self) -> Isolation {
        Isolation::None
    }

    fn fingerprint(&self) -> BoxFuture<'_, DriverInfo> {
        Box::pin(async {
            match self.look().await {
                Ok(version) => super::healthy(NAME, &[("version", version), ("emulators", self.emulators().join(","))]),
                Err(why) => super::undetected(&why),
            }
        })
    }

    fn start(&self, request: TaskRequest, _notices: Notices) -> BoxFuture<'_, Result<Arc<dyn Handle>, DriverError>> {
        Box::pin(self.launch(request))
    }

    fn recover<'a>(&'a self, saved: &'a Value) -> BoxFuture<'a, Result<Arc<dyn Handle>, DriverError>> {
        Box::pin(std::future::ready(supervised::recover(saved)))
    }

    fn find<'a>(&'a self, mark: &'a Mark) -> BoxFuture<'a, Result<Option<Arc<dyn Handle>>, DriverError>> {
        Box::pin(supervised::find(mark))
    }

    fn survey<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Vec<Trace>, DriverError>> {
        Box::pin(supervised::survey(NAME, place))
    }

    fn clean_up<'a>(&'a self, request: &'a TaskRequest) -> BoxFuture<'a, ()> {
        Box::pin(supervised::clean_up(&request.run_dir))
    }
}

#[cfg(test)]
mod tests;
