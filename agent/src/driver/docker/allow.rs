//! What the operator of a node lets containers have: everything that takes a container's walls away needs a line of the
//! plugin's configuration, and a refusal says which one.

use std::path::{Component, Path, PathBuf};

use tarpan_model::glob;

use super::config::{Device, PluginConfig, TaskConfig};
use crate::driver::{DriverError, TaskRequest};

/// Modes that share nothing with the node or with another allocation's containers.
const OWN: [&str; 4] = ["", "private", "shareable", "none"];
/// Security options that take nothing away from what the engine gives by itself.
const HARMLESS: [&str; 5] =
    ["no-new-privileges", "no-new-privileges=true", "seccomp=builtin", "seccomp=default", "apparmor=docker-default"];

/// How large a seccomp profile may be.
const PROFILE: u64 = 1 << 20;

fn refuse<T>(text: String) -> Result<T, DriverError> {
    Err(DriverError::Config(text))
}

/// The line that would allow it.
fn line(inside: &str) -> String {
    format!("plugin \"docker\" {{ config {{ {inside} }} }} would allow it")
}

/// Looks at everything that a task may have by the operator's leave only. A privileged container has no walls left to keep.
pub fn check(plugin: &PluginConfig, config: &TaskConfig, request: &TaskRequest) -> Result<(), DriverError> {
    let privileged = config.privileged == Some(true);
    if privileged && !plugin.allow_privileged {
        return refuse(format!(
            "Docker privileged mode is disabled on this Nomad agent; {}",
            line("allow_privileged = true")
        ));
    }
    if let Some(runtime) = config.runtime.as_ref().filter(|r| !plugin.allow_runtimes.contains(r)) {
        let allowed = line(&format!("allow_runtimes = [{runtime:?}]"));
        return refuse(format!("requested runtime {runtime:?} is not allowed; {allowed}"));
    }
    if privileged {
        return Ok(());
    }
    let modes = &plugin.allowed_modes;
    closed_mode("pid", config.pid_mode.as_deref(), &modes.pid, request)?;
    closed_mode("ipc", config.ipc_mode.as_deref(), &modes.ipc, request)?;
    open_mode("uts", config.uts_mode.as_deref(), &modes.uts)?;
    open_mode("userns", config.userns_mode.as_deref(), &modes.userns)?;
    config.devices.iter().try_for_each(|device| check_device(plugin, device))?;
    config.security_opt.iter().try_for_each(|option| security_option(plugin, option))?;
    caps(plugin, &config.cap_add)
}

/// The processes and the shared memory of the node, or of a stranger's container, are as good as being there.
fn closed_mode(what: &str, mode: Option<&str>, allowed: &[String], request: &TaskRequest) -> Result<(), DriverError> {
    let mode = mode.unwrap_or_default();
    let sibling = mode.starts_with("container:") && mode.ends_with(&format!("-{}", request.alloc_id));
    if OWN.contains(&mode) || sibling || allowed.iter().any(|a| glob::matches(a, mode)) {
        return Ok(());
    }
    let allowed = line(&format!("allowed_modes {{ {what} = [{mode:?}] }}"));
    refuse(format!("{what}_mode {mode:?} is not allowed on this node; {allowed}"))
}

/// Open until the operator lists what is allowed, as in the field.
fn open_mode(what: &str, mode: Option<&str>, allowed: &[String]) -> Result<(), DriverError> {
    let mode = mode.unwrap_or_default();
    if mode != "host" || allowed.is_empty() || allowed.iter().any(|a| glob::matches(a, mode)) {
        return Ok(());
    }
    let allowed = line(&format!("allowed_modes {{ {what} = [{mode:?}] }}"));
    refuse(format!("{what}_mode {mode:?} is not allowed on this node; {allowed}"))
}

/// The device's path without `.` and `..`: what is compared is what the engine gets.
pub fn device_path(device: &Device) -> PathBuf {
    lexical(Path::new(&device.host_path))
}

