//! A whole state as one JSON object, for people to look at: a list of rows a table, each row as the API shows it.
//!
//! Rows are written one by one. What is secret (keys, nodes' secrets) is left out, as the API leaves it out.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use tarpan_api::convert;
use tarpan_api::wire;
use tarpan_model::service::ServiceRegistration;
use tarpan_model::{Job, ScalingEvent};
use tarpan_state::{State, Table};

use super::filter::{AskError, Filter, fields_of};
use super::page::value_of;

/// Which rows are wanted: those that all of the expressions hold for.
#[derive(Debug, Default)]
pub struct Wanted {
    filters: Vec<Filter>,
    /// What became of asking.
    asked: RefCell<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    /// A row of a kind that has what is asked for.
    known: bool,
    /// What one of another kind has not.
    unknown: Option<AskError>,
}

/// Why a state is not written.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    #[error("the filter {text:?} can't be read: {why}")]
    Filter { text: String, why: String },
    /// Nothing that was written was wanted, because no row has what was asked for.
    #[error("no row has what is asked for: {0}")]
    Unknown(String),
    #[error(transparent)]
    Write(#[from] io::Error),
}

impl Wanted {
    /// Reads expressions, as `filter` of the API's lists takes them.
    pub fn by(expressions: &[String]) -> Result<Wanted, DumpError> {
        let read = |text: &String| {
            Filter::parse(text).map_err(|e| DumpError::Filter { text: text.clone(), why: e.to_string() })
        };
        Ok(Wanted { filters: expressions.iter().map(read).collect::<Result<_, _>>()?, asked: RefCell::default() })
    }

    fn has<T: Serialize>(&self, row: &T, fields: &[&str]) -> bool {
        if self.filters.is_empty() {
            return true;
        }
        let (row, mut asked) = (value_of(row), self.asked.borrow_mut());
        self.filters.iter().all(|filter| match filter.matches(&row, fields) {
            Ok(wanted) => {
                asked.known = true;
                wanted
            }
            Err(error) => {
                asked.unknown = Some(error);
                false
            }
        })
    }
}

/// Writes a state, indented, and a line's end behind it.
pub fn write(state: &State, wanted: &Wanted, out: &mut dyn Write) -> Result<(), DumpError> {
    let mut json = serde_json::Serializer::pretty(&mut *out);
    Dump { state, wanted }.serialize(&mut json).map_err(io::Error::from)?;
    writeln!(out)?;
    let asked = wanted.asked.borrow();
    match &asked.unknown {
        Some(unknown) if !asked.known => Err(DumpError::Unknown(unknown.to_string())),
        _ => Ok(()),
    }
}

struct Dump<'a> {
    state: &'a State,
    wanted: &'a Wanted,
}

/// The rows of one table.
struct Rows<F>(F);

impl<F: Fn() -> I, I: IntoIterator<Item: Serialize>> Serialize for Rows<F> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq;
        let mut list = s.serialize_seq(None)?;
        (self.0)().into_iter().try_for_each(|row| list.serialize_element(&row))?;
        list.end()
    }
}

const SUBMISSION: &[&str] = &["Namespace", "JobID", "Version", "Source", "Format", "VariableFlags", "Variables"];
const LAUNCH: &[&str] = &["Namespace", "ID", "Launch", "CreateIndex", "ModifyIndex"];
const SCALING: &[&str] = &["Namespace", "JobID", "ScalingEvents", "ModifyIndex"];

