//! The whole state as bytes and back: MessagePack with names, so that other releases can read it.
//!
//! Rows are written, what finds and counts them is made again. Job versions that are gone from the tables but still run by
//! allocations are written too: a restored server must know what they run, as its peers do.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tarpan_model::alloc::TaskStates;
use tarpan_model::ids::{AllocId, DeploymentId, EvalId, NamespacedId, NodeId};
use tarpan_model::service::ServiceRegistration;
use tarpan_model::{Allocation, Deployment, EvalStatus, Evaluation, Job};

use crate::lineage::Lineage;
use crate::reply::{CommandId, Reply};
use crate::share::GroupParts;
use crate::staged::Staged;
use crate::state::{NodeUsage, State};
use crate::tables::{Kept, Restores, ServiceKey, Table, Tables};

/// Bytes that are not a snapshot.
#[derive(Debug, thiserror::Error)]
#[error("reading a snapshot of state")]
pub struct RestoreError(#[source] rmp_serde::decode::Error);

/// Lists and maps inside each other: the reader goes down with them. Rows come from commands, which are held to as many when
/// they are read from the log, and they stand deeper there than here.
const MAX_DEPTH: usize = 320;

/// A state as it is written: a part a table, and what else there is of it.
struct Written<'a> {
    state: &'a State,
    /// For people, not for another server.
    exported: bool,
    redacted: bool,
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let state = self.state;
        let changed: BTreeMap<&str, u64> =
            Table::ALL.iter().map(|t| (t.name(), state.table_index(*t))).filter(|(_, index)| *index > 0).collect();
        let recent = state.recent_order.values().filter_map(|id| state.recent.get(id).map(|reply| (id, &**reply)));
        let mut parts = s.serialize_struct("State", 8 + Tables::PARTS)?;
        parts.serialize_field("index", &state.index)?;
        parts.serialize_field("ahead", &state.ahead)?;
        parts.serialize_field("restored", &state.restored)?;
        // Half a restore is the servers' affair: a file for people says what the state is.
        let staged = state.staged.as_deref().filter(|_| !self.exported);
        parts.serialize_field("staged", &staged)?;
        parts.serialize_field("lineage", &*state.lineage)?;
        parts.serialize_field("table_indexes", &changed)?;
        parts.serialize_field("detached_jobs", &state.detached_jobs().into_values().collect::<Vec<_>>())?;
        state.tables.write(&mut Redacting { parts: &mut parts, on: self.redacted })?;
        parts.serialize_field("recent", &recent.collect::<Vec<_>>())?;
        parts.end()
    }
}

/// Writes tables; when `on`, with nothing in those that hold secrets.
struct Redacting<'a, S> {
    parts: &'a mut S,
    on: bool,
}

/// Parts that hold secrets.
const SECRET: &[&str] = &["root_keys"];

impl<S: SerializeStruct> SerializeStruct for Redacting<'_, S> {
    type Ok = ();
    type Error = S::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, rows: &T) -> Result<(), S::Error> {
        if self.on && SECRET.contains(&name) {
            return self.parts.serialize_field(name, &[(); 0]);
        }
        self.parts.serialize_field(name, rows)
    }

    fn end(self) -> Result<(), S::Error> {
        Ok(())
    }
}

