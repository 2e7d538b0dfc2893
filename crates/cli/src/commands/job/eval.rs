//! `job eval`: looks at a job again.

use super::one;
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Outcome};
use crate::{lookup, monitor};

#[derive(Debug, clap::Args)]
pub struct Eval {
    #[command(flatten)]
    client: ClientFlags,
    /// Place failed allocations again, whatever their reschedule policy says.
    #[arg(long)]
    force_reschedule: bool,
    /// Print the id of the evaluation and do not follow it.
    #[arg(long)]
    detach: bool,
    /// Print whole ids.
    #[arg(long)]
    verbose: bool,
    args: Vec<String>,
}

impl Command for Eval {
    const PATH: &'static str = "job eval";
    const USAGE: &'static str = "<job_id>";
    const ABOUT: &'static str = "Evaluates a job again, without a change of it.";

    async fn run(self) -> Outcome {
        let word = one(&self.args, "<job>")?;
        let client = self.client.client()?;
        let job = lookup::job(&client, word, "Error querying job").await?;
        let answer = client
            .evaluate_job(&job.query(), &job.id, self.force_reschedule)
            .await
            .doing("Error evaluating job")?
            .value;
        if self.detach {
            println!("Created eval ID: {:?} ", crate::output::short(&answer.eval_id, self.verbose));
            return Ok(0);
        }
        let options = monitor::Options { verbose: self.verbose, query: job.query(), ..Default::default() };
        monitor::evaluation(&client, &answer.eval_id, &options).await
    }
}
