//! File descriptors of this process: how many are open, and what is said when they run out.

use nix::sys::resource::{Resource, getrlimit};

/// From this part of the limit on (in tenths) it is said.
const NEARLY: u64 = 9;

/// How many are open, and how many may be. `None`: the system does not tell.
pub fn used() -> Option<(u64, u64)> {
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    match std::fs::read_dir("/proc/self/fd") {
        Ok(entries) => Some((entries.count() as u64, limit)),
        // Not one more can be opened: that is an answer too.
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EMFILE as i32) => Some((limit, limit)),
        Err(_) => None,
    }
}

/// A sentence when they run out.
pub fn trouble() -> Option<String> {
    used().and_then(|(used, limit)| judge(used, limit))
}

fn judge(used: u64, limit: u64) -> Option<String> {
    (used >= limit / 10 * NEARLY).then(|| {
        format!("{used} of {limit} file descriptors are open: new connections and tasks may fail; raise the limit (LimitNOFILE, ulimit -n)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_before_they_are_gone() {
        assert_eq!(judge(500, 1024), None);
        assert!(judge(1000, 1024).is_some_and(|text| text.contains("1000 of 1024")));
        assert!(judge(1024, 1024).is_some());
    }

    #[test]
    fn open_ones_are_counted() {
        let (before, limit) = used().expect("on Linux");
        let files: Vec<_> = (0..40).map(|_| std::fs::File::open("/dev/null").expect("opens")).collect();
        let (after, _) = used().expect("on Linux");
        assert!(after >= before + 20 && limit > after, "{before} {after} {limit}"); // other tests close some meanwhile
        drop(files);
    }
}
