//! Against a real engine. Without one they print a note and pass, unless `TARPAN_TEST_DOCKER=require` is set.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Mutex as StdMutex, OnceLock};

use serde_json::json;
use tarpan_model::AllocId;
use tarpan_model::resources::{PortMapping, TaskResources};

use super::*;
use crate::alloc_dir::AllocDir;
use crate::driver::{Exit, LogTarget, Mount};

mod options;
mod podman;
mod pulls;
mod tls;

const IMAGE: &str = "tarpan-test/busybox:1.0";

/// Whether an engine answers; makes the test image the first time.
fn engine_there() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    let there = *THERE.get_or_init(|| {
        let answers = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
        answers.is_ok_and(|o| o.status.success()) && image_made()
    });
    let required = std::env::var("TARPAN_TEST_DOCKER").is_ok_and(|v| v == "require");
    assert!(there || !required, "TARPAN_TEST_DOCKER=require is set, and no Docker daemon answers");
    if !there {
        eprintln!("skipped: no Docker daemon answers, or there is no busybox to make an image of");
    }
    there
}

/// Nothing can be pulled here: an image of the machine's own busybox.
fn image_made() -> bool {
    let script = format!(
        "docker image inspect {IMAGE} >/dev/null 2>&1 && exit 0; d=$(mktemp -d) && mkdir -p $d/bin $d/tmp && cp $(command -v busybox) $d/bin/busybox \
         && for n in sh echo cat sleep httpd id ls env kill seq true; do ln -s busybox $d/bin/$n; done \
         && tar c -C $d . | docker import - {IMAGE} >/dev/null; s=$?; rm -rf $d; exit $s"
    );
    Command::new("sh").args(["-c", &script]).status().is_ok_and(|s| s.success())
}

pub(super) struct Place {
    _dir: tempfile::TempDir,
    alloc: AllocDir,
    pub(super) request: TaskRequest,
    driver: DockerDriver,
    notices: Arc<StdMutex<Vec<String>>>,
}

impl Place {
    pub(super) fn new(config: Value) -> Place {
        let dir = tempfile::tempdir().expect("a directory");
        let alloc_id = AllocId(uuid::Uuid::new_v4());
        let alloc = AllocDir::new(dir.path(), alloc_id);
        alloc.create().expect("made");
        let dirs = alloc.create_task("web").expect("made");
        let Value::Object(config) = config else { panic!("an object") };
        let request = TaskRequest {
            alloc_id,
            task: "web".to_owned(),
            id: format!("{alloc_id}/web/00000000"),
            config: config.into_iter().collect(),
            env: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
            user: String::new(),
            resources: TaskResources { cpu_mhz: 100, memory_mb: 64, ..TaskResources::default() },
            shared_cores: String::new(),
            node_cpu_mhz: 4000,
            ports: Vec::new(),
            network_mode: String::new(),
            netns: None,
            address: String::new(),
            hostname: String::new(),
            dns: None,
            dirs,
            mounts: Vec::new(),
            devices: Vec::new(),
            logs: Some(LogTarget { alloc: alloc.root.clone(), max_files: 3, max_bytes: 1 << 20 }),
            run_dir: dir.path().join("run"),
            cgroup_parent: String::new(),
            labels: BTreeMap::new(),
            kill_signal: String::new(),
        };
        let plugin = PluginConfig {
            volumes: config::Volumes { enabled: true, ..Default::default() },
            ..PluginConfig::default()
        };
        Place { _dir: dir, alloc, request, driver: DockerDriver::new(plugin), notices: Arc::default() }
    }

    async fn start(&self) -> Result<Arc<dyn Handle>, DriverError> {
        let notices = self.notices.clone();
        let tell: Notices = Arc::new(move |text| notices.lock().expect("held").push(text));
        self.driver.start(self.request.clone(), tell).await
    }

