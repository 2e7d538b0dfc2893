//! Ends everything in a session of processes: a command that somebody ran in a task, with its children and jobs.

#![allow(clippy::disallowed_methods, reason = "files of the kernel below /proc")]

use std::time::{Duration, Instant};

use crate::proc_stat::Stat;

/// How long a session has to end by itself after it was hung up on.
const GRACE: Duration = Duration::from_secs(2);

/// Processes whose session is `sid`; zombies are none.
pub(in crate::driver) fn members(sid: i32) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| session(*pid) == Some(sid)).collect()
}

/// The session of a living process. Source: field 6 of `/proc/PID/stat`.
pub(in crate::driver) fn session(pid: i32) -> Option<i32> {
    Stat::of(u32::try_from(pid).ok()?).filter(|stat| !stat.ended())?.number(6)
}

fn signal(sid: i32, signal: i32) {
    for pid in members(sid) {
        // SAFETY: seen in the session a moment ago.
        unsafe { libc::kill(pid, signal) };
    }
}

/// Hangs up, and kills what is left after a moment.
pub(in crate::driver) async fn end(sid: i32) {
    signal(sid, libc::SIGHUP);
    signal(sid, libc::SIGCONT);
    let begun = Instant::now();
    while !members(sid).is_empty() {
        if begun.elapsed() > GRACE {
            signal(sid, libc::SIGKILL);
        }
        if begun.elapsed() > GRACE * 5 {
            tracing::warn!(session = sid, "processes of a command can't be ended");
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
