//! What an agent remembers over its own death: allocations, the states of their tasks, handles on what runs.
//!
//! In sled below the state directory; nothing in dev mode. Values are MessagePack with names, so that fields may be added.
//! Written before a task starts, and flushed by one background thread for many writers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tarpan_model::alloc::TaskStates;
use tarpan_model::{AllocId, Allocation, Job};

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
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    pub driver: String,
    pub handle: Value,
    /// Artifacts and payload are there: they are not fetched again.
    #[serde(default)]
    pub prepared: bool,
}

/// The store of one agent.
#[derive(Clone)]
pub struct Store(Option<Arc<Trees>>);

struct Trees {
    db: sled::Db,
    allocs: sled::Tree,
    jobs: sled::Tree,
    node: sled::Tree,
}

impl Store {
    /// Keeps nothing.
    pub fn none() -> Store {
        Store(None)
    }

    pub fn open(dir: &Path) -> Result<Store, sled::Error> {
        // The agent keeps everything it works with in memory anyway: a small cache is enough.
        let db = sled::Config::new().path(dir).cache_capacity(4 << 20).flush_every_ms(Some(200)).open()?;
        let (allocs, jobs, node) = (db.open_tree("allocs")?, db.open_tree("jobs")?, db.open_tree("node")?);
        Ok(Store(Some(Arc::new(Trees { db, allocs, jobs, node }))))
    }

    /// Writes a record; `durable`: it is on disk when this returns.
    pub async fn put(&self, record: &Record, durable: bool) {
        let Some(trees) = self.0.clone() else { return };
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
        } else if durable && let Err(error) = trees.db.flush_async().await {
            tracing::error!(alloc_id = %id, "flushing the state of an allocation: {error}");
        }
    }

    pub fn remove(&self, id: AllocId) {
        if let Some(trees) = &self.0 {
            let _ = trees.allocs.remove(id.0.as_bytes());
        }
    }

    /// Everything there is, with jobs linked. What can't be read is left out and told.
    pub fn load(&self) -> Vec<Record> {
        let Some(trees) = &self.0 else { return Vec::new() };
        let mut jobs: BTreeMap<Vec<u8>, Arc<Job>> = BTreeMap::new();
        let mut used = std::collections::BTreeSet::new();
        let mut records = Vec::new();
        for entry in trees.allocs.iter().flatten() {
            let mut record: Record = match tarpan_rpc::unpack(&entry.1) {
                Ok(record) => record,
                Err(error) => {
                    tracing::error!("a stored allocation is not readable and is left out: {}", crate::chain(&error));
                    continue;
                }
            };
            let key = job_key(&record.alloc);
            let job = jobs.get(&key).cloned().or_else(|| {
                let bytes = trees.jobs.get(&key).ok()??;
                tarpan_rpc::unpack::<Job>(&bytes).ok().map(Arc::new)
            });
            let Some(job) = job else {
                tracing::error!(alloc_id = %record.alloc.id, "the job of a stored allocation is gone: it is left out");
                continue;
            };
            used.insert(key.clone());
            jobs.insert(key, job.clone());
            record.alloc.job = job;
            records.push(record);
        }
        for key in trees.jobs.iter().keys().flatten() {
            if !used.contains(&key.to_vec()) {
                let _ = trees.jobs.remove(key);
            }
        }
        records
    }

    /// Node metadata that was set through the API; `None` values take a key away.
    pub fn node_meta(&self) -> BTreeMap<String, Option<String>> {
        let bytes = self.0.as_ref().and_then(|t| t.node.get("meta").ok().flatten());
        bytes.and_then(|b| tarpan_rpc::unpack(&b).ok()).unwrap_or_default()
    }

    pub fn put_node_meta(&self, meta: &BTreeMap<String, Option<String>>) {
        if let Some(trees) = &self.0 {
            let _ = trees.node.insert("meta", tarpan_rpc::pack(meta));
        }
    }

    pub async fn flush(&self) {
        if let Some(trees) = &self.0 {
            let _ = trees.db.flush_async().await;
        }
    }
}

fn job_key(alloc: &Allocation) -> Vec<u8> {
    let mut key = format!("{}\0{}\0{}\0", alloc.namespace, alloc.job_id, alloc.job_create_index).into_bytes();
    key.extend(alloc.job_version.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_written_is_there_after_the_next_start() {
        let dir = tempfile::tempdir().expect("a directory");
        let alloc = crate::test_support::alloc("web");
        {
            let store = Store::open(dir.path()).expect("opens");
            let handles = BTreeMap::from([("web".to_owned(), TaskRecord { prepared: true, ..TaskRecord::default() })]);
            let record = Record { alloc: alloc.clone(), states: TaskStates::default(), healthy: Some(true), handles };
            store.put(&record, true).await;
            store.put_node_meta(&BTreeMap::from([("rack".to_owned(), Some("r1".to_owned()))]));
            store.flush().await;
        }
        let store = Store::open(dir.path()).expect("opens again");
        let records = store.load();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].alloc, alloc);
        assert_eq!(records[0].alloc.job, alloc.job);
        assert!(records[0].handles["web"].prepared);
        assert_eq!(store.node_meta()["rack"].as_deref(), Some("r1"));
        store.remove(alloc.id);
        assert!(store.load().is_empty());
    }
}
