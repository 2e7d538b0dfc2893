//! What an agent remembers over its own death: allocations, the states of their tasks, handles on what runs.
//!
//! In sled below the state directory; nothing in dev mode. Values are MessagePack with names, so that fields may be added.
//! Written before a task starts, and flushed for many writers at once.

#![allow(clippy::disallowed_methods, reason = "the agent's own data_dir")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tarpan_model::alloc::TaskStates;
use tarpan_model::{AllocId, Allocation, Job};

use crate::driver::{Exit, Mark};
use crate::runner::Birth;

/// An allocation as it was when last written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    pub alloc: Allocation,
    #[serde(default)]
    pub states: TaskStates,
    #[serde(default)]
    pub healthy: Option<bool>,
    /// Handles of running tasks, as their drivers saved them.
    #[serde(default)]
    pub handles: BTreeMap<String, TaskRecord>,
    #[serde(default)]
    pub born: Option<Birth>,
    /// What was set up for the allocation, or is about to be.
    #[serde(default)]
    pub made: Vec<Made>,
}

/// One hook of a set-up, and how far it has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Made {
    pub hook: String,
    pub stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Stage {
    /// On disk before anything of it is made: after a crash all of it may be there, or a part, or nothing.
    Planned,
    Begun,
    /// With what the hook wants to know when it goes on.
    Partly(Value),
    /// With what the hook wants to know of it later.
    Made(Value),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    pub driver: String,
    pub handle: Value,
    /// The task has once been set up: artifacts and payload are there, and are not fetched again.
    #[serde(default)]
    pub prepared: bool,
    /// What was set up for the task, or is about to be.
    #[serde(default)]
    pub made: Vec<Made>,
    /// The start that is under way or that runs. On disk before anything of it happens: a mark without a handle is a start
    /// of which nobody knows yet what came of it.
    #[serde(default)]
    pub mark: Option<Mark>,
    /// How this start ended. On disk before its traces are removed: without it an ended task would run once more.
    #[serde(default)]
    pub exit: Option<Exit>,
    /// It was found running while the store knew nothing of it.
    #[serde(skip)]
    pub adopted: bool,
}

impl TaskRecord {
    /// This start is over, and what became of it is in the task's state.
    pub fn forget_run(&mut self) {
        let (prepared, made) = (self.prepared, std::mem::take(&mut self.made));
        *self = TaskRecord { prepared, made, ..TaskRecord::default() };
    }
}

/// The ids of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub id: uuid::Uuid,
    pub secret: uuid::Uuid,
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another agent has {0} open")]
    Locked(PathBuf),
    #[error("{path} is damaged ({damage}), and it can't be renamed")]
    Rename {
        path: PathBuf,
        damage: String,
        #[source]
        source: std::io::Error,
    },
    #[error("opening a new store in {path}: {damage}")]
    New { path: PathBuf, damage: String },
}

/// The store of one agent.
#[derive(Clone)]
pub struct Store(Option<Arc<Trees>>);

struct Trees {
    db: sled::Db,
    allocs: sled::Tree,
    jobs: sled::Tree,
    node: sled::Tree,
    flushes: Flushes,
}

/// Flushes go one after the other, on a thread that is not sled's: sled's own asynchronous flush waits on one of the few
/// threads that are to write what it waits for, and when as many wait as there are threads, nothing is written ever again.
#[derive(Default)]
struct Flushes {
    /// How often somebody asked.
    asked: AtomicU64,
    /// Up to which asking everything is on disk.
    done: tokio::sync::Mutex<u64>,
}

impl Flushes {
    /// One flush serves all who asked before it began.
    async fn wait(&self, trees: &Arc<Trees>) -> Result<(), sled::Error> {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut done = self.done.lock().await;
        if *done >= mine {
            return Ok(());
        }
        let (upto, trees) = (self.asked.load(Ordering::SeqCst), trees.clone());
        let flushed = tokio::task::spawn_blocking(move || trees.db.flush()).await;
        flushed.unwrap_or_else(|_| Err(sled::Error::ReportableBug("flushing panicked".to_owned())))?;
        *done = upto;
        Ok(())
    }
}

/// Key of a record that can't be read, and why.
type Damaged = (Vec<u8>, String);

/// A store as it was found.
pub struct Opened {
    pub store: Store,
    pub records: Vec<Record>,
    /// What was wrong with it and what was done, a sentence each. Empty: nothing was.
    pub damage: Vec<String>,
}

impl Store {
    /// Keeps nothing.
    pub fn none() -> Store {
        Store(None)
    }

