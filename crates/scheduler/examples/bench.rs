//! How long a scheduler takes: `cargo run --release -p tarpan-scheduler --example bench`.
//!
//! Prints milliseconds of one evaluation, the best of several on fresh snapshots, and microseconds an allocation.

use std::time::{Duration, Instant};

use tarpan_model::ids::{CountingIds, EvalId, IdSource};
use tarpan_model::job::{Affinity, Job, Spread};
use tarpan_model::plan::PlanResult;
use tarpan_model::{Evaluation, Trigger};
use tarpan_scheduler::{Cache, Inputs, Outcome, computed_class, schedule, worker};
use tarpan_state::command::{ApplyPlan, CommandId, Envelope, RegisterJob};
use tarpan_state::{Command, State};
use tarpan_testkit::{START, jobs, nodes};

struct Bench {
    state: State,
    cache: Cache,
    ids: CountingIds,
}

impl Bench {
    fn new(count: u32) -> Bench {
        let mut bench = Bench { state: State::default(), cache: Cache::default(), ids: CountingIds::default() };
        for i in 0..count {
            let mut node = nodes::sized(i, 16_000, 65_536);
            node.datacenter = format!("dc{}", i % 3 + 1).into();
            node.meta.insert("rack".into(), format!("r{}", i % 20).into());
            node.node_class = if i % 4 == 0 { "large" } else { "small" }.into();
            node.computed_class = computed_class(&node);
            bench.apply(Command::UpsertNode { node: Box::new(node), now: START, evals: Vec::new() });
        }
        bench
    }

    fn apply(&mut self, command: Command) {
        let id = CommandId(self.ids.next_uuid().as_u128());
        self.state.apply(self.state.index() + 1, &[Envelope { id, command }]);
    }

    fn register(&mut self, job: &Job) -> Evaluation {
        self.apply(Command::RegisterJob(Box::new(RegisterJob {
            job: job.clone(),
            eval: None,
            submission: None,
            enforce_index: None,
            preserve_counts: false,
            now: START,
        })));
        let id = EvalId(self.ids.next_uuid());
        Evaluation::new(id, &job.key(), job.job_type(), job.priority(), Trigger::JobRegister, START)
    }

    fn schedule(&mut self, eval: &Evaluation, most: usize) -> Outcome {
        let (state, ids, cache) = (&self.state, &mut self.ids, &mut self.cache);
        schedule(Inputs { state, now: START, seed: 1, ids, most, cache }, eval)
    }

    /// Places a job in parts, as workers do: how long looking takes, and how long putting plans into state.
    fn in_parts(&mut self, what: &str, job: &Job) {
        let eval = self.register(job);
        let (mut looks, mut applied, mut parts, mut placed) = (Duration::ZERO, Duration::ZERO, 0, 0);
        loop {
            let start = Instant::now();
            let outcome = self.schedule(&eval, worker::MOST_PLACEMENTS);
            looks += start.elapsed();
            let more = outcome.more;
            parts += 1;
            placed += outcome.plan.placements.values().map(Vec::len).sum::<usize>();
            let start = Instant::now();
            self.commit(outcome);
            applied += start.elapsed();
            if !more {
                break;
            }
        }
        let (looks, applied) = (looks.as_secs_f64() * 1e3, applied.as_secs_f64() * 1e3);
        println!("{what:<58} {looks:>9.3} ms {placed:>7} allocations, {parts} looks; {applied:.3} ms in state");
    }

    fn run(&mut self, what: &str, job: &Job) -> Outcome {
        let eval = self.register(job);
        let mut best = Duration::MAX;
        let mut outcome = None;
        for _ in 0..7 {
            let start = Instant::now();
            let planned = self.schedule(&eval, usize::MAX);
            best = best.min(start.elapsed());
            outcome = Some(planned);
        }
        let outcome = outcome.expect("it ran");
        let placed: usize = outcome.plan.placements.values().map(Vec::len).sum();
        let each = best.as_secs_f64() * 1e6 / placed.max(1) as f64;
        println!("{what:<58} {:>9.3} ms {placed:>7} allocations {each:>8.2} us each", best.as_secs_f64() * 1e3);
        outcome
    }

    fn commit(&mut self, outcome: Outcome) {
        let result = PlanResult { progressed: true, ..PlanResult::default() };
        self.apply(Command::ApplyPlan(Box::new(ApplyPlan {
            plan: outcome.plan,
            result,
            evals: Vec::new(),
            now: START,
        })));
    }
}

fn demanding(mut job: Job) -> Job {
    let text = |t: &str| Some(t.to_owned());
    job.spreads = Some(vec![
        Spread { attribute: text("${node.datacenter}"), weight: Some(70), spread_target: None },
        Spread { attribute: text("${meta.rack}"), weight: Some(30), spread_target: None },
    ]);
    job.affinities = Some(vec![Affinity {
        l_target: text("${node.class}"),
        r_target: text("large"),
        operand: text("="),
        weight: Some(50),
    }]);
    job
}

fn main() {
    for count in [100, 1_000, 5_000] {
        println!("{count} nodes");
        let mut bench = Bench::new(count);
        bench.run("  batch of 10,000", &jobs::batch("batch", 10_000));
        bench.run("  service of 200 with two spreads and an affinity", &demanding(jobs::service("spread", 200)));
        bench
            .run("  service of 1,000 with two spreads and an affinity", &demanding(jobs::service("spread1000", 1_000)));
        bench.run("  service of 100, ports", &{
            let mut job = jobs::service("ports", 100);
            jobs::group_mut(&mut job).networks = Some(vec![jobs::network(&[("http", 0), ("admin", 0)])]);
            job
        });
        bench.run("  service of 1", &jobs::service("one", 1));
        bench.run("  system", &jobs::system("system"));
        bench.run("  nothing fits", &{
            let mut job = jobs::batch("huge", 10_000);
            jobs::resources_mut(&mut job).memory_mb = Some(1_000_000);
            job
        });
        bench.in_parts("  batch of 20,000, in parts", &jobs::batch("parts", 20_000));
        let job = jobs::batch("kept", 10_000);
        let outcome = bench.run("  batch of 10,000, kept", &job);
        bench.commit(outcome);
        bench.run("  the same again: nothing to do", &job);
        bench.run("  another batch of 10 on the busy cluster", &jobs::batch("small", 10));
    }
}
