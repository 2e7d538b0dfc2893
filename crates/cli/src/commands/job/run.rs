//! `job run`: registers a job and follows what comes of it.

use tarpan_api::Query;
use tarpan_api::wire::JobRegisterRequest;
use tarpan_model::Job;

use super::page;
use crate::client::ClientFlags;
use crate::command::{Command, Fail, Outcome};
use crate::jobfile::{self, Depth, JobFlags};
use crate::monitor;
use crate::output::{self, time};

#[derive(Debug, clap::Args)]
pub struct Run {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    job: JobFlags,
    /// Print the id of the evaluation and do not follow it.
    #[arg(long)]
    detach: bool,
    /// Print whole ids.
    #[arg(long)]
    verbose: bool,
    /// Print the JSON that would be sent, and send nothing.
    #[arg(long)]
    output: bool,
    /// Register only when the job's modify index is this one; 0 means that there is no such job yet.
    #[arg(long, value_name = "index")]
    check_index: Option<String>,
    /// The priority of the evaluation.
    #[arg(long, value_name = "priority")]
    eval_priority: Option<i64>,
    /// Keep the counts that the running job has.
    #[arg(long)]
    preserve_counts: bool,
    /// Keep the resources that the running job has.
    #[arg(long)]
    preserve_resources: bool,
    #[arg(long, hide = true)]
    policy_override: bool,
    /// Open the page that shows the same in a browser, too.
    #[arg(long)]
    ui: bool,
    args: Vec<String>,
}

impl Command for Run {
    const PATH: &'static str = "job run";
    const ALIASES: &'static [&'static str] = &["run"];
    const USAGE: &'static str = "<path>";
    const ABOUT: &'static str = "Registers a job from a file, an address or standard input (\"-\"), and follows it.";
    const DETAILS: &'static str = "The command ends when the evaluation and, for services, the deployment have ended. \
        It exits with 2 when something could not be placed, and with 1 on errors.";

    async fn run(self) -> Outcome {
        let path = super::one(&self.args, "<path>")?;
        let check_index = self.check_index.as_deref().map(index).transpose()?;
        let depth = if self.output { Depth::Parse } else { Depth::Check };
        let file = jobfile::read(path, &self.job, depth).await?;
        if self.output {
            println!("{}", wrapped(&file.job)?);
            return Ok(0);
        }
        let mut job = file.job;
        if job.namespace.is_none() {
            job.namespace = self.client.chosen_namespace();
        }
        let client = self.client.client()?;
        let query = Query::in_namespace(job.namespace());
        let request = JobRegisterRequest {
            submission: Some(file.submission),
            job: Some(job.clone()),
            enforce_index: check_index.is_some(),
            job_modify_index: check_index.unwrap_or(0),
            policy_override: self.policy_override,
            preserve_counts: self.preserve_counts,
            preserve_resources: self.preserve_resources,
            eval_priority: self.eval_priority.unwrap_or(0),
        };
        let answer = client.register(&query, &request).await.map_err(refused)?.value;
        if !answer.warnings.is_empty() {
            println!("{}", super::validate::warnings_block(&answer.warnings));
        }
        let hint = || {
            let place = page(job.id(), &self.client.namespace());
            output::page(self.ui, "View this job", &self.client.address(), &place);
        };
        if answer.eval_id.is_empty() || self.detach {
            println!("Job registration successful");
            if let Some(launch) = next_launch(&job) {
                println!("{launch}");
            }
            if !answer.eval_id.is_empty() {
                println!("Evaluation ID: {}", answer.eval_id);
            }
            hint();
            return Ok(0);
        }
        hint();
        let options = monitor::Options { verbose: self.verbose, query, ..Default::default() };
        monitor::evaluation(&client, &answer.eval_id, &options).await
    }
}

fn index(text: &str) -> Result<u64, Fail> {
    text.parse().map_err(|_| {
        Fail::new(format!(
            "Error parsing check-index value {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))
    })
}

/// A refusal because somebody else changed the job says so in its own words.
fn refused(error: tarpan_api::Error) -> Fail {
    match &error {
        tarpan_api::Error::Status { message, .. } if message.contains("Enforcing job modify index") => {
            Fail::new(format!("{message}\nJob not updated"))
        }
        other => Fail::new(format!("Error submitting job: {}", output::api_error(other))),
    }
}

/// `{"Job": …}` with the fields in the order of the Job tree.
fn wrapped(job: &Job) -> Result<String, Fail> {
    #[derive(serde::Serialize)]
    struct Wrapped<'a> {
        #[serde(rename = "Job")]
        job: &'a Job,
    }
    let mut out = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, format);
    serde::Serialize::serialize(&Wrapped { job }, &mut serializer).map_err(Fail::new)?;
    String::from_utf8(out).map_err(Fail::new)
}

/// The sentence about a periodic job's next launch.
fn next_launch(job: &Job) -> Option<String> {
    let now = time::now();
    let mut periodic = job.periodic.clone()?;
    if periodic.enabled == Some(false) || job.is_parameterized() {
        return None;
    }
    periodic.time_zone.get_or_insert_with(|| "UTC".to_owned());
    let next = tarpan_control::periodic::next_launch(&periodic, now).ok()??;
    Some(format!("Approximate next launch time: {} ({} from now)", time::stamp(next), time::rounded(next.since(now))))
}
