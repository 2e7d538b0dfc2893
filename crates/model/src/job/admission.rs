//! What taking a job in adds to it: the server's defaults, the identity of every task, the constraints that its blocks imply.

use super::{Constraint, Job, JobType, Service, Task, TaskGroup, WorkloadIdentity};
use crate::duration::Dur;

/// What a server knows that a job's defaults depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Priority of a job that asks for 0.
    pub default_priority: i64,
    /// Node pool of a job that names none: the namespace's default.
    pub node_pool: String,
    /// The server's region, for a job that says `global`.
    pub region: String,
}

impl Default for Admission {
    fn default() -> Admission {
        Admission { default_priority: 50, node_pool: "default".to_owned(), region: "global".to_owned() }
    }
}

impl Job {
    /// Canonicalises, then adds what the server adds: datacenters, node pool, names of checks, the default identity,
    /// implied constraints. The job's own update block keeps only its pace: groups have the rest by then.
    /// Doing it twice changes nothing.
    pub fn admit(&mut self, admission: &Admission) {
        self.forget_no_update();
        self.canonicalise();
        if self.priority == Some(0) {
            self.priority = Some(admission.default_priority);
        }
        if self.region.as_deref() == Some("global") {
            self.region = Some(admission.region.clone());
        }
        if self.node_pool.as_deref().unwrap_or_default().is_empty() {
            self.node_pool = Some(admission.node_pool.clone());
        }
        if self.datacenters.as_deref().unwrap_or_default().is_empty() {
            self.datacenters = Some(vec!["*".to_owned()]);
        }
        if matches!(self.job_type(), JobType::Service | JobType::System)
            && let Some(update) = &mut self.update
        {
            update.health_check = Some(String::new());
            (update.min_healthy_time, update.healthy_deadline) = (Some(Dur::ZERO), Some(Dur::ZERO));
            update.progress_deadline = Some(Dur::ZERO);
            (update.canary, update.auto_revert, update.auto_promote) = (Some(0), Some(false), Some(false));
        }
        for group in self.task_groups.iter_mut().flatten() {
            group.admit();
        }
        self.forget_zeros();
    }
}

impl TaskGroup {
    fn admit(&mut self) {
        for network in self.networks.iter_mut().flatten() {
            for port in network.reserved_ports.iter_mut().chain(&mut network.dynamic_ports).flatten() {
                if port.host_network.as_deref().unwrap_or_default().is_empty() {
                    port.host_network = Some("default".to_owned());
                }
            }
        }
        self.services.iter_mut().flatten().for_each(Service::admit);
        for task in self.tasks.iter_mut().flatten() {
            task.services.iter_mut().flatten().for_each(Service::admit);
            task.admit();
        }
        self.imply_constraints();
    }

    fn imply_constraints(&mut self) {
        let mut wanted = Vec::new();
        for task in self.tasks() {
            task.implied(&mut wanted);
        }
        let services = || self.services().iter().chain(self.tasks().iter().flat_map(Task::services));
        if services().any(Service::is_native) {
            wanted.push(Implied::exact("${attr.nomad.service_discovery}", "=", "true"));
            if services().any(|s| s.is_native() && s.checks.as_ref().is_some_and(|c| !c.is_empty())) {
                wanted.push(Implied::exact("${attr.nomad.version}", "semver", ">= 1.4.0"));
            }
        }
        wanted.extend(self.services().iter().filter_map(Service::consul_constraint));
        if let Some(partition) = self.consul.as_ref().and_then(|c| c.partition.as_deref()).filter(|p| !p.is_empty()) {
            wanted.push(Implied::exact("${attr.consul.partition}", "=", partition));
        }
        if self.networks.iter().flatten().any(|n| n.mode.as_deref() == Some("bridge")) {
            for plugin in ["bridge", "firewall", "host-local", "loopback", "portmap"] {
                wanted.push(Implied::by_target(
                    format!("${{attr.plugins.cni.version.{plugin}}}"),
                    "semver",
                    ">= 0.4.0",
                ));
            }
        }
        for implied in wanted {
            implied.add(&mut self.constraints);
        }
    }
}

impl Service {
    fn admit(&mut self) {
        let name = self.name.clone().unwrap_or_default();
        for check in self.checks.iter_mut().flatten() {
            if check.name.as_deref().unwrap_or_default().is_empty() {
                check.name = Some(format!("service: {name:?} check"));
            }
        }
    }

    fn is_native(&self) -> bool {
        self.provider.as_deref() == Some("nomad")
    }

    fn consul_constraint(&self) -> Option<Implied> {
        if self.provider.as_deref() != Some("consul") {
            return None;
        }
        let target = match self.cluster.as_deref() {
            None | Some("" | "default") => "${attr.consul.version}".to_owned(),
            Some(cluster) => format!("${{attr.consul.{cluster}.version}}"),
        };
        Some(Implied::by_target(target, "semver", ">= 1.8.0"))
    }
}

