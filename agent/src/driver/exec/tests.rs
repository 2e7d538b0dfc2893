//! What a task behind the walls sees, does and leaves. Needs root and control groups.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tarpan_model::AllocId;
use tarpan_model::resources::TaskResources;

use super::*;
use crate::alloc_dir::{AllocDir, Reader};
use crate::driver::{Dns, ExecInput, ExecOutput, ExecRequest, Execution, Exit, LogTarget, Mount};

mod hostile;

const PATIENCE: Duration = Duration::from_secs(60);
const PARENT: &str = "tarpan-tests-of-exec";

/// Without root there are no walls to try.
fn there() -> bool {
    match walled::obstacle() {
        None => true,
        Some(why) if std::env::var_os("CI").is_some() => panic!("{why}"),
        Some(why) => {
            eprintln!("skipped: {why}");
            false
        }
    }
}

pub(in crate::driver) struct Place {
    dir: tempfile::TempDir,
    pub(in crate::driver) request: TaskRequest,
    driver: Exec,
}

impl Place {
    pub(in crate::driver) fn new(config: Value) -> Place {
        let dir = tempfile::tempdir().expect("a directory");
        let alloc_id = AllocId(uuid::Uuid::new_v4());
        let alloc = AllocDir::new(&dir.path().canonicalize().expect("there"), alloc_id);
        alloc.create().expect("made");
        let dirs = alloc.create_task_for("web", Reader::User { uid: 65534, gid: 65534 }).expect("made");
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
            run_dir: dir.path().join("tasks").join(alloc_id.to_string()).join("web-0badcafe"),
            cgroup_parent: PARENT.to_owned(),
            labels: BTreeMap::new(),
            kill_signal: String::new(),
        };
        let driver = Exec::new(PluginConfig::default(), crate::driver::chroot(&BTreeMap::new()));
        Place { dir, request, driver }
    }

    fn script(script: &str) -> Place {
        Place::new(json!({"command": "/bin/sh", "args": ["-c", script]}))
    }

    fn root(mut self) -> Place {
        self.request.user = "root".to_owned();
        self
    }

    fn plugin(mut self, plugin: Value) -> Place {
        self.driver.node.plugin = serde_json::from_value(plugin).expect("a plugin block");
        self
    }

    async fn start(&self) -> Result<Arc<dyn Handle>, String> {
        let started = self.driver.start(self.request.clone(), Arc::new(|_| {})).await;
        started.map_err(|e| e.to_string())
    }

    pub(in crate::driver) fn log(&self, kind: &str) -> String {
        let path = self.request.dirs.shared.join(format!("logs/web.{kind}.0"));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// Runs it to its end; what it said, and how it ended.
    async fn run(&self) -> (String, Exit) {
        let handle = self.start().await.expect("starts");
        let exit = tokio::time::timeout(PATIENCE, handle.wait()).await.expect("it ends");
        let said = format!("{}{}", self.log("stdout"), self.log("stderr"));
        handle.destroy().await;
        (said, exit)
    }

    async fn says(&self, what: &str) {
        wait(what, || self.log("stdout").contains(what)).await;
    }

    fn pids(&self) -> crate::supervisor::Pids {
        let text = std::fs::read(self.request.run_dir.join("pid.json")).expect("a pid");
        serde_json::from_slice(&text).expect("pids")
    }

    /// Control groups of the task that are there.
    fn groups(&self) -> Option<crate::cgroup::Cgroup> {
        crate::cgroup::Cgroup::existing(PARENT, &format!("{}.web", self.request.alloc_id))
    }
}

async fn wait(what: &str, f: impl Fn() -> bool) {
    let begun = Instant::now();
    while !f() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Processes in this mount namespace, and the mounts below a path in any: what a task left.
fn in_namespace(mnt: &Path) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("listed").flatten();
    let same = |pid: &String| std::fs::read_link(format!("/proc/{pid}/ns/mnt")).is_ok_and(|ns| ns == mnt);
    entries.filter_map(|e| e.file_name().into_string().ok()).filter(same).collect()
}

