//! The end of a run: faults are over, and everything that was asked for has to come to be.

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_model::{AllocId, Deployment, Dur, EvalStatus, JobType, UnixNanos};

use crate::world::World;

/// Looked at this often.
const LOOK: Dur = Dur::from_secs(5);
/// Virtual time that healing may take. Source: what the slowest parts wait for (failed evaluations, deadlines of rollouts, clocks
/// that were set), added up.
const PATIENCE: Dur = Dur::from_secs(1_500);

/// After this people give up rollouts that do not come to an end.
const ROLLOUTS: Dur = Dur::from_secs(600);

impl World {
    /// Ends the faults and waits until nothing is left to do.
    pub fn end_well(&mut self) {
        if self.checks.failed() {
            return;
        }
        self.heal();
        self.stop_launches();
        let until = self.now + PATIENCE;
        loop {
            let next = self.now + LOOK;
            self.run_until(next);
            if self.checks.failed() {
                return;
            }
            let rollouts_until = UnixNanos::ZERO + self.setup.busy + ROLLOUTS;
            let patience = rollouts_until.since(self.now).max(Dur::ZERO);
            self.tidy_up(patience);
            let open = self.open();
            if open.is_empty() {
                break;
            }
            if self.now >= until {
                let text = format!("after {PATIENCE}: {}", open.join("; "));
                return self.checks.fail(0, "everything heals", &text);
            }
        }
        self.checks.nothing_forgotten(0);
        self.settle_equal();
    }

    /// What is still to happen, in words; empty when all is as it should be.
    fn open(&self) -> Vec<String> {
        let state = self.checks.truth();
        let mut open: Vec<String> = Vec::new();
        for eval in state.evals().filter(|e| e.status == EvalStatus::Pending) {
            open.push(format!("evaluation {} of {} is pending", eval.id.short(), eval.job_id));
        }
        for node in state.nodes().filter(|n| !n.is_schedulable()) {
            open.push(format!("{} is {}", node.name, node.status));
        }
        // What waits for room may wait for ever.
        let goes_on = |d: &&Arc<Deployment>| d.active() && state.job_live(&d.job_key()).blocked == 0;
        for deployment in state.deployments().filter(goes_on) {
            let job = state.job(&deployment.job_key()).map(|j| (j.version(), j.stopped()));
            let (id, groups) = (&deployment.job_id, &deployment.groups);
            open.push(format!("rollout of {id} {} goes on, job {job:?}: {groups:?}", deployment.job_version));
        }
        open.extend(self.missing());
        open.extend(self.apart());
        if open.is_empty() {
            open.extend(self.unplanned());
        }
        open
    }

    /// Jobs that lack allocations and have nothing that waits for room.
    fn missing(&self) -> Vec<String> {
        let state = self.checks.truth();
        let mut missing = Vec::new();
        for (key, job) in state.jobs().filter(|(_, j)| !j.stopped() && j.job_type() == JobType::Service) {
            if state.job_live(key).blocked > 0 || self.checks.given_up.contains(&(key.clone(), job.version())) {
                continue;
            }
            for group in job.groups() {
                let live = state.allocs_by_job(key).filter(|a| !a.terminal() && *a.task_group == *group.name()).count();
                if live as u64 != group.count() {
                    let rollout =
                        state.latest_deployment(key).map(|d| (d.job_version, d.status, d.status_description.clone()));
                    missing.push(format!("{key} {} has {live} of {} {rollout:?}", job.version(), group.count()));
                }
            }
        }
        missing
    }

    /// Where nodes run something else than state says.
    fn apart(&self) -> Vec<String> {
        let state = self.checks.truth();
        let mut apart = Vec::new();
        for agent in &self.agents {
            let wanted: BTreeMap<AllocId, _> =
                state.allocs_by_node(agent.node.id).filter(|a| !a.terminal()).map(|a| (a.id, a)).collect();
            for held in agent.running().filter(|held| !wanted.contains_key(&held.row.id)) {
                apart.push(format!("{} runs {} that nobody wants", agent.node.name, held.row.name));
            }
            for (id, row) in wanted {
                let held = agent.allocs.get(&id);
                if held.is_none_or(|held| held.status != row.client_status) {
                    let status = held.map(|held| held.status.as_str());
                    apart.push(format!(
                        "{} is {} in state and {status:?} on {}",
                        row.name, row.client_status, row.node_name
                    ));
                }
            }
        }
        apart
    }

    /// Nothing launches by itself from here on: all has to come to rest.
    fn stop_launches(&mut self) {
        let periodic: Vec<String> = self
            .checks
            .truth()
            .jobs()
            .filter(|(_, j)| j.is_periodic() && !j.stopped())
            .map(|(key, _)| key.id.to_string())
            .collect();
        for job in periodic {
            self.ask(crate::users::Ask::Stop { job, purge: false });
        }
    }

    fn settle_equal(&mut self) {
        for _ in 0..60 {
            self.run_until(self.now + LOOK);
            let newest = self.checks.truth().index();
            if self.servers.iter().all(|server| server.state().index() == newest) {
                break;
            }
        }
        if !self.checks.failed() {
            self.check_equal();
        }
    }
}