    async fn run(&self) -> Exit {
        let handle = self.start().await.expect("starts");
        let exit = handle.wait().await;
        handle.destroy().await;
        exit
    }

    fn log(&self, kind: &str) -> String {
        std::fs::read_to_string(self.alloc.logs().join(format!("web.{kind}.0"))).unwrap_or_default()
    }
}

fn sh(script: &str) -> Value {
    json!({"image": IMAGE, "command": "/bin/sh", "args": ["-c", script]})
}

#[tokio::test]
async fn output_environment_directories_and_exit_code() {
    if !engine_there() {
        return;
    }
    let place = Place::new(sh("echo $GREETING; echo oops >&2; echo x > /local/made; ls -d /alloc /secrets; exit 3"));
    assert_eq!(place.run().await, Exit { code: 3, ..Exit::default() });
    assert_eq!((place.log("stdout"), place.log("stderr")), ("hello\n/alloc\n/secrets\n".into(), "oops\n".into()));
    assert!(place.request.dirs.local.join("made").is_file());
}

#[tokio::test]
async fn ports_volumes_and_host_volumes() {
    if !engine_there() {
        return;
    }
    let data = tempfile::tempdir().expect("a directory");
    std::fs::write(data.path().join("index.html"), "from the volume").expect("written");
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let mut place = Place::new(json!({
        "image": IMAGE,
        "command": "/bin/httpd",
        "args": ["-f", "-p", "8080", "-h", "/www"],
        "ports": ["http"],
        "volumes": [format!("{}:/www", data.path().display()), "local/deep:/deep"],
        "labels": {"team": "a"},
    }));
    place.request.ports = vec![PortMapping {
        label: Arc::from("http"),
        value: free,
        to: 8080,
        host_ip: Arc::from("127.0.0.1"),
        ..PortMapping::default()
    }];
    place.request.mounts = vec![Mount {
        source: data.path().to_owned(),
        target: "/volume".to_owned(),
        read_only: true,
        ..Mount::default()
    }];
    let handle = place.start().await.expect("starts");
    assert!(place.request.dirs.local.join("deep").is_dir(), "relative volumes are below the task's directory");
    let url = format!("http://127.0.0.1:{free}/index.html");
    let mut body = String::new();
    for _ in 0..100 {
        match reqwest::get(&url).await {
            Ok(answer) => {
                body = answer.text().await.expect("text");
                break;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    assert_eq!(body, "from the volume");
    assert!(!handle.network().expect("an address").ip.is_empty());
    assert!(handle.usage().await.expect("figures").memory > 0);
    handle.destroy().await;
}

#[tokio::test]
async fn it_is_found_again_and_its_log_has_no_gap() {
    if !engine_there() {
        return;
    }
    let place = Place::new(sh("for i in $(seq 1 40); do echo line $i; sleep 0.05; done; sleep 60"));
    let first = place.start().await.expect("starts");
    tokio::time::sleep(Duration::from_millis(700)).await;
    let saved = first.save();
    // The first agent is gone; output goes on meanwhile.
    drop(first);
    tokio::time::sleep(Duration::from_millis(600)).await;
    let again = DockerDriver::new(PluginConfig::default()).recover(&saved).await.expect("found");
    let expected: String = (1..=40).map(|i| format!("line {i}\n")).collect();
    for _ in 0..100 {
        if place.log("stdout") == expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(place.log("stdout"), expected);
    let begun = std::time::Instant::now();
    again.stop("SIGTERM", Duration::from_millis(300)).await.expect("stopped");
    assert_eq!(again.wait().await.code, 137, "the shell ignores SIGTERM, so it is forced");
    assert!(begun.elapsed() < Duration::from_secs(10));
    again.destroy().await;
    assert!(DockerDriver::new(PluginConfig::default()).recover(&saved).await.is_err());
}

#[tokio::test]
async fn images_are_loaded_or_their_absence_is_told() {
    if !engine_there() {
        return;
    }
    let missing = Place::new(json!({"image": "127.0.0.1:1/nobody/nothing:1.0"}));
    let error = missing.start().await.err().expect("must fail");
    assert!(error.to_string().starts_with("Failed to pull `127.0.0.1:1/nobody/nothing:1.0`: "), "{error}");
    assert_eq!(missing.notices.lock().expect("held").as_slice(), ["Downloading image"]);

    let place = Place::new(
        json!({"image": "tarpan-test/loaded:2", "load": "image.tar", "command": "/bin/echo", "args": ["loaded"]}),
    );
    let tar = place.request.dirs.local.join("image.tar");
    let script = format!(
        "docker tag {IMAGE} tarpan-test/loaded:2 && docker save -o {} tarpan-test/loaded:2 && docker rmi tarpan-test/loaded:2 >/dev/null",
        tar.display()
    );
    assert!(Command::new("sh").args(["-c", &script]).status().expect("runs").success());
    assert!(place.run().await.success());
    assert_eq!(place.log("stdout"), "loaded\n");
}

#[tokio::test]
async fn mistakes_are_sentences() {
    if !engine_there() {
        return;
    }
    for (config, expected) in [
        (json!({}), "image name required for docker driver"),
        (json!({"image": IMAGE, "nonsense": 1}), "failed to parse config: unknown field `nonsense`"),
        (json!({"image": IMAGE, "ports": ["nope"]}), "Port \"nope\" not found, check network block"),
        (json!({"image": IMAGE, "privileged": true}), "Docker privileged mode is disabled on this Nomad agent"),
        (
            json!({"image": IMAGE, "cap_add": ["sys_admin"]}),
            "driver does not allow the following capabilities: sys_admin",
        ),
        (json!({"image": IMAGE, "command": "/not/there"}), "Failed to start container"),
    ] {
        let error = Place::new(config.clone()).start().await.err().expect("must fail").to_string();
        assert!(error.starts_with(expected), "{config}: {error}");
    }
    let mut closed = Place::new(json!({"image": IMAGE, "volumes": ["/etc:/x"]}));
    closed.driver = DockerDriver::new(PluginConfig::default());
    let error = closed.start().await.err().expect("must fail").to_string();
    assert!(error.starts_with("volumes are not enabled; cannot mount host path"), "{error}");
}

#[tokio::test]
async fn commands_run_in_the_container() {
    use crate::driver::{ExecOutput, ExecRequest};
    if !engine_there() {
        return;
    }
    let place = Place::new(sh("sleep 60"));
    let handle = place.start().await.expect("starts");
    let request = ExecRequest { command: vec!["/bin/sh".into(), "-c".into(), "echo in; exit 5".into()], tty: false };
    let mut execution = handle.exec(request).await.expect("runs");
    let (mut text, mut code) = (String::new(), None);
    while let Some(output) = execution.output().await {
        match output {
            ExecOutput::Stdout(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
            ExecOutput::Exited(exit) => code = Some(exit),
            ExecOutput::Stderr(_) => {}
        }
    }
    assert_eq!((text.as_str(), code), ("in\n", Some(5)));
    handle.destroy().await;
}

#[tokio::test]
async fn the_fingerprint_tells_the_version() {
    if !engine_there() {
        return;
    }
    let info = DockerDriver::new(PluginConfig::default()).fingerprint().await;
    assert!(info.healthy && info.attributes.contains_key("driver.docker.version"), "{info:?}");
    let plugin = PluginConfig { endpoint: Some("unix:///nowhere.sock".to_owned()), ..PluginConfig::default() };
    let info = DockerDriver::new(plugin).fingerprint().await;
    assert!(!info.detected, "{info:?}");
    assert_eq!(info.health_description, "the Docker daemon is not running: /nowhere.sock is missing");
}

#[test]
fn references() {
    for (image, expected) in [
        ("redis", ("redis", "latest", false)),
        ("redis:7.0.7-alpine", ("redis", "7.0.7-alpine", false)),
        ("localhost:5000/a/b", ("localhost:5000/a/b", "latest", false)),
        ("docker://ghcr.io/a/b:1.0", ("ghcr.io/a/b", "1.0", false)),
        ("a/b@sha256:00", ("a/b", "sha256:00", true)),
    ] {
        let reference = reference::Reference::parse(image);
        assert_eq!((reference.repository.as_str(), reference.tag.as_str(), reference.digest), expected, "{image}");
    }
}

fn spot(place: &Place) -> crate::driver::Place {
    crate::driver::Place {
        alloc_root: place.alloc.root.parent().expect("below the root").to_owned(),
        tasks: place._dir.path().join("tasks"),
        cgroup_parent: String::new(),
    }
}

#[tokio::test]
async fn a_container_that_nobody_heard_of_is_found() {
    if !engine_there() {
        return;
    }
    let place = Place::new(sh("exec sleep 60"));
    let mark = Mark::of("docker", &place.request);
    assert!(place.driver.find(&mark).await.expect("looked").is_none());
    let handle = place.start().await.expect("starts");
    let found = place.driver.find(&mark).await.expect("looked").expect("it runs");
    assert_eq!(found.save()["container"], handle.save()["container"]);
    // Another start of the same task is another matter.
    let other = Mark { id: format!("{}x", mark.id), ..mark.clone() };
    assert!(place.driver.find(&other).await.expect("looked").is_none());

    let of_us = place.driver.survey(&spot(&place)).await.expect("looked");
    assert_eq!(of_us.iter().map(|t| (&*t.mark.id, t.running)).collect::<Vec<_>>(), [(&*mark.id, true)]);
    let elsewhere = crate::driver::Place { alloc_root: "/elsewhere".into(), ..spot(&place) };
    assert!(place.driver.survey(&elsewhere).await.expect("looked").is_empty(), "other agents have theirs");
    handle.stop("SIGKILL", Duration::from_secs(5)).await.expect("stopped");
    handle.wait().await;
    // Stopped and not removed: a later agent sees what is left, and removes it.
    let left = place.driver.survey(&spot(&place)).await.expect("looked");
    assert_eq!(left.iter().map(|t| t.running).collect::<Vec<_>>(), [false]);
    found.destroy().await;
    assert!(place.driver.survey(&spot(&place)).await.expect("looked").is_empty());
}

#[tokio::test]
async fn a_container_that_was_only_created_is_started_once() {
    if !engine_there() {
        return;
    }
    let place = Place::new(sh("echo ran >> /local/ran; exit 7"));
    let config: TaskConfig = crate::driver::decode(&place.request.config).expect("readable");
    let body = create::body(&place.driver.plugin, &config, &place.request, IMAGE).expect("a body");
    let engine = place.driver.engine().await.expect("connected");
    place.driver.create(&engine, &config, body, &place.request).await.expect("created");
    let found = place.driver.find(&Mark::of("docker", &place.request)).await.expect("looked").expect("started");
    assert_eq!(found.wait().await.code, 7);
    found.destroy().await;
    let ran = std::fs::read_to_string(place.request.dirs.local.join("ran")).expect("it ran");
    assert_eq!(ran, "ran\n");
}

#[tokio::test]
async fn a_command_that_was_left_ends_with_its_children() {
    if !engine_there() {
        return;
    }
    let place = Place::new(sh("exec sleep 60"));
    let handle = place.start().await.expect("starts");
    let seconds = 400_000 + std::process::id() % 100_000;
    let left = || {
        let out = Command::new("pgrep").args(["-f", &format!("^sleep {seconds}")]).output().expect("pgrep runs");
        String::from_utf8_lossy(&out.stdout).lines().count()
    };
    for tty in [false, true] {
        let script = format!("trap '' HUP; sleep {seconds} & sleep {seconds} & echo ready; wait");
        let request = crate::driver::ExecRequest { command: ["sh", "-c", &script].map(str::to_owned).to_vec(), tty };
        let mut execution = handle.exec(request).await.expect("runs");
        execution.output().await.expect("it says that it is ready");
        let begun = std::time::Instant::now();
        // Both are forked; they become what is looked for in their own time.
        while left() < 2 {
            assert!(begun.elapsed() < Duration::from_secs(20), "it runs (tty: {tty})");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(execution);
        let begun = std::time::Instant::now();
        while left() > 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "something is left (tty: {tty})");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    handle.destroy().await;
}

#[tokio::test]
async fn a_flood_is_followed_to_its_last_line() {
    if !engine_there() {
        return;
    }
    let place = Place::new(sh("exec seq 1 2000000"));
    assert_eq!(place.run().await.code, 0);
    let read = |n| std::fs::read_to_string(place.alloc.root.join(format!("alloc/logs/web.stdout.{n}"))).ok();
    let text: String = (0..1000).filter_map(read).collect();
    let lines: Vec<u64> = text.lines().map(|l| l.parse().expect("a number")).collect();
    assert_eq!(lines.last(), Some(&2_000_000));
    assert!(text.len() > 2 << 20, "{} bytes of at most 3 MiB are kept", text.len());
    // The engine writes ten bytes for one of a short line: where it rotates faster than it is read, lines between are gone. What is kept
    // stays in order, and the end is there.
    assert!(lines.is_sorted_by(|one, next| one < next), "a line came twice or out of order");
}

#[tokio::test]
async fn containers_join_the_network_namespace_of_their_allocation() {
    use std::os::unix::fs::MetadataExt;
    if !engine_there() {
        return;
    }
    let mut place = Place::new(sh("ls -l /proc/self/ns/net; cat /etc/hosts; cat /etc/resolv.conf"));
    let namespaces = crate::network::namespace::Namespaces::new(place.alloc.root.parent().expect("a directory"));
    let id = place.request.alloc_id;
    if let Err(error) = namespaces.make(id) {
        assert!(std::env::var("CI").is_err(), "{error}");
        return eprintln!("skipped: this process may not make namespaces: {error}");
    }
    let netns = namespaces.path(id);
    place.request.netns = Some(netns.clone());
    place.request.network_mode = "bridge".to_owned();
    place.request.hostname = "web-1".to_owned();
    place.request.address = "172.26.64.9".to_owned();
    place.request.dns = Some(crate::driver::Dns { servers: vec!["10.9.9.9".to_owned()], ..Default::default() });
    let inode = format!("net:[{}]", netns.metadata().expect("there").ino());
    for how in ["a new one", "the one that is there", "one that somebody removed meanwhile"] {
        if how.contains("removed") {
            let removed = Command::new("docker").args(["rm", "-f", &pause::name(id)]).output().expect("runs");
            assert!(removed.status.success());
        }
        assert!(place.run().await.success(), "{how}: {}", place.log("stderr"));
        for part in [&*inode, "172.26.64.9\tweb-1", "nameserver 10.9.9.9"] {
            assert!(place.log("stdout").contains(part), "{how}: {part} in {}", place.log("stdout"));
        }
        std::fs::remove_file(place.alloc.logs().join("web.stdout.0")).expect("removed");
    }
    // A task that has a wish of its own is not in it.
    place.request.config.insert("network_mode".to_owned(), json!("none"));
    assert!(place.run().await.success());
    assert!(!place.log("stdout").contains(&inode), "{}", place.log("stdout"));
    let joined = || place.driver.joined(namespaces.dir());
    assert_eq!(joined().await, std::slice::from_ref(&netns));
    place.driver.leave(id, &netns).await;
    assert_eq!(joined().await, Vec::<PathBuf>::new());
    namespaces.remove(id).expect("removed");
    assert!(!netns.exists());
}
