//! `deployment …`: following and steering rollouts.

use std::time::Duration;

use tarpan_api::wire::{Deployment, DeploymentUpdateResponse};
use tarpan_api::{Client, Query, calls};
use tarpan_model::duration::Dur;

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::output::{self, Format, deployment};
use crate::{lookup, monitor};

fn one(args: &[String]) -> Result<&str, Fail> {
    match args {
        [word] => Ok(word),
        _ => Err(Fail::usage("This command takes one argument: <deployment id>")),
    }
}

/// The deployment that the command's only word names, and how to ask for it.
async fn chosen(flags: &ClientFlags, args: &[String]) -> Result<(Client, Deployment, Query), Fail> {
    let word = one(args)?;
    let client = flags.client()?;
    let found = lookup::deployment(&client, word).await?;
    let query = query_of(&found);
    Ok((client, found, query))
}

fn query_of(d: &Deployment) -> Query {
    if d.namespace.is_empty() { Query::new() } else { Query::in_namespace(&d.namespace) }
}

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    /// Print whole ids.
    #[arg(long)]
    verbose: bool,
    /// A filter expression.
    #[arg(long, value_name = "expression")]
    filter: Option<String>,
    args: Vec<String>,
}

impl Command for List {
    const PATH: &'static str = "deployment list";
    const ABOUT: &'static str = "Lists deployments, newest first.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let client = self.client.client()?;
        let mut query = Query::new();
        query.filter.clone_from(&self.filter);
        if self.format.asked() {
            let all = calls::deployments(&query);
            return self.format.print_answer(&client, all, "Error retrieving deployments").await;
        }
        let mut all = client.deployments(&query).await.doing("Error retrieving deployments")?.value;
        all.sort_by_key(|d| std::cmp::Reverse(d.create_index));
        println!("{}", deployment::table(&all, self.verbose));
        Ok(0)
    }
}

#[derive(Debug, Default, clap::Args)]
pub struct Status {
    #[command(flatten)]
    pub client: ClientFlags,
    #[command(flatten)]
    pub format: Format,
    /// Print whole ids, and the allocations.
    #[arg(long)]
    pub verbose: bool,
    /// Follow the deployment until it ends.
    #[arg(long)]
    pub monitor: bool,
    /// With -monitor: how long to wait between two looks; 2s unless said.
    #[arg(long, value_name = "duration")]
    pub wait: Option<String>,
    /// Open the page that shows the same in a browser, too.
    #[arg(long)]
    pub ui: bool,
    pub args: Vec<String>,
}

impl Command for Status {
    const PATH: &'static str = "deployment status";
    const USAGE: &'static str = "<deployment id>";
    const ABOUT: &'static str = "Shows a deployment and how far its groups are.";

    async fn run(self) -> Outcome {
        let word = one(&self.args)?.to_owned();
        self.one(&word).await
    }
}

impl Status {
    pub async fn one(&self, word: &str) -> Outcome {
        let wait = self.wait.as_deref().map(interval).transpose()?;
        let client = self.client.client()?;
        let found = lookup::deployment(&client, word).await?;
        let query = query_of(&found);
        if self.format.asked() {
            let one = calls::deployment(&query, &found.id);
            return self.format.print_answer(&client, one, "Error retrieving deployment").await;
        }
        if self.monitor {
            let options = monitor::Options { verbose: self.verbose, query, wait: Some(wait.unwrap_or(STATUS_WAIT)) };
            return monitor::deployment(&client, &found.id, &options).await;
        }
        println!("{}", deployment::whole(&found, self.verbose));
        let page = format!("/ui/jobs/{}/deployments", tarpan_api::client::escape(&found.job_id));
        output::page(self.ui, "View all deployments for this job", &self.client.address(), &page);
        Ok(0)
    }
}

/// Between two looks of `deployment status -monitor`, where nobody says how long.
const STATUS_WAIT: Duration = Duration::from_secs(2);

