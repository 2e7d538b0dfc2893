//! `job inspect`: a job as the server has it, or as HCL: the text it came from, else one that says the same.

use serde_json::{Value, json};
use tarpan_api::wire::JobSubmission;
use tarpan_api::{Query, calls};
use tarpan_model::{Job, TaskGroup};

use super::one;
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::lookup;
use crate::output::Format;
use crate::output::json::{answer, pretty};

/// The job as clients write it: with every field that one can set, and without what only servers say.
fn as_written(whole: Value) -> Value {
    let Ok(mut job) = serde_json::from_value::<Job>(whole.clone()) else { return whole };
    let services = |group: &mut TaskGroup| {
        let of_tasks = group.tasks.iter_mut().flatten().flat_map(|task| task.services.iter_mut().flatten());
        group.services.iter_mut().flatten().chain(of_tasks).for_each(|service| service.namespace = None);
    };
    job.task_groups.iter_mut().flatten().for_each(services);
    serde_json::to_value(&job).unwrap_or(whole)
}

#[derive(Debug, clap::Args)]
pub struct Inspect {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    /// Print the job as HCL: the text that it was submitted as, or one written from it when it came as JSON.
    #[arg(long)]
    hcl: bool,
    /// With -hcl: print the values of variables too.
    #[arg(long)]
    with_vars: bool,
    /// This version rather than the newest.
    #[arg(long, value_name = "version")]
    version: Option<String>,
    args: Vec<String>,
}

impl Command for Inspect {
    const PATH: &'static str = "job inspect";
    const ALIASES: &'static [&'static str] = &["inspect"];
    const USAGE: &'static str = "<job>";
    const ABOUT: &'static str = "Prints a job's definition as JSON or as it was written.";

    async fn run(self) -> Outcome {
        let wanted = match &self.version {
            Some(text) => {
                Some(text.parse::<u64>().map_err(|_| Fail::new(format!("Error parsing version value {text:?}")))?)
            }
            None => None,
        };
        let client = self.client.client()?;
        if self.args.is_empty() && self.format.asked() {
            return self.format.print_answer(&client, calls::jobs(&Query::new()), "Error querying jobs").await;
        }
        let word = one(&self.args, "<job>")?;
        let job = lookup::job(&client, word, "Error inspecting job").await?;
        let doing = "Error inspecting job";
        let whole = match wanted {
            None => answer(&client, calls::job(&job.query(), &job.id), doing).await?,
            Some(version) => {
                let all = answer(&client, calls::job_versions(&job.query(), &job.id, false), doing).await?;
                let all = all["Versions"].as_array().cloned().unwrap_or_default();
                let found = all.into_iter().find(|v| v["Version"] == version);
                found.ok_or_else(|| Fail::new(format!("{doing}: job {:?} with version {version} not found", job.id)))?
            }
        };
        if self.hcl {
            let version = whole["Version"].as_u64().unwrap_or(0);
            let kept = match client.job_submission(&job.query(), &job.id, version).await {
                Err(error) if error.is_not_found() => JobSubmission::default(),
                kept => kept.doing("Error getting job source")?.value,
            };
            self.print_hcl(whole, kept)?;
            return Ok(0);
        }
        let whole = as_written(whole);
        match &self.format.template {
            Some(_) => self.format.print(&whole),
            None => {
                println!("{}", pretty(&json!({ "Job": whole }), 4));
                Ok(0)
            }
        }
    }
}

impl Inspect {
    /// The text that was submitted, or one that is written from a job that came as JSON.
    fn print_hcl(&self, whole: Value, kept: JobSubmission) -> Result<(), Fail> {
        if kept.source.is_empty() || kept.format == "json" {
            let job: Job = serde_json::from_value(whole).map_err(|e| Fail::new(format!("Error reading job: {e}")))?;
            println!("{}", tarpan_jobspec::print(&job).trim_end());
            return Ok(());
        }
        println!("{}", kept.source.trim_end());
        if self.with_vars {
            for (name, value) in kept.variable_flags.unwrap_or_default() {
                println!("\n{name} = {value:?}");
            }
            if !kept.variables.is_empty() {
                println!("\n{}", kept.variables.trim_end());
            }
        }
        Ok(())
    }
}
