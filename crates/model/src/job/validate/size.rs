//! How large a job may be.
//!
//! The field bounds none of this. Whatever is one job is read, kept, shown and sent to followers as a whole, and each of its
//! allocations names every task of its group: one job of very many tasks would cost everybody else. What needs more is several
//! jobs, or more allocations of one group.

use std::io::{self, Write};

use super::super::{Job, TaskGroup};
use super::{Rules, shown};

/// Groups of a job.
pub const MAX_GROUPS: usize = 2_000;
/// Tasks of a group, which all run on one node.
pub const MAX_GROUP_TASKS: usize = 500;
/// Tasks of all groups.
pub const MAX_TASKS: usize = 5_000;
/// Bytes of a job as JSON, with all its defaults written out: twice the bound of a jobspec's text. Templates and files inside it
/// count.
pub const MAX_BYTES: usize = 8 << 20;

impl Job {
    pub(super) fn size(&self, rules: &mut Rules) {
        let groups = self.groups();
        if groups.len() > MAX_GROUPS {
            rules.say("TaskGroups", format!("The job has {} task groups; {MAX_GROUPS} are the most", groups.len()));
        }
        let tasks: usize = groups.iter().map(|g| g.tasks().len()).sum();
        if tasks > MAX_TASKS {
            rules.say("TaskGroups", format!("The job has {tasks} tasks in all; {MAX_TASKS} are the most"));
        }
        for (index, group) in groups.iter().enumerate().filter(|(_, g)| g.tasks().len() > MAX_GROUP_TASKS) {
            rules.say(&format!("TaskGroups[{index}].Tasks"), group.too_many_tasks());
        }
        let bytes = self.bytes();
        if bytes > MAX_BYTES {
            rules.say("", format!("The job is {bytes} bytes as JSON; {MAX_BYTES} are the most"));
        }
    }

    /// Bytes as JSON.
    fn bytes(&self) -> usize {
        let mut count = Count(0);
        // Counting can't fail, and what can't be written is found where it is written.
        let _ = serde_json::to_writer(&mut count, self);
        count.0
    }
}

impl TaskGroup {
    fn too_many_tasks(&self) -> String {
        let (name, count) = (shown(self.name()), self.tasks().len());
        format!("Task group {name} has {count} tasks; {MAX_GROUP_TASKS} are the most")
    }
}

struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Task;

    fn job(groups: usize, tasks: usize, meta: usize) -> Job {
        let task = |n| Task { name: Some(format!("t{n}")), ..Task::default() };
        let group = |n| TaskGroup {
            name: Some(format!("g{n}")),
            tasks: Some((0..tasks).map(task).collect()),
            ..TaskGroup::default()
        };
        Job {
            id: Some("large".into()),
            task_groups: Some((0..groups).map(group).collect()),
            meta: Some([("text".to_owned(), "x".repeat(meta))].into()),
            ..Job::default()
        }
    }

    fn said(job: &Job) -> Vec<String> {
        let mut rules = Rules::default();
        job.size(&mut rules);
        rules.findings.into_iter().map(|f| format!("{}: {}", f.path, f.message)).collect()
    }

    #[test]
    fn jobs_are_bounded_in_every_direction() {
        for fine in [job(MAX_GROUPS, 1, 0), job(1, MAX_GROUP_TASKS, 0), job(1, 1, MAX_BYTES - (64 << 10))] {
            assert_eq!(said(&fine), [] as [String; 0]);
        }
        let mut most = job(MAX_GROUPS, 2, 0);
        most.admit(&crate::job::Admission::default());
        assert_eq!(said(&most), [] as [String; 0], "defaults have room");
        assert_eq!(said(&job(2_001, 1, 0)), ["TaskGroups: The job has 2001 task groups; 2000 are the most"]);
        assert_eq!(said(&job(1, 501, 0)), ["TaskGroups[0].Tasks: Task group g0 has 501 tasks; 500 are the most"]);
        let large = said(&job(1, 1, MAX_BYTES));
        assert!(large[0].starts_with(": The job is ") && large[0].ends_with("8388608 are the most"), "{large:?}");
        let all = said(&job(11, 500, 0));
        assert_eq!(all[0], "TaskGroups: The job has 5500 tasks in all; 5000 are the most");
    }
}
