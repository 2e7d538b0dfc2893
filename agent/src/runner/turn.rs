//! When in its allocation's life a task runs, as its `lifecycle` says.

use tarpan_model::Task;

/// When in its allocation's life a task runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Main,
    Prestart,
    PrestartSidecar,
    Poststart,
    PoststartSidecar,
    Poststop,
}

impl Turn {
    pub fn of(task: &Task) -> Turn {
        let Some(lifecycle) = &task.lifecycle else { return Turn::Main };
        match (lifecycle.hook.as_deref(), lifecycle.sidecar == Some(true)) {
            (Some("prestart"), false) => Turn::Prestart,
            (Some("prestart"), true) => Turn::PrestartSidecar,
            (Some("poststart"), false) => Turn::Poststart,
            (Some("poststart"), true) => Turn::PoststartSidecar,
            (Some("poststop"), _) => Turn::Poststop,
            _ => Turn::Main,
        }
    }

    pub fn sidecar(self) -> bool {
        matches!(self, Turn::PrestartSidecar | Turn::PoststartSidecar)
    }
}