impl<'a> Dump<'a> {
    fn versions(&self) -> impl Iterator<Item = &'a Job> {
        let state = self.state;
        state.jobs().flat_map(|(key, _)| state.job_versions(key)).map(|job| &**job)
    }

    fn submissions(&self) -> impl Iterator<Item = Value> {
        let state = self.state;
        self.versions().filter_map(|job| {
            let kept = state.job_submission(&job.key(), job.version())?;
            let mut row = value_of(&**kept);
            let fields = row.as_object_mut()?;
            fields.insert("Namespace".to_owned(), job.namespace().into());
            fields.insert("JobID".to_owned(), job.id().into());
            fields.insert("Version".to_owned(), job.version().into());
            Some(row)
        })
    }

    fn launches(&self) -> impl Iterator<Item = Value> {
        self.state.periodic_launches().map(|(key, row)| {
            let (launch, created, modified) = (row.launch.0, row.create_index, row.modify_index);
            json!({"Namespace": key.namespace, "ID": key.id, "Launch": launch, "CreateIndex": created, "ModifyIndex": modified})
        })
    }

    fn scaling_events(&self) -> impl Iterator<Item = Value> {
        let state = self.state;
        state.jobs().filter_map(|(key, _)| {
            let row = state.scaling_events(key)?;
            let events =
                |events: &Vec<Arc<ScalingEvent>>| events.iter().map(|e| convert::scaling_event(e)).collect::<Vec<_>>();
            let groups: BTreeMap<&str, _> = row.groups.iter().map(|(group, all)| (&**group, events(all))).collect();
            let modified = row.modify_index;
            Some(json!({"Namespace": key.namespace, "JobID": key.id, "ScalingEvents": groups, "ModifyIndex": modified}))
        })
    }
}

