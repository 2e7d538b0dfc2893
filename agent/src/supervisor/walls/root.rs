//! The root that a task has: its own directory, and over it what of the node it may see.
//!
//! The system's directories are bound to be read only: a task that could write there would need a copy of them or an overlay, and
//! what an overlay shows when the node's packages change underneath is not defined. All that can be written is without device
//! files, and none is set-user-id: `/dev` is read-only once it is filled. Every mount point is found below the task's directory
//! without links, because that directory is what a task leaves behind for its next start.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::mount::{MntFlags, MsFlags};
use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::{MoveMountFlags, OpenTreeFlags};

use super::{Bind, DeviceFile, Propagation, Walls};
use crate::ground::{Attr, Dir};

/// Of the kernel's own files: those that tell of the node's hardware and memory, and those that change the node.
/// Source: what container engines hide (the OCI runtime's customary lists).
const HIDDEN: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The devices that every program may count on, by their numbers: Documentation/admin-guide/devices.txt.
const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];
/// Of `/dev/shm`, as container engines have it.
const SHM: &str = "mode=1777,size=64m";

const NONE: Option<&str> = None;
const QUIET: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

/// Builds the root in this process's mount namespace and goes into it; nothing leads back to the node's.
pub(super) fn enter(walls: &Walls, run_dir: &Path) -> Result<(), String> {
    let shared = shared(&walls.mounts)?;
    // What the node mounts may still come in where it is asked for; nothing goes out.
    mount(None, Path::new("/"), NONE, MsFlags::MS_REC | MsFlags::MS_SLAVE, NONE)?;
    let root = Root::of(walls)?;
    for (source, target) in &walls.chroot {
        root.system(source, target)?;
    }
    root.kernel(walls)?;
    root.bind(&walls.alloc.join("alloc"), Path::new("alloc"), Attach::Write)?;
    root.hide_private()?;
    for (bind, tree) in walls.mounts.iter().zip(shared) {
        root.volume(bind, tree)?;
    }
    root.turn(walls, run_dir)?;
    for path in HIDDEN {
        hide(Path::new(path))?;
    }
    for path in READ_ONLY.map(Path::new).into_iter().filter(|path| path.exists()) {
        mount(Some(path), path, NONE, MsFlags::MS_BIND, NONE)?;
        mount(None, path, NONE, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | QUIET, NONE)?;
    }
    Ok(())
}

/// Copies of the mounts that are to stay one with the node's, taken while they still are.
fn shared(mounts: &[Bind]) -> Result<Vec<Option<OwnedFd>>, String> {
    let one = |bind: &Bind| {
        if bind.propagation != Propagation::Bidirectional {
            return Ok(None);
        }
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        let tree = rustix::mount::open_tree(CWD, &bind.source, flags);
        tree.map(Some).map_err(|e| format!("mounting {} in both directions: {e}", bind.source.display()))
    };
    mounts.iter().map(one).collect()
}

fn mount(
    source: Option<&Path>,
    target: &Path,
    kind: Option<&str>,
    flags: MsFlags,
    data: Option<&str>,
) -> Result<(), String> {
    let what = || source.map_or_else(|| kind.unwrap_or("nothing").to_owned(), |s| s.display().to_string());
    nix::mount::mount(source, target, kind, flags, data)
        .map_err(|e| format!("mounting {} at {}: {e}", what(), target.display()))
}

