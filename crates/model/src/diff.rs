//! What changed between two versions of a job, as `job plan` and the versions page show it.
//!
//! Walks both trees by their schema, so a field added to the Job tree is in the diff without a line here; [`shape`] holds
//! what is left out, how things are called and what tells two blocks of a list apart.
//! Start at [`job_diff`]; [`annotate`] adds what a dry run found out.

mod shape;
#[cfg(test)]
mod tests;
mod types;
mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use types::{FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff};

use crate::job::{Job, Task, TaskGroup};
use crate::plan::DesiredUpdates;
use walk::{Changes, changes, kind, matched};

/// The difference from `old` to `new`; `None` is a job that is not there. `contextual` keeps the unchanged fields of
/// nested blocks that changed. Fields are in order of name. Compare canonicalised jobs, or defaults show as changes.
pub fn job_diff(old: Option<&Job>, new: Option<&Job>, contextual: bool) -> JobDiff {
    let Changes { fields, objects } = changes(old.map(|j| j as _), new.map(|j| j as _), contextual);
    let pairs = matched(old.map_or(&[], Job::groups), new.map_or(&[], Job::groups), TaskGroup::name);
    let mut task_groups: Vec<TaskGroupDiff> = pairs.iter().map(|(a, b)| group_diff(*a, *b, contextual)).collect();
    task_groups.sort_by(|a, b| a.name.cmp(&b.name));
    let changed = !fields.is_empty() || !objects.is_empty() || task_groups.iter().any(|g| g.type_ != "None");
    let id = new.or(old).map_or("", Job::id).to_owned();
    JobDiff { type_: kind(old.is_some(), new.is_some(), changed).to_owned(), id, fields, objects, task_groups }
}

fn group_diff(old: Option<&TaskGroup>, new: Option<&TaskGroup>, contextual: bool) -> TaskGroupDiff {
    let Changes { fields, objects } = changes(old.map(|g| g as _), new.map(|g| g as _), contextual);
    let pairs = matched(old.map_or(&[], TaskGroup::tasks), new.map_or(&[], TaskGroup::tasks), Task::name);
    let mut tasks: Vec<TaskDiff> = pairs.iter().map(|(a, b)| task_diff(*a, *b, contextual)).collect();
    tasks.sort_by(|a, b| a.name.cmp(&b.name));
    let changed = !fields.is_empty() || !objects.is_empty() || tasks.iter().any(|t| t.type_ != "None");
    let name = new.or(old).map_or("", TaskGroup::name).to_owned();
    let type_ = kind(old.is_some(), new.is_some(), changed).to_owned();
    TaskGroupDiff { type_, name, fields, objects, tasks, updates: BTreeMap::new() }
}

fn task_diff(old: Option<&Task>, new: Option<&Task>, contextual: bool) -> TaskDiff {
    let Changes { fields, objects } = changes(old.map(|t| t as _), new.map(|t| t as _), contextual);
    let changed = !fields.is_empty() || !objects.is_empty();
    let name = new.or(old).map_or("", Task::name).to_owned();
    let type_ = kind(old.is_some(), new.is_some(), changed).to_owned();
    TaskDiff { type_, name, fields, objects, annotations: Vec::new() }
}

/// Adds what a dry run found out: how many allocations of each group will be created, destroyed and so on, and what each
/// change forces.
pub fn annotate(diff: &mut JobDiff, updates: &BTreeMap<Arc<str>, DesiredUpdates>) {
    for group in &mut diff.task_groups {
        group.updates = updates.get(group.name.as_str()).map(by_kind).unwrap_or_default();
        let group_added_or_deleted = group.type_ == "Added" || group.type_ == "Deleted";
        for field in group.fields.iter_mut().filter(|f| f.name == "Count") {
            annotate_count(field);
        }
        for task in &mut group.tasks {
            annotate_task(task, &group.type_, group_added_or_deleted);
        }
    }
}

fn by_kind(updates: &DesiredUpdates) -> BTreeMap<String, u64> {
    let counts = [
        ("ignore", updates.ignore),
        ("create", updates.place),
        ("migrate", updates.migrate),
        ("destroy", updates.stop),
        ("in-place update", updates.in_place_update),
        ("create/destroy update", updates.destructive_update),
        ("canary", updates.canary),
        ("preemptions", updates.preemptions),
        ("disconnect", updates.disconnect),
        ("reconnect", updates.reconnect),
        ("reschedule now", updates.reschedule_now),
        ("reschedule later", updates.reschedule_later),
    ];
    counts.into_iter().filter(|(_, n)| *n > 0).map(|(kind, n)| (kind.to_owned(), n)).collect()
}

fn annotate_count(field: &mut FieldDiff) {
    let number = |text: &str| text.parse::<i64>().unwrap_or(0);
    match number(&field.old).cmp(&number(&field.new)) {
        std::cmp::Ordering::Less => field.annotations.push("forces create".to_owned()),
        std::cmp::Ordering::Greater => field.annotations.push("forces destroy".to_owned()),
        std::cmp::Ordering::Equal => {}
    }
}

fn annotate_task(task: &mut TaskDiff, group: &str, whole_group: bool) {
    let note = match (task.type_.as_str(), group) {
        ("None", _) => return,
        ("Added", "Added") if whole_group => "forces create",
        ("Deleted", "Deleted") if whole_group => "forces destroy",
        _ if in_place(task) => "forces in-place update",
        _ => "forces create/destroy update",
    };
    task.annotations.push(note.to_owned());
}

/// Whether a running task can take the change.
fn in_place(task: &TaskDiff) -> bool {
    let fields = task.fields.iter().filter(|f| f.type_ != "None").all(|f| f.name == "KillTimeout");
    let objects = task.objects.iter().filter(|o| o.type_ != "None").all(|o| match o.name.as_str() {
        "Service" | "Constraint" | "Affinity" | "Spread" => true,
        "LogConfig" => !o.fields.iter().any(|f| f.name == "Disabled" && f.type_ != "None"),
        _ => false,
    });
    task.type_ == "Edited" && fields && objects
}
