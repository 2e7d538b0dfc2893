//! The last output of tasks whose allocations were collected, for as long as the operator wants it.
//!
//! `<state_dir>/kept-logs/<allocation>/` looks like the allocation's own directory, with one file of an output in it, so that it
//! is read and searched like one; `about.json` beside it says whose it was. All of it together stays within a bound: the oldest goes.

#![allow(clippy::disallowed_methods, reason = "the agent's own directory, which no task sees")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tarpan_model::time::rfc3339;
use tarpan_model::{AllocId, Allocation, UnixNanos};

use crate::alloc_dir::LOGS;
use crate::http::log_reader::{Reader, Step};

/// Of one output: what is read last is the end of it, and why a task ended.
const OF_AN_OUTPUT: u64 = 256 << 10;
const KINDS: [&str; 2] = ["stdout", "stderr"];

/// How much is kept, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepOptions {
    /// Of all allocations together; 0: nothing is kept.
    pub bytes: u64,
    pub age: Duration,
}

impl Default for KeepOptions {
    fn default() -> KeepOptions {
        KeepOptions { bytes: 64 << 20, age: Duration::from_secs(24 * 3600) }
    }
}

/// Whose output is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    pub namespace: String,
    pub tasks: Vec<String>,
    /// Unix nanoseconds.
    collected: i64,
    bytes: u64,
}

pub struct KeptLogs {
    dir: PathBuf,
    options: KeepOptions,
    all: Mutex<BTreeMap<AllocId, Arc<About>>>,
}

impl KeptLogs {
    /// What an earlier agent kept is kept on.
    pub fn open(state_dir: &Path, options: KeepOptions) -> KeptLogs {
        let dir = state_dir.join("kept-logs");
        let one = |entry: std::fs::DirEntry| {
            let id = AllocId(uuid::Uuid::parse_str(entry.file_name().to_str()?).ok()?);
            let about =
                std::fs::read(entry.path().join("about.json")).ok().and_then(|b| serde_json::from_slice(&b).ok());
            if about.is_none() {
                // An agent died over it.
                let _ = std::fs::remove_dir_all(entry.path());
            }
            Some((id, Arc::new(about?)))
        };
        let all = std::fs::read_dir(&dir).into_iter().flatten().flatten().filter_map(one).collect();
        let kept = KeptLogs { dir, options, all: Mutex::new(all) };
        kept.trim();
        kept
    }

    pub fn find(&self, id: AllocId) -> Option<Arc<About>> {
        self.all.lock().expect("no panic while held").get(&id).cloned()
    }

    /// Where a reader of logs finds it.
    pub fn root(&self, id: AllocId) -> PathBuf {
        self.dir.join(id.to_string())
    }

    /// Copies the end of every output of an allocation, whose directory is about to go. Blocks. A disk without room keeps nothing.
    pub fn keep(&self, root: &Path, alloc: &Allocation) {
        if self.options.bytes == 0 {
            return;
        }
        if let Err(error) = self.try_keep(root, alloc) {
            tracing::warn!(alloc_id = %alloc.id, "the last output of an allocation that is collected is not kept: {error}");
            let _ = std::fs::remove_dir_all(self.root(alloc.id));
        }
        self.trim();
    }

    fn try_keep(&self, root: &Path, alloc: &Allocation) -> std::io::Result<()> {
        let to = self.root(alloc.id);
        let logs = to.join(LOGS);
        std::fs::create_dir_all(&logs)?;
        let tasks: Vec<String> =
            alloc.group().map(|g| g.tasks().iter().map(|t| t.name().to_owned()).collect()).unwrap_or_default();
        let (now, mut bytes) = (crate::wall(), 0);
        for base in tasks.iter().flat_map(|task| KINDS.map(|kind| format!("{task}.{kind}"))) {
            let end = end_of(root, &base);
            if end.is_empty() {
                continue;
            }
            let mut file = std::fs::File::create(logs.join(format!("{base}.0")))?;
            writeln!(file, "[{}]", said(now, end.len()))?;
            file.write_all(&end)?;
            bytes += end.len() as u64;
        }
        if bytes == 0 {
            return std::fs::remove_dir_all(&to);
        }
        let namespace = alloc.namespace.to_string();
        let about = About { namespace, tasks, collected: now.0, bytes };
        std::fs::write(to.join("about.json"), serde_json::to_vec(&about)?)?;
        self.all.lock().expect("no panic while held").insert(alloc.id, Arc::new(about));
        Ok(())
    }

    /// Removes what is too old, and the oldest of what is too much. Blocks.
    pub fn trim(&self) {
        let gone = {
            let mut all = self.all.lock().expect("no panic while held");
            let gone = too_much(&all, self.options, crate::wall());
            gone.iter().for_each(|id| drop(all.remove(id)));
            gone
        };
        for id in gone {
            let _ = std::fs::remove_dir_all(self.root(id));
        }
    }

    /// The servers know nothing of it any more. Blocks.
    pub fn forget(&self, id: AllocId) {
        if self.all.lock().expect("no panic while held").remove(&id).is_some() {
            let _ = std::fs::remove_dir_all(self.root(id));
        }
    }
}

