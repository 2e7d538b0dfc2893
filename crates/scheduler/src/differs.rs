//! Must a running allocation be replaced to become one of the new job version, or can it be updated where it is?
//!
//! Source: the field's comparison of group and tasks. What is not compared (constraints, services without Connect, kill
//! timeout, log sizes, policies, count, priority) takes effect in place.

use std::collections::BTreeMap;

use tarpan_model::job::{Job, NetworkResource, Port, Service, Task, TaskGroup};

/// `group` of `old` can't become the same group of `new` without new allocations.
pub fn needs_replacement(old: &Job, new: &Job, group: &str) -> bool {
    match (old.group(group), new.group(group)) {
        (Some(a), Some(b)) => group_differs(a, b) || tasks_differ((old, a), (new, b)),
        _ => true,
    }
}

fn group_differs(a: &TaskGroup, b: &TaskGroup) -> bool {
    let renders = |g: &TaskGroup| g.restart_policy.as_ref().and_then(|r| r.render_templates).unwrap_or(false);
    a.tasks().len() != b.tasks().len()
        || a.ephemeral_disk != b.ephemeral_disk
        || networks(a.networks.as_deref()) != networks(b.networks.as_deref())
        || a.consul != b.consul
        || a.volumes.clone().unwrap_or_default() != b.volumes.clone().unwrap_or_default()
        || renders(a) != renders(b)
        || connects_differ(a.services(), b.services())
}

/// What of networks counts: numbers of dynamic ports do not.
fn networks(list: Option<&[NetworkResource]>) -> Vec<NetworkResource> {
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
    list.unwrap_or_default().iter().map(plain).collect()
}

fn connects_differ(a: &[Service], b: &[Service]) -> bool {
    let with_connect = |list: &[Service]| -> BTreeMap<String, Service> {
        list.iter().filter(|s| s.connect.is_some()).map(|s| (s.name.clone().unwrap_or_default(), s.clone())).collect()
    };
    let (a, b) = (with_connect(a), with_connect(b));
    a.len() != b.len()
        || a.iter().any(|(name, a)| {
            b.get(name).is_none_or(|b| a.connect != b.connect || a.port_label != b.port_label || a.cluster != b.cluster)
        })
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
    let renders = |t: &Task| t.restart_policy.as_ref().and_then(|r| r.render_templates).unwrap_or(false);
    let unlogged = |t: &Task| t.log_config.as_ref().and_then(|l| l.disabled).unwrap_or(false);
    a.driver != b.driver
        || a.user != b.user
        || a.config != b.config
        || a.env.clone().unwrap_or_default() != b.env.clone().unwrap_or_default()
        || a.artifacts != b.artifacts
        || a.vault != b.vault
        || a.secrets != b.secrets
        || a.consul != b.consul
        || a.templates != b.templates
        || a.csi_plugin_config != b.csi_plugin_config
        || a.volume_mounts != b.volume_mounts
        || a.identity != b.identity
        || a.identities != b.identities
        || renders(a) != renders(b)
        || unlogged(a) != unlogged(b)
        || resources_differ(a, b)
}

fn resources_differ(a: &Task, b: &Task) -> bool {
    let (a, b) = (a.resources.clone().unwrap_or_default(), b.resources.clone().unwrap_or_default());
    a.cpu != b.cpu
        || a.cores != b.cores
        || a.memory_mb != b.memory_mb
        || a.memory_max_mb != b.memory_max_mb
        || a.devices != b.devices
        || a.numa != b.numa
        || a.secrets_mb != b.secrets_mb
        || networks(a.networks.as_deref()) != networks(b.networks.as_deref())
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