/// The parts as they are read.
#[derive(Default)]
struct Read {
    index: u64,
    ahead: u64,
    restored: u64,
    staged: Option<Staged>,
    lineage: Lineage,
    /// By name, because an earlier or later release may have tables that this one has not.
    table_indexes: BTreeMap<String, u64>,
    /// Versions that only allocations know.
    detached_jobs: Vec<Job>,
    tables: Kept,
    recent: Vec<(CommandId, Reply)>,
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Read, D::Error> {
        struct Parts;

        impl<'de> Visitor<'de> for Parts {
            type Value = Read;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the parts of a state by their names")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut parts: M) -> Result<Read, M::Error> {
                let mut read = Read::default();
                while let Some(name) = parts.next_key::<String>()? {
                    match name.as_str() {
                        "index" => read.index = parts.next_value()?,
                        "ahead" => read.ahead = parts.next_value()?,
                        "restored" => read.restored = parts.next_value()?,
                        "staged" => read.staged = parts.next_value()?,
                        "lineage" => read.lineage = parts.next_value()?,
                        "table_indexes" => read.table_indexes = parts.next_value()?,
                        "detached_jobs" => read.detached_jobs = parts.next_value()?,
                        "recent" => read.recent = parts.next_value()?,
                        name if read.tables.read(name, &mut parts)? => {}
                        _ => {
                            parts.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(read)
            }
        }
        d.deserialize_map(Parts)
    }
}

impl State {
    /// Everything, what finds and counts rows left out. Equal states give equal bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        self.written(false, false)
    }

    /// The same for people to keep, without what is only on its way; `redacted`: without keys, too, so that who restores it gets new ones.
    pub fn exported(&self, redacted: bool) -> Vec<u8> {
        self.written(true, redacted)
    }

    fn written(&self, exported: bool, redacted: bool) -> Vec<u8> {
        let written = Written { state: self, exported, redacted };
        rmp_serde::to_vec_named(&written).expect("rows serialise to memory")
    }

    /// Versions that allocations run and the table has no more, or has of a later incarnation of the job.
    fn detached_jobs(&self) -> BTreeMap<(NamespacedId, u64, u64), &Job> {
        let mut found = BTreeMap::new();
        let mut last: Option<&Arc<Job>> = None;
        for alloc in self.allocs() {
            if last.is_some_and(|job| Arc::ptr_eq(job, &alloc.job)) {
                continue;
            }
            last = Some(&alloc.job);
            let key = alloc.job_key();
            let known = self.job_version(&key, alloc.job_version);
            if known.is_none_or(|job| job.create_index != Some(alloc.job_create_index)) {
                found.entry((key, alloc.job_create_index, alloc.job_version)).or_insert(&*alloc.job);
            }
        }
        found
    }

    /// How many rows each table has, and what they take of a snapshot.
    pub fn table_sizes(&self) -> Vec<TableSize> {
        let mut scales = Scales(Vec::new());
        self.tables.write(&mut scales).expect("rows serialise to memory");
        scales.0
    }

    /// The state that [`State::snapshot`] wrote.
    pub fn restore(bytes: &[u8]) -> Result<State, RestoreError> {
        State::read(bytes, None)
    }

    /// The same in place of a state at index `now`: at a later index than either, from which its allocations count as written, so that
    /// agents take them for news.
    pub(crate) fn restore_after(bytes: &[u8], now: u64) -> Result<State, RestoreError> {
        State::read(bytes, Some(now))
    }

    fn read(bytes: &[u8], after: Option<u64>) -> Result<State, RestoreError> {
        let mut parts = rmp_serde::Deserializer::from_read_ref(bytes);
        parts.set_max_depth(MAX_DEPTH);
        let read = Read::deserialize(&mut parts).map_err(RestoreError)?;
        let staged = read.staged.map(Arc::new);
        let lineage = Arc::new(read.lineage);
        let index = after.map_or(read.index, |now| now.max(read.index.saturating_add(1)));
        let restored = read.restored;
        let state = State { index, ahead: read.ahead, restored, staged, lineage, ..State::default() };
        let stamp = after.map(|_| index);
        let detached = read.detached_jobs.into_iter();
        let detached =
            detached.map(|job| ((job.key(), job.create_index.unwrap_or(0), job.version()), Arc::new(job))).collect();
        let mut restoring = Restoring { state, stamp, detached, groups: HashMap::new(), placed: HashMap::new() };
        read.tables.restore(&mut restoring);
        let mut state = restoring.finish();
        for table in Table::ALL {
            state.changed[table as usize] = read.table_indexes.get(table.name()).copied().unwrap_or(0);
        }
        for (id, reply) in read.recent {
            state.remember(id, Arc::new(reply));
        }
        Ok(state)
    }
}

/// What a table's rows take of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSize {
    pub table: &'static str,
    pub rows: u64,
    pub bytes: u64,
}

/// Writes tables to weigh them.
struct Scales(Vec<TableSize>);

