//! `job deployments`.

use tarpan_api::calls;

use super::one;
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Outcome};
use crate::lookup;
use crate::output::{Format, deployment};

#[derive(Debug, clap::Args)]
pub struct Deployments {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    /// Only the newest one, with its groups.
    #[arg(long)]
    latest: bool,
    /// Show deployments of earlier jobs of this name too.
    #[arg(long)]
    all: bool,
    /// Print whole ids.
    #[arg(long)]
    verbose: bool,
    args: Vec<String>,
}

impl Command for Deployments {
    const PATH: &'static str = "job deployments";
    const USAGE: &'static str = "<job>";
    const ABOUT: &'static str = "Lists the deployments of a job.";

    async fn run(self) -> Outcome {
        let word = one(&self.args, "<job>")?;
        let client = self.client.client()?;
        let job = lookup::job(&client, word, "Error listing jobs").await?;
        let doing = "Error retrieving deployments";
        if self.latest {
            let call = calls::job_latest_deployment(&job.query(), &job.id);
            if self.format.asked() {
                return self.format.print_answer(&client, call, doing).await;
            }
            match client.call(&call).await.doing(doing)?.value {
                Some(latest) => println!("{}", deployment::whole(&latest, self.verbose)),
                None => println!("No deployment found"),
            }
            return Ok(0);
        }
        if self.format.asked() {
            let all = calls::job_deployments(&job.query(), &job.id, self.all);
            return self.format.print_answer(&client, all, doing).await;
        }
        let mut all = client.job_deployments(&job.query(), &job.id, self.all).await.doing(doing)?.value;
        all.sort_by_key(|d| std::cmp::Reverse(d.create_index));
        println!("{}", deployment::table(&all, self.verbose));
        Ok(0)
    }
}
