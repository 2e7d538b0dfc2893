//! The walls around the process that handles strangers' bytes.
//!
//! They are built by the process itself while it has one thread, before a connection is opened: a mount namespace, limits, a
//! user without rights, Landlock and a filter of system calls. Where one can't be had the others stand, and what is missing is
//! told: a node without Landlock (Linux 5.13) still fetches artifacts.

#![allow(
    clippy::disallowed_methods,
    reason = "the machine's own files, and mounts of a namespace of this process alone"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, path_beneath_rules,
};
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use nix::sys::resource::{Resource, setrlimit};
use seccompiler::{SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule};

use super::or_endless;
use crate::ground::{Attr, Dir};
use crate::options::{ArtifactLimits, ExtraPath};

/// Files open at the same time.
const DESCRIPTORS: u64 = 1024;
/// Memory: what unpacking may hold ([`super::unpack`]) several times over.
const MEMORY: u64 = 2 << 30;
/// Of a machine that runs out of memory this process goes before the tasks.
const OOM_SCORE: &str = "800";
/// The user where the machine knows no `nobody`.
const NOBODY: u32 = 65_534;
/// Where the scratch directory is seen in there: the first of these directories that is not needed for anything else.
const POINTS: [&str; 5] = ["/mnt", "/media", "/srv", "/home", "/opt"];

/// What names are looked up with, whose certificates are trusted, and what programs are made of.
const READABLE: [&str; 22] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/localtime",
    "/etc/ld.so.cache",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/zoneinfo",
    "/usr/lib",
    "/usr/lib64",
    "/lib",
    "/lib64",
    "/dev/urandom",
    "/dev/random",
];
/// What programs are made of, and what they look up.
const RUNNABLE: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
const LOOKED_UP: [&str; 5] =
    ["/etc/passwd", "/etc/group", "/etc/ssh/ssh_known_hosts", "/etc/alternatives", "/dev/zero"];
/// Variables that name certificates.
const CERTIFICATES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

pub(super) struct Walls<'a> {
    /// All that may be written.
    pub scratch: &'a Dir,
    pub limits: &'a ArtifactLimits,
    /// Directories of the agent.
    pub hidden: &'a [PathBuf],
    /// Programs of the machine are run: git, and ssh for it.
    pub programs: bool,
}

/// Builds them; gives what this machine lacks for them. The error is a sentence.
pub(super) fn confine(walls: &Walls<'_>) -> Result<Vec<String>, String> {
    let mut lacking = Vec::new();
    let mut lack = |what: &str, done: Result<(), String>| {
        if let Err(why) = done {
            lacking.push(format!("{what} ({why})"));
        }
    };
    let mut seen_at = None;
    if nix::unistd::geteuid().is_root() {
        let point = point(walls.limits);
        let done = namespaces(walls, point.as_deref());
        seen_at = point.filter(|_| done.is_ok());
        lack("a view of its own of the file system", done);
    }
    // By the way that programs can go too, which ask where they are.
    let entered = match seen_at {
        Some(point) => std::env::set_current_dir(point),
        None => rustix::process::fchdir(walls.scratch).map_err(Into::into),
    };
    entered.map_err(|e| format!("entering the scratch directory: {e}"))?;
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    limits(walls.limits).map_err(|e| format!("setting limits: {e}"))?;
    lack("a user without rights", user(walls.scratch));
    // After the change of user, which takes it back. SAFETY: these set flags of this process.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::prctl(libc::PR_SET_DUMPABLE, 0);
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return Err("giving up new privileges is not possible".to_owned());
        }
    }
    if !walls.limits.disable_filesystem_isolation {
        lack("Landlock, which keeps files from it", files(walls));
    }
    lack("a filter of system calls", calls(walls.programs));
    Ok(lacking)
}

fn limits(limits: &ArtifactLimits) -> nix::Result<()> {
    // A download and what becomes of it are each one file at most.
    let file = or_endless(limits.http_max_bytes).max(or_endless(limits.decompression_bytes));
    let all = [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, file),
        (Resource::RLIMIT_NOFILE, DESCRIPTORS),
        (Resource::RLIMIT_DATA, MEMORY),
        (Resource::RLIMIT_MEMLOCK, 0),
    ];
    // A file that grows too large is an error like any other, not the end of the process. SAFETY: one thread.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    for (resource, most) in all {
        let (_, hard) = nix::sys::resource::getrlimit(resource)?;
        setrlimit(resource, most.min(hard), most.min(hard))?;
    }
    Ok(())
}