impl SerializeStruct for Scales {
    type Ok = ();
    type Error = rmp_serde::encode::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, table: &'static str, rows: &T) -> Result<(), Self::Error> {
        let bytes = rmp_serde::to_vec_named(rows)?;
        // Each table is written as a list.
        let count = rmp::decode::read_array_len(&mut &*bytes).unwrap_or(1);
        self.0.push(TableSize { table, rows: count.into(), bytes: bytes.len() as u64 });
        Ok(())
    }

    fn end(self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// A state whose rows come back.
struct Restoring {
    state: State,
    /// The index that allocations get.
    stamp: Option<u64>,
    detached: HashMap<(NamespacedId, u64, u64), Arc<Job>>,
    /// What the last allocation of each group and job version had.
    groups: HashMap<(NamespacedId, u64, Arc<str>), GroupParts>,
    /// What is not over, by node.
    placed: HashMap<NodeId, Vec<Arc<Allocation>>>,
}

impl Restores for Restoring {
    fn tables(&mut self) -> &mut Tables {
        &mut self.state.tables
    }

    /// The current row of a job and its newest version share one allocation of memory when they are equal.
    fn job(&mut self, row: Job) -> (NamespacedId, Arc<Job>) {
        let key = row.key();
        let version = self.state.job_version(&key, row.version()).filter(|version| ***version == row).cloned();
        (key, version.unwrap_or_else(|| Arc::new(row)))
    }

    fn eval(&mut self, row: Evaluation) -> (EvalId, Arc<Evaluation>) {
        let live = self.state.job_live.entry(row.job_key()).or_default();
        live.evals_total += 1;
        live.evals += u32::from(!row.terminal());
        live.blocked += u32::from(row.status == EvalStatus::Blocked);
        (row.id, Arc::new(row))
    }

    fn alloc(&mut self, mut row: Allocation) -> (AllocId, Arc<Allocation>) {
        let key = row.job_key();
        if let Some(index) = self.stamp {
            (row.modify_index, row.alloc_modify_index) = (index, index);
        }
        self.share_parts(&mut row);
        let known = self.state.job_version(&key, row.job_version);
        let known = known.filter(|job| job.create_index == Some(row.job_create_index)).cloned();
        let detached = || self.detached.get(&(key.clone(), row.job_create_index, row.job_version)).cloned();
        if let Some(job) = known.or_else(detached) {
            row.job = job;
        }
        let row = Arc::new(row);
        if !row.terminal() {
            self.state.job_live.entry(key).or_default().allocs += 1;
            self.placed.entry(row.node_id).or_default().push(row.clone());
        }
        (row.id, row)
    }

    fn deployment(&mut self, row: Deployment) -> (DeploymentId, Arc<Deployment>) {
        if row.active() {
            self.state.job_live.entry(row.job_key()).or_default().deployments += 1;
        }
        (row.id, Arc::new(row))
    }

    fn service(&mut self, mut row: ServiceRegistration) -> (ServiceKey, Arc<ServiceRegistration>) {
        row.service_name = self.state.text(&row.service_name);
        ((row.namespace.clone(), row.service_name.clone(), row.id.clone()), Arc::new(row))
    }
}

impl Restoring {
    /// Texts, resources and metrics that are equal in many rows.
    fn share_parts(&mut self, row: &mut Allocation) {
        let state = &mut self.state;
        if let Some((key, _)) = state.tables.jobs.get_key_value(&row.job_key()) {
            row.namespace = key.namespace.clone();
            row.job_id = key.id.clone();
        }
        if let Some(node) = state.tables.nodes.get(&row.node_id) {
            row.node_name = node.name.clone();
        }
        for text in [&mut row.task_group, &mut row.desired_description, &mut row.client_description] {
            *text = state.text(text);
        }
        row.task_states = state.task_states(&Arc::new(TaskStates::new()), &row.task_states);
        let key = (row.job_key(), row.job_version, row.task_group.clone());
        self.groups.entry(key).or_insert_with(|| GroupParts::of(row)).share_with(row);
    }

    /// With what the allocations take of their nodes.
    fn finish(self) -> State {
        let mut state = self.state;
        for (node, rows) in self.placed {
            let mut usage = NodeUsage::default();
            rows.iter().for_each(|row| usage.add(row));
            state.node_usage.insert(node, Arc::new(usage));
        }
        state
    }
}