/// The first line of what is kept: whoever reads it must not take it for all there was.
fn said(now: UnixNanos, bytes: usize) -> String {
    let how_much = match bytes as u64 {
        OF_AN_OUTPUT => format!("the last {} KiB of this output were kept", OF_AN_OUTPUT >> 10),
        _ => "this output was kept".to_owned(),
    };
    format!("the allocation was collected at {}; {how_much}", rfc3339(UnixNanos::from_secs(now.secs())))
}

/// At most [`OF_AN_OUTPUT`] bytes.
fn end_of(root: &Path, base: &str) -> Vec<u8> {
    let mut reader = Reader::new(root.to_owned(), base.to_owned());
    reader.seek(OF_AN_OUTPUT, true);
    let mut end = Vec::new();
    loop {
        let room = (OF_AN_OUTPUT as usize).saturating_sub(end.len());
        // The task has ended: nothing is written any more but by who escaped it.
        if room == 0 {
            return end;
        }
        match reader.read(room) {
            Step::Data { bytes, .. } => end.extend_from_slice(&bytes),
            Step::Moved => {}
            Step::End => return end,
        }
    }
}

fn too_much(all: &BTreeMap<AllocId, Arc<About>>, options: KeepOptions, now: UnixNanos) -> Vec<AllocId> {
    let mut newest: Vec<(&AllocId, &Arc<About>)> = all.iter().collect();
    newest.sort_by_key(|(_, about)| std::cmp::Reverse(about.collected));
    let mut bytes = 0_u64;
    let too_old = |about: &About| now.since(UnixNanos(about.collected)).to_std() > options.age;
    let goes = |(id, about): (&AllocId, &Arc<About>)| {
        bytes = bytes.saturating_add(about.bytes);
        (bytes > options.bytes || too_old(about)).then_some(*id)
    };
    newest.into_iter().filter_map(goes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::Dir;
    use crate::supervisor::Rotator;

    #[test]
    fn the_newest_stay_within_the_bound_and_the_age() {
        let now = UnixNanos::from_secs(100_000);
        let about = |age: i64, bytes: u64| {
            let collected = (now - tarpan_model::Dur::from_secs(age)).0;
            Arc::new(About { namespace: String::new(), tasks: Vec::new(), collected, bytes })
        };
        let id = |n: u128| AllocId(uuid::Uuid::from_u128(n));
        let all = BTreeMap::from([
            (id(1), about(10, 40)),
            (id(2), about(20, 40)),
            (id(3), about(30, 40)),
            (id(4), about(90, 1)),
        ]);
        let gone = |bytes, age| {
            let options = KeepOptions { bytes, age: Duration::from_secs(age) };
            too_much(&all, options, now).into_iter().map(|id| id.0.as_u128()).collect::<Vec<_>>()
        };
        assert!(gone(1000, 1000).is_empty());
        assert_eq!(gone(1000, 60), [4]);
        assert_eq!(gone(80, 1000), [3, 4]);
        assert_eq!(gone(0, 1000), [1, 2, 3, 4]);
    }

    #[test]
    fn the_end_of_each_output_is_kept_and_says_that_it_is_one() {
        let (state, root) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let task = crate::test_support::task("web", "raw_exec", serde_json::json!({}));
        let alloc = crate::test_support::place(&Arc::new(crate::test_support::job("j", "service", vec![task])), 0);
        let write = |kind: &str, text: &str| {
            let dir = Dir::trusted(root.path()).expect("there");
            Rotator::open(dir, &format!("web.{kind}"), 10, 100_000)
                .expect("open")
                .write(text.as_bytes())
                .expect("written");
        };
        write("stdout", &"0123456789abcde\n".repeat(40_000));
        write("stderr", "why\n");
        let kept = KeptLogs::open(state.path(), KeepOptions::default());
        kept.keep(root.path(), &alloc);
        let read = |kept: &KeptLogs, kind: &str| {
            let text = end_of(&kept.root(alloc.id), &format!("web.{kind}"));
            String::from_utf8(text).expect("text")
        };
        let err = read(&kept, "stderr");
        assert!(
            err.starts_with("[the allocation was collected at ") && err.ends_with("this output was kept]\nwhy\n"),
            "{err}"
        );
        let path = kept.root(alloc.id).join(LOGS).join("web.stdout.0");
        let out = std::fs::read_to_string(&path).expect("kept");
        let (head, rest) = out.split_once('\n').expect("a first line");
        assert!(head.ends_with("the last 256 KiB of this output were kept]"), "{head}");
        assert_eq!(rest.len() as u64, OF_AN_OUTPUT);
        // A later agent has it, until it is too old.
        let later = KeptLogs::open(state.path(), KeepOptions::default());
        assert_eq!(later.find(alloc.id).map(|about| about.tasks.clone()), Some(vec!["web".to_owned()]));
        assert!(read(&later, "stderr").contains("why"));
        KeptLogs::open(state.path(), KeepOptions { age: Duration::ZERO, ..KeepOptions::default() });
        assert!(!path.exists());
        // An operator who wants none.
        let none = KeptLogs::open(state.path(), KeepOptions { bytes: 0, ..KeepOptions::default() });
        none.keep(root.path(), &alloc);
        assert!(none.find(alloc.id).is_none() && !path.exists());
    }
}