/// Becomes `nobody`, who then owns the scratch directory. An agent that is not root has no more rights to give up.
fn user(scratch: &Dir) -> Result<(), String> {
    use nix::unistd::{Gid, Uid, User, setgroups, setresgid, setresuid};
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let nobody = User::from_name("nobody").ok().flatten();
    let (uid, gid) = nobody.map_or((Uid::from_raw(NOBODY), Gid::from_raw(NOBODY)), |user| (user.uid, user.gid));
    scratch.set(Attr::mode(0o700).owned(uid.as_raw(), gid.as_raw())).map_err(|e| crate::chain(&e))?;
    let changed = setgroups(&[gid]).and_then(|()| setresgid(gid, gid, gid)).and_then(|()| setresuid(uid, uid, uid));
    changed.map_err(|e| e.to_string())
}

/// A directory that the scratch directory can be seen at: nothing that is needed lies below it.
fn point(limits: &ArtifactLimits) -> Option<PathBuf> {
    let certificates = CERTIFICATES.iter().filter_map(std::env::var_os).map(PathBuf::from);
    let needed: Vec<PathBuf> = limits.extra_paths.iter().map(|extra| extra.path.clone()).chain(certificates).collect();
    let free =
        |point: &Path| point.is_dir() && !point.is_symlink() && !needed.iter().any(|path| path.starts_with(point));
    POINTS.iter().map(PathBuf::from).find(|point| free(point))
}

/// The scratch directory is seen at `point`, where any user may come; nothing of the agent's own is seen at all.
fn namespaces(walls: &Walls<'_>, point: Option<&Path>) -> Result<(), String> {
    let failed = |what: &'static str| move |error: nix::Error| format!("{what}: {error}");
    let (none, all) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
    nix::sched::unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC).map_err(failed("a mount namespace"))?;
    mount(none, "/", none, all, none).map_err(failed("keeping mounts to itself"))?;
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    if let Some(point) = point {
        let bind = MsFlags::MS_BIND;
        mount(Some(walls.scratch.path()), point, none, bind, none).map_err(failed("showing the scratch directory"))?;
        mount(none, point, none, bind | MsFlags::MS_REMOUNT | safe, none).map_err(failed("showing it safely"))?;
    }
    if walls.limits.disable_filesystem_isolation {
        return Ok(());
    }
    let extra = |dir: &Path| walls.limits.extra_paths.iter().any(|extra| extra.path.starts_with(dir));
    for dir in walls.hidden.iter().filter(|dir| dir.is_dir() && !extra(dir)) {
        let options = Some("size=4k,mode=0555");
        mount(Some("none"), dir, Some("tmpfs"), safe | MsFlags::MS_RDONLY, options).map_err(failed("an empty view"))?;
    }
    Ok(())
}

/// Landlock: the scratch directory to write, a few files to read, no other.
fn files(walls: &Walls<'_>) -> Result<(), String> {
    let status = rules(walls).map_err(|e| crate::chain(&e))?;
    match status {
        RulesetStatus::NotEnforced => Err("this kernel has none".to_owned()),
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Ok(()),
    }
}

fn rules(walls: &Walls<'_>) -> Result<RulesetStatus, RulesetError> {
    // What the kernel does not know of it is left out by the library.
    let known = ABI::V6;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let certificates = CERTIFICATES.iter().filter_map(std::env::var_os).map(PathBuf::from);
    let readable = READABLE.iter().map(PathBuf::from).chain(certificates);
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(known))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(known))?
        .create()?
        .add_rule(PathBeneath::new(walls.scratch, own()))?
        .add_rules(path_beneath_rules(readable, read))?
        .add_rules(path_beneath_rules(["/dev/null"], read | AccessFs::WriteFile))?;
    if walls.programs {
        rules = rules
            .add_rules(path_beneath_rules(RUNNABLE, read | AccessFs::Execute))?
            .add_rules(path_beneath_rules(LOOKED_UP, read))?;
    }
    for extra in &walls.limits.extra_paths {
        rules = rules.add_rules(path_beneath_rules([&extra.path], access(extra)))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// Files and directories of its own: no devices, pipes and sockets, and nothing to run.
fn own() -> BitFlags<AccessFs> {
    let odd = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeFifo | AccessFs::MakeSock;
    AccessFs::from_all(ABI::V6) & !(odd | AccessFs::Execute | AccessFs::IoctlDev)
}

fn access(extra: &ExtraPath) -> BitFlags<AccessFs> {
    let create = own() & !(AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::WriteFile | AccessFs::Truncate);
    let all = [
        (extra.read, AccessFs::ReadFile | AccessFs::ReadDir),
        (extra.write, AccessFs::WriteFile | AccessFs::Truncate),
        (extra.create, create),
        (extra.execute, AccessFs::Execute.into()),
    ];
    all.into_iter().filter(|(wanted, _)| *wanted).fold(BitFlags::empty(), |access, (_, more)| access | more)
}

/// What no download needs, and what a way out would begin with.
const DENIED: [i64; 63] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_linkat,
    libc::SYS_mknodat,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_setfsgid,
    libc::SYS_setfsuid,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_setregid,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setreuid,
    libc::SYS_settimeofday,
    libc::SYS_setuid,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];
