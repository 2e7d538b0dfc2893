//! `job stop`: one or several jobs.

use tarpan_api::Client;

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::confirm::confirm;
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
    /// Forget the job as well.
    #[arg(long)]
    purge: bool,
    /// Do not ask when only a prefix was given.
    #[arg(long)]
    yes: bool,
    /// Do not wait for shutdown delays.
    #[arg(long)]
    no_shutdown_delay: bool,
    /// The priority of the evaluation.
    #[arg(long, value_name = "priority")]
    eval_priority: Option<i64>,
    /// Stop a job in all of its regions. There is one region here, so that this says nothing new.
    #[arg(long)]
    global: bool,
    args: Vec<String>,
}

impl Command for Stop {
    const PATH: &'static str = "job stop";
    const ALIASES: &'static [&'static str] = &["stop"];
    const USAGE: &'static str = "<job>";
    const ABOUT: &'static str = "Stops jobs and follows their end.";

    async fn run(self) -> Outcome {
        if self.args.is_empty() {
            return Err(Fail::usage("This command takes at least one argument: <job>"));
        }
        let client = self.client.client()?;
        let mut code = 0;
        for word in &self.args {
            code = code.max(self.stop(&client, word).await?);
        }
        Ok(code)
    }
}

impl Stop {
    async fn stop(&self, client: &Client, word: &str) -> Outcome {
        let job = lookup::job(client, word, "Error deregistering job").await?;
        if job.id != *word && !self.yes && !confirm(&format!("Are you sure you want to stop job {:?}? [y/N]", job.id))?
        {
            println!("Cancelling job stop");
            return Ok(0);
        }
        let mut query = job.query();
        if self.no_shutdown_delay {
            query = query.with("no_shutdown_delay", true);
        }
        if self.global {
            query = query.with("global", true);
        }
        if let Some(priority) = self.eval_priority {
            query = query.with("eval_priority", priority);
        }
        let answer = client.stop_job(&query, &job.id, self.purge).await.doing("Error deregistering job")?.value;
        if answer.eval_id.is_empty() {
            return Ok(0);
        }
        if self.detach {
            println!("{}", answer.eval_id);
            return Ok(0);
        }
        let options = monitor::Options { verbose: self.verbose, query: job.query(), ..Default::default() };
        monitor::evaluation(client, &answer.eval_id, &options).await
    }
}
