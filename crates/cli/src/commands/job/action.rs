//! `job action`: runs a command that the job's text names, in a task of one of its allocations.

use tarpan_api::calls;

use crate::client::ClientFlags;
use crate::command::{Command, Fail, Outcome};
use crate::commands::alloc::exec::Terminal;
use crate::lookup;

#[derive(Debug, clap::Args)]
pub struct Action {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    terminal: Terminal,
    /// The job that has the action.
    #[arg(long, value_name = "job")]
    job: Option<String>,
    /// The group whose allocation runs it; any running one will do.
    #[arg(long, value_name = "group")]
    group: Option<String>,
    /// The task; needed when several have an action of this name.
    #[arg(long, value_name = "task")]
    task: Option<String>,
    /// The allocation that runs it.
    #[arg(long, value_name = "allocation")]
    alloc: Option<String>,
    args: Vec<String>,
}

impl Command for Action {
    const PATH: &'static str = "job action";
    const ALIASES: &'static [&'static str] = &["action"];
    const USAGE: &'static str = "<action>";
    const ABOUT: &'static str = "Runs an action of a job in one of its allocations.";
    const DETAILS: &'static str =
        "Which allocation that is, -alloc says or -group. Exits with the exit code of the action.";

    async fn run(self) -> Outcome {
        let [name] = self.args.as_slice() else {
            return Err(Fail::usage("This command takes one argument: <action>"));
        };
        let Some(job) = self.job.as_deref().filter(|job| !job.is_empty()) else {
            return Err(Fail::usage("A job ID is required"));
        };
        if self.alloc.is_none() && self.group.is_none() {
            return Err(Fail::usage("A task group name is required if no allocation ID is specified"));
        }
        let client = self.client.client()?;
        let found = lookup::job(&client, job, "Error querying job").await?;
        let named = calls::run_action_named(&found.query(), &found.id, name);
        let mut call = named.with("tty", self.terminal.tty()).with("ws_handshake", true);
        if let Some(word) = &self.alloc {
            call = call.with("allocID", lookup::alloc(&client, word).await?.id);
        }
        for (key, value) in [("group", &self.group), ("task", &self.task)] {
            if let Some(value) = value {
                call = call.with(key, value);
            }
        }
        self.terminal.run(&self.client, &call, "failed to run action").await
    }
}
