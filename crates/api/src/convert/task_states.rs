//! Task states. The wire repeats details of an event in fields of their own, as the field's first versions had them.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use tarpan_model::alloc::{TaskEvent, TaskState, TaskStates};
use tarpan_model::time::UnixNanos;

use super::time_or_null;

/// States by task name; `null` when no task has one yet.
pub fn task_states(states: &TaskStates) -> impl Serialize + '_ {
    States(states)
}

struct States<'a>(&'a TaskStates);

impl Serialize for States<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() {
            return s.serialize_none();
        }
        let mut map = s.serialize_map(Some(self.0.len()))?;
        for (name, state) in self.0.iter() {
            map.serialize_entry(&**name, &State::from(state))?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct State<'a> {
    #[serde(rename = "State")]
    state: &'static str,
    #[serde(rename = "Failed")]
    failed: bool,
    #[serde(rename = "Restarts")]
    restarts: u64,
    #[serde(rename = "LastRestart", serialize_with = "time_or_null")]
    last_restart: UnixNanos,
    #[serde(rename = "StartedAt", serialize_with = "time_or_null")]
    started_at: UnixNanos,
    #[serde(rename = "FinishedAt", serialize_with = "time_or_null")]
    finished_at: UnixNanos,
    #[serde(rename = "Events")]
    events: Events<'a>,
    #[serde(rename = "Paused")]
    paused: &'static str,
}

impl<'a> From<&'a TaskState> for State<'a> {
    fn from(row: &'a TaskState) -> Self {
        State {
            state: row.state.as_str(),
            failed: row.failed,
            restarts: row.restarts,
            last_restart: row.last_restart,
            started_at: row.started_at,
            finished_at: row.finished_at,
            events: Events(&row.events),
            paused: "",
        }
    }
}

struct Events<'a>(&'a [TaskEvent]);

impl Serialize for Events<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() {
            return s.serialize_none();
        }
        let mut seq = s.serialize_seq(Some(self.0.len()))?;
        for event in self.0 {
            seq.serialize_element(&Event::from(event))?;
        }
        seq.end()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event<'a> {
    #[serde(rename = "Type")]
    kind: &'a str,
    time: i64,
    message: &'a str,
    display_message: &'a str,
    details: Details<'a>,
    fails_task: bool,
    restart_reason: &'a str,
    setup_error: &'a str,
    driver_error: &'a str,
    exit_code: i64,
    signal: i64,
    kill_timeout: i64,
    kill_error: &'a str,
    kill_reason: &'a str,
    start_delay: i64,
    download_error: &'a str,
    validation_error: &'a str,
    disk_limit: i64,
    failed_sibling: &'a str,
    vault_error: &'a str,
    task_signal_reason: &'a str,
    task_signal: &'a str,
    driver_message: &'a str,
    generic_source: &'a str,
}

impl<'a> From<&'a TaskEvent> for Event<'a> {
    fn from(row: &'a TaskEvent) -> Self {
        let detail = |key: &str| row.details.get(key).map_or("", |v| &**v);
        let number = |key: &str| detail(key).parse().unwrap_or(0);
        let kind = &*row.kind;
        // Which of the old fields the sentence of a type belongs to.
        let of = |wanted: &str, key: &str| if kind == wanted { detail(key) } else { "" };
        Event {
            kind,
            time: row.time.0,
            message: of("Task Setup", "message"),
            display_message: &row.message,
            details: Details(row),
            fails_task: row.fails_task,
            restart_reason: detail("restart_reason"),
            setup_error: detail("setup_error"),
            driver_error: detail("driver_error"),
            exit_code: number("exit_code"),
            signal: number("signal"),
            kill_timeout: parse_duration(detail("kill_timeout")),
            kill_error: detail("kill_error"),
            kill_reason: detail("kill_reason"),
            start_delay: number("start_delay"),
            download_error: detail("download_error"),
            validation_error: detail("validation_error"),
            disk_limit: number("disk_limit"),
            failed_sibling: detail("failed_sibling"),
            vault_error: detail("vault_error"),
            task_signal_reason: detail("task_signal_reason"),
            task_signal: detail("task_signal"),
            driver_message: detail("driver_message"),
            generic_source: "",
        }
    }
}

fn parse_duration(text: &str) -> i64 {
    text.parse::<tarpan_model::Dur>().map_or(0, |d| d.0)
}

struct Details<'a>(&'a TaskEvent);

impl Serialize for Details<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(self.0.details.len()))?;
        for (key, value) in self.0.details.iter() {
            map.serialize_entry(&**key, &**value)?;
        }
        map.end()
    }
}
