//! A start as it is written down before it happens, and the places where an agent's tasks are looked for.

#![allow(clippy::disallowed_methods, reason = "the run's own directory, which no task sees")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tarpan_model::AllocId;

use super::{Driver, Handle, LogTarget, TaskRequest};

/// One start of a task. With it a later agent finds out what became of the start, whenever the earlier one died.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub driver: String,
    pub alloc_id: AllocId,
    pub task: String,
    /// `<alloc id>/<task>/<8 hex>`, as in [`TaskRequest::id`].
    pub id: String,
    pub run_dir: PathBuf,
    #[serde(default)]
    pub logs: Option<LogTarget>,
    #[serde(default)]
    pub cgroup_parent: String,
}

impl Mark {
    pub fn of(driver: &str, request: &TaskRequest) -> Mark {
        Mark {
            driver: driver.to_owned(),
            alloc_id: request.alloc_id,
            task: request.task.clone(),
            id: request.id.clone(),
            run_dir: request.run_dir.clone(),
            logs: request.logs.clone(),
            cgroup_parent: request.cgroup_parent.clone(),
        }
    }
}

/// A start that the machine shows traces of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    pub mark: Mark,
    pub running: bool,
}

/// Where everything of an agent is that its tasks leave on the machine.
#[derive(Clone, Debug)]
pub struct Place {
    pub alloc_root: PathBuf,
    /// Directories of runs: `<alloc id>/<task>-<8 hex>`.
    pub tasks: PathBuf,
    pub cgroup_parent: String,
}

impl Place {
    pub fn run_dir(&self, alloc: AllocId, task: &str, suffix: &str) -> PathBuf {
        self.tasks.join(alloc.to_string()).join(format!("{task}-{suffix}"))
    }

    /// The start that a directory of a run belongs to.
    pub fn mark(&self, driver: &str, run_dir: &Path) -> Option<Mark> {
        let mut below = run_dir.strip_prefix(&self.tasks).ok()?.iter().filter_map(|part| part.to_str());
        let (alloc, run) = (below.next()?, below.next()?);
        let (task, suffix) = run.rsplit_once('-')?;
        Some(Mark {
            driver: driver.to_owned(),
            alloc_id: AllocId(uuid::Uuid::parse_str(alloc).ok()?),
            task: task.to_owned(),
            id: format!("{alloc}/{task}/{suffix}"),
            run_dir: run_dir.to_owned(),
            logs: None,
            cgroup_parent: self.cgroup_parent.clone(),
        })
    }
}

/// Ends what a start has brought about, and removes it. Whether the driver could say.
pub async fn remove(driver: &Arc<dyn Driver>, mark: &Mark) -> bool {
    let found: Result<Option<Arc<dyn Handle>>, _> = driver.find(mark).await;
    match found {
        Ok(Some(handle)) => handle.destroy().await,
        Ok(None) => remove_run_dir(&mark.run_dir).await,
        Err(error) => {
            tracing::warn!(alloc_id = %mark.alloc_id, task = mark.task, "looking for what an earlier start left: {error}");
            return false;
        }
    }
    true
}

/// Removes the directory of a run, if it is there.
pub(super) async fn remove_run_dir(dir: &Path) {
    let dir = dir.to_owned();
    crate::blocking(move || drop(std::fs::remove_dir_all(dir))).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_says_whose_run_it_is() {
        let place =
            Place { alloc_root: "/a".into(), tasks: "/s/tasks".into(), cgroup_parent: "nomad.slice".to_owned() };
        let id = AllocId(uuid::Uuid::from_u128(7));
        let dir = place.run_dir(id, "web-1", "0badcafe");
        let mark = place.mark("raw_exec", &dir).expect("one of ours");
        assert_eq!((mark.alloc_id, &*mark.task), (id, "web-1"));
        assert_eq!(mark.id, format!("{id}/web-1/0badcafe"));
        assert!(place.mark("raw_exec", Path::new("/elsewhere/x/y-1")).is_none());
        assert!(place.mark("raw_exec", Path::new("/s/tasks/no-id/y-1")).is_none());
    }
}
