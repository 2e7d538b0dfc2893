//! A task that wants out, as root of its root and as nobody: this very test program, run as the task.

use std::ffi::CString;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

use super::*;

/// What the task is told: the node's secret file and its socket, a process of the node, and a disk.
const VARIABLE: &str = "TARPAN_TEST_HOSTILE";
const SECRET: &str = "the node's own secret";

/// One thing that must not work: what, and whether it did.
type Attempts = Vec<(String, bool)>;

fn c(text: &str) -> CString {
    CString::new(text).expect("no zero in it")
}

/// A system call that has to fail.
fn call(name: &str, number: i64, args: [i64; 5]) -> (String, bool) {
    // SAFETY: all arguments are numbers or live through the call; what would succeed does no harm to the test's machine.
    let done = unsafe { libc::syscall(number, args[0], args[1], args[2], args[3], args[4]) };
    (name.to_owned(), done >= 0)
}

fn ptr(text: &CString) -> i64 {
    text.as_ptr() as i64
}

fn walls() -> Attempts {
    let (tmp, none, proc, dot) = (c("/tmp"), c("none"), c("/proc"), c("."));
    let (tmpfs, name) = (c("tmpfs"), c("x"));
    let in_child = |flags: i32| {
        // SAFETY: a child that ends at once.
        let pid = unsafe { libc::syscall(libc::SYS_clone, i64::from(flags | libc::SIGCHLD), 0, 0, 0, 0) };
        if pid == 0 {
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) }
        }
        (format!("clone {flags:x}"), pid > 0)
    };
    vec![
        call("mount", libc::SYS_mount, [ptr(&none), ptr(&tmp), ptr(&tmpfs), 0, 0]),
        call("mount by x32", (1 << 30) | libc::SYS_mount, [ptr(&none), ptr(&tmp), ptr(&tmpfs), 0, 0]),
        call("remount", libc::SYS_mount, [ptr(&none), ptr(&c("/usr")), ptr(&none), 0x1020, 0]),
        call("umount", libc::SYS_umount2, [ptr(&proc), 2, 0, 0, 0]),
        call("pivot_root", libc::SYS_pivot_root, [ptr(&dot), ptr(&dot), 0, 0, 0]),
        call("open_tree", libc::SYS_open_tree, [-100, ptr(&proc), 1, 0, 0]),
        call("fsopen", libc::SYS_fsopen, [ptr(&proc), 0, 0, 0, 0]),
        call("unshare user", libc::SYS_unshare, [i64::from(libc::CLONE_NEWUSER), 0, 0, 0, 0]),
        call("unshare mounts", libc::SYS_unshare, [i64::from(libc::CLONE_NEWNS), 0, 0, 0, 0]),
        in_child(libc::CLONE_NEWUSER),
        in_child(libc::CLONE_NEWUSER | libc::CLONE_NEWNS),
        in_child(libc::CLONE_NEWPID),
        call("clone3", libc::SYS_clone3, [0, 64, 0, 0, 0]),
        call("sethostname", libc::SYS_sethostname, [ptr(&name), 1, 0, 0, 0]),
    ]
}

fn kernel() -> Attempts {
    let empty = c("");
    vec![
        call("init_module", libc::SYS_init_module, [ptr(&empty), 0, ptr(&empty), 0, 0]),
        call("finit_module", libc::SYS_finit_module, [0, ptr(&empty), 0, 0, 0]),
        call("delete_module", libc::SYS_delete_module, [ptr(&c("no-such")), 0, 0, 0, 0]),
        call("kexec_load", libc::SYS_kexec_load, [0, 0, 0, 0, 0]),
        call("kexec_file_load", libc::SYS_kexec_file_load, [-1, -1, 0, 0, 4]),
        // What the three keys do: no reboot.
        call("reboot", libc::SYS_reboot, [0xfee1_dead, 672_274_793, 0, 0, 0]),
        call("bpf", libc::SYS_bpf, [0, 0, 0, 0, 0]),
        call("perf_event_open", libc::SYS_perf_event_open, [0, 0, -1, -1, 0]),
        call("keyctl", libc::SYS_keyctl, [0, -3, 1, 0, 0]),
        call("add_key", libc::SYS_add_key, [ptr(&c("user")), ptr(&c("k")), ptr(&c("v")), 1, -3]),
        call("io_uring_setup", libc::SYS_io_uring_setup, [1, 0, 0, 0, 0]),
        call("userfaultfd", libc::SYS_userfaultfd, [1, 0, 0, 0, 0]),
        call("open_by_handle_at", libc::SYS_open_by_handle_at, [-100, 0, 0, 0, 0]),
        call("acct", libc::SYS_acct, [0, 0, 0, 0, 0]),
        call("syslog", libc::SYS_syslog, [10, 0, 0, 0, 0]),
        call("iopl", libc::SYS_iopl, [3, 0, 0, 0, 0]),
        call("settimeofday", libc::SYS_settimeofday, [0, 0, 0, 0, 0]),
        call("swapoff", libc::SYS_swapoff, [ptr(&c("/no")), 0, 0, 0, 0]),
        call("socket vsock", libc::SYS_socket, [40, 1, 0, 0, 0]),
    ]
}

