//! What holds the process that fetches when strangers' bytes have taken it over, and that it ends with who wants it.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::ground::Dir;

/// A node's directories: those of the agent and of other tasks, open to every user, so that only the walls can close them.
struct Node {
    home: tempfile::TempDir,
    /// Files that are not the agent's.
    other: tempfile::TempDir,
    limits: ArtifactLimits,
    /// What is fetched, which says whether programs have a part in it.
    source: &'static str,
}

impl Node {
    fn new() -> Node {
        let (home, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        for dir in ["state", "alloc/other/t", "alloc/own"] {
            std::fs::create_dir_all(home.path().join(dir)).expect("made");
        }
        std::fs::write(home.path().join("state/secret"), "x").expect("written");
        std::fs::write(home.path().join("alloc/other/t/file"), "x").expect("written");
        std::fs::write(other.path().join("file"), "x").expect("written");
        for path in [home.path(), other.path(), &home.path().join("alloc/other/t")] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o777)).expect("set");
        }
        Node { home, other, limits: ArtifactLimits::default(), source: "http://127.0.0.1:1/" }
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).to_string_lossy().into_owned()
    }

    fn other(&self, name: &str) -> String {
        self.other.path().join(name).to_string_lossy().into_owned()
    }

    fn request(&self, source: &str, attempts: Vec<Vec<String>>) -> Request {
        let artifact = Artifact { source: source.to_owned(), mode: "any".into(), ..Artifact::default() };
        let parsed = parse(&artifact);
        let hidden = vec![self.home.path().join("state"), self.home.path().join("alloc")];
        let origin = origin(&artifact, &parsed).expect("a source");
        Request { artifact, parsed, origin, known_hosts: None, limits: self.limits.clone(), hidden, attempts }
    }

    fn scratch(&self) -> Scratch {
        Scratch::new(&self.home.path().join("alloc/own")).expect("made")
    }

    /// The outcome of each attempt.
    async fn attempt(&self, attempts: &[&str]) -> Vec<(String, String)> {
        let words = attempts.iter().map(|a| a.split(' ').map(str::to_owned).collect()).collect();
        let (watch, _waiting) = Watch::new(Duration::from_secs(60));
        let mut fetcher = Fetcher::start(&self.request(self.source, words), self.scratch()).await.expect("starts");
        match fetcher.made(&watch, "x", &|_| ()).await {
            Err(ArtifactError::Fetched { text, .. }) => {
                let outcomes = text.lines().map(str::to_owned).collect::<Vec<_>>();
                assert_eq!(outcomes.len(), attempts.len(), "{text}");
                attempts.iter().map(|a| (*a).to_owned()).zip(outcomes).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    async fn refused(&self, attempts: &[&str]) {
        for (attempt, outcome) in self.attempt(attempts).await {
            assert_ne!(outcome, "ok", "{attempt}");
        }
    }

    async fn permitted(&self, attempts: &[&str]) {
        for (attempt, outcome) in self.attempt(attempts).await {
            assert_eq!(outcome, "ok", "{attempt}");
        }
    }
}

/// What this machine must be able to do for all the walls: skipped with a sentence, but not where CI promises it.
fn has_walls() -> bool {
    // SAFETY: asks for the version.
    let landlock = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, 1) };
    let has = landlock >= 4 && nix::unistd::geteuid().is_root();
    if !has {
        assert!(std::env::var_os("CI").is_none(), "CI has to run this as root with Landlock");
        eprintln!("skipped: it needs root and Landlock of Linux 6.7");
    }
    has
}

#[tokio::test]
async fn nothing_of_the_node_is_read_or_written() {
    if !has_walls() {
        return;
    }
    let node = Node::new();
    let socket = std::os::unix::net::UnixListener::bind(node.other.path().join("socket")).expect("bound");
    std::fs::set_permissions(node.other.path().join("socket"), PermissionsExt::from_mode(0o777)).expect("set");
    let (secret, tasks, alloc) = (node.path("state/secret"), node.path("alloc/other/t/file"), node.path("alloc"));
    let (file, new, connect) = (node.other("file"), node.other("new"), node.other("socket"));
    let planted = node.path("alloc/other/t/new");
    node.refused(&[
        "read /etc/shadow",
        "read /etc/passwd",
        "list /root",
        "list /etc",
        "list /",
        "list /proc",
        &format!("read {secret}"),
        &format!("read {tasks}"),
        &format!("list {alloc}"),
        &format!("list {alloc}/.artifacts"),
        &format!("read {file}"),
        &format!("append {file}"),
        &format!("write {new}"),
        &format!("write {planted}"),
        &format!("make {new}"),
        "write ../new",
        "write /tmp/new-by-what-fetches",
        &format!("connect {connect}"),
        "connect /var/run/docker.sock",
    ])
    .await;
    drop(socket);
    assert!(!Path::new(&new).exists() && !Path::new(&planted).exists());
    node.permitted(&["write own", "make dir", "write dir/own", "read own", "list .", "read /etc/hosts"]).await;
}

