//! Follows an evaluation and its deployment until they end, and prints what happens.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use tarpan_api::wire::{AllocListStub, Deployment, Evaluation};
use tarpan_api::{Client, Query};

use crate::command::{Doing as _, Fail, Outcome};
use crate::output::{self, deployment, metric, short, time};

/// Exit code when something could not be placed.
const PLACEMENT_FAILURE: i32 = 2;
/// Between two looks; the first few come faster.
const INTERVAL: Duration = Duration::from_millis(500);
const FIRST_INTERVAL: Duration = Duration::from_millis(60);

/// How much is shown, and whose namespace it is.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub verbose: bool,
    pub query: Query,
    /// Between two looks at a deployment, where that was asked for.
    pub wait: Option<Duration>,
}

/// Follows `eval_id`, evaluations that follow it, and the deployment they belong to.
pub async fn evaluation(client: &Client, eval_id: &str, options: &Options) -> Outcome {
    let mut id = eval_id.to_owned();
    loop {
        let (done, deployment_id) = one_evaluation(client, &id, options).await?;
        let retry = done.failed_tg_allocs.is_empty() && !done.next_eval.is_empty() && done.wait_until.0.is_zero();
        if retry {
            id = done.next_eval;
            continue;
        }
        if !done.failed_tg_allocs.is_empty() {
            return Ok(PLACEMENT_FAILURE);
        }
        if done.status != "complete" {
            return Ok(1);
        }
        return match deployment_id {
            Some(deployment) => self::deployment(client, &deployment, options).await,
            None => Ok(0),
        };
    }
}