fn mounted_below(path: &Path) -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("readable");
    mounts.lines().filter(|line| line.contains(&*path.to_string_lossy())).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_task_is_nobody_in_a_root_of_its_own() {
    if !there() {
        return;
    }
    let script = "id -u; id -g; pwd; echo $GREETING; echo mine > /local/f && echo mine > /alloc/data/f && echo mine > /tmp/f; \
        touch /usr/f /etc/f /f 2>/dev/null; ls -d /f /usr/f /etc/f 2>/dev/null; ls /private; ls /proc | grep -c '^[0-9]'; \
        echo again > /dev/stdout; echo oops >&2; exit 7";
    let place = Place::script(script);
    let (said, exit) = place.run().await;
    assert_eq!(said, "65534\n65534\n/\nhello\n/f\n4\nagain\noops\n", "and an init, the shell, ls and grep");
    assert_eq!(exit, Exit { code: 7, ..Exit::default() });
    let read = |path: &str| std::fs::read_to_string(place.request.dirs.alloc.join(path)).expect(path);
    assert_eq!((read("web/local/f"), read("alloc/data/f")), ("mine\n".to_owned(), "mine\n".to_owned()));
    assert_eq!(mounted_below(place.dir.path()), Vec::<String>::new(), "nothing of it is the node's");
    assert!(place.groups().is_none() && !place.request.run_dir.exists());
}

#[tokio::test]
async fn a_program_is_found_where_the_task_sees_it() {
    use std::os::unix::fs::PermissionsExt;
    if !there() {
        return;
    }
    for (command, expected) in [("tool", "own"), ("local/tool", "own"), ("/local/tool", "own"), ("echo", "x")] {
        let place = Place::new(json!({"command": command, "args": ["x"], "work_dir": "/tmp"}));
        let tool = place.request.dirs.local.join("tool");
        std::fs::write(&tool, "#!/bin/sh\necho own\npwd\n").expect("written");
        // As it was downloaded; one that is named by its whole path is taken as it is.
        std::fs::set_permissions(
            &tool,
            std::fs::Permissions::from_mode(if command.starts_with('/') { 0o755 } else { 0o644 }),
        )
        .expect("set");
        let (said, exit) = place.run().await;
        assert!(said.starts_with(expected) && exit.success(), "{command}: {said} {exit:?}");
        assert!(expected != "own" || said == "own\n/tmp\n", "{said}");
    }
    let secret = Place::new(json!({"command": "x"}));
    let outside = secret.dir.path().join("outside");
    std::fs::write(&outside, "#!/bin/sh\n").expect("written");
    for (config, expected) in [
        (json!({"command": "/no/such"}), "failed to start command /no/such: no such file or directory"),
        (json!({"command": "no-such"}), "exec: \"no-such\": executable file not found in $PATH"),
        (json!({"command": outside}), "no such file or directory"),
        (json!({"command": "/etc/passwd"}), "failed to start command /etc/passwd: permission denied"),
        (json!({"command": "/bin/sh", "work_dir": "/no"}), "its working directory /no: No such file"),
        (json!({"command": "/bin/sh", "work_dir": "no"}), "work_dir must be absolute"),
        (json!({"args": []}), "command is required"),
        (json!({"command": "/bin/sh", "pid_mode": "x"}), "pid_mode must be \"private\" or \"host\""),
    ] {
        let place = Place::new(config.clone());
        let error = place.start().await.err().unwrap_or_else(|| panic!("{config} must not start"));
        assert!(error.contains(expected), "{config}: {error}");
        assert!(place.groups().is_none() && !place.request.run_dir.exists(), "{config}: nothing is left");
    }
}

#[tokio::test]
async fn signals_do_what_they_do_to_any_process() {
    if !there() {
        return;
    }
    for (script, signal, expected) in [
        ("echo ready; exec sleep 600", "SIGTERM", Exit { code: 143, signal: 15, ..Exit::default() }),
        (
            "trap 'exit 3' USR1; echo ready; while true; do sleep 0.05; done",
            "USR1",
            Exit { code: 3, ..Exit::default() },
        ),
    ] {
        let place = Place::script(script);
        let handle = place.start().await.expect("starts");
        place.says("ready").await;
        handle.signal(signal).await.expect("sent");
        assert_eq!(tokio::time::timeout(PATIENCE, handle.wait()).await.expect("ends"), expected, "{script}");
        handle.destroy().await;
    }
    // One that cares for nothing is ended by force, with what it has begun.
    let place =
        Place::script("trap '' INT TERM; (trap '' HUP; setsid sleep 600) & echo ready; while true; do sleep 1; done");
    let handle = place.start().await.expect("starts");
    place.says("ready").await;
    let mnt = std::fs::read_link(format!("/proc/{}/ns/mnt", place.pids().task)).expect("there");
    handle.stop("", Duration::from_millis(100)).await.expect("stopped");
    assert_eq!(handle.wait().await.signal, libc::SIGKILL);
    wait("everything in there to end", || in_namespace(&mnt).is_empty()).await;
    handle.destroy().await;
    assert!(place.groups().is_none());
}