fn check_device(plugin: &PluginConfig, device: &Device) -> Result<(), DriverError> {
    let path = device_path(device).to_string_lossy().into_owned();
    if path.starts_with('/') && plugin.allow_devices.iter().any(|pattern| glob::matches(pattern, &path)) {
        return Ok(());
    }
    let allowed = line(&format!("allow_devices = [{path:?}]"));
    refuse(format!("the device {path:?} is not allowed on this node; {allowed}"))
}

/// `seccomp=unconfined`, a profile of the task's own, `apparmor=unconfined`, `label=disable` and what else the engine has
/// or will have: only what is known to take nothing away goes by itself. The engine takes a colon for `=` too.
fn security_option(plugin: &PluginConfig, option: &str) -> Result<(), DriverError> {
    let plain = match option.split_once(['=', ':']) {
        Some((key, value)) => format!("{}={}", key.trim(), value.trim()),
        None => option.trim().to_owned(),
    };
    if HARMLESS.contains(&plain.as_str())
        || plugin.allow_security_opts.iter().any(|pattern| glob::matches(pattern, &plain))
    {
        return Ok(());
    }
    // A profile is a long text: the line names its kind then.
    let short = if plain.contains('{') { format!("{}=*", plain.split('=').next().unwrap_or_default()) } else { plain };
    let allowed = line(&format!("allow_security_opts = [{short:?}]"));
    refuse(format!("security_opt {short:?} is not allowed on this node; {allowed}"))
}

/// As the engine takes them: it wants the text of a profile where a task names a file of the node. Only what [`check`] has let pass
/// comes here, and a file needs the operator's leave by its path.
pub fn security_options(config: &TaskConfig) -> Result<Vec<String>, DriverError> {
    config.security_opt.iter().map(|option| profile(option)).collect()
}

fn profile(option: &str) -> Result<String, DriverError> {
    let path = match option.split_once(['=', ':']) {
        Some((key, value)) if key.trim() == "seccomp" && value.trim().starts_with('/') => value.trim(),
        _ => return Ok(option.to_owned()),
    };
    let failed = |why: String| DriverError::Config(format!("opening seccomp profile {path:?} failed: {why}"));
    if lexical(Path::new(path)) != Path::new(path) {
        return Err(failed("a path without \".\" and \"..\" is wanted".to_owned()));
    }
    let text = read_profile(path).map_err(|e| failed(e.to_string()))?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| failed(e.to_string()))?;
    Ok(format!("seccomp={value}"))
}

#[allow(clippy::disallowed_methods, reason = "a file of the operator's, whose path the configuration allows")]
fn read_profile(path: &str) -> std::io::Result<String> {
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    // Opened without waiting for whoever may sit behind it, and then looked at.
    let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let mut text = String::new();
    file.take(PROFILE).read_to_string(&mut text)?;
    Ok(text)
}

fn caps(plugin: &PluginConfig, wanted: &[String]) -> Result<(), DriverError> {
    let plain = |cap: &str| cap.to_ascii_lowercase().trim_start_matches("cap_").to_owned();
    let allowed = |cap: &str| plugin.allow_caps.iter().any(|a| plain(a) == "all" || plain(a) == plain(cap));
    let Some(cap) = wanted.iter().find(|cap| !allowed(cap)).map(|cap| plain(cap)) else { return Ok(()) };
    let allowed = line(&format!("allow_caps = [{cap:?}]"));
    refuse(format!("driver does not allow the following capabilities: {cap}; {allowed}"))
}

