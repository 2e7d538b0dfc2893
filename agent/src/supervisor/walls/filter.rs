//! System calls that no task behind walls makes: those that build or move walls, and those that reach the kernel itself.
//!
//! A list of what is refused, not of what is allowed: programs of any age run, and what a newer kernel adds is still held by
//! capabilities and namespaces. Each is refused with EPERM, unless a capability that the operator allowed asks for it.
//! Source of the list: what Docker's default profile leaves out, as its documentation has it. Programs of another
//! architecture (32 bits) are ended: a filter by numbers says nothing about theirs.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};

use super::Rights;

// Numbers of capabilities: linux/capability.h.
const DAC_READ_SEARCH: u64 = 2;
const SYS_MODULE: u64 = 16;
const SYS_RAWIO: u64 = 17;
const SYS_PTRACE: u64 = 19;
const SYS_PACCT: u64 = 20;
const SYS_ADMIN: u64 = 21;
const SYS_BOOT: u64 = 22;
const SYS_TIME: u64 = 25;
const SYS_TTY_CONFIG: u64 = 26;
const SYSLOG: u64 = 34;
const PERFMON: u64 = 38;
const BPF: u64 = 39;

/// What is refused, and the capabilities of which one lets it be made after all; without any, it is refused in any case.
const REFUSED: &[(&[u64], &[i64])] = &[
    (
        &[SYS_ADMIN],
        &[
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_open_tree,
            libc::SYS_move_mount,
            libc::SYS_fsopen,
            libc::SYS_fsconfig,
            libc::SYS_fsmount,
            libc::SYS_fspick,
            libc::SYS_mount_setattr,
            libc::SYS_setns,
            libc::SYS_unshare,
            libc::SYS_sethostname,
            libc::SYS_setdomainname,
            libc::SYS_swapon,
            libc::SYS_swapoff,
            libc::SYS_quotactl,
            libc::SYS_fanotify_init,
        ],
    ),
    (&[SYS_MODULE], &[libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module]),
    (&[SYS_BOOT], &[libc::SYS_reboot, libc::SYS_kexec_load, libc::SYS_kexec_file_load]),
    (&[SYS_PTRACE], &[libc::SYS_process_vm_readv, libc::SYS_process_vm_writev, libc::SYS_kcmp, libc::SYS_pidfd_getfd]),
    (&[SYS_TIME], &[libc::SYS_settimeofday, libc::SYS_clock_settime, libc::SYS_clock_adjtime]),
    (&[SYS_PACCT], &[libc::SYS_acct]),
    (&[SYS_TTY_CONFIG], &[libc::SYS_vhangup]),
    (&[DAC_READ_SEARCH], &[libc::SYS_open_by_handle_at]),
    (&[SYSLOG, SYS_ADMIN], &[libc::SYS_syslog]),
    (&[PERFMON, SYS_ADMIN], &[libc::SYS_perf_event_open]),
    (&[BPF, SYS_ADMIN], &[libc::SYS_bpf]),
    // Keys of the kernel are in no namespace; the others have been the way in too often.
    (
        &[],
        &[
            libc::SYS_add_key,
            libc::SYS_keyctl,
            libc::SYS_request_key,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_enter,
            libc::SYS_io_uring_register,
            libc::SYS_lookup_dcookie,
            libc::SYS_nfsservctl,
        ],
    ),
    #[cfg(target_arch = "x86_64")]
    (&[SYS_RAWIO], &[libc::SYS_iopl, libc::SYS_ioperm]),
    #[cfg(target_arch = "x86_64")]
    (&[], &[libc::SYS_uselib, libc::SYS_ustat, libc::SYS_sysfs, libc::SYS__sysctl]),
];

/// Flags of `clone` that make a namespace.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// `TIOCSTI` and `TIOCLINUX`: asm-generic/ioctls.h.
const TYPING: [u64; 2] = [0x5412, 0x541c];

/// Installs it in the calling process, whatever it becomes. On an architecture that the compiler of filters does not know
/// there is none: the other walls stand.
pub(super) fn install(rights: &Rights) -> Result<(), String> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(()) };
    for program in programs(rights, arch).map_err(|e| format!("making the task's filter of system calls: {e}"))? {
        let installed = seccompiler::apply_filter(&program);
        installed.map_err(|e| format!("installing the task's filter of system calls: {e}"))?;
    }
    Ok(())
}

fn programs(rights: &Rights, arch: TargetArch) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let has = |caps: &[u64]| caps.iter().any(|cap| rights.bounding & (1 << cap) != 0);
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for (_, calls) in REFUSED.iter().filter(|(unless, _)| !has(unless)) {
        refused.extend(calls.iter().map(|call| (*call, Vec::new())));
    }
    // Typing on a terminal for others.
    let typing = TYPING.map(|request| when(1, SeccompCmpOp::Eq, request));
    refused.insert(libc::SYS_ioctl, typing.into_iter().collect::<Result<_, _>>()?);
    refused.insert(libc::SYS_socket, vec![when(0, SeccompCmpOp::Eq, libc::AF_VSOCK as u64)?]);
    let mut unknown: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    if !has(&[SYS_ADMIN]) {
        let flags = NAMESPACES.map(|flag| flag.cast_unsigned().into());
        let making = flags.map(|flag: u64| when(0, SeccompCmpOp::MaskedEq(flag), flag));
        refused.insert(libc::SYS_clone, making.into_iter().collect::<Result<_, _>>()?);
        // Its flags lie in memory, where no filter looks: a program that is told that there is no such call uses `clone`.
        unknown.insert(libc::SYS_clone3, Vec::new());
    }
    let filter = |rules, errno: i32| {
        let refuse = SeccompAction::Errno(errno.cast_unsigned());
        SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()
    };
    let mut all = vec![filter(refused, libc::EPERM)?];
    if !unknown.is_empty() {
        all.push(filter(unknown, libc::ENOSYS)?);
    }
    if matches!(arch, TargetArch::x86_64) {
        all.push(no_x32());
    }
    Ok(all)
}

fn when(argument: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value)?])
}

/// The second numbering that x86_64 has (x32), by which every call above could be made under another number.
fn no_x32() -> BpfProgram {
    // Bit 30 of the number says it: arch/x86/include/uapi/asm/unistd.h. The words are those of linux/filter.h.
    let line = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    vec![
        line(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        line(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0, 1, 1 << 30),
        line(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned()),
        line(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}
