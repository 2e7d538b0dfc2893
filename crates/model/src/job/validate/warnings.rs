//! What is allowed but probably not meant.

use super::super::finding::{self, Finding};
use super::super::{Job, Task, TaskGroup};

/// Warnings as one text: `N warnings:`, a blank line, a bullet for each. Empty without any.
pub fn text(warnings: &[String]) -> String {
    match warnings.len() {
        0 => String::new(),
        n => {
            let bullets: Vec<String> = warnings.iter().map(|w| format!("* {}", w.trim_end())).collect();
            format!("{n} warning{}:\n\n{}", if n == 1 { "" } else { "s" }, bullets.join("\n"))
        }
    }
}

pub(super) fn of(job: &Job) -> Vec<String> {
    let mut warnings = Vec::new();
    for group in job.groups() {
        shutdown_delay(group, &mut warnings);
        restart_pace(group, &mut warnings);
    }
    // Groups without canaries have nothing to promote.
    let canaries = || job.groups().iter().filter_map(|g| g.update.as_ref()).filter(|u| u.canary.unwrap_or(0) > 0);
    let promoting = canaries().filter(|u| u.auto_promote == Some(true)).count();
    for group in job.groups() {
        let found = group_findings(group);
        if !found.is_empty() {
            warnings.push(format!("Group {:?} has warnings: {}", group.name(), finding::text(&found).trim_end()));
        }
    }
    if promoting > 0 && promoting < canaries().count() {
        warnings.push("auto_promote must be true for all groups to enable automatic promotion".to_owned());
    }
    if job.periodic.as_ref().and_then(|p| p.spec.as_deref()).is_some_and(|s| !s.is_empty()) {
        warnings.push("cron is deprecated and may be removed in a future release. Use crons instead".to_owned());
    }
    warnings
}

/// More memory than asked as the normal amount, where nobody gets that.
pub(super) fn memory(job: &Job) -> Vec<String> {
    let asks = |task: &Task| task.resources.as_ref().is_some_and(|r| r.memory_max_mb.unwrap_or(0) != 0);
    let tasks = job.groups().iter().flat_map(|g| g.tasks().iter().map(move |t| (g, t)));
    let sentence = |(group, task): (&TaskGroup, &Task)| {
        format!(
            "Memory oversubscription is not enabled; Task \"{}.{}\" memory_max value will be ignored. Update the Scheduler Configuration to allow oversubscription.",
            group.name(),
            task.name()
        )
    };
    tasks.filter(|(_, task)| asks(task)).map(sentence).collect()
}

/// The getting-started guides ask for more restarts than fit their interval, so this is no mistake: the interval is simply
/// over before the attempts are used up.
fn restart_pace(group: &TaskGroup, warnings: &mut Vec<String>) {
    if let Some(policy) = &group.restart_policy {
        let attempts = policy.attempts.unwrap_or(0);
        let (interval, delay) = (policy.interval.unwrap_or_default(), policy.delay.unwrap_or_default());
        if attempts.saturating_mul(delay.0) > interval.0 {
            warnings.push(format!(
                "group {:?} can't be restarted {attempts} times in an interval of {interval} with a delay of {delay}: \
                 the attempts are never used up",
                group.name()
            ));
        }
    }
}

/// Services are taken out of discovery before their tasks stop; without a delay requests still arrive.
fn shutdown_delay(group: &TaskGroup, warnings: &mut Vec<String>) {
    if group.shutdown_delay.is_some_and(|d| d.0 > 0) {
        return;
    }
    let delayed = |task: &Task| task.shutdown_delay.is_some_and(|d| d.0 > 0);
    for task in group.tasks().iter().filter(|t| !t.services().is_empty() && !delayed(t)) {
        let (task, group) = (task.name(), group.name());
        warnings.push(format!("task {task:?} in group {group:?} defines services, but has no shutdown_delay set"));
    }
    let (bound, free): (Vec<_>, Vec<_>) =
        group.services().iter().partition(|s| s.task_name.as_deref().is_some_and(|t| !t.is_empty()));
    // A sidecar or gateway brings a delay of its own.
    let proxied = group.services().iter().any(super::super::Service::has_proxy);
    if !free.is_empty() && !proxied && !group.tasks().iter().any(delayed) {
        let name = group.name();
        warnings.push(format!(
            "group {name:?} defines services, but neither the group nor any of its tasks have shutdown_delay set"
        ));
    }
    for service in bound {
        let name = service.task_name.as_deref().unwrap_or_default();
        if group.task(name).is_some_and(|t| !delayed(t)) {
            warnings.push(format!(
                "group {:?} references task {name:?} in a service definition, but the task has no shutdown_delay set",
                group.name()
            ));
        }
    }
}

fn group_findings(group: &TaskGroup) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |context: &[String], message: String| {
        found.push(Finding { path: String::new(), context: context.to_vec(), message });
    };
    if let Some(update) = &group.update {
        let (parallel, count) = (update.max_parallel.unwrap_or(1), group.count.unwrap_or(1));
        if parallel > count && count > 0 && parallel > 1 && update.canary.unwrap_or(0) == 0 {
            say(
                &[],
                format!(
                    "Update max parallel count is greater than task group count ({parallel} > {count}). A destructive change would result in the simultaneous replacement of all allocations."
                ),
            );
        }
    }
    if group.networks.iter().flatten().any(|n| n.mbits.is_some_and(|m| m > 0)) {
        say(&[], "mbits has been deprecated as of Nomad 0.12.0. Please remove mbits from the network block".to_owned());
    }
    for task in group.tasks() {
        let context = [format!("Task {:?} has warnings", task.name())];
        for message in task_warnings(task) {
            say(&context, message);
        }
        let context = [context[0].clone(), String::new()];
        for message in identity_warnings(task) {
            say(&context, message);
        }
    }
    found
}

fn task_warnings(task: &Task) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(resources) = &task.resources {
        if resources.iops.is_some_and(|i| i > 0) {
            warnings
                .push("IOPS has been deprecated as of Nomad 0.9.0. Please remove IOPS from resource block.".to_owned());
        }
        if resources.networks.as_ref().is_some_and(|n| !n.is_empty()) {
            warnings.push(
                "task network resources have been deprecated as of Nomad 0.12.0. Please configure networking via group network block."
                    .to_owned(),
            );
        }
    }
    for (index, template) in task.templates.iter().flatten().enumerate() {
        if template.vault_grace.is_some_and(|g| g.0 > 0) {
            warnings.push(format!(
                "Template[{index}] VaultGrace has been deprecated as of Nomad 0.11 and ignored since Vault 0.5. Please remove VaultGrace / vault_grace from template block."
            ));
        }
    }
    warnings
}

fn identity_warnings(task: &Task) -> Vec<String> {
    let mut warnings = Vec::new();
    for identity in task.identities.iter().flatten() {
        let name = identity.name.as_deref().unwrap_or_default();
        let mut say = |text: &str| warnings.push(format!("Identity[{name}] {text}"));
        match identity.audience.as_ref().map_or(0, Vec::len) {
            0 => say("identities without an audience are insecure"),
            1 => {}
            _ => say("while multiple audiences is allowed, it is more secure to use 1 audience per identity"),
        }
        if identity.env == Some(true) && identity.change_mode.as_deref() != Some("restart") {
            say("using env=true without change_mode=\"restart\" may result in task not getting updated identity");
        }
        if identity.ttl.unwrap_or_default().0 == 0 {
            say("identities without an expiration are insecure");
        }
    }
    warnings
}
