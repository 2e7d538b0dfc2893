//! `volume claim list` and `volume claim delete`: what groups with sticky volumes hold.

use tarpan_api::wire::TaskGroupHostVolumeClaim;
use tarpan_api::{Client, Query, calls};

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::confirm::confirm;
use crate::output::{Format, Table, short};

const LISTING: &str = "Error querying task group host volume claims";

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    /// Only claims of this job.
    #[arg(long, value_name = "job")]
    job: Option<String>,
    /// Only claims of groups of this name.
    #[arg(long, value_name = "group")]
    group: Option<String>,
    /// Only claims to volumes of this name.
    #[arg(long, value_name = "name")]
    volume_name: Option<String>,
    /// Show ids in full.
    #[arg(long)]
    verbose: bool,
    args: Vec<String>,
}

impl Command for List {
    const PATH: &'static str = "volume claim list";
    const USAGE: &'static str = "<claim_id>";
    const ABOUT: &'static str = "Lists what groups with sticky volumes hold of them.";

    async fn run(self) -> Outcome {
        let mut query = match self.args.as_slice() {
            [] => Query::new(),
            [prefix] => Query::new().prefix(prefix),
            _ => return Err(Fail::usage("This command takes no arguments or one: <claim_id>")),
        };
        for (name, asked) in [("job_id", &self.job), ("task_group", &self.group), ("volume_name", &self.volume_name)] {
            if let Some(asked) = asked {
                query = query.with(name, asked);
            }
        }
        let client = self.client.client()?;
        if self.format.asked() {
            return self.format.print_answer(&client, calls::host_volume_claims(&query), LISTING).await;
        }
        let claims = client.host_volume_claims(&query).await.doing(LISTING)?.value;
        match claims.is_empty() {
            true => println!("No task group host volume claims"),
            false => println!("{}", table(&claims, self.verbose)),
        }
        Ok(0)
    }
}

fn table(claims: &[TaskGroupHostVolumeClaim], verbose: bool) -> String {
    let mut table = Table::new(["ID", "Namespace", "Job ID", "Volume ID", "Volume Name"]);
    for claim in claims {
        table.row([
            short(&claim.id, verbose),
            &claim.namespace,
            &claim.job_id,
            short(&claim.volume_id, verbose),
            &claim.volume_name,
        ]);
    }
    table.render()
}

#[derive(Debug, clap::Args)]
pub struct Delete {
    #[command(flatten)]
    client: ClientFlags,
    /// Do not ask.
    #[arg(long)]
    y: bool,
    args: Vec<String>,
}

impl Command for Delete {
    const PATH: &'static str = "volume claim delete";
    const USAGE: &'static str = "<id>";
    const ABOUT: &'static str = "Lets a group go to another volume than the one it holds.";

    async fn run(self) -> Outcome {
        let [word] = self.args.as_slice() else {
            return Err(Fail::usage("This command takes one argument: <id>"));
        };
        let client = self.client.client()?;
        let claim = find(&client, word).await?;
        if !self.y {
            let (group, volume) = (&claim.task_group_name, &claim.volume_name);
            let question = format!(
                "Group {group:?} of job {:?} may then start without what it wrote to volume {volume:?}. Delete claim {:?}? [y/N]",
                claim.job_id,
                short(&claim.id, false)
            );
            if !confirm(&question)? {
                println!("Cancelling the deletion");
                return Ok(0);
            }
        }
        let query = Query::in_namespace(&claim.namespace);
        client
            .delete_host_volume_claim(&query, &claim.id)
            .await
            .doing("Error deleting task group host volume claim")?;
        println!("Task group host volume claim {} successfully deleted", claim.id);
        Ok(0)
    }
}

async fn find(client: &Client, word: &str) -> Result<TaskGroupHostVolumeClaim, Fail> {
    let mut found = client.host_volume_claims(&Query::new().prefix(word)).await.doing(LISTING)?.value;
    match found.len() {
        0 => Err(Fail::new(format!("No task group host volume claim(s) with prefix or ID {word:?} found"))),
        1 => Ok(found.remove(0)),
        _ => Err(Fail::new(format!("Prefix matched multiple claims\n\n{}", table(&found, true)))),
    }
}
