//! A cluster in a value, for tests: commands go in, plans come out as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use tarpan_model::alloc::{AllocUpdate, DesiredTransition};
use tarpan_model::ids::{AllocId, CountingIds, EvalId, IdSource, NamespacedId, NodeId};
use tarpan_model::job::Job;
use tarpan_model::plan::PlanResult;
use tarpan_model::{Allocation, ClientStatus, Dur, EvalStatus, Evaluation, Node, NodeStatus, Trigger, UnixNanos};
use tarpan_state::command::{ApplyPlan, CommandId, DeregisterJob, Envelope, RegisterJob};
use tarpan_state::{Command, State};

use crate::{Cache, Inputs, Outcome, computed_class, schedule};

pub fn add_node(state: &mut State, mut node: Node) {
    node.computed_class = computed_class(&node);
    let (id, index) = (CommandId(node.id.0.as_u128()), state.index() + 1);
    let command = Command::UpsertNode { node: Box::new(node), now: tarpan_testkit::START, evals: Vec::new() };
    state.apply(index, &[Envelope { id, command }]);
}

pub struct Harness {
    pub state: State,
    pub cache: Cache,
    pub ids: CountingIds,
    pub now: UnixNanos,
    pub seed: u64,
    /// New allocations in one plan.
    pub most: usize,
    commands: u128,
}

impl Harness {
    /// Nodes `node-0` and on, each 4000 MHz and 8192 MB.
    pub fn new(nodes: u32) -> Harness {
        let mut harness = Harness {
            state: State::default(),
            cache: Cache::default(),
            ids: CountingIds::default(),
            now: tarpan_testkit::START,
            seed: 7,
            most: usize::MAX,
            commands: 1 << 100,
        };
        (0..nodes).for_each(|i| harness.add(tarpan_testkit::nodes::ready(i)));
        harness
    }

    pub fn add(&mut self, mut node: Node) {
        node.computed_class = computed_class(&node);
        self.apply(Command::UpsertNode { node: Box::new(node), now: self.now, evals: Vec::new() });
    }

    pub fn apply(&mut self, command: Command) {
        self.commands += 1;
        let index = self.state.index() + 1;
        for reply in self.state.apply(index, &[Envelope { id: CommandId(self.commands), command }]) {
            if let tarpan_state::Reply::Refused(why) = reply {
                panic!("refused: {why}");
            }
        }
    }

    pub fn wait(&mut self, secs: i64) {
        self.now = self.now + Dur::from_secs(secs);
    }

    pub fn eval(&mut self, key: &NamespacedId, by: Trigger) -> Evaluation {
        let job = self.state.job(key).cloned();
        let type_ = job.as_ref().map_or(tarpan_model::JobType::Service, |j| j.job_type());
        let priority = job.map_or(50, |j| j.priority());
        Evaluation::new(EvalId(self.ids.next_uuid()), key, type_, priority, by, self.now)
    }

    /// Stores the job without scheduling it.
    pub fn register(&mut self, job: &Job) -> NamespacedId {
        let (job, now) = (job.clone(), self.now);
        let key = job.key();
        self.apply(Command::RegisterJob(Box::new(RegisterJob {
            job,
            eval: None,
            submission: None,
            enforce_index: None,
            preserve_counts: false,
            now,
        })));
        key
    }

    pub fn schedule(&mut self, eval: &Evaluation) -> Outcome {
        let (state, now, seed, most) = (&self.state, self.now, self.seed, self.most);
        schedule(Inputs { state, now, seed, ids: &mut self.ids, most, cache: &mut self.cache }, eval)
    }

    /// Writes what a worker would write.
    pub fn commit(&mut self, outcome: &Outcome) {
        let now = self.now;
        if !outcome.evals_before.is_empty() {
            self.apply(Command::UpsertEvals { evals: outcome.evals_before.clone(), now });
        }
        if !outcome.plan.is_noop() {
            let placed = outcome.plan.placements.values().map(|p| p.len() as u64).sum();
            let result = PlanResult { placed, progressed: true, ..PlanResult::default() };
            self.apply(Command::ApplyPlan(Box::new(ApplyPlan {
                plan: outcome.plan.clone(),
                result,
                evals: Vec::new(),
                now,
            })));
        }
        let mut evals = vec![outcome.eval.clone()];
        evals.extend(outcome.blocked.iter().cloned());
        self.apply(Command::UpsertEvals { evals, now });
    }

    /// Registers and schedules; gives the plan as text.
    pub fn run(&mut self, job: &Job) -> String {
        let key = self.register(job);
        self.next_plan(&key, Trigger::JobRegister)
    }

    /// Looks at the job again, commits what is found and gives it as text.
    pub fn next_plan(&mut self, key: &NamespacedId, by: Trigger) -> String {
        let eval = self.eval(key, by);
        self.commit_eval(&eval)
    }

    pub fn commit_eval(&mut self, eval: &Evaluation) -> String {
        let outcome = self.schedule(eval);
        let text = self.text(&outcome);
        self.commit(&outcome);
        text
    }

    pub fn stop_job(&mut self, key: &NamespacedId, purge: bool) -> String {
        let now = self.now;
        self.apply(Command::DeregisterJob(DeregisterJob {
            job: key.clone(),
            purge,
            eval: None,
            no_shutdown_delay: false,
            now,
        }));
        let eval = Evaluation::new(
            EvalId(self.ids.next_uuid()),
            key,
            tarpan_model::JobType::Service,
            50,
            Trigger::JobDeregister,
            now,
        );
        self.commit_eval(&eval)
    }