#[tokio::test]
async fn nothing_else_is_begun_from_there() {
    if !has_walls() {
        return;
    }
    let mut node = Node::new();
    (node.limits.http_max_bytes, node.limits.decompression_bytes) = (1000, 2000);
    let own = std::process::id();
    node.refused(&[
        "run /bin/true",
        "listen",
        "raw-socket",
        "unshare",
        "root",
        &format!("signal {own}"),
        "signal 1000000",
        "link large link",
        "large 2001",
    ])
    .await;
    node.permitted(&["large 2000"]).await;
}

#[tokio::test]
async fn programs_that_have_a_part_in_it_stand_behind_the_same_walls() {
    if !has_walls() {
        return;
    }
    let mut node = Node::new();
    node.source = "git::https://127.0.0.1:1/repository";
    let (secret, file, new) = (node.path("state/secret"), node.other("file"), node.other("new"));
    node.permitted(&["run /bin/true", "run /bin/cat /etc/hosts", "run /bin/touch own", "run /bin/ls ."]).await;
    node.refused(&[
        "run /bin/cat /etc/shadow",
        "run /bin/ls /root",
        "run /bin/ls /etc",
        &format!("run /bin/cat {secret}"),
        &format!("run /bin/cat {file}"),
        &format!("run /bin/touch {new}"),
        "run /usr/bin/unshare --user /bin/true",
        "run /usr/bin/mkfifo pipe",
        "unshare",
        "listen",
        "raw-socket",
        "root",
        "link own second",
    ])
    .await;
    assert!(!Path::new(&new).exists());
}

#[tokio::test]
async fn walls_come_down_only_where_the_operator_says_so() {
    if !has_walls() {
        return;
    }
    let mut node = Node::new();
    let file = node.other("file");
    let (read, write) = (format!("read {file}"), format!("append {file}"));
    node.limits.extra_paths = vec![format!("r:{file}").parse().expect("a path")];
    node.permitted(&[&read]).await;
    node.refused(&[&write]).await;
    node.limits.extra_paths = vec![format!("d:rwc:{}", node.other("")).parse().expect("a path")];
    node.permitted(&[&format!("write {}", node.other("new")), &read]).await;
    node.limits.extra_paths.clear();
    node.limits.disable_filesystem_isolation = true;
    node.permitted(&[&read, "list /etc"]).await;
    let socket = std::os::unix::net::UnixListener::bind(node.other.path().join("socket")).expect("bound");
    std::fs::set_permissions(node.other.path().join("socket"), PermissionsExt::from_mode(0o777)).expect("set");
    let connect = format!("connect {}", node.other("socket"));
    // It is still a user without rights, who starts nothing and speaks to nobody on this machine.
    node.refused(&["read /etc/shadow", "list /root", "run /bin/true", "root", &connect]).await;
    drop(socket);
}

#[tokio::test]
async fn variables_are_inherited_by_name() {
    let mut node = Node::new();
    let Some((name, _)) = std::env::vars().find(|(name, _)| name != "PATH" && !name.contains(' ')) else { return };
    let asked = format!("env {name}");
    node.refused(&[&asked]).await;
    node.permitted(&["env PATH"]).await;
    node.limits.environment = vec![name];
    node.permitted(&[&asked]).await;
}

/// A keeper with its worker, which downloads without end.
struct Running {
    keeper: Child,
    worker: u32,
    scratch: PathBuf,
}

fn lives(pid: u32) -> bool {
    crate::supervisor::start_time(pid).is_some()
}

fn until(what: &str, is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn child(of: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

impl Running {
    fn start(node: &Node) -> Running {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let source = format!("http://{}/endless", listener.local_addr().expect("bound"));
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a caller");
            // An answer before the question would be none.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while stream.write_all(&[0; 512]).is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let scratch = node.home.path().join("alloc/.artifacts/7");
        let root = Dir::trusted(&node.home.path().join("alloc")).expect("there");
        root.make_dirs(Path::new(".artifacts/7"), ground::Attr::mode(0o700)).expect("made");
        let mut keeper = Command::new("/proc/self/exe")
            .arg(ARGUMENT)
            .arg(&scratch)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        let mut text = serde_json::to_vec(&node.request(&source, Vec::new())).expect("a request");
        text.push(b'\n');
        keeper.stdin.as_mut().expect("piped").write_all(&text).expect("told");
        until("the download", || scratch.join("download").metadata().is_ok_and(|m| m.len() > 0));
        let worker = child(keeper.id()).expect("a worker");
        Running { keeper, worker, scratch }
    }
}

#[test]
fn what_an_agent_that_dies_has_begun_ends_and_is_removed() {
    let node = Node::new();
    let mut running = Running::start(&node);
    // All that a dead agent does: its end of the pipe is closed.
    drop(running.keeper.stdin.take());
    running.keeper.wait().expect("ours");
    assert!(!lives(running.worker) && !running.scratch.exists());
}

#[test]
fn a_worker_goes_with_its_keeper_and_an_agent_removes_what_both_left() {
    let node = Node::new();
    let mut running = Running::start(&node);
    running.keeper.kill().expect("ours");
    running.keeper.wait().expect("ours");
    until("the end of the worker", || !lives(running.worker));
    assert!(running.scratch.exists());
    sweep(&node.home.path().join("alloc"));
    assert!(!node.home.path().join("alloc/.artifacts").exists() && node.home.path().join("alloc/own").exists());
}
