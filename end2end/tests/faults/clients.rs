//! Clients of the region: they write and read registers (a job's meta) and sets (jobs of a prefix), and record what they are told.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::executor::block_on;
use serde_json::{Value, json};
use tarpan_api::{Client, Error, Query, calls};
use tarpan_end2end::chance::Random;
use tarpan_end2end::eventually;
use tarpan_end2end::history::{Kind, Operation, Recording};
use tarpan_end2end::http::{Http, ask};
use tarpan_end2end::lab::PATIENCE;

use super::cluster::SERVERS;

pub const COUNT: usize = 6;
/// How long a client waits for an answer: some longer than a fault lasts.
const PATIENT: Duration = Duration::from_secs(9);
const HASTY: Duration = Duration::from_millis(1500);
/// What asks again and again waits no longer.
const PROBE: Duration = Duration::from_secs(1);
const REGISTERS: [&str; 2] = ["register-a", "register-b"];
/// A new set is begun after so many values: each set is listed whole.
const MEMBERS: u64 = 200;

pub struct Clients<'a> {
    addresses: &'a [String],
    recording: &'a Recording,
    stop: &'a AtomicBool,
    /// Values that were given out: none twice.
    values: AtomicU64,
    told: Mutex<Counts>,
}

/// How operations ended.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    done: u64,
    refused: u64,
    unknown: u64,
    /// Reads without an answer: they are no part of a history.
    unread: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { done, refused, unknown, unread } = self;
        write!(f, "{done} done, {refused} refused, {unknown} of unknown outcome, {unread} reads without an answer")
    }
}

/// What a write came to.
enum Outcome {
    Done(u64),
    Refused,
    Unknown,
}

/// A job that runs nothing.
fn job(id: &str, value: &str) -> Value {
    json!({
        "ID": id, "Name": id, "Type": "batch", "Datacenters": ["*"], "ParameterizedJob": {}, "Meta": {"v": value},
        "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/true"}}]}]
    })
}