impl Serialize for Dump<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let Dump { state, wanted } = self;
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("LatestIndex", &state.index())?;
        let indexes: BTreeMap<&str, u64> = Table::ALL.iter().map(|t| (t.name(), state.table_index(*t))).collect();
        map.serialize_entry("Indexes", &indexes)?;
        macro_rules! rows {
            ($name:literal, $fields:expr, $rows:expr) => {
                map.serialize_entry($name, &Rows(|| $rows.filter(|row| wanted.has(row, $fields))))?;
            };
        }
        rows!("Allocs", fields_of::<wire::Allocation>(), state.allocs().map(|row| convert::allocation(row, false)));
        rows!("Deployments", fields_of::<wire::Deployment>(), state.deployments().map(|row| convert::deployment(row)));
        rows!("Evals", fields_of::<wire::Evaluation>(), state.evals().map(|row| convert::evaluation(row)));
        rows!("Jobs", fields_of::<Job>(), state.jobs().map(|(_, row)| row.stored()));
        rows!("JobSubmissions", SUBMISSION, self.submissions());
        rows!(
            "JobSummaries",
            fields_of::<wire::JobSummary>(),
            state.jobs().filter_map(|(_, job)| super::jobs::list::summary(state, job))
        );
        rows!("JobVersions", fields_of::<Job>(), self.versions().map(|job| job.stored()));
        rows!("Nodes", fields_of::<wire::Node>(), state.nodes().map(|row| convert::node(row)));
        rows!("PeriodicLaunches", LAUNCH, self.launches());
        rows!(
            "RootKeys",
            fields_of::<wire::RootKeyMeta>(),
            state.root_keys().map(|key| super::keyring::described(key))
        );
        rows!("ScalingEvents", SCALING, self.scaling_events());
        rows!("ServiceRegistrations", fields_of::<ServiceRegistration>(), state.services().map(|row| (**row).clone()));
        map.serialize_entry("SchedulerConfig", &super::operator::shown(state.scheduler_config()))?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tarpan_model::root_key::{RootKeyState, RsaPublicKey, WrappedKey};
    use tarpan_state::command::RegisterJob;
    use tarpan_state::{Command, CommandId, Envelope, JobSubmission};
    use tarpan_testkit::{START, jobs, nodes};

    fn state() -> State {
        let mut state = State::default();
        let secret = tarpan_model::root_key::Bytes(b"SECRET".to_vec());
        let mut node = nodes::ready(1);
        node.secret_id = uuid::Uuid::from_u128(0x5ec4e7);
        let submission =
            JobSubmission { source: "job \"web\" {}".into(), format: "hcl2".into(), ..JobSubmission::default() };
        let web = RegisterJob { submission: Some(submission), ..RegisterJob::of(jobs::service("web", 1), None, START) };
        let key = tarpan_model::RootKey {
            id: tarpan_model::ids::KeyId(uuid::Uuid::from_u128(7)),
            state: RootKeyState::Active,
            create_time: START,
            public: RsaPublicKey { modulus: secret.clone(), exponent: secret.clone() },
            wrapped: WrappedKey {
                provider: "aead".into(),
                data_key: secret.clone(),
                signing_key: secret.clone(),
                wrapping_key: secret,
            },
            active_since: 0,
            create_index: 0,
            modify_index: 0,
        };
        let commands = [
            Command::RegisterJob(Box::new(web)),
            Command::RegisterJob(Box::new(RegisterJob::of(jobs::batch("sums", 1), None, START))),
            Command::UpsertNode { node: Box::new(node), now: START, evals: Vec::new() },
            Command::InitRootKey(Box::new(key)),
        ];
        for (index, command) in (1..).zip(commands) {
            state.apply(index, &[Envelope { id: CommandId(index.into()), command }]);
        }
        state.take_events();
        state
    }

    fn shown(filters: &[&str]) -> Result<Value, String> {
        let filters: Vec<String> = filters.iter().map(|f| (*f).to_owned()).collect();
        let mut out = Vec::new();
        let wanted = Wanted::by(&filters).map_err(|e| e.to_string())?;
        write(&state(), &wanted, &mut out).map_err(|e| e.to_string())?;
        assert!(!String::from_utf8_lossy(&out).contains("5ec4e7"), "a node's secret is shown");
        Ok(serde_json::from_slice(&out).expect("JSON"))
    }

    fn names(all: &Value, table: &str, name: &str) -> Vec<String> {
        let rows = all[table].as_array().expect("a list").iter();
        rows.map(|row| row[name].as_str().unwrap_or("?").to_owned()).collect()
    }

    #[test]
    fn every_table_is_written_without_secrets() {
        let all = shown(&[]).expect("written");
        assert_eq!(names(&all, "Jobs", "ID"), ["sums", "web"]);
        assert_eq!(names(&all, "JobVersions", "ID"), ["sums", "web"]);
        assert_eq!(
            (names(&all, "JobSubmissions", "JobID"), names(&all, "JobSubmissions", "Format")),
            (vec!["web".into()], vec!["hcl2".into()])
        );
        assert_eq!(all["Nodes"].as_array().map(Vec::len), Some(1));
        let key = all["RootKeys"][0].as_object().expect("a key");
        assert!(key.contains_key("KeyID") && !key.contains_key("wrapped"), "{key:?}");
        assert_eq!((&all["LatestIndex"], &all["Indexes"]["Jobs"]), (&json!(4), &json!(2)));
        let tables = all.as_object().expect("an object");
        for table in [
            "Allocs",
            "Deployments",
            "Evals",
            "JobSummaries",
            "PeriodicLaunches",
            "ScalingEvents",
            "ServiceRegistrations",
            "SchedulerConfig",
        ] {
            assert!(tables.contains_key(table), "{table}");
        }
    }

    #[test]
    fn filters_ask_each_row_that_can_be_asked() {
        let all = shown(&["ID == \"web\""]).expect("written");
        assert_eq!((names(&all, "Jobs", "ID"), all["Nodes"].as_array().map(Vec::len)), (vec!["web".into()], Some(0)));
        let none = shown(&["ID == \"web\"", "Type == \"batch\""]).expect("written");
        assert_eq!(names(&none, "Jobs", "ID"), [""; 0]);
        assert!(shown(&["Nmae == \"web\""]).expect_err("unknown").contains("no row has what is asked for"));
        assert!(shown(&["ID =="]).expect_err("no filter").contains("can't be read"));
    }
}