/// The same by their older numbers.
#[cfg(target_arch = "x86_64")]
const OLDER: [i64; 6] =
    [libc::SYS_fork, libc::SYS_vfork, libc::SYS_link, libc::SYS_mknod, libc::SYS_iopl, libc::SYS_ioperm];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: [i64; 0] = [];
/// What starts programs.
#[cfg(target_arch = "x86_64")]
const PROGRAMS: [i64; 4] = [libc::SYS_execve, libc::SYS_execveat, libc::SYS_fork, libc::SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
const PROGRAMS: [i64; 2] = [libc::SYS_execve, libc::SYS_execveat];
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];
/// x86_64 has every call by a second number.
#[cfg(target_arch = "x86_64")]
const SECOND_NUMBERS: Option<i64> = Some(0x4000_0000);
#[cfg(not(target_arch = "x86_64"))]
const SECOND_NUMBERS: Option<i64> = None;

type Calls = BTreeMap<i64, Vec<SeccompRule>>;

fn calls(programs: bool) -> Result<(), String> {
    let arch = std::env::consts::ARCH.try_into().map_err(|_| "not known for this processor".to_owned())?;
    let denied = denied(programs).map_err(|e| e.to_string())?;
    // Libraries take "not there" for an answer and start their threads by the older call, whose flags can be looked at.
    let absent = twice(Calls::from([(libc::SYS_clone3, Vec::new())]));
    for (calls, errno) in [(denied, libc::EPERM), (absent, libc::ENOSYS)] {
        let action = SeccompAction::Errno(errno.unsigned_abs());
        let program = SeccompFilter::new(calls, SeccompAction::Allow, action, arch).and_then(TryInto::try_into);
        let program: seccompiler::BpfProgram = program.map_err(|e| e.to_string())?;
        seccompiler::apply_filter(&program).map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn denied(programs: bool) -> Result<Calls, seccompiler::BackendError> {
    let mut calls: Calls = DENIED.into_iter().chain(OLDER).map(|call| (call, Vec::new())).collect();
    // Sockets of the internet, and what the machine's addresses are asked with: none of this machine's own.
    let not = |family: i32| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, u64::from(family.unsigned_abs()))
    };
    let others = SeccompRule::new(vec![not(libc::AF_INET)?, not(libc::AF_INET6)?, not(libc::AF_NETLINK)?])?;
    calls.insert(libc::SYS_socket, vec![others]);
    let flags = |mask: i32, is: i32| -> Result<SeccompRule, seccompiler::BackendError> {
        let (mask, is) = (u64::from(mask.cast_unsigned()), u64::from(is.cast_unsigned()));
        SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), is)?])
    };
    let processes = match programs {
        // Threads only.
        false => vec![flags(libc::CLONE_THREAD, 0)?],
        // Any, but in no namespace of its own.
        true => {
            calls.retain(|call, _| !PROGRAMS.contains(call));
            NAMESPACES.into_iter().map(|flag| flags(flag, flag)).collect::<Result<_, _>>()?
        }
    };
    calls.insert(libc::SYS_clone, processes);
    Ok(twice(calls))
}

fn twice(calls: Calls) -> Calls {
    let second = |calls: &Calls| -> Calls {
        let Some(bit) = SECOND_NUMBERS else { return Calls::new() };
        calls.iter().map(|(call, rules)| (call | bit, rules.clone())).collect()
    };
    let more = second(&calls);
    calls.into_iter().chain(more).collect()
}
