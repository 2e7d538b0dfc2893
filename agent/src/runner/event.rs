//! Task events with the sentences people read. Types and texts: `reference/runtime.md`, "Task events".

use std::sync::Arc;

use tarpan_model::sorted::SortedMap;
use tarpan_model::{Dur, TaskEvent, UnixNanos};

use crate::supervisor::Exit;

/// Why a task restarts where nothing is to be said about it.
pub const WITHIN_POLICY: &str = "Restart within policy";

fn event(kind: &str, message: impl AsRef<str>, details: &[(&str, String)]) -> TaskEvent {
    let details: SortedMap<Arc<str>, Arc<str>> =
        details.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (Arc::from(*k), Arc::from(v.as_str()))).collect();
    TaskEvent {
        kind: Arc::from(kind),
        time: UnixNanos::ZERO,
        message: Arc::from(message.as_ref()),
        details,
        fails_task: false,
    }
}

/// The event, marked as one that fails its task.
pub fn failing(mut event: TaskEvent) -> TaskEvent {
    event.fails_task = true;
    event.details.insert(Arc::from("fails_task"), Arc::from("true"));
    event
}

pub fn received() -> TaskEvent {
    event("Received", "Task received by client", &[])
}

pub fn setup(message: &str) -> TaskEvent {
    event("Task Setup", message, &[("message", message.to_owned())])
}

pub fn setup_failure(error: &str) -> TaskEvent {
    let text = if error.is_empty() { "Task setup failed" } else { error };
    failing(event("Setup Failure", text, &[("setup_error", error.to_owned())]))
}

pub fn failed_validation(error: &str) -> TaskEvent {
    failing(event("Failed Validation", error, &[("validation_error", error.to_owned())]))
}

pub fn started() -> TaskEvent {
    event("Started", "Task started by client", &[])
}

pub fn driver_failure(error: &str) -> TaskEvent {
    let text = if error.is_empty() { "Failed to start task" } else { error };
    event("Driver Failure", text, &[("driver_error", error.to_owned())])
}

pub fn driver_message(message: &str) -> TaskEvent {
    event("Driver", message, &[("driver_message", message.to_owned())])
}

pub fn downloading() -> TaskEvent {
    event("Downloading Artifacts", "Client is downloading artifacts", &[])
}

pub fn download_progress(text: &str) -> TaskEvent {
    event("Downloading Artifacts", text, &[])
}

pub fn failed_download(error: &str) -> TaskEvent {
    event("Failed Artifact Download", error, &[("download_error", error.to_owned())])
}

pub fn terminated(exit: &Exit) -> TaskEvent {
    let mut text = format!("Exit Code: {}", exit.code);
    if exit.signal != 0 {
        text.push_str(&format!(", Signal: {}", exit.signal));
    }
    let message =
        exit.error.clone().unwrap_or_else(|| if exit.oom_killed { "OOM Killed".to_owned() } else { String::new() });
    if !message.is_empty() {
        text.push_str(&format!(", Exit Message: {message:?}"));
    }
    let details = [
        ("exit_code", exit.code.to_string()),
        ("signal", exit.signal.to_string()),
        ("exit_message", message),
        ("oom_killed", exit.oom_killed.to_string()),
    ];
    event("Terminated", text, &details)
}

pub fn restarting(delay: Dur, reason: &str) -> TaskEvent {
    let tail = format!("Task restarting in {delay}");
    let text = match reason {
        "" | WITHIN_POLICY => tail,
        reason => format!("{reason} - {tail}"),
    };
    event("Restarting", text, &[("restart_reason", reason.to_owned()), ("start_delay", delay.0.to_string())])
}

pub fn not_restarting(reason: &str) -> TaskEvent {
    let text = if reason.is_empty() { "Task exceeded restart policy" } else { reason };
    failing(event("Not Restarting", text, &[("restart_reason", reason.to_owned())]))
}

pub fn restart_signaled(reason: &str) -> TaskEvent {
    let text = if reason.is_empty() { "Task signaled to restart" } else { reason };
    event("Restart Signaled", text, &[("restart_reason", reason.to_owned())])
}

/// Which signal an operator sent stands in the details: the field's text does not say.
pub fn signaling(signal: &str, reason: &str) -> TaskEvent {
    let text = match (signal, reason) {
        (_, "") => "Task being sent a signal".to_owned(),
        ("", reason) => reason.to_owned(),
        (signal, reason) => format!("Task being sent signal {signal}: {reason}"),
    };
    event("Signaling", text, &[("task_signal", signal.to_owned()), ("task_signal_reason", reason.to_owned())])
}

pub fn killing(timeout: Dur, reason: &str) -> TaskEvent {
    let text = match (reason, timeout) {
        ("", Dur(0)) => "Sent interrupt".to_owned(),
        ("", timeout) => format!("Sent interrupt. Waiting {timeout} before force killing"),
        (reason, _) => reason.to_owned(),
    };
    event("Killing", text, &[("kill_timeout", timeout.to_string()), ("kill_reason", reason.to_owned())])
}

pub fn killed(error: &str) -> TaskEvent {
    let text = if error.is_empty() { "Task successfully killed" } else { error };
    event("Killed", text, &[("kill_error", error.to_owned())])
}

pub fn sibling_failed(name: &str) -> TaskEvent {
    event("Sibling Task Failed", format!("Task's sibling {name:?} failed"), &[("failed_sibling", name.to_owned())])
}

pub fn leader_dead() -> TaskEvent {
    event("Leader Task Dead", "Leader Task in Group dead", &[])
}

pub fn main_dead() -> TaskEvent {
    event("Main Tasks Dead", "Main tasks in the group died", &[])
}

pub fn shutdown_delay(delay: Dur, waited: bool) -> TaskEvent {
    let (kind, word) = match waited {
        true => ("Waiting for shutdown delay", "Waiting for"),
        false => ("Skipping shutdown delay", "Skipping"),
    };
    event(kind, format!("{word} shutdown_delay of {delay} before killing the task."), &[])
}

pub fn template(message: &str) -> TaskEvent {
    event("Template", message, &[("message", message.to_owned())])
}

pub fn hook_message(message: &str) -> TaskEvent {
    event("Task hook message", message, &[("message", message.to_owned())])
}

pub fn failed_restore(message: &str) -> TaskEvent {
    event("Failed Restoring Task", message, &[("message", message.to_owned())])
}

pub fn unhealthy(message: &str) -> TaskEvent {
    event("Alloc Unhealthy", message, &[("message", message.to_owned())])
}

pub fn reconnected() -> TaskEvent {
    event("Reconnected", "Client reconnected", &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences() {
        let exit = |code, signal, oom_killed| Exit { code, signal, oom_killed, error: None };
        for (event, text) in [
            (terminated(&exit(0, 0, false)), "Exit Code: 0"),
            (terminated(&exit(137, 9, true)), "Exit Code: 137, Signal: 9, Exit Message: \"OOM Killed\""),
            (restarting(Dur::from_secs(15), "Restart within policy"), "Task restarting in 15s"),
            (
                restarting(Dur::from_secs(2), "Exceeded allowed attempts, applying a delay"),
                "Exceeded allowed attempts, applying a delay - Task restarting in 2s",
            ),
            (killing(Dur::from_secs(5), ""), "Sent interrupt. Waiting 5s before force killing"),
            (signaling("SIGHUP", "Template re-rendered"), "Task being sent signal SIGHUP: Template re-rendered"),
            (signaling("SIGHUP", ""), "Task being sent a signal"),
            (sibling_failed("web"), "Task's sibling \"web\" failed"),
        ] {
            assert_eq!(&*event.message, text);
        }
    }
}
