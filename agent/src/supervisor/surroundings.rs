//! What a task's process has around it before its program runs: control groups, network, limits.

#![allow(clippy::disallowed_methods, reason = "files of the kernel")]

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::Spec;

pub(super) struct Surroundings {
    cgroups: Vec<PathBuf>,
    netns: Option<PathBuf>,
    descriptors: Option<u64>,
    oom_score_adj: i32,
}

impl Surroundings {
    pub fn of(spec: &Spec) -> Surroundings {
        Surroundings {
            cgroups: spec.cgroups.iter().chain(&spec.shared_group).cloned().collect(),
            netns: spec.netns.clone(),
            descriptors: spec.descriptors,
            oom_score_adj: spec.oom_score_adj,
        }
    }

    /// The calling process, which has one thread, and whatever it becomes.
    pub fn enter(&self) -> io::Result<()> {
        for dir in &self.cgroups {
            std::fs::write(dir.join("cgroup.procs"), "0")?;
        }
        if let Some(path) = &self.netns {
            nix::sched::setns(File::open(path)?.as_fd(), nix::sched::CloneFlags::CLONE_NEWNET)?;
        }
        if let Some(soft) = self.descriptors {
            crate::descriptors::set_soft(soft)?;
        }
        if self.oom_score_adj != 0 {
            std::fs::write("/proc/self/oom_score_adj", self.oom_score_adj.to_string())?;
        }
        Ok(())
    }
}
