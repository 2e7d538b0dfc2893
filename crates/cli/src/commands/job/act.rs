//! Small commands that do one thing to a job and follow it: `job periodic force`, `promote`, `revert`, `start`.

use tarpan_api::Client;
use tarpan_api::wire::JobVersions;

use super::one;
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::lookup::{self, FoundJob};
use crate::monitor;

/// Whether and how to follow what was begun.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Follow {
    /// Print the id of the evaluation and do not follow it.
    #[arg(long)]
    pub detach: bool,
    /// Print whole ids.
    #[arg(long)]
    pub verbose: bool,
}

impl Follow {
    /// Follows the evaluation, or prints its id under `done`.
    pub async fn evaluation(&self, client: &Client, job: &FoundJob, eval_id: &str, done: &str) -> Outcome {
        if self.detach || eval_id.is_empty() {
            if !done.is_empty() {
                println!("{done}");
            }
            if !eval_id.is_empty() {
                println!("Evaluation ID: {eval_id}");
            }
            return Ok(0);
        }
        let options = monitor::Options { verbose: self.verbose, query: job.query(), ..Default::default() };
        monitor::evaluation(client, eval_id, &options).await
    }
}

#[derive(Debug, clap::Args)]
pub struct PeriodicForce {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    follow: Follow,
    args: Vec<String>,
}

impl Command for PeriodicForce {
    const PATH: &'static str = "job periodic force";
    const USAGE: &'static str = "<job id>";
    const ABOUT: &'static str = "Launches a periodic job now.";

    async fn run(self) -> Outcome {
        let word = one(&self.args, "<job id>")?;
        let client = self.client.client()?;
        let job = lookup::job_of_kind(&client, word, "Error querying job", "periodic ", |j| j.periodic).await?;
        let doing = format!("Error forcing periodic job {:?}", job.id);
        let answer = client.periodic_force(&job.query(), &job.id).await.doing(doing)?.value;
        self.follow.evaluation(&client, &job, &answer.eval_id, "Force periodic successful").await
    }
}

#[derive(Debug, clap::Args)]
pub struct Promote {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    follow: Follow,
    /// Promote this group only; may be repeated.
    #[arg(long, value_name = "group")]
    group: Vec<String>,
    args: Vec<String>,
}

impl Command for Promote {
    const PATH: &'static str = "job promote";
    const USAGE: &'static str = "<job id>";
    const ABOUT: &'static str = "Promotes the canaries of a job's newest deployment.";

    async fn run(self) -> Outcome {
        let word = one(&self.args, "<job id>")?;
        let client = self.client.client()?;
        let job = lookup::job(&client, word, "Error querying job").await?;
        let latest = client.job_latest_deployment(&job.query(), &job.id).await.doing("Error retrieving deployments")?;
        let Some(deployment) = latest.value else {
            return Err(Fail::new(format!("No deployment to promote for job {:?}", job.id)));
        };
        let doing = format!("Error promoting deployment {:?} for job {:?}", deployment.id, job.id);
        let answer = client.promote_deployment(&job.query(), &deployment.id, &self.group).await.doing(doing)?.value;
        self.follow.evaluation(&client, &job, &answer.eval_id, "").await
    }
}

#[derive(Debug, clap::Args)]
pub struct Revert {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    follow: Follow,
    args: Vec<String>,
}

impl Command for Revert {
    const PATH: &'static str = "job revert";
    const USAGE: &'static str = "<job> <version|tag>";
    const ABOUT: &'static str = "Registers an earlier version of a job again.";

    async fn run(self) -> Outcome {
        let [word, wanted] = self.args.as_slice() else {
            return Err(Fail::usage("This command takes two arguments: <job> <version|tag>"));
        };
        let client = self.client.client()?;
        let job = lookup::job(&client, word, "Error listing jobs").await?;
        let version = match wanted.parse::<u64>() {
            Ok(number) => number,
            Err(_) => tagged(&client, &job, wanted).await?,
        };
        let answer =
            client.revert(&job.query(), &job.id, version, None).await.doing("Error retrieving job versions")?.value;
        self.follow.evaluation(&client, &job, &answer.eval_id, "").await
    }
}

/// The version that carries a tag.
async fn tagged(client: &Client, job: &FoundJob, tag: &str) -> Result<u64, Fail> {
    let versions = versions(client, job).await?;
    let has = |j: &&tarpan_model::Job| j.version_tag.as_ref().and_then(|t| t.name.as_deref()) == Some(tag);
    let found = versions.versions.iter().find(has);
    found.map(tarpan_model::Job::version).ok_or_else(|| {
        Fail::new(format!("Error retrieving job versions: no version of job {:?} is tagged {tag:?}", job.id))
    })
}

async fn versions(client: &Client, job: &FoundJob) -> Result<JobVersions, Fail> {
    Ok(client.job_versions(&job.query(), &job.id, false).await.doing("Error retrieving job versions")?.value)
}

#[derive(Debug, clap::Args)]
pub struct Start {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    follow: Follow,
    args: Vec<String>,
}

impl Command for Start {
    const PATH: &'static str = "job start";
    const ALIASES: &'static [&'static str] = &["start"];
    const USAGE: &'static str = "<job>";
    const ABOUT: &'static str = "Starts a stopped job again, in its newest version that ran.";

    async fn run(self) -> Outcome {
        let word = one(&self.args, "<job>")?;
        let client = self.client.client()?;
        let job = lookup::job(&client, word, "Error querying job").await?;
        let versions = versions(&client, &job).await?;
        if versions.versions.first().is_some_and(|newest| !newest.stopped()) {
            println!("Job {:?} is already running", job.id);
            return Ok(0);
        }
        let Some(last) = versions.versions.iter().find(|v| !v.stopped()) else {
            return Err(Fail::new(format!("No previous available version found for job {:?}", job.id)));
        };
        let doing = "Error starting job";
        let answer = client.revert(&job.query(), &job.id, last.version(), None).await.doing(doing)?.value;
        self.follow.evaluation(&client, &job, &answer.eval_id, "Job start successful").await
    }
}
