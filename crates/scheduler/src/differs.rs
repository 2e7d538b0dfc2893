//! Must a running allocation be replaced to become one of the new job version, or can it be updated where it is?
//!
//! Source: the field's comparison of group and tasks. What is not compared (constraints, services without Connect, kill
//! timeout, log sizes, policies, count, priority) takes effect in place.

use std::collections::BTreeMap;
use std::sync::Arc;

use tarpan_model::alike::alike;
use tarpan_model::job::{Job, NetworkResource, Port, Resources, RestartPolicy, Service, Task, TaskGroup};

use crate::compile::Group;

/// What was found out in one evaluation, by the address of the older job and the number of the group: many allocations share a version.
#[derive(Debug, Default)]
pub struct Differences(Vec<(usize, usize, bool)>);

impl Differences {
    /// Whether an allocation of `old` can't become one of `group` of `new` without being replaced. `old` is held by the state that the
    /// evaluation looks at, so that no other job comes to have its address.
    pub fn need_replacement(&mut self, old: &Arc<Job>, new: &Job, group: &Group) -> bool {
        let (address, index) = (Arc::as_ptr(old).addr(), group.index);
        if let Some((.., known)) = self.0.iter().find(|(a, i, _)| *a == address && *i == index) {
            return *known;
        }
        let found = needs_replacement(old, new, &group.name);
        self.0.push((address, index, found));
        found
    }
}

/// `group` of `old` can't become the same group of `new` without new allocations.
fn needs_replacement(old: &Job, new: &Job, group: &str) -> bool {
    match (old.group(group), new.group(group)) {
        (Some(a), Some(b)) => group_differs(a, b) || tasks_differ((old, a), (new, b)),
        _ => true,
    }
}

fn group_differs(a: &TaskGroup, b: &TaskGroup) -> bool {
    a.tasks().len() != b.tasks().len()
        || !alike(&compared_of_group(a), &compared_of_group(b))
        || renders(a.restart_policy.as_ref()) != renders(b.restart_policy.as_ref())
        || connects_differ(a.services(), b.services())
}

/// What of a group counts, besides its tasks and services.
fn compared_of_group(group: &TaskGroup) -> TaskGroup {
    TaskGroup {
        ephemeral_disk: group.ephemeral_disk.clone(),
        networks: networks(group.networks.as_deref()),
        consul: group.consul.clone(),
        volumes: group.volumes.clone(),
        ..TaskGroup::default()
    }
}

fn renders(policy: Option<&RestartPolicy>) -> bool {
    policy.and_then(|policy| policy.render_templates).unwrap_or(false)
}

/// What of networks counts: numbers of dynamic ports do not.
fn networks(list: Option<&[NetworkResource]>) -> Option<Vec<NetworkResource>> {
    let ports = |ports: &Option<Vec<Port>>| {
        let mut ports = ports.clone().unwrap_or_default();
        ports.iter_mut().for_each(|p| p.ignore_collision = None);
        ports.sort_by(|a, b| a.label.cmp(&b.label));
        Some(ports)
    };
    let plain = |n: &NetworkResource| NetworkResource {
        reserved_ports: ports(&n.reserved_ports),
        dynamic_ports: ports(&n.dynamic_ports).map(|mut p| {
            p.iter_mut().for_each(|p| p.value = None);
            p
        }),
        device: None,
        cidr: None,
        ip: None,
        ..n.clone()
    };
    Some(list?.iter().map(plain).collect())
}

fn connects_differ(a: &[Service], b: &[Service]) -> bool {
    let with_connect = |list: &[Service]| -> BTreeMap<String, Service> {
        let compared = |s: &Service| Service {
            connect: s.connect.clone(),
            port_label: s.port_label.clone(),
            cluster: s.cluster.clone(),
            ..Service::default()
        };
        let name = |s: &Service| s.name.clone().unwrap_or_default();
        list.iter().filter(|s| s.connect.is_some()).map(|s| (name(s), compared(s))).collect()
    };
    let (a, b) = (with_connect(a), with_connect(b));
    a.len() != b.len() || a.iter().any(|(name, a)| b.get(name).is_none_or(|b| !alike(a, b)))
}

fn tasks_differ(old: (&Job, &TaskGroup), new: (&Job, &TaskGroup)) -> bool {
    old.1.tasks().iter().any(|a| match new.1.task(a.name()) {
        None => true,
        Some(b) => task_differs(a, b) || meta(old, a) != meta(new, b),
    })
}

fn meta<'a>((job, group): (&'a Job, &'a TaskGroup), task: &'a Task) -> BTreeMap<&'a String, &'a String> {
    [&job.meta, &group.meta, &task.meta].into_iter().flatten().flatten().collect()
}

fn task_differs(a: &Task, b: &Task) -> bool {
    let unlogged = |t: &Task| t.log_config.as_ref().and_then(|l| l.disabled).unwrap_or(false);
    !alike(&compared_of_task(a), &compared_of_task(b))
        || renders(a.restart_policy.as_ref()) != renders(b.restart_policy.as_ref())
        || unlogged(a) != unlogged(b)
}

/// What of a task counts, besides single values of its blocks.
fn compared_of_task(task: &Task) -> Task {
    Task {
        driver: task.driver.clone(),
        user: task.user.clone(),
        config: task.config.clone(),
        env: task.env.clone(),
        artifacts: task.artifacts.clone(),
        vault: task.vault.clone(),
        secrets: task.secrets.clone(),
        consul: task.consul.clone(),
        templates: task.templates.clone(),
        csi_plugin_config: task.csi_plugin_config.clone(),
        volume_mounts: task.volume_mounts.clone(),
        identity: task.identity.clone(),
        identities: task.identities.clone(),
        resources: Some(compared_of_resources(task.resources.clone().unwrap_or_default())),
        ..Task::default()
    }
}

fn compared_of_resources(resources: Resources) -> Resources {
    Resources { disk_mb: None, iops: None, networks: networks(resources.networks.as_deref()), ..resources }
}

#[cfg(test)]
mod tests {
    use tarpan_model::Dur;
    use tarpan_testkit::jobs;

    use super::*;

    fn check(change: impl Fn(&mut Job), expected: bool) {
        let old = jobs::service("web", 3);
        let mut new = old.clone();
        change(&mut new);
        assert_eq!(needs_replacement(&old, &new, "group"), expected);
    }

    #[test]
    fn what_forces_a_new_allocation() {
        fn task(job: &mut Job) -> &mut Task {
            &mut jobs::group_mut(job).tasks.as_mut().expect("a task")[0]
        }
        check(|_| {}, false);
        // As it is when it was read from a server, changed and brought back.
        check(|job| task(job).user = Some(String::new()), false);
        check(|job| task(job).artifacts = Some(Vec::new()), false);
        check(|job| task(job).user = Some("nobody".to_owned()), true);
        check(|job| jobs::group_mut(job).count = Some(5), false);
        check(|job| task(job).kill_timeout = Some(Dur::from_secs(9)), false);
        check(|job| job.priority = Some(70), false);
        check(|job| jobs::group_mut(job).services = Some(vec![Service::default()]), false);
        check(|job| jobs::resources_mut(job).cpu = Some(200), true);
        check(|job| task(job).env = Some([("A".to_owned(), "b".to_owned())].into()), true);
        check(|job| job.meta = Some([("a".to_owned(), "b".to_owned())].into()), true);
        check(|job| jobs::group_mut(job).networks = Some(vec![jobs::network(&[("http", 0)])]), true);
        check(|job| task(job).driver = Some("docker".to_owned()), true);
        check(|job| jobs::group_mut(job).name = Some("other".to_owned()), true);
    }
}
