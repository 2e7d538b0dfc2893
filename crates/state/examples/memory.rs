//! Measures what an allocation row costs in memory and how fast a large plan is applied.
//!
//! `cargo run --release -p tarpan-state --example memory`. Prints bytes an allocation as placed, once it runs and once it
//! ended, milliseconds to apply plans of 10,000 placements, and the size of a snapshot.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tarpan_model::alloc::{AllocUpdate, TaskEvent, TaskState, TaskStateKind};
use tarpan_model::ids::{CountingIds, EvalId, IdSource};
use tarpan_model::metric::{AllocMetric, NodeScore};
use tarpan_model::plan::PlanResult;
use tarpan_model::{Allocation, ClientStatus, Job, Plan};
use tarpan_state::command::{ApplyPlan, RegisterJob};
use tarpan_state::{Command, CommandId, Envelope, State};
use tarpan_testkit::{allocs, at, evals, jobs, nodes};
use uuid::Uuid;

/// The system's allocator, counting bytes as it rounds them (16 at a time, 8 of its own).
struct Counting;
static USED: AtomicUsize = AtomicUsize::new(0);

fn rounded(size: usize) -> usize {
    (size + 8).next_multiple_of(16).max(32)
}

// SAFETY: hands every call on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        USED.fetch_add(rounded(layout.size()), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        USED.fetch_sub(rounded(layout.size()), Ordering::Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Random ids, as in life: row order says nothing about time.
struct Scattered(u64);

impl IdSource for Scattered {
    fn next_uuid(&mut self) -> Uuid {
        let mut half = || {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            u128::from(z ^ (z >> 31))
        };
        Uuid::from_u128(half() << 64 | half())
    }
}

const NODES: u32 = 1_000;
const PLACED: u32 = 10_000;

struct Bench {
    state: State,
    index: u64,
    ids: Scattered,
}

impl Bench {
    /// Through bytes, as a log hands commands to state; gives the milliseconds of applying alone.
    fn apply(&mut self, commands: Vec<Command>) -> f64 {
        let mut command_ids = CountingIds(u128::from(self.index) << 64);
        let batch: Vec<Envelope> = commands
            .into_iter()
            .map(|command| Envelope { id: CommandId(command_ids.next_uuid().as_u128()), command })
            .collect();
        let bytes = rmp_serde::to_vec_named(&batch).expect("commands serialise");
        drop(batch);
        let batch: Vec<Envelope> = rmp_serde::from_slice(&bytes).expect("and come back");
        self.index += 1;
        // Somebody holds the state before: every touched node of the maps is copied.
        let reader = self.state.clone();
        let start = Instant::now();
        self.state.apply(self.index, &batch);
        let took = start.elapsed();
        self.state.take_events();
        drop(reader);
        took.as_secs_f64() * 1e3
    }

    fn register(&mut self, job: Job) -> Arc<Job> {
        let key = job.key();
        let eval = Some(evals::register(&job, &mut self.ids));
        let command = RegisterJob::of(job, eval, at(0));
        self.apply(vec![Command::RegisterJob(Box::new(command))]);
        self.state.job(&key).expect("registered").clone()
    }

    fn plan(&mut self, job: &Arc<Job>) -> Command {
        let mut plan = Plan::new(EvalId(self.ids.next_uuid()), job.key(), 50, self.state.index());
        let metrics = metrics();
        for i in 0..PLACED {
            let node = self.state.node(nodes::id(i % NODES)).expect("registered").clone();
            let mut row = allocs::place(job, &node, plan.eval_id, i, &mut self.ids);
            row.metrics = Some(metrics.clone());
            plan.placements.entry(node.id).or_default().push(row);
        }
        Command::ApplyPlan(Box::new(ApplyPlan { plan, result: PlanResult::default(), evals: Vec::new(), now: at(1) }))
    }