/// The init, and other processes.
fn processes(host_pid: u32) -> Attempts {
    let mut all = vec![
        call("ptrace the init", libc::SYS_ptrace, [16, 1, 0, 0, 0]),
        call("seize the init", libc::SYS_ptrace, [0x4206, 1, 0, 0, 0]),
        call("kill the node's", libc::SYS_kill, [i64::from(host_pid), 0, 0, 0, 0]),
        call("process_vm_readv", libc::SYS_process_vm_readv, [1, 0, 0, 0, 0]),
    ];
    for file in ["root", "exe", "cwd", "fd/0", "ns/mnt", "ns/pid"] {
        all.push((format!("read /proc/1/{file}"), std::fs::read_link(format!("/proc/1/{file}")).is_ok()));
    }
    for file in ["environ", "mem", "maps", "auxv", "exe", "root/etc/passwd", "cwd/etc/passwd"] {
        let read = std::fs::File::open(format!("/proc/1/{file}")).and_then(|mut f| f.read(&mut [0; 16]));
        all.push((format!("open /proc/1/{file}"), read.is_ok_and(|n| n > 0)));
    }
    let pids: Vec<u32> = std::fs::read_dir("/proc")
        .expect("listed")
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .collect();
    let secret = |pid: &u32| {
        let text = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.contains(SECRET) && !text.contains(VARIABLE)
    };
    all.push(("another's environment".to_owned(), pids.iter().any(secret)));
    all.push((format!("others' processes: {pids:?}"), pids.len() > 3));
    all
}

/// Every place where something can be written.
fn devices(disk: u64) -> Attempts {
    let made = |dir: &str, kind: u32, number: u64| {
        let path = c(&format!("{dir}/device-{kind:o}"));
        // SAFETY: a path that lives through the call.
        unsafe { libc::mknod(path.as_ptr(), kind | 0o666, number) };
        let opened = std::fs::File::open(path.to_str().expect("text"));
        (format!("a device in {dir}: {opened:?}"), opened.is_ok())
    };
    let places =
        ["/local", "/alloc/data", "/tmp", "/dev", "/dev/shm", "/dev/pts", "/dev/mqueue", "/", "/secrets", "/data"];
    let both = |dir: &&str| [made(dir, libc::S_IFBLK, disk), made(dir, libc::S_IFCHR, libc::makedev(1, 5))];
    places.iter().flat_map(both).collect()
}

fn files(secret: &str) -> Attempts {
    let written = |path: &str| {
        let done = std::fs::OpenOptions::new().write(true).open(path).is_ok();
        (format!("write {path}"), done)
    };
    let mut all: Attempts = [
        "/etc/shadow",
        "/etc/passwd",
        "/usr/bin/env",
        "/proc/sysrq-trigger",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/sys/kernel/uevent_helper",
        "/proc/irq/default_smp_affinity",
    ]
    .map(written)
    .into();
    let readable = |path: &str| std::fs::File::open(path).and_then(|mut f| f.read(&mut [0; 64])).is_ok_and(|n| n > 0);
    for path in [
        "/proc/kcore",
        "/proc/keys",
        "/proc/timer_list",
        "/proc/sched_debug",
        "/dev/mem",
        "/dev/kmsg",
        "/dev/vda",
        "/dev/sda",
        secret,
    ] {
        all.push((format!("read {path}"), readable(path)));
    }
    for up in [
        "../".repeat(30),
        "/proc/self/cwd/".to_owned() + &"../".repeat(30),
        "/proc/self/root/".to_owned() + &"../".repeat(30),
    ] {
        let path = format!("{up}{}", secret.trim_start_matches('/'));
        all.push((format!("read {path}"), readable(&path)));
    }
    all.push((
        "the node's socket".to_owned(),
        std::os::unix::net::UnixStream::connect(format!("{secret}.socket")).is_ok(),
    ));
    for socket in ["/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"] {
        all.push((socket.to_owned(), std::os::unix::net::UnixStream::connect(socket).is_ok()));
    }
    let own = [0, 1, 2].map(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default());
    all.push((
        format!("stdio is more than pipes: {own:?}"),
        own.iter().any(|p| p.starts_with("/") && p != Path::new("/dev/null")),
    ));
    let inherited =
        std::fs::read_dir("/proc/self/fd").expect("listed").flatten().filter_map(|e| std::fs::read_link(e.path()).ok());
    let odd: Vec<_> = inherited.filter(|p| p.is_dir() && !p.starts_with("/proc/")).collect();
    all.push((format!("open directories: {odd:?}"), !odd.is_empty()));
    all
}

