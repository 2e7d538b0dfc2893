//! From the words that a person types to the one thing that they mean: prefixes of ids.

use tarpan_api::wire::{AllocListStub, Deployment, Evaluation, JobListStub, NodeListStub};
use tarpan_api::{Client, Query};

use crate::command::{Doing as _, Fail};
use crate::output::{self, Table, allocs, short};

/// A job by id or by a prefix that only it has.
pub struct FoundJob {
    pub id: String,
    pub namespace: String,
}

impl FoundJob {
    pub fn query(&self) -> Query {
        Query::in_namespace(&self.namespace)
    }
}

/// The job that `word` names. `doing` begins the error; `kind` is what the not-found text says before "job(s)".
pub async fn job(client: &Client, word: &str, doing: &str) -> Result<FoundJob, Fail> {
    job_of_kind(client, word, doing, "", |_| true).await
}

/// The same among the jobs that `accept` takes; `kind` names them: `periodic `.
pub async fn job_of_kind(
    client: &Client,
    word: &str,
    doing: &str,
    kind: &str,
    accept: impl Fn(&JobListStub) -> bool,
) -> Result<FoundJob, Fail> {
    let stubs = client.jobs(&Query::new().prefix(word)).await.doing(doing)?.value;
    let mut stubs: Vec<JobListStub> = stubs.into_iter().filter(|s| accept(s)).collect();
    let exact = stubs.iter().filter(|s| s.id == word).count();
    if exact == 1 {
        stubs.retain(|s| s.id == word);
    }
    match stubs.as_slice() {
        [] => Err(Fail::new(format!("No {kind}job(s) with prefix or ID {word:?} found"))),
        [one] => Ok(FoundJob { id: one.id.clone(), namespace: namespace_of(one) }),
        many => {
            let mut table = Table::new(["ID", "Namespace", "Type", "Status"]);
            for stub in many {
                table.row([&stub.id, &namespace_of(stub), &stub.type_, &stub.status]);
            }
            Err(Fail::new(format!("Prefix matched multiple jobs\n\n{}", table.render())))
        }
    }
}

fn namespace_of(stub: &JobListStub) -> String {
    match stub.namespace.as_str() {
        "" => stub.job_summary.as_ref().map_or("default", |s| s.namespace.as_str()).to_owned(),
        namespace => namespace.to_owned(),
    }
}

/// A prefix of a UUID that the API takes: an even number of digits. Errors: fewer than two.
pub fn uuid_prefix(word: &str) -> Result<String, Fail> {
    if word.len() == 1 {
        return Err(Fail::new("Identifier must contain at least two characters."));
    }
    let digits: usize = word.chars().filter(|c| *c != '-').count();
    let mut prefix = word.to_owned();
    if digits % 2 == 1 && prefix.len() < 36 {
        prefix.pop();
    }
    Ok(prefix)
}

/// What a prefix of an allocation's id matched.
pub enum Allocs {
    One(Box<AllocListStub>),
    Many(Vec<AllocListStub>),
}

pub async fn allocs(client: &Client, word: &str) -> Result<Allocs, Fail> {
    let prefix = uuid_prefix(word)?;
    let mut stubs = client.allocations(&Query::new().prefix(prefix)).await.doing("Error querying allocation")?.value;
    match stubs.len() {
        0 => Err(Fail::new(format!("No allocation(s) with prefix or id {word:?} found"))),
        1 => Ok(Allocs::One(Box::new(stubs.remove(0)))),
        _ => Ok(Allocs::Many(stubs)),
    }
}

/// The one allocation; several are an error that lists them.
pub async fn alloc(client: &Client, word: &str) -> Result<AllocListStub, Fail> {
    match allocs(client, word).await? {
        Allocs::One(stub) => Ok(*stub),
        Allocs::Many(stubs) => {
            let list = allocs::table(&stubs, false, output::time::now());
            Err(Fail::new(format!("Prefix matched multiple allocations\n\n{list}")))
        }
    }
}

pub async fn node(client: &Client, word: &str) -> Result<NodeListStub, Fail> {
    let prefix = uuid_prefix(word)?;
    let mut stubs = client.nodes(&Query::new().prefix(prefix)).await.doing("Error querying node info")?.value;
    match stubs.len() {
        0 => Err(Fail::new(format!("No node(s) with prefix {word:?} found"))),
        1 => Ok(stubs.remove(0)),
        _ => {
            let mut table = Table::new(["ID", "DC", "Name", "Class", "Drain", "Eligibility", "Status"]);
            for n in &stubs {
                table.row([
                    short(&n.id, false),
                    &n.datacenter,
                    &n.name,
                    &n.node_class,
                    if n.drain { "true" } else { "false" },
                    &n.scheduling_eligibility,
                    &n.status,
                ]);
            }
            Err(Fail::new(format!("Prefix matched multiple nodes\n\n{}", table.render())))
        }
    }
}

/// The node whose agent is asked.
pub async fn own_node(client: &Client) -> Result<String, Fail> {
    let me = client.agent_self().await.doing("Error querying agent info")?.value;
    let id = me.stats.get("client").and_then(|stats| stats.get("node_id")).cloned();
    id.ok_or_else(|| Fail::new("Local node not found: the agent asked is not a client"))
}

pub async fn evaluation(client: &Client, word: &str) -> Result<Evaluation, Fail> {
    let prefix = uuid_prefix(word)?;
    let mut found = client.evaluations(&Query::new().prefix(prefix)).await.doing("Error querying evaluation")?.value;
    match found.len() {
        0 => Err(Fail::new(format!("No evaluation(s) with prefix or id {word:?} found"))),
        1 => Ok(found.remove(0)),
        _ => {
            let mut table = Table::new(["ID", "Priority", "Triggered By", "Status", "Placement Failures"]);
            for e in &found {
                table.row([
                    short(&e.id, false).to_owned(),
                    e.priority.to_string(),
                    e.triggered_by.clone(),
                    e.status.clone(),
                    output::eval::failures(e),
                ]);
            }
            Err(Fail::new(format!("Prefix matched multiple evaluations\n\n{}", table.render())))
        }
    }
}

pub async fn deployment(client: &Client, word: &str) -> Result<Deployment, Fail> {
    let prefix = uuid_prefix(word)?;
    let mut found = client.deployments(&Query::new().prefix(prefix)).await.doing("Error retrieving deployment")?.value;
    match found.len() {
        0 => Err(Fail::new(format!("Error retrieving deployment: Deployment ID {word:?} matched no deployments"))),
        1 => Ok(found.remove(0)),
        _ => Err(Fail::new(format!(
            "Prefix matched multiple deployments\n\n{}",
            output::deployment::table(&found, false)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_rounded_down() {
        for (word, prefix) in
            [("abc", "ab"), ("abcd", "abcd"), ("0a1b2c3d-4", "0a1b2c3d-"), ("0a1b2c3d-4e", "0a1b2c3d-4e")]
        {
            assert_eq!(uuid_prefix(word).expect("long enough"), prefix);
        }
        assert!(uuid_prefix("a").is_err());
    }
}