    fn report(&mut self, status: ClientStatus, now: i64) -> f64 {
        let rows: Vec<Arc<Allocation>> = self.state.allocs().cloned().collect();
        let updates = rows.chunks(500).map(|rows| Command::UpdateAllocs {
            updates: rows.iter().map(|row| update(row, status, now)).collect(),
            evals: Vec::new(),
            now: at(now),
        });
        let commands: Vec<Command> = updates.collect();
        commands.into_iter().map(|command| self.apply(vec![command])).sum()
    }
}

fn metrics() -> Arc<AllocMetric> {
    let scores = (0..5).map(|i| NodeScore {
        node_id: nodes::id(i),
        scores: ["binpack", "job-anti-affinity", "node-affinity"].map(|s| (Arc::from(s), 0.5)).into(),
        norm_score: 0.5,
    });
    Arc::new(AllocMetric { nodes_evaluated: 2, scores: scores.collect(), ..AllocMetric::default() })
}

/// A report as agents send it: the events of a short raw_exec task.
fn update(row: &Allocation, status: ClientStatus, now: i64) -> AllocUpdate {
    let event = |kind: &str, message: &str| TaskEvent {
        kind: Arc::from(kind),
        time: at(now),
        message: Arc::from(message),
        ..TaskEvent::default()
    };
    let mut events = vec![
        event("Received", "Task received by client"),
        event("Task Setup", "Building Task Directory"),
        event("Started", "Task started by client"),
    ];
    let ended = status != ClientStatus::Running;
    if ended {
        let mut exit = event("Terminated", "Exit Code: 0");
        exit.details = [(Arc::from("exit_code"), Arc::from("0")), (Arc::from("oom_killed"), Arc::from("false"))].into();
        events.push(exit);
    }
    let state = TaskState {
        state: if ended { TaskStateKind::Dead } else { TaskStateKind::Running },
        started_at: at(2),
        finished_at: at(if ended { now } else { 0 }),
        events,
        ..TaskState::default()
    };
    AllocUpdate { task_states: Arc::new([(Arc::from("task"), state)].into()), ..allocs::report(row, status, at(now)) }
}

fn main() {
    let mut bench = Bench { state: State::default(), index: 0, ids: Scattered(7) };
    let empty = USED.load(Ordering::Relaxed);
    let registrations =
        (0..NODES).map(|i| Command::UpsertNode { node: Box::new(nodes::ready(i)), now: at(0), evals: Vec::new() });
    let registrations = registrations.collect();
    let took = bench.apply(registrations);
    let with_nodes = USED.load(Ordering::Relaxed);
    println!("nodes: {} bytes each, {NODES} in {took:.1} ms", (with_nodes - empty) / NODES as usize);
    let mut placed = 0;
    for round in 0..4 {
        let job = bench.register(jobs::batch(&format!("batch-{round}"), i64::from(PLACED)));
        let plan = bench.plan(&job);
        drop(job);
        let took = bench.apply(vec![plan]);
        placed += PLACED as usize;
        println!("plan of {PLACED} on {} rows: {took:.1} ms", placed - PLACED as usize);
    }
    let per = |since: usize| (USED.load(Ordering::Relaxed) - since) / placed;
    println!("allocation as placed: {} bytes (row {})", per(with_nodes), size_of::<Allocation>());
    let took = bench.report(ClientStatus::Running, 2);
    println!("running: {} bytes, reported in {took:.1} ms", per(with_nodes));
    let took = bench.report(ClientStatus::Complete, 3);
    println!("complete: {} bytes, reported in {took:.1} ms", per(with_nodes));
    let start = Instant::now();
    let bytes = bench.state.snapshot();
    let wrote = start.elapsed();
    let start = Instant::now();
    let restored = State::restore(&bytes).expect("a snapshot");
    println!(
        "snapshot: {} bytes an allocation, written in {:.0} ms, restored in {:.0} ms",
        bytes.len() / placed,
        wrote.as_secs_f64() * 1e3,
        start.elapsed().as_secs_f64() * 1e3
    );
    assert_eq!(restored.allocs().count(), placed);
}