impl Task {
    fn admit(&mut self) {
        if self.identity.is_none() {
            self.identity = Some(WorkloadIdentity::default());
        }
        if let Some(identity) = &mut self.identity {
            if identity.name.as_deref().unwrap_or_default().is_empty() {
                identity.name = Some("default".to_owned());
            }
            if identity.audience.as_ref().is_none_or(Vec::is_empty) {
                identity.audience = Some(vec!["nomadproject.io".to_owned()]);
            }
        }
        let own: Vec<Implied> = self.services().iter().filter_map(Service::consul_constraint).collect();
        for implied in own {
            implied.add(&mut self.constraints);
        }
    }

    fn implied(&self, wanted: &mut Vec<Implied>) {
        if let Some(vault) = &self.vault {
            wanted.push(match vault.cluster.as_deref() {
                None | Some("" | "default") => {
                    Implied::by_target("${attr.vault.version}".to_owned(), "semver", ">= 0.6.1")
                }
                Some(cluster) => {
                    Implied::by_target(format!("${{attr.vault.{cluster}.version}}"), "semver", ">= 1.11.0")
                }
            });
        }
        let signals = self.signals();
        if !signals.is_empty() {
            wanted.push(Implied::exact("${attr.os.signals}", "set_contains", &signals.join(",")));
        }
        for secret in self.secrets.iter().flatten() {
            let provider = secret.provider.as_deref().unwrap_or_default();
            if !matches!(provider, "" | "nomad" | "vault") {
                let target = format!("${{attr.plugins.secrets.{provider}.version}}");
                wanted.push(Implied::by_target(target, "is_set", ""));
            }
        }
    }

    /// Signals that the node has to be able to send, sorted.
    fn signals(&self) -> Vec<String> {
        let mut signals: Vec<String> = Vec::new();
        let mut add = |signal: Option<&String>| {
            signals.extend(signal.filter(|s| !s.is_empty()).map(|s| s.to_uppercase()));
        };
        add(self.kill_signal.as_ref());
        if let Some(vault) = self.vault.as_ref().filter(|v| v.change_mode.as_deref() == Some("signal")) {
            add(vault.change_signal.as_ref());
        }
        for template in self.templates.iter().flatten().filter(|t| t.change_mode.as_deref() == Some("signal")) {
            add(template.change_signal.as_ref());
        }
        for identity in self.identities.iter().flatten().chain(&self.identity) {
            if identity.change_mode.as_deref() == Some("signal") {
                add(identity.change_signal.as_ref());
            }
        }
        signals.sort();
        signals.dedup();
        signals
    }
}

/// A constraint that a block asks for without saying so.
struct Implied {
    constraint: Constraint,
    /// Any constraint on the same attribute stands for it.
    same_target_is_enough: bool,
}

impl Implied {
    fn exact(target: &str, operand: &str, value: &str) -> Implied {
        Implied { constraint: constraint(target, operand, value), same_target_is_enough: false }
    }

    fn by_target(target: String, operand: &str, value: &str) -> Implied {
        Implied { constraint: constraint(&target, operand, value), same_target_is_enough: true }
    }

    fn add(self, constraints: &mut Option<Vec<Constraint>>) {
        let list = constraints.get_or_insert_default();
        let there = list.iter().any(|c| match self.same_target_is_enough {
            true => c.l_target == self.constraint.l_target,
            false => *c == self.constraint,
        });
        if !there {
            list.push(self.constraint);
        }
    }
}

fn constraint(target: &str, operand: &str, value: &str) -> Constraint {
    Constraint {
        l_target: Some(target.to_owned()),
        r_target: Some(value.to_owned()),
        operand: Some(operand.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{NetworkResource, ServiceCheck};

    #[test]
    fn blocks_imply_constraints_once() {
        let check = ServiceCheck { type_: Some("tcp".into()), ..ServiceCheck::default() };
        let service = Service {
            name: Some("web".into()),
            provider: Some("nomad".into()),
            checks: Some(vec![check]),
            ..Service::default()
        };
        let task = Task { name: Some("t".into()), kill_signal: Some("sigint".into()), ..Task::default() };
        let group = TaskGroup {
            name: Some("g".into()),
            tasks: Some(vec![task]),
            services: Some(vec![service]),
            networks: Some(vec![NetworkResource { mode: Some("bridge".into()), ..NetworkResource::default() }]),
            ..TaskGroup::default()
        };
        let mut job = Job { id: Some("j".into()), task_groups: Some(vec![group]), ..Job::default() };
        job.admit(&Admission::default());
        let once = job.clone();
        job.admit(&Admission::default());
        assert_eq!(job, once);
        let targets: Vec<&str> =
            job.groups()[0].constraints.iter().flatten().filter_map(|c| c.l_target.as_deref()).collect();
        assert_eq!(targets.len(), 8, "{targets:?}");
        assert_eq!(targets[0], "${attr.os.signals}");
        assert_eq!(job.groups()[0].constraints.as_ref().unwrap()[0].r_target.as_deref(), Some("SIGINT"));
        let task = &job.groups()[0].tasks()[0];
        assert_eq!(task.identity.as_ref().unwrap().audience, Some(vec!["nomadproject.io".to_owned()]));
        let check = &job.groups()[0].services()[0].checks.as_ref().unwrap()[0];
        assert_eq!(check.name.as_deref(), Some("service: \"web\" check"));
        assert_eq!(
            (job.node_pool.as_deref(), job.datacenters.as_deref()),
            (Some("default"), Some(&["*".to_owned()][..]))
        );
    }
}
