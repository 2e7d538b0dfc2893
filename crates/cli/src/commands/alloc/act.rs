//! `alloc stop`, `alloc restart`, `alloc signal`.

use super::{query_of, task_of};
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::{lookup, monitor};

#[derive(Debug, clap::Args)]
pub struct Stop {
    #[command(flatten)]
    client: ClientFlags,
    /// Print the id of the evaluation and do not follow it.
    #[arg(long)]
    detach: bool,
    /// Print whole ids.
    #[arg(long)]
    verbose: bool,
    /// Do not wait for the shutdown delay.
    #[arg(long)]
    no_shutdown_delay: bool,
    args: Vec<String>,
}

impl Command for Stop {
    const PATH: &'static str = "alloc stop";
    const USAGE: &'static str = "<allocation>";
    const ABOUT: &'static str = "Stops an allocation; its job places another one where it wants one.";

    async fn run(self) -> Outcome {
        let [word] = self.args.as_slice() else {
            return Err(Fail::usage("This command takes one argument: <alloc-id>"));
        };
        let client = self.client.client()?;
        let alloc = lookup::alloc(&client, word).await?;
        let query = query_of(&alloc);
        let answer = client
            .stop_allocation(&query, &alloc.id, self.no_shutdown_delay)
            .await
            .doing("Error stopping allocation")?;
        if self.detach {
            println!("{}", answer.value.eval_id);
            return Ok(0);
        }
        let options = monitor::Options { verbose: self.verbose, query, ..Default::default() };
        monitor::evaluation(&client, &answer.value.eval_id, &options).await
    }
}

#[derive(Debug, clap::Args)]
pub struct Restart {
    #[command(flatten)]
    client: ClientFlags,
    /// Restart tasks that have ended too.
    #[arg(long)]
    all_tasks: bool,
    #[arg(long, hide = true)]
    verbose: bool,
    /// The task to restart; all running ones when not given.
    #[arg(long, value_name = "task")]
    task: Option<String>,
    args: Vec<String>,
}

impl Command for Restart {
    const PATH: &'static str = "alloc restart";
    const USAGE: &'static str = "<allocation> <task>";
    const ABOUT: &'static str = "Restarts the tasks of an allocation where they are.";

    async fn run(self) -> Outcome {
        let (word, task) = words(&self.args, &self.task)?;
        if task.is_some() && self.all_tasks {
            return Err(Fail::usage("The -all-tasks option is not allowed when restarting a specific task."));
        }
        let client = self.client.client()?;
        let alloc = lookup::alloc(&client, word).await?;
        let task = task.map(|t| task_of(&alloc, Some(t))).transpose()?;
        client
            .restart_allocation(&query_of(&alloc), &alloc.id, task.as_deref(), self.all_tasks)
            .await
            .doing("Failed to restart allocation")?;
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct Signal {
    #[command(flatten)]
    client: ClientFlags,
    /// The signal's name.
    #[arg(long = "s", value_name = "signal", default_value = "SIGKILL")]
    signal: String,
    #[arg(long, hide = true)]
    verbose: bool,
    /// The task to signal; all of them when not given.
    #[arg(long, value_name = "task")]
    task: Option<String>,
    args: Vec<String>,
}

impl Command for Signal {
    const PATH: &'static str = "alloc signal";
    const USAGE: &'static str = "<allocation> <task>";
    const ABOUT: &'static str = "Sends a signal to the tasks of an allocation.";

    async fn run(self) -> Outcome {
        let (word, task) = words(&self.args, &self.task)?;
        let client = self.client.client()?;
        let alloc = lookup::alloc(&client, word).await?;
        let task = task.map(|t| task_of(&alloc, Some(t))).transpose()?;
        client
            .signal_allocation(&query_of(&alloc), &alloc.id, task.as_deref(), &self.signal)
            .await
            .doing("Error signalling allocation")?;
        Ok(0)
    }
}

/// Allocation and task, the latter by flag or as a second word.
fn words<'a>(args: &'a [String], flag: &'a Option<String>) -> Result<(&'a str, Option<&'a str>), Fail> {
    match args {
        [word] => Ok((word, flag.as_deref())),
        [word, task] => Ok((word, flag.as_deref().or(Some(task)))),
        _ => Err(Fail::usage("This command takes one or two arguments: <alloc-id> <task>")),
    }
}
