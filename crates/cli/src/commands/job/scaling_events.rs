//! `job scaling-events`.

use tarpan_model::time::UnixNanos;

use super::one;
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Outcome};
use crate::lookup;
use crate::output::{Table, time};

#[derive(Debug, clap::Args)]
pub struct ScalingEvents {
    #[command(flatten)]
    client: ClientFlags,
    /// Show messages and evaluations.
    #[arg(long)]
    verbose: bool,
    args: Vec<String>,
}

impl Command for ScalingEvents {
    const PATH: &'static str = "job scaling-events";
    const USAGE: &'static str = "<job>";
    const ABOUT: &'static str = "Lists the changes of a job's counts.";

    async fn run(self) -> Outcome {
        let word = one(&self.args, "<job>")?;
        let client = self.client.client()?;
        let job = lookup::job(&client, word, "Error listing jobs").await?;
        let status = client.job_scale_status(&job.query(), &job.id).await.doing("Error listing scaling events")?.value;
        let mut rows = Vec::new();
        for (group, s) in &status.task_groups {
            rows.extend(s.events.iter().flatten().map(|e| (group, e)));
        }
        if rows.is_empty() {
            println!("No events found");
            return Ok(0);
        }
        rows.sort_by_key(|(_, e)| std::cmp::Reverse(e.time));
        let mut heading = vec!["Task Group", "Count", "PrevCount"];
        if self.verbose {
            heading.extend(["Error", "Message", "Eval ID"]);
        }
        heading.push("Date");
        let mut table = Table::new(heading);
        for (group, e) in rows {
            let count = e.count.map(|n| n.to_string()).unwrap_or_default();
            let mut row = vec![group.clone(), count, e.previous_count.to_string()];
            if self.verbose {
                row.extend([e.error.to_string(), e.message.clone(), e.eval_id.clone().unwrap_or_default()]);
            }
            row.push(time::stamp(UnixNanos(e.time)));
            table.row(row);
        }
        println!("{}", table.render());
        Ok(0)
    }
}
