//! `job history`: the versions of a job.

use serde_json::Value;
use tarpan_api::calls;
use tarpan_model::Job;
use tarpan_model::diff::JobDiff;
use tarpan_model::time::UnixNanos;

use super::one;
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::lookup;
use crate::output::{Format, block, diff, json, time};

#[derive(Debug, clap::Args)]
pub struct History {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    /// Show what each version changed.
    #[arg(long = "p")]
    diffs: bool,
    /// Print whole job definitions.
    #[arg(long)]
    full: bool,
    /// Only this version.
    #[arg(long, value_name = "version")]
    version: Option<String>,
    /// Compare with the version of this name.
    #[arg(long, value_name = "tag")]
    diff_tag: Option<String>,
    /// Compare with this version.
    #[arg(long, value_name = "version")]
    diff_version: Option<u64>,
    args: Vec<String>,
}

impl Command for History {
    const PATH: &'static str = "job history";
    const USAGE: &'static str = "<job>";
    const ABOUT: &'static str = "Shows the versions of a job, newest first.";

    async fn run(self) -> Outcome {
        let word = one(&self.args, "<job>")?;
        let wanted = match &self.version {
            Some(text) => {
                Some(text.parse::<u64>().map_err(|_| Fail::new(format!("Error parsing version value {text:?}")))?)
            }
            None => None,
        };
        let client = self.client.client()?;
        let job = lookup::job(&client, word, "Error listing jobs").await?;
        let mut query = job.query();
        if let Some(tag) = &self.diff_tag {
            query = query.with("diff_tag", tag);
        }
        if let Some(version) = self.diff_version {
            query = query.with("diff_version", version);
        }
        let doing = "Error retrieving job versions";
        if self.format.asked() {
            let answer = json::answer(&client, calls::job_versions(&query, &job.id, self.diffs), doing).await?;
            return self.format.print(&pick(answer, wanted)?);
        }
        let diffs = self.diffs || self.diff_tag.is_some() || self.diff_version.is_some();
        let answer = client.job_versions(&query, &job.id, diffs).await.doing(doing)?.value;
        let all_diffs = answer.diffs.unwrap_or_default();
        let rows = answer.versions.iter().enumerate().map(|(i, job)| (job, all_diffs.get(i)));
        let rows: Vec<(&Job, Option<&JobDiff>)> =
            rows.filter(|(job, _)| wanted.is_none_or(|v| job.version() == v)).collect();
        if rows.is_empty() {
            return Err(Fail::new("Error printing job history for non-existing job or job version"));
        }
        let texts: Vec<String> = rows.iter().map(|(job, diff)| self.version_text(job, *diff)).collect();
        println!("{}", texts.join("\n\n"));
        Ok(0)
    }
}

impl History {
    fn version_text(&self, job: &Job, diff: Option<&JobDiff>) -> String {
        if self.full {
            let value = serde_json::to_value(job).unwrap_or_default();
            return json::pretty(&value, 4);
        }
        let mut pairs = vec![
            ("Version", job.version().to_string()),
            ("Stable", (job.stable == Some(true)).to_string()),
            ("Submit Date", time::stamp(UnixNanos(job.submit_time.unwrap_or(0)))),
        ];
        if let Some(tag) = &job.version_tag {
            pairs.push(("Tag Name", tag.name.clone().unwrap_or_default()));
            pairs.push(("Tag Description", tag.description.clone().unwrap_or_default()));
        }
        let diff = diff.filter(|d| d.type_ != "None" && !d.type_.is_empty());
        let Some(diff) = diff else { return block(&pairs) };
        pairs.push(("Diff", " ".to_owned()));
        format!("{}\n{}", block(&pairs), diff::job(diff, false).trim_end())
    }
}

/// One version of the API's answer, or all of them.
fn pick(answer: Value, wanted: Option<u64>) -> Result<Value, Fail> {
    let versions = answer.get("Versions").cloned().unwrap_or(Value::Array(Vec::new()));
    let Some(wanted) = wanted else { return Ok(versions) };
    let found = versions.as_array().and_then(|all| all.iter().find(|v| v["Version"] == wanted)).cloned();
    found.ok_or_else(|| Fail::new("Error printing job history for non-existing job or job version"))
}
