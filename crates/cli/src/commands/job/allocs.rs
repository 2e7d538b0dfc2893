//! `job allocs`.

use super::one;
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Outcome};
use crate::lookup;
use crate::output::{Format, allocs, sdk, time};

#[derive(Debug, clap::Args)]
pub struct Allocs {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    /// Show allocations of earlier jobs of this name too.
    #[arg(long)]
    all: bool,
    /// Show everything in full.
    #[arg(long)]
    verbose: bool,
    args: Vec<String>,
}

impl Command for Allocs {
    const PATH: &'static str = "job allocs";
    const USAGE: &'static str = "<job>";
    const ABOUT: &'static str = "Lists the allocations of a job.";

    async fn run(self) -> Outcome {
        let word = one(&self.args, "<job>")?;
        let client = self.client.client()?;
        let job = lookup::job(&client, word, "Error listing jobs").await?;
        let query = if self.all { job.query().with("all", true) } else { job.query() };
        if self.format.asked() {
            let value = client.job_part(&query, &job.id, "allocations").await.doing("Error retrieving allocations")?;
            return self.format.print(&sdk::each(value.value, sdk::alloc_stub));
        }
        let mut stubs =
            client.job_allocations(&job.query(), &job.id, self.all).await.doing("Error retrieving allocations")?.value;
        stubs.sort_by(|a, b| b.create_index.cmp(&a.create_index).then_with(|| a.name.cmp(&b.name)));
        println!("{}", allocs::table(&stubs, self.verbose, time::now()));
        Ok(0)
    }
}
