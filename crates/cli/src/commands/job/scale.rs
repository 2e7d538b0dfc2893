//! `job scale`: sets the count of one group.

use super::act::Follow;
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::lookup;
use tarpan_api::wire::ScalingRequest;

#[derive(Debug, clap::Args)]
pub struct Scale {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    follow: Follow,
    /// Scale only when the job's modify index is this one.
    #[arg(long, value_name = "index")]
    check_index: Option<u64>,
    args: Vec<String>,
}

impl Command for Scale {
    const PATH: &'static str = "job scale";
    const USAGE: &'static str = "<job> [<group>] <count>";
    const ABOUT: &'static str = "Changes how many allocations a group has.";

    async fn run(self) -> Outcome {
        let (word, group, count) = match self.args.as_slice() {
            [word, count] => (word, None, count),
            [word, group, count] => (word, Some(group.clone()), count),
            _ => return Err(Fail::usage("This command requires at least two arguments and no more than three")),
        };
        let count: i64 = count.parse().map_err(|_| {
            Fail::new(format!("Failed to convert count string to int: strconv.Atoi: parsing {count:?}: invalid syntax"))
        })?;
        let client = self.client.client()?;
        let found = lookup::job(&client, word, "Error querying job").await?;
        let job = client.job(&found.query(), &found.id).await.doing("Error querying job")?.value;
        let group = match group {
            Some(name) if job.group(&name).is_none() => {
                return Err(Fail::new(format!("Group {name} not found within job")));
            }
            Some(name) => name,
            None => match job.groups() {
                [only] => only.name().to_owned(),
                _ => return Err(Fail::new("Group name required: the job has several groups")),
            },
        };
        let request = ScalingRequest {
            count: Some(count),
            target: [("Job".to_owned(), found.id.clone()), ("Group".to_owned(), group)].into(),
            message: "submitted using the Nomad CLI".to_owned(),
            job_modify_index: self.check_index.unwrap_or(0),
            ..ScalingRequest::default()
        };
        let doing = "Error submitting scaling request";
        let answer = client.scale_by(&found.query(), &found.id, &request).await.doing(doing)?.value;
        if !answer.warnings.is_empty() {
            println!("{}", super::validate::warnings_block(&answer.warnings));
        }
        self.follow.evaluation(&client, &found, &answer.eval_id, "Job scale successful").await
    }
}
