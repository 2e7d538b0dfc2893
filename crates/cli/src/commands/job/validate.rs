//! `job validate`.

use super::one;
use crate::client::ClientFlags;
use crate::command::{Command, Fail, Outcome};
use crate::jobfile::{self, Depth, JobFlags};

#[derive(Debug, clap::Args)]
pub struct Validate {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    job: JobFlags,
    args: Vec<String>,
}

impl Command for Validate {
    const PATH: &'static str = "job validate";
    const ALIASES: &'static [&'static str] = &["validate"];
    const USAGE: &'static str = "<path>";
    const ABOUT: &'static str = "Checks a job file, here and, when one answers, by a server.";

    async fn run(self) -> Outcome {
        let path = one(&self.args, "<path>")?;
        let file = jobfile::read(path, &self.job, Depth::Validate).await?;
        let client = self.client.client()?;
        let query = tarpan_api::Query::in_namespace(file.job.namespace());
        let mut warnings = count_warnings(&file.warnings);
        match client.validate(&query, &file.job).await {
            Ok(answer) => {
                let answer = answer.value;
                if !answer.driver_config_validated {
                    println!(
                        "Driver configuration not validated since connection to Nomad agent couldn't be established.\n"
                    );
                }
                if !answer.error.is_empty() {
                    return Err(Fail::new(format!("Job validation errors:\n{}", answer.error)));
                }
                warnings = answer.warnings;
            }
            Err(_) => {
                println!(
                    "Driver configuration not validated since connection to Nomad agent couldn't be established.\n"
                );
            }
        }
        if !warnings.is_empty() {
            println!("{}", warnings_block(&warnings));
        }
        println!("Job validation successful");
        Ok(0)
    }
}

/// The server's text of warnings under its title, with a blank line below.
pub fn warnings_block(text: &str) -> String {
    format!("{}\n{}\n", crate::output::paint("1;33", "Job Warnings:"), text.trim_end())
}

/// `2 warnings:` and a point for each.
fn count_warnings(warnings: &[String]) -> String {
    if warnings.is_empty() {
        return String::new();
    }
    let points: Vec<String> = warnings.iter().map(|w| format!("* {w}")).collect();
    format!("{}:\n\n{}", crate::output::count(warnings.len() as u64, "warning"), points.join("\n"))
}