/// What `-wait` says. Errors: no duration, or none at all.
fn interval(text: &str) -> Result<Duration, Fail> {
    let parsed = text.parse::<Dur>().map_err(|e| Fail::usage(format!("Invalid -wait value {text:?}: {e}")))?;
    match parsed.to_std() {
        Duration::ZERO => Err(Fail::usage("Invalid -wait value: it has to be longer than nothing")),
        wait => Ok(wait),
    }
}

/// What a command does with the evaluation that it caused.
#[derive(Debug, clap::Args)]
struct Follow {
    /// Print the id of the evaluation and do not follow it.
    #[arg(long)]
    detach: bool,
    /// Print whole ids.
    #[arg(long)]
    verbose: bool,
}

impl Follow {
    /// Prints the evaluation's id, or follows it.
    async fn after(&self, client: &Client, query: Query, answer: &DeploymentUpdateResponse) -> Outcome {
        if answer.eval_id.is_empty() {
            return Ok(0);
        }
        if self.detach {
            println!("Evaluation ID: {}", answer.eval_id);
            return Ok(0);
        }
        println!();
        let options = monitor::Options { verbose: self.verbose, query, ..Default::default() };
        monitor::evaluation(client, &answer.eval_id, &options).await
    }
}

#[derive(Debug, clap::Args)]
pub struct Promote {
    #[command(flatten)]
    client: ClientFlags,
    /// Promote this group only; may be repeated.
    #[arg(long, value_name = "group")]
    group: Vec<String>,
    #[command(flatten)]
    follow: Follow,
    args: Vec<String>,
}

impl Command for Promote {
    const PATH: &'static str = "deployment promote";
    const USAGE: &'static str = "<deployment id>";
    const ABOUT: &'static str = "Promotes the canaries of a deployment.";

    async fn run(self) -> Outcome {
        let (client, found, query) = chosen(&self.client, &self.args).await?;
        let doing = "Error promoting deployment";
        let answer = client.promote_deployment(&query, &found.id, &self.group).await.doing(doing)?.value;
        self.follow.after(&client, query, &answer).await
    }
}

#[derive(Debug, clap::Args)]
pub struct Failing {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    follow: Follow,
    args: Vec<String>,
}

impl Command for Failing {
    const PATH: &'static str = "deployment fail";
    const USAGE: &'static str = "<deployment id>";
    const ABOUT: &'static str = "Ends a deployment as failed.";

    async fn run(self) -> Outcome {
        let (client, found, query) = chosen(&self.client, &self.args).await?;
        let answer = client.fail_deployment(&query, &found.id).await.doing("Error failing deployment")?.value;
        match answer.reverted_job_version {
            Some(version) => println!("Deployment {:?} failed. Auto-reverted to job version {version}.", found.id),
            None => println!("Deployment {:?} failed", found.id),
        }
        self.follow.after(&client, query, &answer).await
    }
}

#[derive(Debug, clap::Args)]
pub struct Pause {
    #[command(flatten)]
    client: ClientFlags,
    #[arg(long, hide = true)]
    verbose: bool,
    args: Vec<String>,
}

impl Command for Pause {
    const PATH: &'static str = "deployment pause";
    const USAGE: &'static str = "<deployment id>";
    const ABOUT: &'static str = "Holds a deployment where it is.";

    async fn run(self) -> Outcome {
        let (client, found, query) = chosen(&self.client, &self.args).await?;
        client.pause_deployment(&query, &found.id, true).await.doing("Error pausing deployment")?;
        println!("Deployment {:?} paused", found.id);
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct Resume {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    follow: Follow,
    args: Vec<String>,
}

impl Command for Resume {
    const PATH: &'static str = "deployment resume";
    const USAGE: &'static str = "<deployment id>";
    const ABOUT: &'static str = "Lets a paused deployment go on.";

    async fn run(self) -> Outcome {
        let (client, found, query) = chosen(&self.client, &self.args).await?;
        let doing = "Error resuming deployment";
        let answer = client.pause_deployment(&query, &found.id, false).await.doing(doing)?.value;
        println!("Deployment {:?} resumed", found.id);
        self.follow.after(&client, query, &answer).await
    }
}
