//! `job dispatch`: launches a parameterized job.

use std::collections::BTreeMap;
use std::io::Read as _;

use base64::Engine as _;
use tarpan_api::wire::JobDispatchRequest;

use super::page;
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::output::{self, block, short};
use crate::{lookup, monitor};

#[derive(Debug, clap::Args)]
pub struct Dispatch {
    #[command(flatten)]
    client: ClientFlags,
    /// Metadata for the launched job, "key=value"; may be repeated.
    #[arg(long, value_name = "key=value")]
    meta: Vec<String>,
    /// Do not follow the launched job.
    #[arg(long)]
    detach: bool,
    /// Print whole ids.
    #[arg(long)]
    verbose: bool,
    /// Wait until the launched job has ended; exits with 2 when something of it failed.
    #[arg(long)]
    wait: bool,
    /// Launch nothing when a job with this token exists already.
    #[arg(long, value_name = "token")]
    idempotency_token: Option<String>,
    /// A text in the id of the launched job.
    #[arg(long, value_name = "text")]
    id_prefix_template: Option<String>,
    /// The priority of the launched job.
    #[arg(long, value_name = "priority")]
    priority: Option<i64>,
    /// Open the page that shows the same in a browser, too.
    #[arg(long)]
    ui: bool,
    args: Vec<String>,
}

impl Command for Dispatch {
    const PATH: &'static str = "job dispatch";
    const USAGE: &'static str = "<parameterized job> [input source]";
    const ABOUT: &'static str = "Launches a parameterized job with metadata and, from a file or \"-\", a payload.";

    async fn run(self) -> Outcome {
        let (word, source) = match self.args.as_slice() {
            [word] => (word, None),
            [word, source] => (word, Some(source.as_str())),
            _ => {
                return Err(Fail::usage("This command takes one or two argument: <parameterized job> [input source]"));
            }
        };
        let request = self.request(source)?;
        let client = self.client.client()?;
        let job =
            lookup::job_of_kind(&client, word, "Error querying job", "parameterized ", |j| j.parameterized_job).await?;
        let mut query = job.query();
        if let Some(token) = &self.idempotency_token {
            query = query.with("idempotency_token", token);
        }
        let answer = client.dispatch(&query, &job.id, &request).await.doing("Failed to dispatch job")?.value;
        let mut pairs = vec![("Dispatched Job ID", answer.dispatched_job_id.clone())];
        if !answer.eval_id.is_empty() {
            pairs.push(("Evaluation ID", short(&answer.eval_id, self.verbose).to_owned()));
        }
        println!("{}", block(&pairs));
        if self.detach || answer.eval_id.is_empty() {
            return Ok(0);
        }
        let place = page(&answer.dispatched_job_id, &job.namespace);
        output::page(self.ui, "View this job", &self.client.address(), &place);
        println!();
        let options = monitor::Options { verbose: self.verbose, query: job.query(), ..Default::default() };
        let code = monitor::evaluation(&client, &answer.eval_id, &options).await?;
        if !self.wait || code != 0 {
            return Ok(code);
        }
        monitor::until_dead(&client, &job.query(), &answer.dispatched_job_id).await
    }
}

impl Dispatch {
    fn request(&self, source: Option<&str>) -> Result<JobDispatchRequest, Fail> {
        let mut meta = BTreeMap::new();
        for pair in &self.meta {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| Fail::new(format!("Error parsing meta value: {pair}: it needs the form key=value")))?;
            meta.insert(key.to_owned(), value.to_owned());
        }
        let payload = match source {
            None => None,
            Some("-") => {
                let mut bytes = Vec::new();
                std::io::stdin()
                    .read_to_end(&mut bytes)
                    .map_err(|e| Fail::new(format!("Error reading input data: {e}")))?;
                Some(bytes)
            }
            Some(path) => {
                Some(std::fs::read(path).map_err(|e| Fail::new(format!("Error reading input data: {path}: {e}")))?)
            }
        };
        Ok(JobDispatchRequest {
            payload: payload.map(|bytes| base64::engine::general_purpose::STANDARD.encode(bytes)),
            meta,
            id_prefix_template: self.id_prefix_template.clone().unwrap_or_default(),
            priority: self.priority.unwrap_or(0),
            ..JobDispatchRequest::default()
        })
    }
}
