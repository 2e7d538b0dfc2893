//! What became of a task's runs, told from its events: when each began, how it ended, whether memory ran out, when the next one starts.
//! Pure. A node keeps the last ten events of a task, so the first run may have lost its begin.

use tarpan_api::wire::{TaskEvent, TaskState};

const SECOND: i64 = 1_000_000_000;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It has not.
    Running,
    Exited {
        code: i64,
        signal: i64,
        oom: bool,
    },
    /// It did not begin: why.
    NotStarted(String),
}

/// What follows a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    Nothing,
    /// Starts again at this time, in nanoseconds since 1970.
    Again(i64),
    /// Does not: why.
    Never(String),
}

/// One run of a task. Times in nanoseconds since 1970; 0: not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub begun: i64,
    pub ended: i64,
    pub end: End,
    pub then: Then,
}

impl Run {
    /// Seconds that it ran, where both ends are known.
    pub fn seconds(&self) -> Option<i64> {
        (self.begun > 0 && self.ended >= self.begun && self.ended > 0).then(|| (self.ended - self.begun) / SECOND)
    }
    pub fn is_oom(&self) -> bool {
        matches!(self.end, End::Exited { oom: true, .. })
    }
}

/// The runs that a task's events tell of, newest first.
pub fn runs(state: &TaskState) -> Vec<Run> {
    let mut found: Vec<Run> = Vec::new();
    for event in &state.events {
        match event.type_.as_str() {
            "Started" => found.push(Run { begun: event.time, ended: 0, end: End::Running, then: Then::Nothing }),
            "Terminated" => {
                let end = ended(event);
                match found.last_mut().filter(|run| run.end == End::Running) {
                    Some(run) => (run.ended, run.end) = (event.time, end),
                    None => found.push(Run { begun: 0, ended: event.time, end, then: Then::Nothing }),
                }
            }
            "Driver Failure" | "Setup Failure" | "Failed Validation" | "Failed Artifact Download" => {
                let why = End::NotStarted(event.display_message.clone());
                found.push(Run { begun: 0, ended: event.time, end: why, then: Then::Nothing });
            }
            "Restarting" => follows(&mut found, Then::Again(event.time + delay(event))),
            "Not Restarting" => follows(&mut found, Then::Never(event.display_message.clone())),
            _ => {}
        }
    }
    found.reverse();
    found
}

fn follows(found: &mut [Run], then: Then) {
    if let Some(run) = found.last_mut() {
        run.then = then;
    }
}

/// Nanoseconds until a task starts again.
fn delay(event: &TaskEvent) -> i64 {
    let told = event.details.get("start_delay").and_then(|n| n.parse().ok());
    told.unwrap_or(event.start_delay)
}

fn ended(event: &TaskEvent) -> End {
    let number = |name: &str, or: i64| event.details.get(name).and_then(|n| n.parse().ok()).unwrap_or(or);
    End::Exited {
        code: number("exit_code", event.exit_code),
        signal: number("signal", event.signal),
        oom: event.details.get("oom_killed").is_some_and(|is| is == "true"),
    }
}

/// Whether there is something to tell: a run that ended or did not begin.
pub fn worth_telling(runs: &[Run]) -> bool {
    runs.iter().any(|run| run.end != End::Running)
}

/// What a task that has not begun waits for, as its node says: of what comes from elsewhere, how far it is.
pub fn under_way(state: &TaskState) -> Option<&str> {
    let waits = ["Driver", "Downloading Artifacts", "Task Setup", "Template", "Task hook message"];
    let newest = state.events.last().filter(|_| state.state == "pending")?;
    waits.contains(&newest.type_.as_str()).then_some(newest.display_message.as_str()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, at: i64, details: &[(&str, &str)]) -> TaskEvent {
        TaskEvent {
            type_: kind.into(),
            time: at * SECOND,
            display_message: format!("{kind}."),
            details: details.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..Default::default()
        }
    }

    fn state(state: &str, events: Vec<TaskEvent>) -> TaskState {
        TaskState { state: state.into(), events, ..Default::default() }
    }

    #[test]
    fn ends_and_what_follows_them() {
        let oom = [("exit_code", "137"), ("signal", "9"), ("oom_killed", "true")];
        let told = runs(&state(
            "pending",
            vec![
                event("Terminated", 5, &[("exit_code", "1"), ("signal", "0")]),
                event("Restarting", 5, &[("start_delay", "2000000000")]),
                event("Driver Failure", 7, &[]),
                event("Restarting", 7, &[("start_delay", "1000000000")]),
                event("Started", 8, &[]),
                event("Terminated", 20, &oom),
                event("Restarting", 20, &[("start_delay", "15000000000")]),
            ],
        ));
        let exited = |code, signal, oom| End::Exited { code, signal, oom };
        let run = |begun, ended, end, then| Run { begun: begun * SECOND, ended: ended * SECOND, end, then };
        assert_eq!(
            told,
            [
                run(8, 20, exited(137, 9, true), Then::Again(35 * SECOND)),
                run(0, 7, End::NotStarted("Driver Failure.".into()), Then::Again(8 * SECOND)),
                run(0, 5, exited(1, 0, false), Then::Again(7 * SECOND)),
            ]
        );
        assert_eq!((told[0].seconds(), told[2].seconds(), told[0].is_oom()), (Some(12), None, true));
        assert!(worth_telling(&told));
    }

    #[test]
    fn a_task_that_runs_has_one_run() {
        let told = runs(&state("running", vec![event("Received", 1, &[]), event("Started", 2, &[])]));
        assert_eq!((told.len(), &told[0].end, worth_telling(&told)), (1, &End::Running, false));
        let last =
            runs(&state("dead", vec![event("Terminated", 9, &[("exit_code", "2")]), event("Not Restarting", 9, &[])]));
        assert_eq!(last[0].then, Then::Never("Not Restarting.".into()));
    }

    #[test]
    fn how_far_a_download_is() {
        let pull = event("Driver", 3, &[]);
        assert_eq!(under_way(&state("pending", vec![event("Received", 1, &[]), pull.clone()])), Some("Driver."));
        assert_eq!(under_way(&state("running", vec![pull])), None);
        assert_eq!(under_way(&state("pending", vec![event("Restarting", 1, &[])])), None);
    }
}