/// The kernel's name for an open handle: the way to mount on exactly it.
fn by_handle(fd: impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Attach {
    Read,
    Write,
}

struct Root {
    dir: Dir,
}

impl Root {
    /// The task's directory as a mount of its own, with what is mounted in it: its secrets.
    fn of(walls: &Walls) -> Result<Root, String> {
        let open = || Dir::trusted(&walls.alloc).and_then(|alloc| alloc.dir(Path::new(&walls.task)));
        let failed = |e| crate::chain(&e);
        let plain = open().map_err(failed)?;
        let own = by_handle(plain.as_fd().as_raw_fd());
        mount(Some(&own), &own, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)?;
        // What was mounted stands over what was opened before.
        let dir = open().map_err(failed)?;
        mount(None, &by_handle(dir.as_fd().as_raw_fd()), NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
        let root = Root { dir };
        root.restrict(Path::new(""), Attach::Write, false)?;
        Ok(root)
    }

    fn failed(&self) -> impl Fn(crate::ground::Error) -> String {
        |e| crate::chain(&e)
    }

    fn point(&self, target: &Path) -> Result<Dir, String> {
        self.dir.make_dirs(target, Attr::mode(0o755)).map_err(self.failed())
    }

    /// A directory of the node for reading. A link stands for what it leads to: `/bin` is one on most nodes.
    fn system(&self, source: &Path, target: &Path) -> Result<(), String> {
        match source.canonicalize() {
            Ok(real) => self.bind(&real, target, Attach::Read),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(format!("looking at {}, which chroot_env names: {error}", source.display())),
        }
    }

    /// Binds a directory or a file of the node.
    fn bind(&self, source: &Path, target: &Path, attach: Attach) -> Result<(), String> {
        let is_dir = source.metadata().map_err(|e| format!("looking at {}: {e}", source.display()))?.is_dir();
        let recursive = if has_setattr() { MsFlags::MS_REC } else { MsFlags::empty() };
        if is_dir {
            let point = self.point(target)?;
            mount(Some(source), &by_handle(point.as_fd().as_raw_fd()), NONE, MsFlags::MS_BIND | recursive, NONE)?;
        } else {
            self.file_point(target)?;
            let point = self.dir.find_plain(target).map_err(self.failed())?;
            mount(Some(source), &by_handle(point.as_raw_fd()), NONE, MsFlags::MS_BIND, NONE)?;
        }
        self.restrict(target, attach, true)
    }

    /// An empty file, where there is none yet.
    fn file_point(&self, target: &Path) -> Result<(), String> {
        self.point(target.parent().unwrap_or(Path::new("")))?;
        match self.dir.create_new(target, 0o644) {
            Err(crate::ground::Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {
                Ok(())
            }
            done => done.map(drop).map_err(self.failed()),
        }
    }

    /// What is mounted at `target` has no device files and no set-user-id programs, and is read-only if asked for; with `all`
    /// also everything mounted below it, which takes no part in what becomes of the node's mounts.
    fn restrict(&self, target: &Path, attach: Attach, all: bool) -> Result<(), String> {
        let mounted = self.dir.find_plain(target).map_err(self.failed())?;
        let shown = || format!("setting what may be done in {}", target.display());
        if has_setattr() {
            let set = set_attributes(mounted.as_raw_fd(), attach == Attach::Read, all);
            return set.map_err(|e| format!("{}: {e}", shown()));
        }
        // An older kernel changes one mount at a time. There was no more than one to bind.
        let path = by_handle(mounted.as_raw_fd());
        let kept = nix::sys::statvfs::statvfs(&path).map_err(|e| format!("{}: {e}", shown()))?.flags();
        let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
        flags.set(MsFlags::MS_NOEXEC, kept.contains(nix::sys::statvfs::FsFlags::ST_NOEXEC));
        flags.set(MsFlags::MS_RDONLY, attach == Attach::Read || kept.contains(nix::sys::statvfs::FsFlags::ST_RDONLY));
        mount(None, &path, NONE, flags, NONE)?;
        if all { mount(None, &path, NONE, MsFlags::MS_PRIVATE, NONE) } else { Ok(()) }
    }

    fn fresh(&self, kind: &str, target: &str, flags: MsFlags, data: &str) -> Result<(), String> {
        let point = self.point(Path::new(target))?;
        mount(Some(Path::new(kind)), &by_handle(point.as_fd().as_raw_fd()), Some(kind), flags, Some(data))
    }

    /// `/proc`, `/sys` and `/dev`, as they are for this task.
    fn kernel(&self, walls: &Walls) -> Result<(), String> {
        self.fresh("proc", "proc", QUIET, "")?;
        self.fresh("sysfs", "sys", QUIET | MsFlags::MS_RDONLY, "")?;
        let loose = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        self.fresh("tmpfs", "dev", loose, "mode=755,size=64k")?;
        let dev = self.dir.dir(Path::new("dev")).map_err(self.failed())?;
        for (name, major, minor) in DEVICES {
            let number = rustix::fs::makedev(major, minor);
            let made = rustix::fs::mknodat(&dev, name, FileType::CharacterDevice, Mode::from_raw_mode(0o666), number);
            made.map_err(|e| format!("making the device {name} of the task: {e}"))?;
        }
        for (name, target) in LINKS {
            dev.symlink(Path::new(name), Path::new(target)).map_err(self.failed())?;
        }
        self.fresh("devpts", "dev/pts", loose, "newinstance,ptmxmode=0666,mode=0620,gid=5")?;
        for device in &walls.devices {
            self.device(&dev, device)?;
        }
        match walls.host_ipc {
            true => self.bind(Path::new("/dev/shm"), Path::new("dev/shm"), Attach::Write)?,
            false => self.fresh("tmpfs", "dev/shm", QUIET, SHM)?,
        }
        self.fresh("mqueue", "dev/mqueue", QUIET, "")?;
        let mounted = self.dir.dir(Path::new("dev")).map_err(self.failed())?;
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | loose;
        mount(None, &by_handle(mounted.as_fd().as_raw_fd()), NONE, flags, NONE)
    }

    /// A device file as the node has it. Whoever the task is: that it may use the device, the servers have decided.
    fn device(&self, dev: &Dir, device: &DeviceFile) -> Result<(), String> {
        let failed = |why: String| format!("giving the task {}: {why}", device.source.display());
        let meta = device.source.metadata().map_err(|e| failed(e.to_string()))?;
        let kind = match FileType::from_raw_mode(meta.mode()) {
            kind @ (FileType::CharacterDevice | FileType::BlockDevice) => kind,
            _ => return Err(failed("it is no device".to_owned())),
        };
        let target =
            device.target.strip_prefix("/dev").map_err(|_| failed("it is to be outside of /dev".to_owned()))?;
        let above = dev.make_dirs(target.parent().unwrap_or(Path::new("")), Attr::mode(0o755));
        let above = above.map_err(|e| failed(crate::chain(&e)))?;
        let name = target.file_name().ok_or_else(|| failed("it has no name there".to_owned()))?;
        let mode = Mode::from_raw_mode(if device.writable { 0o666 } else { 0o444 });
        rustix::fs::mknodat(&above, name, kind, mode, meta.rdev()).map_err(|e| failed(e.to_string()))
    }

    /// What the agent keeps of the task beside it is not for the task.
    fn hide_private(&self) -> Result<(), String> {
        self.fresh("tmpfs", "private", QUIET | MsFlags::MS_RDONLY, "mode=555,size=4k")
    }

    fn volume(&self, bind: &Bind, tree: Option<OwnedFd>) -> Result<(), String> {
        let target = relative(&bind.target)?;
        let attach = if bind.read_only { Attach::Read } else { Attach::Write };
        match (bind.propagation, tree) {
            (Propagation::Bidirectional, Some(tree)) => {
                let point = self.point(&target)?;
                let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
                let moved = rustix::mount::move_mount(&tree, "", &point, "", flags);
                moved.map_err(|e| format!("mounting {} at {}: {e}", bind.source.display(), target.display()))?;
                self.restrict(&target, attach, false)
            }
            (Propagation::HostToTask, _) => {
                let point = self.point(&target)?;
                let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
                mount(Some(&bind.source), &by_handle(point.as_fd().as_raw_fd()), NONE, flags, NONE)?;
                self.restrict(&target, attach, false)
            }
            _ => self.bind(&bind.source, &target, attach),
        }
        .map_err(|text| format!("the volume at {}: {text}", bind.target.display()))
    }

    /// Makes it the root of this process and lets go of the old one.
    fn turn(&self, walls: &Walls, run_dir: &Path) -> Result<(), String> {
        let names = [("resolv.conf", &walls.resolv_conf), ("hosts", &walls.hosts)];
        let given = names.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?)));
        let files =
            given.map(|(name, text)| Ok((name, file_of(run_dir, name, text)?))).collect::<Result<Vec<_>, String>>()?;
        let failed = |e: nix::Error| format!("going into the task's root: {e}");
        nix::unistd::fchdir(self.dir.as_fd().as_raw_fd()).map_err(failed)?;
        if walls.no_pivot_root {
            mount(Some(Path::new(".")), Path::new("/"), NONE, MsFlags::MS_MOVE, NONE)?;
            nix::unistd::chroot(".").map_err(failed)?;
        } else {
            // The old root then lies over the new one, where "." is: no place of its own is needed for it.
            nix::unistd::pivot_root(".", ".").map_err(failed)?;
        }
        for (name, file) in files {
            let target = Path::new("/etc").join(name);
            // A root without the node's `/etc` has no place for it.
            if name == "resolv.conf" || target.exists() {
                mount(Some(&by_handle(file.as_raw_fd())), &target, NONE, MsFlags::MS_BIND, NONE)?;
            }
        }
        if !walls.no_pivot_root {
            nix::mount::umount2(".", MntFlags::MNT_DETACH).map_err(failed)?;
        }
        nix::unistd::chdir("/").map_err(failed)
    }
}

