//! What state something is in, as a shape, a colour and a word. Pure.

use tarpan_api::wire::{AllocDeploymentStatus, TaskEvent, TaskState};

use crate::lang::Texts;

/// The shapes of the drawings' status marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Running,
    Canary,
    Pending,
    Blocked,
    Degraded,
    Draining,
    Failed,
    Lost,
    Complete,
    Stopped,
    /// Something that a person did or may do: the accent colour, never a status.
    Accent,
}

impl Kind {
    /// The class after `c-` and `f-`.
    pub fn class(self) -> &'static str {
        match self {
            Kind::Running => "running",
            Kind::Canary => "canary",
            Kind::Pending | Kind::Blocked => "pending",
            Kind::Degraded => "degraded",
            Kind::Draining => "draining",
            Kind::Failed => "failed",
            Kind::Lost => "lost",
            Kind::Complete => "complete",
            Kind::Stopped => "stopped",
            Kind::Accent => "accent",
        }
    }
    /// The symbol of its shape.
    pub fn shape(self) -> &'static str {
        match self {
            Kind::Running | Kind::Accent => "#s-running",
            Kind::Canary => "#s-canary",
            Kind::Pending => "#s-pending",
            Kind::Blocked => "#s-blocked",
            Kind::Degraded => "#s-degraded",
            Kind::Draining => "#s-draining",
            Kind::Failed => "#s-failed",
            Kind::Lost => "#s-lost",
            Kind::Complete => "#s-complete",
            Kind::Stopped => "#s-stopped",
        }
    }
    /// The symbol of its square.
    pub fn square(self) -> &'static str {
        match self {
            Kind::Running | Kind::Accent => "#q-running",
            Kind::Canary => "#q-canary",
            Kind::Pending | Kind::Blocked => "#q-pending",
            Kind::Degraded => "#q-degraded",
            Kind::Draining => "#q-draining",
            Kind::Failed => "#q-failed",
            Kind::Lost => "#q-lost",
            Kind::Complete => "#q-complete",
            Kind::Stopped => "#q-stopped",
        }
    }
    /// The word for many: `44 running`.
    pub fn word(self, t: &Texts) -> &'static str {
        match self {
            Kind::Running | Kind::Accent => t.w_running,
            Kind::Canary => t.w_canary,
            Kind::Pending => t.w_pending,
            Kind::Blocked => t.w_blocked,
            Kind::Degraded => t.w_degraded,
            Kind::Draining => t.w_draining,
            Kind::Failed => t.w_failed,
            Kind::Lost => t.w_lost,
            Kind::Complete => t.w_complete,
            Kind::Stopped => t.w_stopped,
        }
    }
}

/// A shape with its words: the main word, and what is worth adding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Badge {
    pub kind: Kind,
    pub word: String,
    pub sub: String,
}

impl Badge {
    pub fn new(kind: Kind, word: impl Into<String>) -> Badge {
        Badge { kind, word: word.into(), sub: String::new() }
    }
    #[expect(clippy::should_implement_trait, reason = "what stands below the word; nothing is subtracted")]
    pub fn sub(mut self, sub: impl Into<String>) -> Badge {
        self.sub = sub.into();
        self
    }
}

/// A host volume's state.
pub fn volume_badge(t: &Texts, state: &str) -> Badge {
    match state {
        "ready" => Badge::new(Kind::Running, t.ready),
        "pending" => Badge::new(Kind::Pending, t.pending),
        "unavailable" => Badge::new(Kind::Lost, t.unavailable),
        other => Badge::new(Kind::Pending, other),
    }
}

/// An allocation's state from both sides: what the servers want and what the node reports.
pub fn alloc_badge(t: &Texts, desired: &str, client: &str, health: Option<&AllocDeploymentStatus>) -> Badge {
    let stopping = desired == "stop" || desired == "evict";
    let healthy = health.and_then(|h| h.healthy);
    let canary = health.is_some_and(|h| h.canary);
    match client {
        "running" if stopping => Badge::new(Kind::Draining, t.stopping),
        "running" if canary => Badge::new(Kind::Canary, t.canary).sub(health_word(t, healthy)),
        "running" if healthy == Some(false) => Badge::new(Kind::Degraded, t.running).sub(t.unhealthy),
        "running" => Badge::new(Kind::Running, t.running).sub(health_word(t, healthy)),
        "pending" if stopping => Badge::new(Kind::Stopped, t.stopped),
        "pending" => Badge::new(Kind::Pending, t.starting),
        "failed" => Badge::new(Kind::Failed, t.failed),
        "lost" => Badge::new(Kind::Lost, t.lost),
        "unknown" => Badge::new(Kind::Lost, t.unknown),
        "complete" if stopping => Badge::new(Kind::Stopped, t.stopped),
        _ => Badge::new(Kind::Complete, t.complete),
    }
}

fn health_word(t: &Texts, healthy: Option<bool>) -> &'static str {
    match healthy {
        Some(true) => t.healthy,
        Some(false) => t.unhealthy,
        None => "",
    }
}

/// A task's state: its word, with the exit code of its last run where it ended.
pub fn task_badge(t: &Texts, state: &TaskState) -> Badge {
    let exit = state.events.iter().rev().find(|e| e.type_ == "Terminated");
    let code = exit.map(|e| crate::lang::fill(t.exit_code, &[&e.exit_code.to_string()])).unwrap_or_default();
    let restarting = state.events.last().is_some_and(|e| e.type_ == "Restarting");
    match state.state.as_str() {
        "running" => Badge::new(Kind::Running, t.running),
        "pending" if restarting => Badge::new(Kind::Degraded, t.restarting).sub(code),
        "pending" => Badge::new(Kind::Pending, t.starting),
        _ if state.failed => Badge::new(Kind::Failed, t.failed).sub(code),
        _ => Badge::new(Kind::Complete, t.complete).sub(code),
    }
}