    /// The job's allocations that still count, by name.
    pub fn live(&self, key: &NamespacedId) -> Vec<Arc<Allocation>> {
        let mut live: Vec<_> = self.state.allocs_by_job(key).filter(|a| !a.terminal()).cloned().collect();
        live.sort_by_key(|a| (a.index(), a.create_index, a.id));
        live
    }

    pub fn report_with(&mut self, alloc: &Allocation, status: ClientStatus, healthy: Option<bool>) {
        let update = AllocUpdate { healthy, ..tarpan_testkit::allocs::report(alloc, status, self.now) };
        let now = self.now;
        self.apply(Command::UpdateAllocs { updates: vec![update], evals: Vec::new(), now });
    }

    /// Every live allocation runs, and is healthy where that is watched.
    pub fn all_running(&mut self, key: &NamespacedId) {
        for alloc in self.live(key) {
            let healthy = alloc.deployment_id.map(|_| true);
            self.report_with(&alloc, ClientStatus::Running, healthy);
        }
    }

    pub fn status(&mut self, node: NodeId, status: NodeStatus) {
        let now = self.now;
        self.apply(Command::UpdateNodeStatus { node, status, event: None, now, evals: Vec::new() });
    }

    pub fn transition(&mut self, alloc: AllocId, transition: DesiredTransition) {
        let (allocs, now) = (BTreeMap::from([(alloc, transition)]), self.now);
        self.apply(Command::SetTransitions { allocs, evals: Vec::new(), now });
    }

    fn node_name(&self, id: NodeId) -> String {
        self.state.node(id).map_or_else(|| id.short(), |n| n.name.to_string())
    }

    /// One line a change, by allocation name; then deployment, follow-ups and how the evaluation ends.
    pub fn text(&self, outcome: &Outcome) -> String {
        let mut lines: Vec<(String, String)> = Vec::new();
        for (node, stops) in &outcome.plan.stops {
            for stop in stops {
                let name = self.state.alloc(stop.id).map(|a| a.name.to_string()).unwrap_or_default();
                let status = stop.client_status.map(|s| format!(" as {s}")).unwrap_or_default();
                lines.push((
                    name.clone(),
                    format!("{name} stop {}{status} ({})", self.node_name(*node), stop.description),
                ));
            }
        }
        for (node, allocs) in &outcome.plan.placements {
            for alloc in allocs {
                lines.push((alloc.name.to_string(), self.placement_text(*node, alloc)));
            }
        }
        for (node, preempted) in &outcome.plan.preemptions {
            for victim in preempted {
                let name = self.state.alloc(victim.id).map(|a| a.name.to_string()).unwrap_or_default();
                lines.push((name.clone(), format!("{name} preempt {}", self.node_name(*node))));
            }
        }
        lines.sort();
        let mut text: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
        if let Some(deployment) = &outcome.plan.deployment {
            for (group, state) in &deployment.groups {
                let canaries = if state.desired_canaries > 0 {
                    format!(" canaries {}", state.desired_canaries)
                } else {
                    String::new()
                };
                text.push(format!(
                    "deployment {group} total {}{canaries}: {}",
                    state.desired_total, deployment.status_description
                ));
            }
        }
        for update in &outcome.plan.deployment_updates {
            text.push(format!("deployment {}: {}", update.status, update.description));
        }
        for eval in &outcome.evals_before {
            let after = eval.wait_until.since(self.now);
            text.push(format!("later {} in {after}", eval.triggered_by));
        }
        for (group, metric) in &outcome.eval.failed_tg_allocs {
            let sentence = metric.sentence().unwrap_or_default();
            text.push(format!("failed {group} {}: {sentence}", metric.coalesced_failures + 1));
        }
        for eval in &outcome.blocked {
            text.push(match eval.status {
                EvalStatus::Blocked => format!("blocked {}", eval.status_description),
                _ => format!("later {} in {}", eval.triggered_by, eval.wait_until.since(self.now)),
            });
        }
        if text.is_empty() {
            text.push("nothing to do".to_owned());
        }
        text.join("\n")
    }

    fn placement_text(&self, node: NodeId, alloc: &Allocation) -> String {
        let name = &alloc.name;
        let known = self.state.alloc(alloc.id);
        let mut line = match known {
            None => format!("{name} place {}", self.node_name(node)),
            Some(old) if old.job_version != alloc.job_version => {
                format!("{name} update in place {}", self.node_name(node))
            }
            Some(old) if old.client_status != alloc.client_status => {
                format!("{name} {} {}", alloc.client_status, self.node_name(node))
            }
            Some(_) => format!("{name} annotate {}", self.node_name(node)),
        };
        if known.is_none() && alloc.previous.is_some() {
            line.push_str(" after the last");
        }
        if alloc.deployment_status.is_some_and(|s| s.canary) {
            line.push_str(" canary");
        }
        for port in &alloc.resources.ports {
            let value = if port.is_static { port.value.to_string() } else { "dynamic".to_owned() };
            let _ = write!(line, " {}={value}", port.label);
        }
        line
    }
}