    /// Opens the store and reads what is in it. A store that can't be read is set aside under another name and a new one is
    /// begun with whatever of it was readable; so is a single record.
    pub fn open(dir: &Path) -> Result<Opened, OpenError> {
        let damage = match guarded(|| Store::try_open(dir)) {
            Ok(store) => match guarded(|| store.read_all()) {
                Ok((records, damage)) => {
                    let damage = damage.into_iter().map(|one| store.set_record_aside(dir, one)).collect();
                    return Ok(Opened { store, records, damage });
                }
                Err(error) => error,
            },
            Err(sled::Error::Io(error)) if error.kind() == std::io::ErrorKind::Other && locked(&error) => {
                return Err(OpenError::Locked(dir.to_owned()));
            }
            Err(error) => error,
        };
        let damage = damage.to_string();
        let aside = aside(dir);
        std::fs::rename(dir, &aside).map_err(|source| OpenError::Rename {
            path: dir.to_owned(),
            damage: damage.clone(),
            source,
        })?;
        let new = |error: sled::Error| OpenError::New { path: dir.to_owned(), damage: error.to_string() };
        let store = guarded(|| Store::try_open(dir)).map_err(new)?;
        let sentence = format!(
            "the state of this agent in {} is damaged ({damage}) and was renamed to {}: what runs is found by looking at the machine",
            dir.display(),
            aside.display()
        );
        Ok(Opened { store, records: Vec::new(), damage: vec![sentence] })
    }

    fn try_open(dir: &Path) -> Result<Store, sled::Error> {
        // The agent keeps everything it works with in memory anyway: a small cache is enough.
        let db = sled::Config::new().path(dir).cache_capacity(4 << 20).flush_every_ms(Some(200)).open()?;
        let (allocs, jobs, node) = (db.open_tree("allocs")?, db.open_tree("jobs")?, db.open_tree("node")?);
        Ok(Store(Some(Arc::new(Trees { db, allocs, jobs, node, flushes: Flushes::default() }))))
    }

    /// Takes a record that can't be read out of the store, into a file of its own.
    fn set_record_aside(&self, dir: &Path, (key, why): Damaged) -> String {
        let name = uuid::Uuid::from_slice(&key).map_or_else(|_| "record".to_owned(), |id| id.to_string());
        let file = aside(&dir.with_file_name(&name));
        let trees = self.0.as_ref().expect("an opened store");
        let value = trees.allocs.remove(&key).ok().flatten().unwrap_or_default();
        let kept = match std::fs::write(&file, &value) {
            Ok(()) => format!("was put into {}", file.display()),
            Err(error) => format!("was removed ({} can't be written: {error})", file.display()),
        };
        format!(
            "the stored state of allocation {name} can't be read ({why}) and {kept}: what runs of it is found by looking at the machine"
        )
    }

    /// Writes a record; `durable`: it is on disk when this returns.
    pub async fn put(&self, record: &Record, durable: bool) {
        self.write(record);
        if durable {
            self.flush().await;
        }
    }

    /// Writes a record: later writes come after it, and it is on disk after the next [`Store::flush`].
    pub fn write(&self, record: &Record) {
        let Some(trees) = &self.0 else { return };
        let bytes = tarpan_rpc::pack(record);
        let (id, job_key) = (record.alloc.id, job_key(&record.alloc));
        let job = record.alloc.job.clone();
        let written = (|| {
            if !trees.jobs.contains_key(&job_key)? {
                trees.jobs.insert(&job_key, tarpan_rpc::pack(&*job))?;
            }
            trees.allocs.insert(id.0.as_bytes(), bytes).map(drop)
        })();
        if let Err(error) = written {
            tracing::error!(alloc_id = %id, "writing the state of an allocation: {error}");
        }
    }

    pub fn remove(&self, id: AllocId) {
        if let Some(trees) = &self.0 {
            let _ = trees.allocs.remove(id.0.as_bytes());
        }
    }

    /// Everything there is, with jobs linked; and the keys of what can't be read, with the reasons.
    fn read_all(&self) -> Result<(Vec<Record>, Vec<Damaged>), sled::Error> {
        let Some(trees) = &self.0 else { return Ok(Default::default()) };
        let mut jobs: BTreeMap<Vec<u8>, Arc<Job>> = BTreeMap::new();
        let (mut records, mut damaged) = (Vec::new(), Vec::new());
        for entry in trees.allocs.iter() {
            let (key, value) = entry?;
            match trees.read(&value, &mut jobs)? {
                Ok(record) => records.push(record),
                Err(why) => damaged.push((key.to_vec(), why)),
            }
        }
        for key in trees.jobs.iter().keys() {
            let key = key?;
            if !jobs.contains_key(&key.to_vec()) {
                trees.jobs.remove(key)?;
            }
        }
        for entry in trees.node.iter() {
            entry?;
        }
        Ok((records, damaged))
    }