impl<'a> Clients<'a> {
    pub fn new(addresses: &'a [String], recording: &'a Recording, stop: &'a AtomicBool) -> Clients<'a> {
        Clients { addresses, recording, stop, values: AtomicU64::new(0), told: Mutex::default() }
    }

    pub fn counts(&self) -> Counts {
        self.told.lock().expect("no panic while held").clone()
    }

    fn count(&self, add: impl FnOnce(&mut Counts)) {
        add(&mut self.told.lock().expect("no panic while held"));
    }

    /// One operation after the other, each asked of any server, until told to stop.
    pub fn work(&self, client: usize, mut random: Random) {
        let limit = if client.is_multiple_of(2) { PATIENT } else { HASTY };
        let servers: Vec<Client> = self.addresses.iter().map(|addr| Http::client_within(addr, limit)).collect();
        while !self.stop.load(Ordering::Relaxed) {
            let server = &servers[random.below(SERVERS as u64) as usize];
            let register = REGISTERS[random.below(2) as usize];
            match random.below(100) {
                0..30 => _ = self.read(client, server, register),
                30..50 => self.write(client, server, register, None),
                50..65 => {
                    if let Some(index) = self.read(client, server, register) {
                        self.write(client, server, register, Some(index));
                    }
                }
                65..85 => self.append(client, server),
                _ => _ = self.list(client, server, &self.set()),
            }
            std::thread::sleep(Duration::from_millis(10 + random.below(60)));
        }
    }

    fn value(&self) -> u64 {
        self.values.fetch_add(1, Ordering::Relaxed)
    }

    /// The set that grows now.
    fn set(&self) -> String {
        format!("set-{}-", self.values.load(Ordering::Relaxed) / MEMBERS)
    }

    fn record(&self, (client, kind, key): (usize, Kind, &str), call: u64, add: impl FnOnce(&mut Operation)) {
        let (key, end) = (key.to_owned(), Some(self.recording.now()));
        let (value, seen) = (String::new(), Vec::new());
        let mut operation = Operation { client, kind, key, call, end, value, index: 0, expected: 0, seen };
        add(&mut operation);
        self.recording.add(operation);
    }

    /// Reads a register; gives the index of its value, 0 when there is none.
    fn read(&self, client: usize, server: &Client, register: &str) -> Option<u64> {
        let call = self.recording.now();
        let (value, index) = match block_on(server.call(&calls::job(&Query::new(), register))) {
            Ok(answer) => {
                let meta = answer.value.meta.unwrap_or_default();
                (meta.get("v").cloned().unwrap_or_default(), answer.value.job_modify_index.unwrap_or_default())
            }
            Err(error) if error.is_not_found() => (String::new(), 0),
            Err(_) => {
                self.count(|told| told.unread += 1);
                return None;
            }
        };
        self.count(|told| told.done += 1);
        self.record((client, Kind::Read, register), call, |op| (op.value, op.index) = (value, index));
        Some(index)
    }

    /// Writes a register, if `expected` is a value's index only while that is the value.
    fn write(&self, client: usize, server: &Client, register: &str, expected: Option<u64>) {
        let value = format!("v{}", self.value());
        let (call, outcome) = self.register(server, register, &value, expected);
        let kind = if expected.is_some() { Kind::Cas } else { Kind::Write };
        self.settle((client, kind, register), call, &outcome, |op| {
            (op.value, op.expected) = (value, expected.unwrap_or_default());
        });
    }

    fn append(&self, client: usize, server: &Client) {
        let (set, value) = (self.set(), format!("m{}", self.value()));
        let (call, outcome) = self.register(server, &format!("{set}{value}"), &value, None);
        self.settle((client, Kind::Append, &set), call, &outcome, |op| op.value = value);
    }

    /// What was refused is no part of a history: if it is seen nevertheless, nothing explains it.
    fn settle(&self, what: (usize, Kind, &str), call: u64, outcome: &Outcome, add: impl FnOnce(&mut Operation)) {
        match outcome {
            Outcome::Done(index) => {
                self.count(|told| told.done += 1);
                self.record(what, call, |op| {
                    op.index = *index;
                    add(op);
                });
            }
            Outcome::Refused => self.count(|told| told.refused += 1),
            Outcome::Unknown => {
                self.count(|told| told.unknown += 1);
                self.record(what, call, |op| {
                    op.end = None;
                    add(op);
                });
            }
        }
    }

    fn register(&self, server: &Client, id: &str, value: &str, expected: Option<u64>) -> (u64, Outcome) {
        let request = json!({
            "Job": job(id, value), "EnforceIndex": expected.is_some(), "JobModifyIndex": expected.unwrap_or_default()
        });
        let request = serde_json::from_value(request).expect("a request");
        let call = self.recording.now();
        let outcome = match block_on(server.call(&calls::register(&Query::new(), &request))) {
            Ok(answer) => Outcome::Done(answer.value.job_modify_index),
            // Nobody listens there: nobody heard it.
            Err(Error::Unreachable(why)) if why.contains("Connection refused") => Outcome::Refused,
            Err(Error::Status { message, .. }) if message.starts_with("Enforcing job modify index") => Outcome::Refused,
            Err(_) => Outcome::Unknown,
        };
        (call, outcome)
    }

    /// The members of a set.
    fn list(&self, client: usize, server: &Client, set: &str) -> Option<usize> {
        let call = self.recording.now();
        let Ok(answer) = block_on(server.call(&calls::jobs(&Query::new().prefix(set)))) else {
            self.count(|told| told.unread += 1);
            return None;
        };
        self.count(|told| told.done += 1);
        let seen: Vec<String> =
            answer.value.iter().filter_map(|job| job.id.strip_prefix(set).map(str::to_owned)).collect();
        let count = seen.len();
        self.record((client, Kind::List, set), call, |op| op.seen = seen);
        Some(count)
    }

    /// Has each server asked for a write until it takes one, and gives how long after `over` each did. Errors when one does not within
    /// `limit`.
    pub fn write_by_each(&self, over: Instant, limit: Duration) -> Result<[Duration; SERVERS]> {
        let mut waits = [Duration::ZERO; SERVERS];
        std::thread::scope(|threads| {
            let asking: Vec<_> = self
                .addresses
                .iter()
                .enumerate()
                .map(|(n, addr)| threads.spawn(move || self.write_by(n, addr, over, limit)))
                .collect();
            for (wait, asking) in waits.iter_mut().zip(asking) {
                *wait = asking.join().expect("no panic")?;
            }
            Ok(waits)
        })
    }

    fn write_by(&self, n: usize, addr: &str, over: Instant, limit: Duration) -> Result<Duration> {
        let server = Http::client_within(addr, PROBE);
        let id = format!("probe-{n}");
        eventually(&format!("a write by server {n}"), limit, || {
            ask(&server, &calls::register_json(&Query::new(), &job(&id, &format!("{}", self.value())), None))?;
            Ok(Some(over.elapsed()))
        })
    }

    /// Looks at everything once more, by every server.
    pub fn look_at_all(&self) -> Result<()> {
        let last = self.values.load(Ordering::Relaxed) / MEMBERS;
        for (n, addr) in self.addresses.iter().enumerate() {
            let server = Http::client_within(addr, PATIENT);
            let client = COUNT + n;
            for register in REGISTERS {
                eventually("the last read", PATIENCE, || Ok(self.read(client, &server, register)))?;
            }
            for set in (0..=last).map(|n| format!("set-{n}-")) {
                eventually("the last list", PATIENCE, || Ok(self.list(client, &server, &set))).context(set)?;
            }
        }
        Ok(())
    }
}
