//! Who a task is and what it may: user, groups, capabilities, and no way to get more.

use nix::unistd::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::super::User;
use super::Rights;

/// Makes the calling process, which has one thread, this user with these rights, for good.
pub(super) fn take(user: &User, rights: &Rights) -> Result<(), String> {
    bound(rights.bounding)?;
    let groups: Vec<Gid> = user.groups.iter().map(|g| Gid::from_raw(*g)).collect();
    let failed = |what: &'static str| move |e: nix::Error| format!("{what}: {e}");
    nix::unistd::setgroups(&groups).map_err(failed("setting the task's groups"))?;
    nix::unistd::setgid(Gid::from_raw(user.gid)).map_err(failed("setting the task's group"))?;
    // Another user than root loses everything with the change, unless it is told to keep it until here.
    rustix::thread::set_keep_capabilities(true).map_err(|e| format!("keeping the task's capabilities: {e}"))?;
    nix::unistd::setuid(Uid::from_raw(user.uid)).map_err(failed("setting the task's user"))?;
    let _ = rustix::thread::set_keep_capabilities(false);
    match user.uid {
        // A program of root's gets what the bounding set has left; nothing is passed on by inheritance.
        0 => set(rights.bounding, 0)?,
        _ => {
            set(rights.kept, rights.kept)?;
            for number in numbers(rights.kept) {
                // SAFETY: a property of our own process.
                unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, number, 0, 0) };
            }
        }
    }
    rustix::thread::set_no_new_privs(true).map_err(|e| format!("keeping the task from new privileges: {e}"))
}

/// The init needs nothing once the task runs.
pub(super) fn lay_down() {
    let _ = set(0, 0);
    let _ = rustix::thread::set_no_new_privs(true);
}

/// Takes everything but `kept` out of what this process and its children can ever have.
fn bound(kept: u64) -> Result<(), String> {
    for number in numbers(!kept) {
        // SAFETY: a property of our own process.
        let done = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
        match std::io::Error::last_os_error() {
            _ if done == 0 => {}
            // More than this kernel has.
            error if error.raw_os_error() == Some(libc::EINVAL) => return Ok(()),
            error => return Err(format!("taking capability {number} from the task: {error}")),
        }
    }
    Ok(())
}

fn numbers(bits: u64) -> impl Iterator<Item = u64> {
    (0..64).filter(move |n| bits & (1 << n) != 0)
}

fn set(permitted: u64, inheritable: u64) -> Result<(), String> {
    // A kernel refuses what it does not know, and what is not in the bounding set by now.
    let have = rustix::thread::capabilities(None).map_or(0, |sets| sets.permitted.bits());
    let bits = |bits: u64| CapabilitySet::from_bits_retain(bits & have);
    let sets =
        CapabilitySets { effective: bits(permitted), permitted: bits(permitted), inheritable: bits(inheritable) };
    rustix::thread::set_capabilities(None, sets).map_err(|e| format!("setting the task's capabilities: {e}"))
}
