//! `alloc checks`: the health checks of services.

use tarpan_api::calls;
use tarpan_api::wire::CheckQueryResult;
use tarpan_model::time::UnixNanos;

use super::query_of;
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::lookup;
use crate::output::{Format, block, time};

#[derive(Debug, clap::Args)]
pub struct Checks {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    #[arg(long, hide = true)]
    verbose: bool,
    args: Vec<String>,
}

impl Command for Checks {
    const PATH: &'static str = "alloc checks";
    const USAGE: &'static str = "<allocation>";
    const ABOUT: &'static str = "Shows the health checks of an allocation's services.";

    async fn run(self) -> Outcome {
        let [word] = self.args.as_slice() else {
            return Err(Fail::usage("This command takes one argument (allocation id) or with -json or -t"));
        };
        let client = self.client.client()?;
        let alloc = lookup::alloc(&client, word).await?;
        let call = calls::allocation_checks(&query_of(&alloc), &alloc.id);
        if self.format.asked() {
            return self.format.print_answer(&client, call, "Error querying check results").await;
        }
        let checks = client.call(&call).await.doing("Error querying check results")?.value.unwrap_or_default();
        println!("Status of {} Nomad Service Checks", checks.len());
        for (id, check) in checks {
            println!("\n{}", text(&id, &check));
        }
        Ok(0)
    }
}

fn text(id: &str, check: &CheckQueryResult) -> String {
    let task = if check.task.is_empty() { "(group)" } else { &check.task };
    let mut pairs = vec![
        ("ID", id.to_owned()),
        ("Name", check.check.clone()),
        ("Group", check.group.clone()),
        ("Task", task.to_owned()),
        ("Service", check.service.clone()),
        ("Status", check.status.clone()),
    ];
    if check.status_code > 0 {
        pairs.push(("StatusCode", check.status_code.to_string()));
    }
    pairs.extend([
        ("Mode", check.mode.clone()),
        ("Timestamp", time::stamp(UnixNanos::from_secs(check.timestamp))),
        ("Output", check.output.clone()),
    ]);
    block(&pairs)
}