/// The mark of an event in a task's time line.
pub fn event_kind(event: &TaskEvent) -> Kind {
    match event.type_.as_str() {
        _ if event.fails_task => Kind::Failed,
        "Started" => Kind::Running,
        "Terminated" => match (event.exit_code, event.signal) {
            (0, 0) => Kind::Complete,
            // Interrupted or asked to end: SIGINT, SIGTERM.
            (_, 2 | 15) => Kind::Stopped,
            _ => Kind::Failed,
        },
        "Restarting" | "Not Restarting" | "Restart Signaled" => Kind::Degraded,
        "Driver Failure" | "Setup Failure" | "Failed Validation" | "Failed Artifact Download" | "Template failed" => {
            Kind::Failed
        }
        "Killing" | "Killed" | "Signaling" | "Sibling Task Failed" => Kind::Stopped,
        _ => Kind::Pending,
    }
}

/// A node's state: connection, drain, eligibility.
pub fn node_badge(t: &Texts, status: &str, drain: bool, eligibility: &str) -> Badge {
    match status {
        "ready" if drain => Badge::new(Kind::Draining, t.draining),
        "ready" if eligibility == "ineligible" => Badge::new(Kind::Stopped, t.ineligible),
        "ready" => Badge::new(Kind::Running, t.ready),
        "initializing" => Badge::new(Kind::Pending, t.initializing),
        "disconnected" => Badge::new(Kind::Lost, t.disconnected),
        _ => Badge::new(Kind::Lost, t.down),
    }
}

/// An evaluation's state.
pub fn eval_badge(t: &Texts, status: &str, has_failures: bool) -> Badge {
    match status {
        "complete" if has_failures => Badge::new(Kind::Degraded, t.complete).sub(t.not_all_placed),
        "complete" => Badge::new(Kind::Complete, t.complete),
        "blocked" => Badge::new(Kind::Blocked, t.blocked),
        "pending" => Badge::new(Kind::Pending, t.pending),
        "failed" => Badge::new(Kind::Failed, t.failed),
        _ => Badge::new(Kind::Stopped, t.canceled),
    }
}

/// A deployment's state.
pub fn deployment_badge(t: &Texts, status: &str, needs_promotion: bool) -> Badge {
    match status {
        "running" if needs_promotion => Badge::new(Kind::Canary, t.deploying).sub(t.waiting_for_you),
        "running" => Badge::new(Kind::Canary, t.deploying),
        "paused" => Badge::new(Kind::Pending, t.paused),
        "pending" | "blocked" | "unblocking" | "initializing" => Badge::new(Kind::Pending, t.pending),
        "successful" => Badge::new(Kind::Complete, t.successful),
        "failed" => Badge::new(Kind::Failed, t.failed),
        _ => Badge::new(Kind::Stopped, t.canceled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::texts_of;
    use crate::prefs::Lang;
    use tarpan_api::wire::TaskEvent;

    #[test]
    fn allocations() {
        let t = texts_of(Lang::En);
        let health = |healthy, canary| AllocDeploymentStatus { healthy, canary, ..Default::default() };
        let check = |desired: &str, client: &str, h: Option<AllocDeploymentStatus>, kind, word: &str, sub: &str| {
            let got = alloc_badge(t, desired, client, h.as_ref());
            assert_eq!((got.kind, got.word.as_str(), got.sub.as_str()), (kind, word, sub), "{desired} {client}");
        };
        check("run", "running", None, Kind::Running, "Running", "");
        check("run", "running", Some(health(Some(true), false)), Kind::Running, "Running", "healthy");
        check("run", "running", Some(health(Some(true), true)), Kind::Canary, "Canary", "healthy");
        check("run", "running", Some(health(Some(false), false)), Kind::Degraded, "Running", "unhealthy");
        check("stop", "running", None, Kind::Draining, "Stopping", "");
        check("stop", "complete", None, Kind::Stopped, "Stopped", "");
        check("run", "complete", None, Kind::Complete, "Complete", "");
        check("run", "failed", None, Kind::Failed, "Failed", "");
        check("stop", "lost", None, Kind::Lost, "Lost", "");
        check("run", "pending", None, Kind::Pending, "Starting", "");
    }

    #[test]
    fn tasks() {
        let t = texts_of(Lang::En);
        let ended = TaskEvent { type_: "Terminated".into(), exit_code: 3, ..Default::default() };
        let again = TaskEvent { type_: "Restarting".into(), ..Default::default() };
        let state = |state: &str, failed, events: &[&TaskEvent]| TaskState {
            state: state.into(),
            failed,
            events: events.iter().map(|e| (*e).clone()).collect(),
            ..Default::default()
        };
        let check = |s: TaskState, kind, text: &str| {
            let b = task_badge(t, &s);
            assert_eq!((b.kind, format!("{} {}", b.word, b.sub).trim().to_owned()), (kind, text.to_owned()));
        };
        check(state("running", false, &[]), Kind::Running, "Running");
        check(state("pending", false, &[&ended, &again]), Kind::Degraded, "Restarting exit code 3");
        check(state("dead", true, &[&ended]), Kind::Failed, "Failed exit code 3");
        check(state("dead", false, &[&ended]), Kind::Complete, "Complete exit code 3");
    }

    #[test]
    fn nodes_in_chinese() {
        let t = texts_of(Lang::Zh);
        assert_eq!(node_badge(t, "ready", false, "eligible").word, "就绪");
        assert_eq!(node_badge(t, "ready", true, "ineligible").kind, Kind::Draining);
        assert_eq!(node_badge(t, "down", false, "eligible").kind, Kind::Lost);
    }
}
