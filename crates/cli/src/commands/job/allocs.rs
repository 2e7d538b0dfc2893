//! `job allocs`.

use tarpan_api::calls;

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
        let call = calls::job_allocations(&job.query(), &job.id, self.all);
        if self.format.asked() {
            return self.format.print_shaped(&client, call, sdk::alloc_stub, "Error retrieving allocations").await;
        }
        let mut stubs = client.call(&call).await.doing("Error retrieving allocations")?.value;
        stubs.sort_by(|a, b| b.create_index.cmp(&a.create_index).then_with(|| a.name.cmp(&b.name)));
        println!("{}", allocs::table(&stubs, self.verbose, time::now()));
        Ok(0)
    }
}
