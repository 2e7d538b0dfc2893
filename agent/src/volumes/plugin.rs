//! Plugins of the operator: executables that make and delete directories. What they say is a stranger's: bounded and looked at.
//!
//! Source: `reference/semantics.md` §19.8; `reference/runtime.md`, "Host volume plugin environment".

#![allow(
    clippy::disallowed_methods,
    reason = "the operator's directory of plugins, and what they made, which no task names"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tarpan_model::name;
use tarpan_model::volume::HostVolume;

use crate::network::program::{self, Bounds};

/// How long a plugin may take to say what it is.
const FINGERPRINT: Duration = Duration::from_secs(5);
/// Bytes that one may say.
const MOST: u64 = 64 << 10;
/// Plugins of one node.
const MOST_PLUGINS: usize = 64;
/// Bytes of an error that are handed on.
const MOST_TEXT: usize = 1000;
/// Where plugins find programs: they get nothing of the agent's environment.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where volumes and plugins are, and whose they are.
#[derive(Clone, Debug)]
pub struct Place {
    pub volumes: PathBuf,
    pub plugins: PathBuf,
    /// How long a plugin may take to make or delete.
    pub patience: Duration,
}

/// What a plugin made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub path: PathBuf,
    pub bytes: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    path: String,
    bytes: u64,
    error: String,
    version: String,
}

/// What tells one state of the directory from another: name, change and size of each plugin.
pub type Listing = Vec<(String, i64, u64)>;

/// The executables there, in order; what can't be one is left out.
pub fn list(dir: &Path) -> Listing {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let one = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok().filter(|name| name::part(name).is_ok())?;
        let meta = std::fs::metadata(entry.path()).ok()?;
        (meta.is_file() && meta.mode() & 0o111 != 0).then(|| (name, meta.mtime(), meta.len()))
    };
    let mut found: Listing = entries.flatten().take(16 * MOST_PLUGINS).filter_map(one).collect();
    found.sort();
    found.truncate(MOST_PLUGINS);
    found
}

/// Asks each plugin of the listing for its version. One that does not say it is left out, and the log says why.
pub fn versions(place: &Place, listing: &Listing) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, ..) in listing {
        match fingerprint(place, name) {
            Ok(version) => drop(found.insert(name.clone(), version)),
            Err(error) => tracing::warn!(plugin = %name, "a host volume plugin is not used: {error}"),
        }
    }
    found
}

fn fingerprint(place: &Place, plugin: &str) -> Result<String, String> {
    let answer = call(place, plugin, "fingerprint", &[], FINGERPRINT)?;
    let version = answer.version;
    match name::text(&version, 64) {
        Ok(()) if !version.is_empty() => Ok(version),
        Ok(()) => Err("it does not say its version".to_owned()),
        Err(why) => Err(format!("its version {} {why}", name::quoted(&version))),
    }
}

/// Has the plugin make the volume, or find it made. The errors are sentences.
pub fn create(place: &Place, volume: &HostVolume) -> Result<Made, String> {
    let answer = call(place, &volume.plugin_id, "create", &about(volume), place.patience)?;
    let path = PathBuf::from(&answer.path);
    usable(&path).map_err(|why| {
        format!("plugin {:?} says the volume is at {}: {why}", volume.plugin_id, name::quoted(&answer.path))
    })?;
    Ok(Made { path, bytes: answer.bytes })
}

pub fn delete(place: &Place, volume: &HostVolume) -> Result<(), String> {
    call(place, &volume.plugin_id, "delete", &about(volume), place.patience).map(drop)
}

/// Can tasks be given this directory?
pub fn usable(path: &Path) -> Result<(), String> {
    let plain = path.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
    if !path.is_absolute() || !plain || path.components().count() < 2 || path.as_os_str().len() > name::MAX_PATH {
        return Err("that is not the absolute path of a directory".to_owned());
    }
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err("that is no directory".to_owned()),
        Err(error) => Err(format!("it can't be opened ({error})")),
    }
}

/// What a plugin is told of a volume.
fn about(volume: &HostVolume) -> Vec<(&'static str, String)> {
    let parameters = serde_json::to_string(&volume.parameters).expect("texts are JSON");
    vec![
        ("DHV_NAMESPACE", volume.namespace.to_string()),
        ("DHV_VOLUME_NAME", volume.name.to_string()),
        ("DHV_VOLUME_ID", volume.id.to_string()),
        ("DHV_NODE_ID", volume.node_id.to_string()),
        ("DHV_NODE_POOL", volume.node_pool.to_string()),
        ("DHV_CAPACITY_MIN_BYTES", volume.capacity_min_bytes.to_string()),
        ("DHV_CAPACITY_MAX_BYTES", volume.capacity_max_bytes.to_string()),
        ("DHV_PARAMETERS", parameters),
        ("DHV_CREATED_PATH", volume.host_path.clone()),
    ]
}