/// Also with the node's process ids, where no init takes the rest along.
#[tokio::test]
async fn what_a_task_leaves_ends_with_it() {
    if !there() {
        return;
    }
    for mode in ["private", "host"] {
        let script = "setsid sleep 600 & sleep 600 & echo ready";
        let place = Place::new(json!({"command": "/bin/sh", "args": ["-c", script], "pid_mode": mode}));
        let handle = place.start().await.expect("starts");
        assert!(handle.wait().await.success());
        wait("what it left to end", || place.groups().is_none_or(|group| group.pids().is_empty())).await;
        handle.destroy().await;
    }
}

#[tokio::test]
async fn a_task_outlives_its_supervisor_and_is_found_and_removed() {
    if !there() {
        return;
    }
    let place = Place::script("echo ready; exec sleep 600");
    let handle = place.start().await.expect("starts");
    place.says("ready").await;
    let pids = place.pids();
    let mnt = std::fs::read_link(format!("/proc/{}/ns/mnt", pids.task)).expect("there");
    // SAFETY: the supervisor is ours and alive.
    unsafe { libc::kill(pids.supervisor as i32, libc::SIGKILL) };
    let saved = handle.save();
    drop(handle);
    let mark = Mark::of(NAME, &place.request);
    let found = place.driver.find(&mark).await.expect("looked").expect("it runs");
    let recovered = place.driver.recover(&saved).await.expect("known");
    let traces = |driver: &'static str| {
        let place_of = Place::survey_place(&place);
        async move { supervised::survey(driver, &place_of).await.expect("looked") }
    };
    assert!(traces(NAME).await.iter().any(|t| t.mark.run_dir == place.request.run_dir && t.running));
    assert!(traces("raw_exec").await.is_empty(), "it is another driver's");
    assert!(run_in(&*found, &["/bin/echo", "in"]).await.0.contains("in"), "commands run in it");
    recovered.signal("SIGTERM").await.expect("sent");
    let exit = tokio::time::timeout(PATIENCE, recovered.wait()).await.expect("ends");
    assert!(exit.error.is_some_and(|e| e.contains("its supervisor was gone")));
    found.destroy().await;
    wait("everything in there to end", || in_namespace(&mnt).is_empty()).await;
    assert!(place.groups().is_none() && !place.request.run_dir.exists());
}

impl Place {
    fn survey_place(&self) -> crate::driver::Place {
        crate::driver::Place {
            alloc_root: self.dir.path().to_owned(),
            tasks: self.dir.path().join("tasks"),
            cgroup_parent: PARENT.to_owned(),
        }
    }
}

/// All that was written down is gone: the supervisor says where it belongs. A task that says so as well is not believed, root or
/// not, with process ids of its own or the node's.
#[tokio::test]
async fn only_a_supervisor_is_believed_to_be_one() {
    if !there() {
        return;
    }
    for mode in ["private", "host"] {
        let mut place = Place::script("").root();
        let tasks = place.dir.path().join("tasks");
        let fake = tasks.join(uuid::Uuid::new_v4().to_string()).join("web-00000000");
        let escape = tasks.join("../made-by-a-task");
        // As a supervisor's command line is: a program, the word, a directory.
        let script = format!(
            "echo 'sleep 600; :' > __task-supervisor; sh __task-supervisor {} & sh __task-supervisor {} & echo ready; wait",
            fake.display(),
            escape.display()
        );
        let config = json!({"command": "/bin/sh", "args": ["-c", script], "work_dir": "/local", "pid_mode": mode});
        place.request.config = serde_json::from_value(config).expect("an object");
        let handle = place.start().await.expect("starts");
        place.says("ready").await;
        let group = place.groups().expect("there");
        wait("all of them to run", || group.pids().len() >= 6).await;
        let pids = place.pids();
        std::fs::remove_dir_all(&place.request.run_dir).expect("removed");
        let runs = crate::supervisor::runs(&tasks);
        assert_eq!(runs.iter().map(|r| (&*r.driver, &r.dir)).collect::<Vec<_>>(), [(NAME, &place.request.run_dir)]);
        assert_eq!(place.pids(), pids, "written again");
        assert!(!place.dir.path().join("made-by-a-task").exists());
        // What it may do is not known any more: a command is refused, and does not run outside of its walls.
        let refused = handle.exec(request(&["/bin/true"], false)).await.err().expect("refused");
        assert!(refused.to_string().contains("not known any more"), "{refused}");
        handle.destroy().await;
    }
}