/// A file in the run's directory with this text, opened.
fn file_of(run_dir: &Path, name: &str, text: &str) -> Result<File, String> {
    let path = run_dir.join(name);
    std::fs::write(&path, text).map_err(|e| format!("writing {}: {e}", path.display()))?;
    File::open(&path).map_err(|e| format!("opening {}: {e}", path.display()))
}

/// A path of the task, from its root on.
fn relative(path: &Path) -> Result<PathBuf, String> {
    let plain = |c: &Component<'_>| matches!(c, Component::RootDir | Component::CurDir | Component::Normal(_));
    match path.components().all(|c| plain(&c)) && path.components().any(|c| matches!(c, Component::Normal(_))) {
        true => Ok(path.components().filter(|c| matches!(c, Component::Normal(_))).collect()),
        false => Err(format!("the volume at {}: it must be a path below the task's root", path.display())),
    }
}

/// Nothing is to be seen there. What this kernel does not have needs no hiding.
fn hide(path: &Path) -> Result<(), String> {
    match path.metadata() {
        Ok(meta) if meta.is_dir() => {
            mount(Some(Path::new("tmpfs")), path, Some("tmpfs"), QUIET | MsFlags::MS_RDONLY, Some("size=4k"))
        }
        Ok(_) => mount(Some(Path::new("/dev/null")), path, NONE, MsFlags::MS_BIND, NONE),
        Err(_) => Ok(()),
    }
}

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

const RDONLY: u64 = 1;
const NOSUID: u64 = 2;
const NODEV: u64 = 4;

fn setattr(fd: i32, flags: i32, attributes: &Attributes) -> std::io::Result<()> {
    // SAFETY: an open descriptor, an empty path, and a structure of the size that is said.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd,
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            std::ptr::from_ref(attributes),
            size_of::<Attributes>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Linux 5.12: what may be done in a whole tree of mounts is set at once.
fn has_setattr() -> bool {
    let nothing = Attributes { set: 0, clear: 0, propagation: 0, userns: 0 };
    setattr(-1, 0, &nothing).is_err_and(|e| e.raw_os_error() != Some(libc::ENOSYS))
}

fn set_attributes(fd: i32, read_only: bool, all: bool) -> std::io::Result<()> {
    let set = NOSUID | NODEV | if read_only { RDONLY } else { 0 };
    let propagation = if all { libc::MS_PRIVATE } else { 0 };
    let attributes = Attributes { set, clear: 0, propagation, userns: 0 };
    setattr(fd, if all { libc::AT_RECURSIVE } else { 0 }, &attributes)
}