/// The path without `.` and `..`, by its text alone.
pub(super) fn lexical(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::driver::docker::config::MountBlock;
    use crate::driver::docker::tests::Place;

    fn body(plugin: Value, task: Value) -> Result<(), String> {
        let plugin: PluginConfig = serde_json::from_value(plugin).expect("a plugin block");
        let config: TaskConfig = serde_json::from_value(task).expect("a task's config");
        let place = Place::new(json!({}));
        let body = super::super::create::body(&plugin, &config, &place.request, "image");
        body.map(drop).map_err(|e| e.to_string())
    }

    #[test]
    fn walls_come_down_only_where_the_operator_says_so_and_the_refusal_says_how() {
        for (task, why, inside, plugin) in [
            (
                json!({"pid_mode": "host"}),
                "pid_mode \"host\" is not allowed on this node",
                "allowed_modes { pid = [\"host\"] }",
                json!({"allowed_modes": {"pid": ["host"]}}),
            ),
            (
                json!({"pid_mode": "container:db-0"}),
                "pid_mode \"container:db-0\" is not allowed on this node",
                "allowed_modes { pid = [\"container:db-0\"] }",
                json!({"allowed_modes": [{"pid": ["container:*"]}]}),
            ),
            (
                json!({"ipc_mode": "host"}),
                "ipc_mode \"host\" is not allowed on this node",
                "allowed_modes { ipc = [\"host\"] }",
                json!({"allowed_modes": {"ipc": ["host"]}}),
            ),
            (
                json!({"devices": [{"host_path": "/dev/shm/../sda"}]}),
                "the device \"/dev/sda\" is not allowed on this node",
                "allow_devices = [\"/dev/sda\"]",
                json!({"allow_devices": ["/dev/sd*"]}),
            ),
            (
                json!({"security_opt": ["seccomp:unconfined"]}),
                "security_opt \"seccomp=unconfined\" is not allowed on this node",
                "allow_security_opts = [\"seccomp=unconfined\"]",
                json!({"allow_security_opts": ["seccomp=unconfined"]}),
            ),
            (
                json!({"security_opt": ["seccomp={\"defaultAction\": \"SCMP_ACT_ALLOW\"}"]}),
                "security_opt \"seccomp=*\" is not allowed on this node",
                "allow_security_opts = [\"seccomp=*\"]",
                json!({"allow_security_opts": ["seccomp=*"]}),
            ),
            (
                json!({"security_opt": ["label=disable"]}),
                "security_opt \"label=disable\" is not allowed on this node",
                "allow_security_opts = [\"label=disable\"]",
                json!({"allow_security_opts": ["label=*"]}),
            ),
            (
                json!({"privileged": true, "pid_mode": "host", "devices": [{"host_path": "/dev/sda"}]}),
                "Docker privileged mode is disabled on this Nomad agent",
                "allow_privileged = true",
                json!({"allow_privileged": true}),
            ),
            (
                json!({"cap_add": ["SYS_ADMIN"]}),
                "driver does not allow the following capabilities: sys_admin",
                "allow_caps = [\"sys_admin\"]",
                json!({"allow_caps": ["all"]}),
            ),
            (
                json!({"runtime": "runsc"}),
                "requested runtime \"runsc\" is not allowed",
                "allow_runtimes = [\"runsc\"]",
                json!({"allow_runtimes": ["runc", "runsc"]}),
            ),
        ] {
            let sentence = format!("{why}; plugin \"docker\" {{ config {{ {inside} }} }} would allow it");
            assert_eq!(body(json!({}), task.clone()), Err(sentence), "{task}");
            assert_eq!(body(plugin, task.clone()), Ok(()), "{task}");
        }
    }

    #[test]
    fn a_profile_of_the_node_is_read_where_its_path_is_allowed() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("own.json");
        std::fs::write(&file, "{ \"defaultAction\": \"SCMP_ACT_ALLOW\" }").expect("written");
        let options = |value: &str| {
            let plugin = json!({"allow_security_opts": [format!("seccomp={}/*", dir.path().display())]});
            let plugin: PluginConfig = serde_json::from_value(plugin).expect("a plugin block");
            let option = format!("seccomp={value}");
            let config = TaskConfig { security_opt: vec![option], ..TaskConfig::default() };
            let place = Place::new(json!({}));
            let body = super::super::create::body(&plugin, &config, &place.request, "image");
            body.map(|body| body.host_config.and_then(|h| h.security_opt).unwrap_or_default())
        };
        let own = options(&file.display().to_string()).expect("allowed");
        assert_eq!(own, ["seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}"]);
        let error = options(&format!("{}/../own.json", dir.path().display())).expect_err("elsewhere").to_string();
        assert!(error.contains("opening seccomp profile"), "{error}");
        let error = options("/etc/passwd").expect_err("not allowed").to_string();
        assert!(error.contains("is not allowed on this node"), "{error}");
    }

    #[test]
    fn what_takes_nothing_away_needs_no_leave() {
        for task in [
            json!({"pid_mode": "private", "ipc_mode": "shareable", "uts_mode": "host", "userns_mode": "host"}),
            json!({"security_opt": ["no-new-privileges", "apparmor=docker-default", "no-new-privileges:true"]}),
            json!({"cap_add": ["NET_BIND_SERVICE"], "cap_drop": ["all"], "network_mode": "host"}),
            json!({"network_mode": "container:other"}),
        ] {
            assert_eq!(body(json!({}), task.clone()), Ok(()), "{task}");
        }
        let listed = json!({"allowed_modes": {"uts": ["private"]}});
        assert!(body(listed, json!({"uts_mode": "host"})).is_err());
    }

    #[test]
    fn containers_of_one_allocation_may_share_their_processes() {
        let place = Place::new(json!({}));
        let mode = format!("container:db-{}", place.request.alloc_id);
        let config = TaskConfig { pid_mode: Some(mode), ..TaskConfig::default() };
        check(&PluginConfig::default(), &config, &place.request).expect("its own sibling");
    }

    #[test]
    fn links_of_a_task_are_not_mounted_from_the_node() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::symlink;

        let place = Place::new(json!({}));
        let dirs = &place.request.dirs;
        let bind = |volume: String| {
            let config = TaskConfig { volumes: vec![volume], ..TaskConfig::default() };
            let body = super::super::create::body(&PluginConfig::default(), &config, &place.request, "image");
            body.map(|body| body.host_config.and_then(|h| h.binds).unwrap_or_default().pop().unwrap_or_default())
        };
        symlink("/etc", dirs.local.join("out")).expect("linked");
        symlink("../../other", dirs.local.join("other")).expect("linked");
        symlink("v1", dirs.local.join("current")).expect("linked");
        std::fs::create_dir(dirs.local.join("v1")).expect("made");
        let absolute = format!("{}:/x", dirs.local.join("out").display());
        for volume in ["local/out:/x", "local/out/ssl:/x", "local/other:/x", &absolute, "../../x:/x"] {
            let error = bind(volume.to_owned()).expect_err(volume).to_string();
            assert!(
                error.contains("escapes the alloc directory") || error.contains("not enabled"),
                "{volume}: {error}"
            );
        }
        assert_eq!(
            bind("local/current:/x".into()).expect("its own"),
            format!("{}:/x", dirs.local.join("v1").display())
        );
        // What the engine would read as another path than the one that was looked at.
        for (name, to, at, why) in
            [("colon", &b"q:/etc"[..], "rw", "can't hold a colon"), ("bytes", b"q\xff", "/x", "which is no text")]
        {
            let to = OsStr::from_bytes(to);
            std::fs::create_dir_all(dirs.local.join(to)).expect("made");
            symlink(to, dirs.local.join(name)).expect("linked");
            let error = bind(format!("local/{name}:{at}")).expect_err(name).to_string();
            assert!(error.contains(why), "{error}");
        }
        let block =
            MountBlock { kind: Some("bind".into()), source: Some("local/bytes".into()), ..MountBlock::default() };
        let config = TaskConfig { mount: vec![block], ..TaskConfig::default() };
        let body = super::super::create::body(&PluginConfig::default(), &config, &place.request, "image");
        assert!(body.expect_err("no text").to_string().contains("which is no text"));
        bind("local/new/deep:/x".into()).expect("made");
        assert!(dirs.local.join("new/deep").is_dir());
        std::fs::rename(&dirs.local, dirs.task.join("away")).expect("moved");
        symlink("/etc", &dirs.local).expect("linked");
        let error = bind("tmp:/x".into()).expect_err("a link").to_string();
        assert!(error.contains("the task's directory is not whole"), "{error}");
    }

    /// The engine's own reading of what it is told is done again here, and looked at against the walls.
    #[test]
    fn fuzz_no_config_takes_a_wall_down() {
        use std::os::unix::fs::symlink;
        let words = [
            "privileged",
            "pid_mode",
            "ipc_mode",
            "host",
            "container:",
            "devices",
            "host_path",
            "/dev/kmsg",
            "security_opt",
            "seccomp=unconfined",
            "cap_add",
            "sys_admin",
            "ALL",
            "volumes",
            "local/out",
            "local/colon",
            "local/",
            "..",
            ":/x",
            ":rw",
            "mount",
            "bind",
            "source",
            "target",
            "volume_driver",
            "type",
            "runtime",
            "true",
            "[",
            "]",
            "{",
            "}",
            "\"",
            ":",
            ",",
            "\\u0000",
        ];
        let seeds = [
            r#"{"image": "a", "volumes": ["local/a:/x", "secrets/b:/y:ro"], "cap_add": ["chown"], "pid_mode": ""}"#,
            r#"{"mount": [{"type": "bind", "source": "local/a", "target": "/x"}], "mounts": {"type": "tmpfs", "target": "/t"}}"#,
            r#"{"privileged": "0", "devices": [{"host_path": "/dev/null"}], "security_opt": ["no-new-privileges"]}"#,
            r#"{"ulimit": {"nofile": "1:2"}, "port_map": {"x": "1"}, "ipc_mode": "shareable", "pids_limit": 7}"#,
            r#"{"volumes": ["local/out:/x"], "volume_driver": ""}"#,
            r#"{"volumes": ["local/colon:rw"]}"#,
        ];
        let place = Place::new(json!({}));
        let dirs = &place.request.dirs;
        symlink("/etc", dirs.local.join("out")).expect("linked");
        symlink("/etc", dirs.local.join("q")).expect("linked");
        std::fs::create_dir_all(dirs.local.join("q:/x")).expect("made");
        symlink("q:/x", dirs.local.join("colon")).expect("linked");
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| lexical(path));
        let root = real(&dirs.alloc);
        let inside = |source: &str| assert!(real(Path::new(source)).starts_with(&root), "{source:?} is the node's");
        let plugin = PluginConfig::default();
        let fuzz = tarpan_testkit::fuzz::Fuzz::new(env!("CARGO_MANIFEST_DIR"), "containers").words(&words).seeds(seeds);
        fuzz.longest(1_000).texts(|text| {
            let config: TaskConfig = match serde_json::from_str(text) {
                Ok(config) => config,
                Err(error) => return error.to_string(),
            };
            let body = match super::super::create::body(&plugin, &config, &place.request, "image") {
                Ok(body) => body,
                Err(error) => return error.to_string(),
            };
            let host = body.host_config.expect("there is one");
            assert!(host.privileged != Some(true) && host.devices.is_none(), "{text}");
            for mode in [&host.pid_mode, &host.ipc_mode].into_iter().flatten() {
                assert!(OWN.contains(&mode.as_str()) || mode.ends_with(&place.request.alloc_id.to_string()), "{mode}");
            }
            for bind in host.binds.iter().flatten() {
                inside(bind.split(':').next().unwrap_or_default());
            }
            for mount in host.mounts.iter().flatten() {
                match mount.typ {
                    Some(bollard::models::MountType::BIND) => inside(mount.source.as_deref().unwrap_or_default()),
                    typ => assert_eq!(typ, Some(bollard::models::MountType::TMPFS)),
                }
            }
            let known = |cap: &String| plugin.allow_caps.iter().any(|a| cap.to_ascii_lowercase().ends_with(a));
            assert!(host.cap_add.iter().flatten().all(known), "{:?}", host.cap_add);
            format!("{} {}", host.binds.map_or(0, |b| b.len().min(5)), host.mounts.map_or(0, |m| m.len().min(3)))
        });
    }
}