/// The old way out of a root that was only changed: another one inside, and up from above it.
fn chroots(secret: &str) -> Attempts {
    let _ = std::fs::create_dir("/tmp/inner");
    let top = std::fs::File::open("/").expect("our root");
    if nix::unistd::chroot("/tmp/inner").is_err() {
        return Vec::new();
    }
    let _ = nix::unistd::fchdir(std::os::fd::AsRawFd::as_raw_fd(&top));
    for _ in 0..50 {
        let _ = nix::unistd::chdir("..");
    }
    let _ = nix::unistd::chroot(".");
    vec![("the node's files by chroot".to_owned(), std::fs::read(secret).is_ok())]
}

/// Becoming more than it is.
fn rights() -> Attempts {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let uid = nix::unistd::geteuid();
    let mut all = vec![("new privileges".to_owned(), !status.contains("NoNewPrivs:\t1"))];
    if !uid.is_root() {
        all.push(("setuid".to_owned(), nix::unistd::setuid(0.into()).is_ok()));
    }
    let full = rustix::thread::CapabilitySet::all();
    let sets = rustix::thread::CapabilitySets { effective: full, permitted: full, inheritable: full };
    all.push(("capset".to_owned(), rustix::thread::set_capabilities(None, sets).is_ok()));
    all
}

/// The part that runs as the task. By itself it tries nothing.
#[test]
fn from_within() {
    let Ok(told) = std::env::var(VARIABLE) else { return };
    let told: Value = serde_json::from_str(&told).expect("told");
    let secret = told["secret"].as_str().expect("a path");
    let mut all = walls();
    all.extend(kernel());
    all.extend(processes(told["pid"].as_u64().expect("a pid") as u32));
    all.extend(devices(told["disk"].as_u64().expect("a disk")));
    all.extend(files(secret));
    all.extend(rights());
    all.extend(chroots(secret));
    let count = all.len();
    for (what, _) in all.into_iter().filter(|(_, worked)| *worked) {
        println!("WORKED: {what}");
    }
    println!("TRIED {count}");
}

/// A process of the node's with a secret in its environment. It ends with the test.
struct Sentinel(std::process::Child);

impl Sentinel {
    fn start() -> Sentinel {
        let mut command = std::process::Command::new("sleep");
        let null = std::process::Stdio::null;
        command.arg("600").env("HELD", SECRET).stdout(null()).stderr(null());
        Sentinel(command.spawn().expect("starts"))
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The disk that a directory of this machine lies on.
fn disk(path: &Path) -> u64 {
    path.metadata().expect("there").dev()
}

#[tokio::test]
async fn a_hostile_task_stays_behind_its_walls() {
    if !there() {
        return;
    }
    let host = tempfile::tempdir().expect("a directory");
    let secret = host.path().join("secret");
    std::fs::write(&secret, SECRET).expect("written");
    let _listener = std::os::unix::net::UnixListener::bind(host.path().join("secret.socket")).expect("bound");
    let sentinel = Sentinel::start();
    // Another task, of another allocation, with a secret of its own.
    let other = Place::script("echo ready; exec sleep 600").root();
    let other_secret = other.request.dirs.secrets.join("token");
    std::fs::write(&other_secret, SECRET).expect("written");
    let other_handle = other.start().await.expect("starts");
    other.says("ready").await;

    let told =
        |secret: &Path| json!({"secret": secret, "pid": sentinel.0.id(), "disk": disk(Path::new("/"))}).to_string();
    for user in ["root", "nobody"] {
        for secret in [&secret, &other_secret] {
            let args = ["--exact", "driver::exec::tests::hostile::from_within", "--nocapture", "--test-threads=1"];
            let mut place = Place::new(json!({"command": "/program", "args": args}));
            place.request.user = user.to_owned();
            place.request.env =
                BTreeMap::from([(VARIABLE.to_owned(), told(secret)), ("MINE".to_owned(), SECRET.to_owned())]);
            place.request.resources.memory_mb = 512;
            let program = std::env::current_exe().expect("this test");
            let bind = |source: &Path, target: &str, read_only| Mount {
                volume: String::new(),
                source: source.to_owned(),
                target: target.to_owned(),
                read_only,
                propagation: String::new(),
                selinux_label: String::new(),
            };
            let data = tempfile::tempdir().expect("a directory");
            place.request.mounts = vec![bind(&program, "/program", true), bind(data.path(), "/data", false)];
            let (said, exit) = place.run().await;
            assert!(said.contains("TRIED ") && exit.success(), "{user}: {said} {exit:?}");
            assert!(!said.contains("WORKED"), "{user}: {said}");
        }
    }
    other_handle.destroy().await;
}