#[tokio::test]
async fn volumes_are_there_as_they_were_asked_for() {
    if !there() {
        return;
    }
    let script = "cat /data/f /srv/deep/ro/f; echo new > /data/new; (echo no > /srv/deep/ro/no) 2>/dev/null || echo refused; cat /one; \
        echo ready; while ! [ -e /data/go ]; do sleep 0.05; done; cat /data/later/f /follows/later/f";
    let mut place = Place::script(script);
    let volume = place.dir.path().join("volume");
    for dir in ["later", "follow/later"] {
        std::fs::create_dir_all(volume.join(dir)).expect("made");
    }
    std::fs::write(volume.join("f"), "f\n").expect("written");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&volume, open).expect("set");
    let mount = |source: &Path, target: &str, read_only, propagation: &str| Mount {
        volume: String::new(),
        source: source.to_owned(),
        target: target.to_owned(),
        read_only,
        propagation: propagation.to_owned(),
        selinux_label: String::new(),
    };
    place.request.mounts = vec![
        mount(&volume, "/data", false, "private"),
        mount(&volume, "srv/deep/ro", true, ""),
        mount(&volume.join("f"), "/one", true, ""),
        mount(&volume.join("follow"), "/follows", false, "host-to-task"),
    ];
    let handle = place.start().await.expect("starts");
    place.says("ready").await;
    // What is mounted now comes in only where that was asked for. The root of this machine may be shared or not.
    handle.stop("SIGKILL", Duration::from_secs(1)).await.expect("stopped");
    handle.destroy().await;
    assert_eq!(place.log("stdout"), "f\nf\nrefused\nf\nready\n");
    assert_eq!(std::fs::read_to_string(volume.join("new")).expect("written by the task"), "new\n");
    for (target, propagation, expected) in [
        ("/", "", "it must be a path below the task's root"),
        ("/data/../../x", "", "it must be a path below the task's root"),
        ("/usr/not-there", "", "Read-only file system"),
        ("/data", "sideways", "propagation_mode must be"),
    ] {
        place.request.mounts = vec![mount(&volume, target, false, propagation)];
        let error = place.start().await.err().expect(target);
        assert!(error.contains(expected), "{error}");
    }
    place.request.mounts = vec![mount(Path::new("/no/such/place"), "/data", false, "")];
    let error = place.start().await.err().expect("refused");
    assert!(error.contains("the volume at /data: looking at /no/such/place"), "{error}");
}

#[tokio::test]
async fn links_that_an_earlier_start_left_are_no_way_out() {
    if !there() {
        return;
    }
    let place = Place::script("true");
    let host = place.dir.path().join("host");
    std::fs::create_dir(&host).expect("made");
    for name in ["usr", "proc", "dev", "alloc"] {
        let _ = std::fs::remove_dir(place.request.dirs.task.join(name));
        std::os::unix::fs::symlink(&host, place.request.dirs.task.join(name)).expect("linked");
        let error = place.start().await.err().expect(name);
        assert!(error.contains("symbolic link"), "{error}");
        std::fs::remove_file(place.request.dirs.task.join(name)).expect("removed");
    }
    assert_eq!(std::fs::read_dir(&host).expect("listed").count(), 0);
}

