//! `status`: whatever an id or a prefix means.

use super::{alloc, deployments, evals, job, node};
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};

#[derive(Debug, clap::Args)]
pub struct Status {
    #[command(flatten)]
    client: ClientFlags,
    /// Show everything in full.
    #[arg(long)]
    verbose: bool,
    /// Open the page that shows the same in a browser, too.
    #[arg(long)]
    ui: bool,
    args: Vec<String>,
}

impl Command for Status {
    const PATH: &'static str = "status";
    const USAGE: &'static str = "<identifier>";
    const ABOUT: &'static str = "Lists jobs, or shows what an id or its beginning means.";

    async fn run(self) -> Outcome {
        let jobs = job::status::JobStatus {
            client: self.client.clone(),
            verbose: self.verbose,
            ui: self.ui,
            ..Default::default()
        };
        match self.args.as_slice() {
            [] => jobs.list().await,
            [word] => self.one(word, jobs).await,
            _ => Err(Fail::usage("This command takes one argument: <identifier>")),
        }
    }
}

impl Status {
    async fn one(&self, word: &str, jobs: job::status::JobStatus) -> Outcome {
        let client = self.client.client()?;
        let found =
            client.search(&tarpan_api::Query::new(), word, "all").await.doing("Error querying search with id")?;
        let mut hits: Vec<(String, Vec<String>)> =
            found.value.matches.into_iter().filter(|(_, ids)| !ids.is_empty()).collect();
        // A job of exactly this name is meant before anything that begins so.
        if hits.iter().any(|(kind, ids)| kind == "jobs" && ids.iter().any(|id| id == word)) {
            return jobs.one(word).await;
        }
        if hits.len() > 1 {
            let lines: Vec<String> =
                hits.iter().map(|(kind, ids)| format!("{}:\n{}", kind_name(kind), ids.join(", "))).collect();
            return Err(Fail::new(format!("Multiple matches found for id {word:?}\n\n{}", lines.join("\n\n"))));
        }
        let Some((kind, ids)) = hits.pop() else {
            return Err(Fail::new(format!("Unable to resolve ID: {word:?}")));
        };
        let id = if ids.len() == 1 { ids[0].as_str() } else { word };
        let (client, verbose, ui) = (self.client.clone(), self.verbose, self.ui);
        match kind.as_str() {
            "jobs" => jobs.one(id).await,
            "allocs" => alloc::status::AllocStatus { client, verbose, ui, ..Default::default() }.one(id).await,
            "evals" => evals::EvalStatus { client, verbose, ui, ..Default::default() }.one(id).await,
            "deployment" => deployments::Status { client, verbose, ui, ..Default::default() }.one(id).await,
            "nodes" => {
                let args = vec![id.to_owned()];
                node::status::NodeStatus { client, verbose, ui, args, ..Default::default() }.run().await
            }
            "namespaces" => Err(Fail::new(format!("{id:?} is a namespace: see \"namespace status {id}\""))),
            other => Err(Fail::new(format!("{id:?} is of kind {other:?}, which \"status\" does not show"))),
        }
    }
}

fn kind_name(kind: &str) -> &str {
    match kind {
        "allocs" => "Allocations",
        "deployment" => "Deployments",
        "evals" => "Evaluations",
        "jobs" => "Jobs",
        "nodes" => "Nodes",
        other => other,
    }
}
