//! `alloc …`.

use tarpan_api::wire::AllocListStub;
use tarpan_api::{Client, Query};

use crate::command::{Doing as _, Entry, Fail};

mod act;
mod checks;
pub mod exec;
mod fs;
mod logs;
pub mod status;

pub fn table() -> Vec<Entry> {
    vec![
        Entry::of::<act::Restart>(),
        Entry::of::<act::Signal>(),
        Entry::of::<act::Stop>(),
        Entry::of::<checks::Checks>(),
        Entry::of::<exec::Exec>(),
        Entry::of::<fs::Fs>(),
        Entry::of::<logs::Logs>(),
        Entry::of::<status::AllocStatus>(),
    ]
}

/// Questions about an allocation go to its namespace.
pub fn query_of(alloc: &AllocListStub) -> Query {
    if alloc.namespace.is_empty() { Query::new() } else { Query::in_namespace(&alloc.namespace) }
}

/// The task that was named, or the only one. Errors: several, or none of that name.
pub fn task_of(alloc: &AllocListStub, named: Option<&str>) -> Result<String, Fail> {
    let names: Vec<&String> = alloc.task_states.keys().collect();
    match named {
        Some(name) if names.iter().any(|n| *n == name) || names.is_empty() => Ok(name.to_owned()),
        Some(name) => Err(Fail::new(format!("Could not find task named: {name}, found:\n{}", joined(&names)))),
        None => match names.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(Fail::new(format!(
                "Allocation {:?} has not started any task yet",
                crate::output::short(&alloc.id, false)
            ))),
            many => Err(Fail::new(format!(
                "Allocation {:?} is running the following tasks:\n{}\n\nPlease specify the task.",
                crate::output::short(&alloc.id, false),
                many.iter().map(|n| format!("  * {n}")).collect::<Vec<_>>().join("\n")
            ))),
        },
    }
}

fn joined(names: &[&String]) -> String {
    names.iter().map(|n| n.as_str()).collect::<Vec<_>>().join("\n")
}

/// A running allocation of a job, for commands that take `-job`.
pub async fn of_job(client: &Client, job: &str, group: Option<&str>) -> Result<AllocListStub, Fail> {
    let found = crate::lookup::job(client, job, "Error querying job").await?;
    let all = client.job_allocations(&found.query(), &found.id, false).await.doing("Error querying job")?.value;
    let wanted = |a: &AllocListStub| group.is_none_or(|g| a.task_group == g);
    let mut candidates: Vec<AllocListStub> = all.into_iter().filter(wanted).collect();
    candidates.sort_by_key(|a| (a.client_status != "running", std::cmp::Reverse(a.create_index)));
    candidates.into_iter().next().ok_or_else(|| Fail::new(format!("No allocations for job {:?} were found", found.id)))
}

#[cfg(test)]
mod tests {
    use tarpan_api::wire::TaskState;

    use super::*;

    #[test]
    fn the_only_task_needs_no_name() {
        let mut alloc = AllocListStub { id: "0123456789".to_owned(), ..AllocListStub::default() };
        alloc.task_states.insert("web".to_owned(), TaskState::default());
        assert_eq!(task_of(&alloc, None).expect("one task"), "web");
        assert!(task_of(&alloc, Some("other")).is_err());
        alloc.task_states.insert("side".to_owned(), TaskState::default());
        assert!(task_of(&alloc, None).is_err());
        assert_eq!(task_of(&alloc, Some("side")).expect("named"), "side");
    }
}