#[tokio::test]
async fn names_and_networks_are_the_allocations() {
    if !there() {
        return;
    }
    let mut place = Place::script("cat /proc/sys/kernel/hostname /etc/resolv.conf; ls /sys/class/net");
    place.request.hostname = "web-7".to_owned();
    place.request.dns =
        Some(Dns { servers: vec!["10.9.8.7".into()], searches: vec!["x.test".into()], options: vec![] });
    let name = format!("tarpan-exec-{}", std::process::id());
    let ip = |args: &[&str]| std::process::Command::new("ip").args(args).status().is_ok_and(|s| s.success());
    let network = ip(&["netns", "add", &name]);
    if network {
        place.request.netns = Some(Path::new("/run/netns").join(&name));
    }
    let (said, exit) = place.run().await;
    ip(&["netns", "del", &name]);
    assert!(exit.success(), "{said}");
    assert!(said.starts_with("web-7\nnameserver 10.9.8.7\nsearch x.test\n"), "{said}");
    assert!(!network || said.ends_with("\nlo\n"), "{said}");
}

#[tokio::test]
async fn modes_share_what_they_say() {
    if !there() {
        return;
    }
    let ours = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}")).expect("there").display().to_string();
    let script = "readlink /proc/self/ns/pid /proc/self/ns/ipc /proc/self/ns/mnt /proc/self/ns/uts";
    for (config, plugin, pid, ipc) in [
        (json!({}), json!({}), false, false),
        (json!({"pid_mode": "host"}), json!({}), true, false),
        (json!({}), json!({"default_pid_mode": "host", "default_ipc_mode": "host"}), true, true),
        (json!({"ipc_mode": "private"}), json!({"default_ipc_mode": "host"}), false, false),
        (json!({}), json!({"no_pivot_root": true}), false, false),
    ] {
        let mut config = config;
        config["command"] = json!("/bin/sh");
        config["args"] = json!(["-c", script]);
        let place = Place::new(config).plugin(plugin);
        let (said, exit) = place.run().await;
        assert!(exit.success(), "{said}");
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!((lines[0] == ours("pid"), lines[1] == ours("ipc")), (pid, ipc), "{said}");
        assert!(lines[2] != ours("mnt") && lines[3] != ours("uts"), "{said}");
    }
}

#[tokio::test]
async fn rights_are_what_was_asked_for_and_allowed() {
    if !there() {
        return;
    }
    let status = "grep -E '^(CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t' | tr '\\n' ' '";
    let of = |user: &str, extra: Value| {
        let mut config = json!({"command": "/bin/sh", "args": ["-c", status]});
        config.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        let mut place = Place::new(config);
        place.request.user = user.to_owned();
        place
    };
    // chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service sys_chroot mknod audit_write setfcap
    let usual = "00000000a80405fb";
    for (user, extra, effective, bounding) in [
        ("root", json!({}), usual, usual),
        ("", json!({}), "0000000000000400", usual),
        ("", json!({"cap_add": ["kill"], "cap_drop": ["all"]}), "0000000000000020", "0000000000000020"),
        ("4711:4711", json!({"cap_drop": ["all"]}), "0000000000000000", "0000000000000000"),
    ] {
        let (said, _) = of(user, extra.clone()).run().await;
        let ambient = if user == "root" { "0000000000000000" } else { effective };
        let expected = format!("CapEff:{effective} CapBnd:{bounding} CapAmb:{ambient} NoNewPrivs:1 Seccomp:2 ");
        assert_eq!(said, expected, "{user} {extra}");
    }
    let refused = of("", json!({"cap_add": ["sys_admin"]})).start().await.err().expect("refused");
    assert!(
        refused.contains("plugin \"exec\" { config { allow_caps = [\"sys_admin\"] } } would allow it"),
        "{refused}"
    );
    let allowed =
        of("root", json!({"cap_add": ["sys_admin"], "args": ["-c", "mount -t tmpfs x /tmp && echo mounted"]}));
    let (said, _) = allowed.plugin(json!({"allow_caps": ["all"]})).run().await;
    assert_eq!(said, "mounted\n", "what the operator allows can be done");
    let denied =
        of("daemon", json!({})).plugin(json!({"denied_host_uids": "1-5"})).start().await.err().expect("refused");
    assert!(denied.contains("running as uid 1 is not allowed on this node"), "{denied}");
}