    /// The node's ids as they were last time; what is in their files comes first.
    pub fn identity(&self) -> Option<Identity> {
        self.kept("identity")
    }

    pub fn put_identity(&self, identity: Identity) {
        self.keep("identity", &identity);
    }

    /// Node metadata that was set through the API; `None` values take a key away.
    pub fn node_meta(&self) -> BTreeMap<String, Option<String>> {
        self.kept("meta").unwrap_or_default()
    }

    pub fn put_node_meta(&self, meta: &BTreeMap<String, Option<String>>) {
        self.keep("meta", meta);
    }

    /// Something of the node itself. What can't be read counts as not there.
    pub(crate) fn kept<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let bytes = self.0.as_ref().and_then(|t| t.node.get(key).ok().flatten());
        bytes.and_then(|b| tarpan_rpc::unpack(&b).ok())
    }

    pub(crate) fn keep<T: Serialize>(&self, key: &str, value: &T) {
        if let Some(trees) = &self.0 {
            let _ = trees.node.insert(key, tarpan_rpc::pack(value));
        }
    }

    pub async fn flush(&self) {
        if let Some(trees) = &self.0
            && let Err(error) = trees.flushes.wait(trees).await
        {
            tracing::error!("writing the agent's state to disk: {error}");
        }
    }
}

impl Trees {
    /// A record with its job; the inner error is about this record alone.
    fn read(
        &self,
        value: &[u8],
        jobs: &mut BTreeMap<Vec<u8>, Arc<Job>>,
    ) -> Result<Result<Record, String>, sled::Error> {
        let mut record: Record = match tarpan_rpc::unpack(value) {
            Ok(record) => record,
            Err(error) => return Ok(Err(crate::chain(&error))),
        };
        let key = job_key(&record.alloc);
        let job = match jobs.get(&key) {
            Some(job) => job.clone(),
            None => match self.jobs.get(&key)?.map(|bytes| tarpan_rpc::unpack::<Job>(&bytes)) {
                Some(Ok(job)) => Arc::new(job),
                Some(Err(error)) => return Ok(Err(format!("its job: {}", crate::chain(&error)))),
                None => return Ok(Err("its job is missing".to_owned())),
            },
        };
        jobs.insert(key, job.clone());
        record.alloc.job = job;
        Ok(Ok(record))
    }
}

/// A damaged file can make the store panic as well as err; both are damage here.
fn guarded<T>(f: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, sled::Error> {
    let panicked = |_| sled::Error::ReportableBug("reading it panicked".to_owned());
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).map_err(panicked)?
}

/// The store tells a lock that somebody holds by its text alone.
fn locked(error: &std::io::Error) -> bool {
    let text = error.to_string();
    text.contains("lock") || text.contains("WouldBlock")
}

/// A name beside `path` that says what lies there and since when; never one that is taken.
pub(crate) fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let secs = crate::wall().secs();
    let names = (0..).map(|n| match n {
        0 => format!("{name}.damaged-{secs}"),
        n => format!("{name}.damaged-{secs}-{n}"),
    });
    names.map(|name| path.with_file_name(name)).find(|path| !path.exists()).expect("some number is free")
}

