//! What a difference between two versions means for the allocations that run: written into the diff of a dry run.
//!
//! The words are the field's. It judges by names of fields, so that it may say more than the scheduler will do.

use tarpan_model::diff::{FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff};
use tarpan_model::plan::{DesiredUpdates, PlanAnnotations};

/// Writes counts of updates into the groups of `diff`, and into fields and tasks what they force.
pub fn annotate(diff: &mut JobDiff, plan: &PlanAnnotations) {
    for group in &mut diff.task_groups {
        if let Some(updates) = plan.groups.get(group.name.as_str()) {
            count_updates(group, updates);
        }
        group.fields.iter_mut().for_each(count_field);
        let whole = matches!(group.type_.as_str(), "Added" | "Deleted");
        for task in &mut group.tasks {
            if let Some(words) = forces(task, whole) {
                task.annotations.push(words.to_owned());
            }
        }
    }
}

fn count_updates(group: &mut TaskGroupDiff, updates: &DesiredUpdates) {
    let counts = [
        ("ignore", updates.ignore),
        ("create", updates.place),
        ("migrate", updates.migrate),
        ("destroy", updates.stop),
        ("in-place update", updates.in_place_update),
        ("create/destroy update", updates.destructive_update),
        ("canary", updates.canary),
        ("preemptions", updates.preemptions),
    ];
    let some = counts.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n));
    group.updates.extend(some);
}

fn count_field(field: &mut FieldDiff) {
    if field.name != "Count" || field.type_ == "None" {
        return;
    }
    let number = |text: &str| text.parse::<i64>().unwrap_or(0);
    let words = match number(&field.new).cmp(&number(&field.old)) {
        std::cmp::Ordering::Greater => "forces create",
        std::cmp::Ordering::Less => "forces destroy",
        std::cmp::Ordering::Equal => return,
    };
    field.annotations.push(words.to_owned());
}

/// `None` when nothing of the task changed.
fn forces(task: &TaskDiff, whole_group: bool) -> Option<&'static str> {
    match (task.type_.as_str(), whole_group) {
        ("None", _) => None,
        ("Added", true) => Some("forces create"),
        ("Deleted", true) => Some("forces destroy"),
        _ if task.fields.iter().any(replaces) || task.objects.iter().any(replaces_all) => {
            Some("forces create/destroy update")
        }
        _ => Some("forces in-place update"),
    }
}

fn replaces(field: &FieldDiff) -> bool {
    field.type_ != "None" && field.name != "KillTimeout"
}

fn replaces_all(object: &ObjectDiff) -> bool {
    if object.type_ == "None" {
        return false;
    }
    match object.name.as_str() {
        "Service" | "Constraint" | "Affinity" | "Spread" => false,
        "LogConfig" => object.fields.iter().any(|f| f.name == "Disabled" && f.type_ != "None"),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, old: &str, new: &str) -> FieldDiff {
        FieldDiff { type_: "Edited".into(), name: name.into(), old: old.into(), new: new.into(), annotations: vec![] }
    }

    #[test]
    fn what_changes_force() {
        let task = |fields: Vec<FieldDiff>, objects: &[&str]| TaskDiff {
            type_: "Edited".into(),
            fields,
            objects: objects
                .iter()
                .map(|name| ObjectDiff { type_: "Edited".into(), name: (*name).into(), ..Default::default() })
                .collect(),
            ..TaskDiff::default()
        };
        assert_eq!(forces(&task(vec![field("Driver", "a", "b")], &[]), false), Some("forces create/destroy update"));
        assert_eq!(
            forces(&task(vec![field("KillTimeout", "1", "2")], &["Service"]), false),
            Some("forces in-place update")
        );
        assert_eq!(forces(&task(vec![], &["Config"]), false), Some("forces create/destroy update"));
        assert_eq!(forces(&TaskDiff { type_: "Added".into(), ..Default::default() }, true), Some("forces create"));
        assert_eq!(forces(&TaskDiff { type_: "None".into(), ..Default::default() }, false), None);
    }

    #[test]
    fn counts_of_groups() {
        let group = TaskGroupDiff {
            name: "g".into(),
            type_: "Edited".into(),
            fields: vec![field("Count", "1", "3")],
            ..Default::default()
        };
        let mut diff = JobDiff { task_groups: vec![group], ..JobDiff::default() };
        let updates = DesiredUpdates { place: 2, ignore: 1, ..DesiredUpdates::default() };
        annotate(&mut diff, &PlanAnnotations { groups: [("g".into(), updates)].into(), preempted: Vec::new() });
        assert_eq!(diff.task_groups[0].updates, [("create".to_owned(), 2), ("ignore".to_owned(), 1)].into());
        assert_eq!(diff.task_groups[0].fields[0].annotations, ["forces create"]);
    }
}