#[tokio::test]
async fn a_task_that_takes_too_much_memory_is_ended_for_it() {
    if !there() {
        return;
    }
    let place = Place::script("x=a; while true; do x=$x$x; done");
    let (_, exit) = place.run().await;
    assert!(exit.oom_killed && exit.signal == libc::SIGKILL, "{exit:?}");
    assert!(exit.error.as_deref().is_some_and(|e| e.starts_with("OOM Killed: its memory is limited to ")), "{exit:?}");
    let place = Place::script("echo ready; while true; do :; done");
    let handle = place.start().await.expect("starts");
    place.says("ready").await;
    let begun = Instant::now();
    loop {
        let usage = handle.usage().await.expect("figures");
        if usage.cpu_ns > 10_000_000 && usage.memory > 0 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{usage:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    handle.destroy().await;
}

fn request(command: &[&str], tty: bool) -> ExecRequest {
    ExecRequest { command: command.iter().map(|&word| word.to_owned()).collect(), tty }
}

/// What a command in the task said, and its exit code.
async fn run_in(handle: &dyn Handle, command: &[&str]) -> (String, i32) {
    let mut execution = handle.exec(request(command, false)).await.expect("begins");
    drain(&mut *execution).await
}

async fn drain(execution: &mut dyn Execution) -> (String, i32) {
    let mut text = String::new();
    loop {
        match tokio::time::timeout(PATIENCE, execution.output()).await.expect("in time").expect("an exit comes last") {
            ExecOutput::Stdout(bytes) | ExecOutput::Stderr(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
            ExecOutput::Exited(code) => return (text, code),
        }
    }
}

#[tokio::test]
async fn a_command_in_a_task_is_behind_the_same_walls() {
    if !there() {
        return;
    }
    for user in ["", "root"] {
        let mut place = Place::new(
            json!({"command": "/bin/sh", "args": ["-c", "echo ready; exec sleep 600"], "work_dir": "/local"}),
        );
        place.request.user = user.to_owned();
        let handle = place.start().await.expect("starts");
        place.says("ready").await;
        let pids = place.pids();
        let look = "readlink /proc/$P/ns/pid /proc/$P/ns/mnt /proc/$P/ns/ipc /proc/$P/ns/uts /proc/$P/ns/cgroup; \
            grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:)' /proc/$P/status; cat /proc/$P/cgroup";
        let within = |p: &str| ["/bin/sh".to_owned(), "-c".to_owned(), look.replace("$P", p)];
        let (command, task) = (within("self"), within("2"));
        let of = |words: &[String; 3]| words.iter().map(String::as_str).map(str::to_owned).collect::<Vec<_>>();
        let (own, theirs) = (of(&command), of(&task));
        let (own, code) = run_in(&*handle, &own.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let (theirs, _) = run_in(&*handle, &theirs.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert_eq!((own, code), (theirs, 0), "user {user:?}");
        let (said, code) =
            run_in(&*handle, &["/bin/sh", "-c", "pwd; echo $GREETING; echo oops >&2; kill -TERM $$"]).await;
        assert!(said.contains("/local\nhello\n") && said.contains("oops"), "{said}");
        assert_eq!(code, 143);
        let refused = handle.exec(request(&["no-such-program"], false)).await.err().expect("refused");
        assert!(refused.to_string().contains("executable file not found"), "{refused}");
        // A terminal of its own, with its size.
        let mut execution = handle
            .exec(request(&["/bin/sh", "-c", "sleep 0.3; stty size; ps -o tty= -p $$; exit 4"], true))
            .await
            .expect("begins");
        execution.input().send(ExecInput::Resize { height: 33, width: 99 }).await.expect("taken");
        let (said, code) = drain(&mut *execution).await;
        assert!(said.contains("33 99") && code == 4, "{said} {code}");
        drop(execution);
        // It ends with its caller, whatever it says to a hang-up, and the task goes on.
        let group = place.groups().expect("there");
        let before = group.pids().len();
        let script = "trap '' HUP; sleep 600 & echo ready; wait";
        let mut execution = handle.exec(request(&["/bin/sh", "-c", script], false)).await.expect("begins");
        let Some(ExecOutput::Stdout(_)) = execution.output().await else { panic!("it says that it is ready") };
        assert_eq!(group.pids().len(), before + 2, "in the task's control groups");
        drop(execution);
        wait("the command to end", || group.pids().len() == before).await;
        assert_eq!(crate::supervisor::start_time(pids.task), Some(pids.task_start));
        // And with the task.
        let mut execution = handle.exec(request(&["/bin/sleep", "600"], false)).await.expect("begins");
        handle.signal("SIGKILL").await.expect("sent");
        assert_eq!(drain(&mut *execution).await.1, 137);
        handle.destroy().await;
    }
}
