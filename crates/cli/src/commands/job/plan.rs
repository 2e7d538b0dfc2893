//! `job plan`: what registering a job would do.

use tarpan_api::wire::{JobPlanRequest, JobPlanResponse};
use tarpan_api::{Query, calls};
use tarpan_model::Job;

use super::one;
use super::validate::warnings_block;
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Outcome};
use crate::jobfile::{self, Depth, JobFlags};
use crate::output::{self, Table, diff, metric, paint, time};

/// Exit code of an error, so that 1 can mean "there would be changes".
const ERROR: i32 = 255;

#[derive(Debug, clap::Args)]
pub struct Plan {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    job: JobFlags,
    /// Show what changed against the registered job.
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    diff: bool,
    /// Show every field of what is new or gone.
    #[arg(long)]
    verbose: bool,
    /// Print the answer of the API as JSON.
    #[arg(long)]
    json_output: bool,
    /// Print the answer of the API through a Go template.
    #[arg(long = "t", value_name = "template")]
    template: Option<String>,
    #[arg(long, hide = true)]
    policy_override: bool,
    args: Vec<String>,
}

impl Command for Plan {
    const PATH: &'static str = "job plan";
    const ALIASES: &'static [&'static str] = &["plan"];
    const USAGE: &'static str = "<path>";
    const ABOUT: &'static str = "Shows what registering a job would change and whether it fits; changes nothing.";
    const DETAILS: &'static str = "Exits with 0 when nothing would be created or destroyed, with 1 when something would \
        be, and with 255 on errors.";

    async fn run(self) -> Outcome {
        self.plan().await.map_err(|e| e.with_code(ERROR))
    }
}

impl Plan {
    async fn plan(&self) -> Outcome {
        let path = one(&self.args, "<path>")?;
        let file = jobfile::read(path, &self.job, Depth::Check).await?;
        let mut job = file.job;
        if job.namespace.is_none() {
            job.namespace = self.client.chosen_namespace();
        }
        let client = self.client.client()?;
        let query = Query::in_namespace(job.namespace());
        let request = JobPlanRequest {
            job: Some(job.clone()),
            diff: self.diff,
            policy_override: self.policy_override,
            ..JobPlanRequest::default()
        };
        if self.json_output || self.template.is_some() {
            let format = output::Format { json: self.json_output, template: self.template.clone() };
            return format.print_answer(&client, calls::plan(&query, &request), "Error during plan").await;
        }
        let answer = client.plan(&query, &request).await.doing("Error during plan")?.value;
        if let (true, Some(diff)) = (self.diff, &answer.diff) {
            println!("{}", diff::job(diff, self.verbose).trim_end());
            println!();
        }
        println!("{}", dry_run(&job, &answer));
        if !answer.warnings.is_empty() {
            println!("{}", warnings_block(&answer.warnings));
        }
        println!("{}", resubmit(answer.job_modify_index, path, &self.job));
        Ok(if changes(&answer) { 1 } else { 0 })
    }
}

/// Anything created or destroyed.
fn changes(answer: &JobPlanResponse) -> bool {
    let groups = answer.annotations.iter().flat_map(|a| a.groups.values());
    let moved = groups.map(|u| u.stop + u.place + u.migrate + u.destructive_update + u.canary).sum::<u64>();
    moved > 0
}

/// The block under `Scheduler dry-run:`.
fn dry_run(job: &Job, answer: &JobPlanResponse) -> String {
    let mut out = format!("{}\n", paint("1", "Scheduler dry-run:"));
    let waits = job.is_periodic() || job.is_parameterized();
    if answer.failed_tg_allocs.is_empty() {
        out.push_str(&paint("32", "- All tasks successfully allocated."));
        out.push('\n');
    } else {
        let everywhere = matches!(job.type_.as_deref(), Some("system" | "sysbatch"));
        let what = if everywhere { "allocations on all nodes" } else { "all allocations" };
        out.push_str(&paint("33", &format!("- WARNING: Failed to place {what}.")));
        out.push('\n');
        out.push_str(&metric::failures(&answer.failed_tg_allocs, "  ", "\n\n"));
        out.push('\n');
    }
    let now = time::now();
    if let Some(next) = answer.next_periodic_launch.filter(|_| waits) {
        let wait = time::rounded(next.at.since(now));
        let line = format!("- If submitted now, next periodic launch would be at {next} ({wait} from now).");
        out.push_str(&paint("32", &line));
        out.push('\n');
    }
    for eval in answer.created_evals.iter().filter(|e| e.triggered_by == "rolling-update") {
        out.push_str(&paint("36", &format!("- Rolling update, next evaluation will be in {}.", eval.wait)));
        out.push('\n');
    }
    out.push_str(&preemptions(answer));
    out
}

fn preemptions(answer: &JobPlanResponse) -> String {
    let preempted = answer.annotations.iter().flat_map(|a| &a.preempted).collect::<Vec<_>>();
    if preempted.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["Alloc ID", "Job ID", "Task Group"]);
    for stub in preempted {
        table.row([&stub.id, &stub.job_id, &stub.task_group]);
    }
    format!("\n{}\n{}\n", paint("1", "Preemptions:"), table.render())
}

/// How to run exactly what was planned.
fn resubmit(index: u64, path: &str, flags: &JobFlags) -> String {
    let program = output::program();
    let again = format!("{program} job run -check-index {index} {}{path}", jobfile::repeat(flags));
    format!(
        "{}\nTo submit the job with version verification run:\n\n{again}\n\n\
         When running the job with the check-index flag, the job will only be run if the\n\
         job modify index given matches the server-side version. If the index has\n\
         changed, another user has modified the job and the plan's results are\n\
         potentially invalid.",
        paint("1", &format!("Job Modify Index: {index}")),
    )
}

#[cfg(test)]
mod tests {
    use tarpan_api::wire::{DesiredUpdates, PlanAnnotations};
    use tarpan_model::metric::AllocMetric;

    use super::*;

    #[test]
    fn changes_decide_the_exit_code() {
        let with = |updates: DesiredUpdates| JobPlanResponse {
            annotations: Some(PlanAnnotations { groups: [("g".to_owned(), updates)].into(), ..Default::default() }),
            ..JobPlanResponse::default()
        };
        assert!(changes(&with(DesiredUpdates { place: 1, ..DesiredUpdates::default() })));
        assert!(!changes(&with(DesiredUpdates { ignore: 3, in_place_update: 1, ..DesiredUpdates::default() })));
    }

    #[test]
    fn a_plan_that_does_not_fit() {
        let metric = AllocMetric { nodes_evaluated: 1, nodes_exhausted: 1, ..AllocMetric::default() };
        let answer = JobPlanResponse {
            failed_tg_allocs: [("big".to_owned(), metric.clone()), ("more".to_owned(), metric)].into(),
            ..JobPlanResponse::default()
        };
        insta::assert_snapshot!(dry_run(&Job::default(), &answer), @r#"
        Scheduler dry-run:
        - WARNING: Failed to place all allocations.
          Task Group "big" (failed to place 1 allocation):
            * Resources exhausted on 1 nodes

          Task Group "more" (failed to place 1 allocation):
            * Resources exhausted on 1 nodes
        "#);
    }
}