/// The evaluation when it has ended, and the deployment that it or its allocations belong to.
async fn one_evaluation(client: &Client, id: &str, options: &Options) -> Result<(Evaluation, Option<String>), Fail> {
    let name = short(id, options.verbose).to_owned();
    head(&format!("Monitoring evaluation {name:?}"));
    let mut seen = Seen::default();
    let mut wait = FIRST_INTERVAL;
    loop {
        let eval = client.evaluation(&options.query, id, false).await.doing("Error reading evaluation")?.value;
        let allocs = client.evaluation_allocations(&options.query, id).await.doing("Error reading allocations")?.value;
        for text in seen.news(&eval, &allocs, options.verbose) {
            line(&text);
        }
        if matches!(eval.status.as_str(), "complete" | "failed" | "canceled" | "blocked") {
            finish(&eval, &name, options.verbose);
            return Ok((eval.clone(), seen.deployment));
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(INTERVAL);
    }
}

fn finish(eval: &Evaluation, name: &str, verbose: bool) {
    if eval.failed_tg_allocs.is_empty() {
        head(&format!("Evaluation {name:?} finished with status {:?}", eval.status));
        return;
    }
    head(&format!("Evaluation {name:?} finished with status {:?} but failed to place all allocations:", eval.status));
    for text in metric::failures(&eval.failed_tg_allocs, "", "\n").lines() {
        line(text);
    }
    if !eval.blocked_eval.is_empty() {
        let blocked = short(&eval.blocked_eval, verbose);
        line(&format!("Evaluation {blocked:?} waiting for additional capacity to place remainder"));
    }
}

/// What was printed already.
#[derive(Default)]
struct Seen {
    status: String,
    deployment: Option<String>,
    allocs: BTreeMap<String, String>,
}

impl Seen {
    /// Lines for what changed since the last look.
    fn news(&mut self, eval: &Evaluation, allocs: &[AllocListStub], verbose: bool) -> Vec<String> {
        let mut out = Vec::new();
        if self.status.is_empty() {
            out.push(match eval.node_id.as_str() {
                "" => format!("Evaluation triggered by job {:?}", eval.job_id),
                node => format!("Evaluation triggered by node {:?}", short(node, verbose)),
            });
        }
        if self.deployment.is_none() && !eval.deployment_id.is_empty() {
            out.push(format!("Evaluation within deployment: {:?}", short(&eval.deployment_id, verbose)));
            self.deployment = Some(eval.deployment_id.clone());
        }
        for alloc in allocs {
            let id = short(&alloc.id, verbose);
            let place = format!("node {:?}, group {:?}", short(&alloc.node_id, verbose), alloc.task_group);
            match self.allocs.insert(alloc.id.clone(), alloc.client_status.clone()) {
                None if alloc.create_index < alloc.modify_index && alloc.create_index < eval.create_index => {
                    out.push(format!("Allocation {id:?} modified: {place}"));
                }
                None => out.push(format!("Allocation {id:?} created: {place}")),
                Some(old) if old != alloc.client_status => {
                    let why = match alloc.client_description.as_str() {
                        "" => String::new(),
                        text => format!(" ({text})"),
                    };
                    out.push(format!("Allocation {id:?} status changed: {old:?} -> {:?}{why}", alloc.client_status));
                }
                Some(_) => {}
            }
        }
        if !self.status.is_empty() && self.status != eval.status {
            out.push(format!("Evaluation status changed: {:?} -> {:?}", self.status, eval.status));
        }
        self.status.clone_from(&eval.status);
        out
    }
}

/// Follows a deployment until nothing more happens to it. Exit code 0 when it was successful.
pub async fn deployment(client: &Client, id: &str, options: &Options) -> Outcome {
    head(&format!("Monitoring deployment {:?}", short(id, options.verbose)));
    let mut view = View::default();
    loop {
        let deployment = client.deployment(&options.query, id).await.doing("Error fetching deployment")?.value;
        view.show(&deployment, options.verbose);
        if deployment::is_terminal(&deployment) {
            return Ok(if deployment.status == "successful" { 0 } else { 1 });
        }
        tokio::time::sleep(options.wait.unwrap_or(INTERVAL)).await;
    }
}

/// Waits for a job to end. Exit code 2 when something of it failed.
pub async fn until_dead(client: &Client, query: &Query, job_id: &str) -> Outcome {
    loop {
        let job = client.job(query, job_id).await.doing("Error querying job")?.value;
        if job.status.as_deref() == Some("dead") {
            let summary = client.job_summary(query, job_id).await.doing("Error querying job summary")?.value;
            let failed = summary.summary.values().any(|s| s.failed + s.lost > 0);
            return Ok(if failed { 2 } else { 0 });
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The last state printed. On a terminal the next one takes its place.
#[derive(Default)]
struct View {
    last: String,
}

impl View {
    fn show(&mut self, d: &Deployment, verbose: bool) {
        let text = deployment::whole(d, verbose);
        if text == self.last {
            return;
        }
        let mut out = std::io::stdout().lock();
        if out.is_terminal() && !self.last.is_empty() {
            // The time, the text and the blank lines around them.
            let lines = self.last.lines().count() + 2;
            let _ = write!(out, "\x1b[{lines}A\x1b[J");
        }
        let _ = writeln!(out, "\n{}\n{text}", time::stamp(time::now()));
        let _ = out.flush();
        self.last = text;
    }
}

/// A line that begins something: `==> time: text`.
pub fn head(text: &str) {
    println!("{}", output::paint("1", &format!("==> {}: {text}", time::stamp(time::now()))));
}

/// A line inside of it.
pub fn line(text: &str) {
    println!("    {}: {text}", time::stamp(time::now()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_come_once() {
        let mut seen = Seen::default();
        let mut eval = Evaluation {
            job_id: "web".to_owned(),
            status: "pending".to_owned(),
            create_index: 5,
            ..Evaluation::default()
        };
        assert_eq!(seen.news(&eval, &[], false), ["Evaluation triggered by job \"web\""]);
        eval.status = "complete".to_owned();
        eval.deployment_id = "0123456789".to_owned();
        let mut alloc = AllocListStub {
            id: "aaaaaaaaaa".to_owned(),
            node_id: "bbbbbbbbbb".to_owned(),
            task_group: "g".to_owned(),
            client_status: "pending".to_owned(),
            create_index: 6,
            modify_index: 6,
            ..AllocListStub::default()
        };
        assert_eq!(
            seen.news(&eval, std::slice::from_ref(&alloc), false),
            [
                "Evaluation within deployment: \"01234567\"",
                "Allocation \"aaaaaaaa\" created: node \"bbbbbbbb\", group \"g\"",
                "Evaluation status changed: \"pending\" -> \"complete\"",
            ]
        );
        alloc.client_status = "running".to_owned();
        alloc.client_description = "Tasks are running".to_owned();
        assert_eq!(
            seen.news(&eval, &[alloc], false),
            ["Allocation \"aaaaaaaa\" status changed: \"pending\" -> \"running\" (Tasks are running)"]
        );
    }
}