fn job_key(alloc: &Allocation) -> Vec<u8> {
    let mut key = format!("{}\0{}\0{}\0", alloc.namespace, alloc.job_id, alloc.job_create_index).into_bytes();
    key.extend(alloc.job_version.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str) -> Record {
        let handles = BTreeMap::from([(name.to_owned(), TaskRecord { prepared: true, ..TaskRecord::default() })]);
        let alloc = crate::test_support::alloc(name);
        Record { alloc, states: TaskStates::default(), healthy: Some(true), handles, born: None, made: Vec::new() }
    }

    /// Opens a store that was just closed: its library's threads let go of it a moment later.
    async fn open(dir: &Path) -> Result<Opened, OpenError> {
        let begun = std::time::Instant::now();
        loop {
            match Store::open(dir) {
                Err(OpenError::Locked(_)) if begun.elapsed() < std::time::Duration::from_secs(60) => {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                opened => return opened,
            }
        }
    }

    /// A store with one record, closed again.
    async fn written(dir: &Path) -> Record {
        let store = Store::open(dir).expect("opens").store;
        let record = record("web");
        store.put(&record, true).await;
        store.put_node_meta(&BTreeMap::from([("rack".to_owned(), Some("r1".to_owned()))]));
        store.flush().await;
        record
    }

    #[tokio::test]
    async fn what_was_written_is_there_after_the_next_start() {
        let dir = tempfile::tempdir().expect("a directory");
        let alloc = written(dir.path()).await.alloc;
        let Opened { store, records, damage } = open(dir.path()).await.expect("opens again");
        assert!(damage.is_empty(), "{damage:?}");
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].alloc, alloc);
        assert_eq!(records[0].alloc.job, alloc.job);
        assert!(records[0].handles["web"].prepared);
        assert_eq!(store.node_meta()["rack"].as_deref(), Some("r1"));
        store.remove(alloc.id);
        assert!(store.read_all().expect("readable").0.is_empty());
    }

    /// As when an agent comes back to a machine full of tasks.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn any_number_may_wait_for_the_disk_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("opens").store;
        let put = |n| {
            let (store, mut record) = (store.clone(), record("web"));
            record.alloc.id = AllocId(uuid::Uuid::from_u128(n));
            tokio::spawn(async move { store.put(&record, true).await })
        };
        for round in 0..5 {
            let all = futures::future::join_all((0..300).map(|n| put(round * 300 + n)));
            let done = tokio::time::timeout(std::time::Duration::from_secs(60), all).await;
            assert!(done.is_ok(), "round {round}: some wait for ever");
        }
        // What is told to be on disk is there whatever becomes of this process.
        let copy = tempfile::tempdir().expect("a directory");
        for entry in std::fs::read_dir(dir.path()).expect("there").flatten().filter(|e| e.path().is_file()) {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copied");
        }
        assert_eq!(Store::open(copy.path()).expect("opens").records.len(), 1500);
    }

    #[tokio::test]
    async fn a_record_that_is_not_readable_is_set_aside_alone() {
        let root = tempfile::tempdir().expect("a directory");
        let dir = root.path().join("state");
        let good = written(&dir).await;
        let bad = uuid::Uuid::from_u128(7);
        {
            let store = open(&dir).await.expect("opens").store;
            store.0.as_ref().expect("there").allocs.insert(bad.as_bytes(), &b"no record"[..]).expect("written");
            store.flush().await;
        }
        let opened = open(&dir).await.expect("opens");
        assert_eq!(opened.records.iter().map(|r| r.alloc.id).collect::<Vec<_>>(), [good.alloc.id]);
        assert!(opened.damage.len() == 1 && opened.damage[0].contains(&bad.to_string()), "{:?}", opened.damage);
        let kept = std::fs::read_dir(root.path()).expect("there").flatten();
        let kept = kept.map(|e| e.path()).find(|p| p.to_string_lossy().contains(&format!("{bad}.damaged-")));
        assert_eq!(std::fs::read(kept.expect("a file of its own")).expect("readable"), b"no record");
        drop(opened);
        assert!(open(&dir).await.expect("opens").damage.is_empty(), "once is enough");
    }

    /// Whatever became of the files: the agent starts, the old ones are kept, and a sentence says so.
    #[tokio::test]
    async fn a_damaged_store_is_set_aside() {
        let garbage = |path: &Path| std::fs::write(path, vec![0xa5; 4096]).expect("written");
        let middle = |path: &Path| {
            let mut bytes = std::fs::read(path).expect("readable");
            let from = bytes.len().min(64);
            bytes[from..].fill(0x5a);
            std::fs::write(path, bytes).expect("written");
        };
        for (what, file, damage) in [
            ("no configuration", "conf", &garbage as &dyn Fn(&Path)),
            ("garbage in the log", "db", &garbage),
            ("the log's end overwritten", "db", &middle),
        ] {
            let root = tempfile::tempdir().expect("a directory");
            let dir = root.path().join("state");
            written(&dir).await;
            damage(&dir.join(file));
            let opened = open(&dir).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            let lost = opened.records.is_empty();
            let told = opened.damage.iter().any(|d| d.contains("state.damaged-"));
            let kept = std::fs::read_dir(root.path()).expect("there").count() == 2;
            // What can be read in spite of it is as good. A log without a sound segment looks like a new one: that the node
            // ran before says its identity.
            assert!(!lost || (told && kept) || file == "db", "{what}: {:?}", opened.damage);
            assert!(!lost || opened.store.identity().is_none(), "{what}");
            opened.store.put(&record("next"), true).await;
        }
    }

    #[tokio::test]
    async fn a_store_that_another_agent_has_open_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let _held = Store::open(dir.path()).expect("opens");
        let error = Store::open(dir.path()).err().expect("refused");
        assert!(matches!(error, OpenError::Locked(_)), "{error}");
    }
}