/// Runs a plugin once. What it says on its error output is the reason where it fails without one.
fn call(
    place: &Place,
    plugin: &str,
    operation: &str,
    about: &[(&str, String)],
    patience: Duration,
) -> Result<Answer, String> {
    name::part(plugin).map_err(|why| format!("plugin {} {why}", name::quoted(plugin)))?;
    let program = place.plugins.join(plugin);
    let dir = |path: &Path| path.to_string_lossy().into_owned();
    let mut env = vec![
        ("PATH".to_owned(), PATH.to_owned()),
        ("DHV_OPERATION".to_owned(), operation.to_owned()),
        ("DHV_VOLUMES_DIR".to_owned(), dir(&place.volumes)),
        ("DHV_PLUGIN_DIR".to_owned(), dir(&place.plugins)),
    ];
    env.extend(about.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    if operation == "create" {
        env.retain(|(key, _)| key != "DHV_CREATED_PATH");
    }
    let said = program::run(&program, &[operation], Some(&env), String::new(), Bounds { patience, most: MOST })?;
    let failed = (!said.status.success()).then(|| said.status.to_string());
    read(operation, &said.out, &said.err, failed)
        .map_err(|why| format!("plugin {plugin:?} failed at {operation}: {why}"))
}

/// What a plugin said. `failed`: how it ended, where that was not well. The error is a reason.
fn read(operation: &str, out: &str, err: &str, failed: Option<String>) -> Result<Answer, String> {
    let out = out.trim();
    let answer = serde_json::from_str::<Answer>(out);
    if let Some(status) = failed {
        // It may say why in either way.
        let reason = answer.map(|a| a.error).unwrap_or_default();
        let reason = if reason.is_empty() { err.trim() } else { &reason };
        let reason = if reason.is_empty() { "it gave no reason".to_owned() } else { short(reason) };
        return Err(format!("{reason} ({status})"));
    }
    match answer {
        Ok(answer) if answer.error.is_empty() => Ok(answer),
        Ok(answer) => Err(short(&answer.error)),
        // Deleting has nothing to say.
        Err(_) if operation == "delete" && out.is_empty() => Ok(Answer::default()),
        Err(error) => Err(format!("it does not answer JSON ({error}): {}", name::quoted(out))),
    }
}

fn short(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_TEXT).collect();
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        _dir: tempfile::TempDir,
        place: Place,
    }

    impl World {
        fn new(script: &str) -> World {
            let dir = tempfile::tempdir().expect("a directory");
            let (volumes, plugins) = (dir.path().join("volumes"), dir.path().join("plugins"));
            std::fs::create_dir_all(&volumes).expect("made");
            std::fs::create_dir_all(&plugins).expect("made");
            let world = World { place: Place { volumes, plugins, patience: Duration::from_secs(30) }, _dir: dir };
            world.plugin("own", script, 0o755);
            world
        }

        fn plugin(&self, name: &str, script: &str, mode: u32) {
            crate::volumes::tests::write_script(&self.place.plugins.join(name), script, mode);
        }

        /// On a thread that may wait.
        async fn with<T: Send + 'static>(&self, call: impl FnOnce(Place) -> T + Send + 'static) -> T {
            let place = self.place.clone();
            crate::blocking(move || call(place)).await
        }
    }

    fn volume() -> HostVolume {
        HostVolume { host_path: "/old".to_owned(), ..crate::volumes::tests::volume("data", "own", 7) }
    }

    #[tokio::test]
    async fn a_plugin_is_told_of_the_volume_and_of_nothing_else() {
        let world = World::new(
            "env | sort > $DHV_VOLUMES_DIR/env; echo \"$1\" >> $DHV_VOLUMES_DIR/env\n\
            mkdir -p $DHV_VOLUMES_DIR/made; printf '{\"path\": \"%s\", \"bytes\": 42}' $DHV_VOLUMES_DIR/made",
        );
        let made = world.with(|place| create(&place, &volume())).await.expect("made");
        assert_eq!(made, Made { path: world.place.volumes.join("made"), bytes: 42 });
        let told = std::fs::read_to_string(world.place.volumes.join("env")).expect("written");
        let names: Vec<&str> = told.lines().filter_map(|line| line.split_once('=').map(|(name, _)| name)).collect();
        let expected = [
            "DHV_CAPACITY_MAX_BYTES",
            "DHV_CAPACITY_MIN_BYTES",
            "DHV_NAMESPACE",
            "DHV_NODE_ID",
            "DHV_NODE_POOL",
            "DHV_OPERATION",
            "DHV_PARAMETERS",
            "DHV_PLUGIN_DIR",
            "DHV_VOLUMES_DIR",
            "DHV_VOLUME_ID",
            "DHV_VOLUME_NAME",
            "PATH",
        ];
        // A shell sets some of its own.
        let own = ["PWD", "SHLVL", "_", "OLDPWD"];
        assert_eq!(names.into_iter().filter(|name| !own.contains(name)).collect::<Vec<_>>(), expected);
        assert!(told.contains("DHV_PARAMETERS={\"size\":\"a b\"}") && told.ends_with("create\n"), "{told}");
        world.plugin("own", "test \"$DHV_CREATED_PATH\" = /old", 0o755);
        world.with(|place| delete(&place, &volume())).await.expect("nothing has to be said");
    }

    #[tokio::test]
    async fn what_a_plugin_says_is_looked_at() {
        for (script, why) in [
            ("echo '{\"path\": \"/etc/passwd\", \"bytes\": 1}'", "that is no directory"),
            ("echo '{\"path\": \"/does/not/exist\"}'", "can't be opened"),
            ("echo '{\"path\": \"relative\"}'", "not the absolute path"),
            ("echo '{\"path\": \"/\"}'", "not the absolute path"),
            ("echo '{\"path\": \"/tmp/../etc\"}'", "not the absolute path"),
            ("echo '{}'", "not the absolute path"),
            ("echo nonsense", "does not answer JSON"),
            ("echo '{\"error\": \"no room\"}'", "failed at create: no room"),
            ("echo '{\"error\": \"no room\"}'; exit 3", "no room (exit status: 3)"),
            ("echo broken >&2; exit 1", "broken (exit status: 1)"),
            ("exit 7", "gave no reason (exit status: 7)"),
            ("kill -9 $$", "signal: 9"),
            ("head -c 1000000000 /dev/zero", "more than can be read"),
        ] {
            let world = World::new(script);
            let said = world.with(|place| create(&place, &volume())).await.expect_err(why);
            assert!(said.contains(why), "{script}: {said}");
        }
        let world = World::new("");
        let other = || HostVolume { plugin_id: "../own".into(), ..volume() };
        let said = world.with(move |place| create(&place, &other())).await.expect_err("elsewhere");
        assert!(said.contains("cannot include slashes"), "{said}");
    }

    #[tokio::test]
    async fn one_that_hangs_is_ended() {
        let mut world = World::new("echo $$ > $DHV_VOLUMES_DIR/pid; sleep 600");
        world.place.patience = Duration::from_secs(3);
        let said = world.with(|place| create(&place, &volume())).await.expect_err("it hangs");
        assert!(said.contains("does not come to an end"), "{said}");
        let pid = std::fs::read_to_string(world.place.volumes.join("pid")).expect("it was begun");
        let until = std::time::Instant::now() + Duration::from_secs(20);
        // A zombie is as good as gone: its parent looks at it a moment later.
        let lives = || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|s| !s.contains(") Z "));
        while lives() {
            assert!(std::time::Instant::now() < until, "{pid} goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[test]
    fn fuzz_any_answer_is_read_or_refused_with_a_short_reason() {
        let seeds =
            ["{\"path\": \"/srv/a\", \"bytes\": 5}", "{\"error\": \"no room\"}", "{\"version\": \"1\"}", "[]", ""];
        let words = ["path", "bytes", "error", "version", "\\u0000", "..", "/", "18446744073709551616"];
        let fuzz =
            tarpan_testkit::fuzz::Fuzz::new(env!("CARGO_MANIFEST_DIR"), "volume-plugins").words(&words).seeds(seeds);
        fuzz.texts(|text| match read("create", text, text, None) {
            Ok(answer) => {
                let path = PathBuf::from(&answer.path);
                assert!(usable(&path).is_err() || (path.is_absolute() && path.is_dir()));
                "read".to_owned()
            }
            Err(why) => {
                assert!(why.len() < 8 * MOST_TEXT && !why.contains('\n'), "{why:?}");
                "refused".to_owned()
            }
        });
    }

    #[tokio::test]
    async fn only_plugins_that_say_their_version_count() {
        let world = World::new("test \"$1\" = fingerprint && echo '{\"version\": \"1.2.0\"}'");
        world.plugin("no-executable", "echo '{\"version\": \"1\"}'", 0o644);
        world.plugin("silent", "exit 0", 0o755);
        world.plugin("liar", "echo '{\"version\": \"a\\nb\"}'", 0o755);
        std::fs::create_dir(world.place.plugins.join("directory")).expect("made");
        let listing = list(&world.place.plugins);
        assert_eq!(listing.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(), ["liar", "own", "silent"]);
        let found = world.with(move |place| versions(&place, &listing)).await;
        assert_eq!(found, BTreeMap::from([("own".to_owned(), "1.2.0".to_owned())]));
        assert!(list(Path::new("/does/not/exist")).is_empty());
    }
}
