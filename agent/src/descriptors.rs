//! The limit of file descriptors: raised for the agent, as it was for its tasks.
//!
//! A machine's default (1,024) is soon used up by connections, log pipes and files of tasks. Programs that use `select`, though,
//! break above it, and expect the default: so tasks get back what the agent was started with.

use std::os::unix::process::CommandExt;
use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The soft limit that the process was started with.
static ORIGINAL: OnceLock<u64> = OnceLock::new();

/// More is not asked for, whatever the hard limit: some libraries walk through all numbers up to it.
const ENOUGH: u64 = 1 << 20;

/// What [`raise`] found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raised {
    pub from: u64,
    pub to: u64,
}

/// Raises the soft limit to the hard one, or to a million. Call it once, before much is opened.
pub fn raise() -> Raised {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let from = *ORIGINAL.get_or_init(|| soft);
    let wanted = hard.min(ENOUGH);
    let raised = soft < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok();
    Raised { from, to: if raised { wanted } else { soft } }
}

/// What tasks get: the limit before [`raise`]; `None` when it was not called.
pub(crate) fn original() -> Option<u64> {
    ORIGINAL.get().copied()
}

/// Sets the soft limit of the calling process, at most to the hard one.
pub(crate) fn set_soft(soft: u64) -> std::io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard)?)
}

/// `command` starts with the limit as it was.
pub(crate) fn give_back(command: &mut std::process::Command) {
    if let Some(soft) = original() {
        // SAFETY: two system calls, which a forked child may make.
        unsafe { command.pre_exec(move || set_soft(soft)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_get_back_what_the_agent_was_started_with() {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "ulimit -n"]);
        let less = soft.min(hard).min(300);
        // SAFETY: as above.
        unsafe { command.pre_exec(move || set_soft(less)) };
        let output = command.output().expect("runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), less.to_string());
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).expect("a limit").0, soft, "ours stays");
    }
}
