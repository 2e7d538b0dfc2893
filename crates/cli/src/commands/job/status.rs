//! `job status`: the list of jobs, and one job with everything around it.

use serde_json::{Value, json};
use tarpan_api::wire::{Deployment, Evaluation, JobListStub, JobSummary};
use tarpan_api::{Client, Query, calls};
use tarpan_model::Job;
use tarpan_model::time::UnixNanos;

use super::page;
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::lookup;
use crate::output::json::answer;
use crate::output::{self, Format, Table, allocs, block, deployment, eval, metric, sdk, short, time, title};

#[derive(Debug, Default, clap::Args)]
pub struct JobStatus {
    #[command(flatten)]
    pub client: ClientFlags,
    #[command(flatten)]
    pub format: Format,
    /// Only the first block.
    #[arg(long)]
    pub short: bool,
    /// Show evaluations.
    #[arg(long)]
    pub evals: bool,
    /// Show allocations of earlier jobs of this name too.
    #[arg(long)]
    pub all_allocs: bool,
    /// Show everything in full.
    #[arg(long)]
    pub verbose: bool,
    /// Open the page that shows the same in a browser, too.
    #[arg(long)]
    pub ui: bool,
    pub args: Vec<String>,
}

impl Command for JobStatus {
    const PATH: &'static str = "job status";
    const USAGE: &'static str = "<job>";
    const ABOUT: &'static str = "Lists jobs, or shows one of them.";

    async fn run(self) -> Outcome {
        match self.args.as_slice() {
            [] => self.list().await,
            [id] => self.one(id).await,
            _ => Err(Fail::usage("This command takes either no arguments or one: <job>")),
        }
    }
}

impl JobStatus {
    pub async fn list(&self) -> Outcome {
        let client = self.client.client()?;
        if self.format.asked() {
            return self.format_all(&client, None).await;
        }
        let jobs = client.jobs(&Query::new()).await.doing("Error querying jobs")?.value;
        match jobs.is_empty() {
            true => println!("No running jobs"),
            false => println!("{}", list(&jobs, self.client.namespace() == "*")),
        }
        output::page(self.ui, "View and manage Nomad jobs", &self.client.address(), "/ui/jobs");
        Ok(0)
    }

    pub async fn one(&self, word: &str) -> Outcome {
        let client = self.client.client()?;
        let found = lookup::job(&client, word, "Error querying job").await?;
        if self.format.asked() {
            return self.format_all(&client, Some(&found)).await;
        }
        let query = found.query();
        let job = client.job(&query, &found.id).await.doing("Error querying job")?.value;
        let now = time::now();
        println!("{}", heading(&job, now));
        if !self.short {
            print!("{}", self.details(&client, &query, &job, now).await?);
        }
        let place = page(&found.id, &found.namespace);
        output::page(self.ui, "View job details and metrics", &self.client.address(), &place);
        Ok(0)
    }

    async fn details(&self, client: &Client, query: &Query, job: &Job, now: UnixNanos) -> Result<String, Fail> {
        let id = job.id();
        let summary = client.job_summary(query, id).await.doing("Error querying job summary")?.value;
        if job.is_periodic() || job.is_parameterized() {
            let jobs = client.jobs(&query.clone().prefix(format!("{id}/"))).await.doing("Error querying jobs")?.value;
            let children: Vec<JobListStub> = jobs.into_iter().filter(|j| j.parent_id == id).collect();
            return Ok(parent(job, &summary, &children));
        }
        let evals = client.job_evaluations(query, id).await.doing("Error querying job evaluations")?.value;
        let latest = client.job_latest_deployment(query, id).await.doing("Error querying latest job deployment")?.value;
        let mut stubs =
            client.job_allocations(query, id, self.all_allocs).await.doing("Error querying job allocations")?.value;
        stubs.sort_by(|a, b| b.create_index.cmp(&a.create_index).then_with(|| a.name.cmp(&b.name)));
        let mut out = title("Summary");
        out.push_str(&groups(&summary));
        if self.evals || self.verbose {
            out.push('\n');
            out.push_str(&title("Evaluations"));
            out.push_str(&evaluations(&evals, self.verbose));
        }
        if let Some(failure) = failure(&evals) {
            out.push('\n');
            out.push_str(&failure);
        }
        if let Some(deployment) = &latest {
            out.push('\n');
            out.push_str(&deployed(deployment, self.verbose));
        }
        out.push('\n');
        out.push_str(&title("Allocations"));
        out.push_str(&allocs::table(&stubs, self.verbose, now));
        out.push('\n');
        Ok(out)
    }

    /// An array with what the parts of the API say of each job.
    async fn format_all(&self, client: &Client, found: Option<&lookup::FoundJob>) -> Outcome {
        let mut out = Vec::new();
        let jobs: Vec<(Query, String)> = match found {
            Some(found) => vec![(found.query(), found.id.clone())],
            None => {
                let stubs = client.jobs(&Query::new()).await.doing("Error querying jobs")?.value;
                let query = |s: &JobListStub| match s.namespace.as_str() {
                    "" => Query::new(),
                    namespace => Query::in_namespace(namespace),
                };
                stubs.iter().map(|s| (query(s), s.id.clone())).collect()
            }
        };
        for (query, id) in jobs {
            let doing = "Error querying job";
            let allocs = answer(client, calls::job_allocations(&query, &id, false), doing);
            out.push(json!({
                "Summary": answer(client, calls::job_summary(&query, &id), doing).await?,
                "Allocations": sdk::each(allocs.await?, sdk::alloc_stub),
                "Evaluations": sdk::each(answer(client, calls::job_evaluations(&query, &id), doing).await?, sdk::evaluation),
                "LatestDeployment": answer(client, calls::job_latest_deployment(&query, &id), doing).await?,
            }));
        }
        self.format.print(&Value::Array(out))
    }
}

/// The list of jobs.
pub fn list(jobs: &[JobListStub], namespaces: bool) -> String {
    let mut heading = vec!["ID", "Type", "Priority", "Status", "Submit Date"];
    if namespaces {
        heading.insert(1, "Namespace");
    }
    let mut table = Table::new(heading);
    for job in jobs {
        let mut row = vec![job.id.clone()];
        if namespaces {
            row.push(job.namespace.clone());
        }
        row.extend([
            kind(job),
            job.priority.to_string(),
            status(&job.status, job.stop),
            time::stamp(UnixNanos(job.submit_time)),
        ]);
        table.row(row);
    }
    table.render()
}

fn kind(job: &JobListStub) -> String {
    match (job.periodic, job.parameterized_job) {
        (true, true) => format!("{}/periodic/parameterized", job.type_),
        (true, false) => format!("{}/periodic", job.type_),
        (false, true) => format!("{}/parameterized", job.type_),
        (false, false) => job.type_.clone(),
    }
}

fn status(status: &str, stopped: bool) -> String {
    if stopped { format!("{status} (stopped)") } else { status.to_owned() }
}

/// The block on top.
pub fn heading(job: &Job, now: UnixNanos) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let mut pairs = vec![
        ("ID", text(&job.id)),
        ("Name", text(&job.name)),
        ("Submit Date", time::stamp(UnixNanos(job.submit_time.unwrap_or(0)))),
        ("Type", text(&job.type_)),
        ("Priority", job.priority().to_string()),
        ("Datacenters", job.datacenters.clone().unwrap_or_default().join(",")),
        ("Namespace", job.namespace().to_owned()),
        ("Node Pool", text(&job.node_pool)),
        ("Status", status(job.status.as_deref().unwrap_or_default(), job.stopped())),
        ("Periodic", job.is_periodic().to_string()),
        ("Parameterized", job.is_parameterized().to_string()),
    ];
    if let Some(token) = job.dispatch_idempotency_token.clone().filter(|t| !t.is_empty()) {
        pairs.push(("Idempotency Token", token));
    }
    if let (Some(periodic), false) = (&job.periodic, job.is_parameterized()) {
        let next = match job.stopped() || periodic.enabled == Some(false) {
            true => Some("none (job stopped)".to_owned()),
            false => tarpan_control::periodic::next_launch(periodic, now)
                .ok()
                .flatten()
                .map(|t| format!("{} ({} from now)", time::stamp(t), time::rounded(t.since(now)))),
        };
        pairs.extend(next.map(|n| ("Next Periodic Launch", n)));
    }
    block(&pairs)
}

/// What a periodic or parameterized job has launched.
fn parent(job: &Job, summary: &JobSummary, children: &[JobListStub]) -> String {
    let parameterized = job.is_parameterized();
    let mut out = String::new();
    if let (true, Some(p)) = (parameterized, &job.parameterized_job) {
        out.push_str(&title("Parameterized Job"));
        let list = |keys: &Option<Vec<String>>| keys.clone().unwrap_or_default().join(", ");
        out.push_str(&block(&[
            ("Payload", p.payload.clone().unwrap_or_else(|| "optional".to_owned())),
            ("Required Metadata", list(&p.meta_required)),
            ("Optional Metadata", list(&p.meta_optional)),
        ]));
        out.push('\n');
    }
    out.push_str(&title(if parameterized { "Parameterized Job Summary" } else { "Children Job Summary" }));
    let counts = summary.children.clone().unwrap_or_default();
    let mut table = Table::new(["Pending", "Running", "Dead"]);
    table.row([counts.pending.to_string(), counts.running.to_string(), counts.dead.to_string()]);
    out.push_str(&table.render());
    out.push('\n');
    if children.is_empty() {
        let none = match parameterized {
            true => "No dispatched instances of parameterized job found",
            false => "No instances of periodic job found",
        };
        out.push_str(&format!("\n{none}\n"));
        return out;
    }
    out.push_str(&title(if parameterized { "Dispatched Jobs" } else { "Previously Launched Jobs" }));
    let mut table = Table::new(["ID", "Status"]);
    for child in children {
        table.row([&child.id, &child.status]);
    }
    out.push_str(&table.render());
    out.push('\n');
    out
}

fn groups(summary: &JobSummary) -> String {
    let mut table =
        Table::new(["Task Group", "Queued", "Starting", "Running", "Failed", "Complete", "Lost", "Unknown"]);
    for (name, s) in &summary.summary {
        let counts = [s.queued, s.starting, s.running, s.failed, s.complete, s.lost, s.unknown];
        table.row(std::iter::once(name.clone()).chain(counts.iter().map(u64::to_string)));
    }
    table.render()
}

fn evaluations(evals: &[Evaluation], verbose: bool) -> String {
    let mut sorted: Vec<&Evaluation> = evals.iter().collect();
    sorted.sort_by_key(|e| std::cmp::Reverse(e.create_index));
    let mut table = Table::new(["ID", "Priority", "Triggered By", "Status", "Placement Failures"]);
    for e in sorted {
        table.row([
            short(&e.id, verbose).to_owned(),
            e.priority.to_string(),
            e.triggered_by.clone(),
            e.status.clone(),
            eval::failures(e),
        ]);
    }
    table.render()
}

/// Why something of the job waits: the newest evaluation with failures, while a blocked one exists.
fn failure(evals: &[Evaluation]) -> Option<String> {
    if !evals.iter().any(|e| e.status == "blocked") {
        return None;
    }
    let newest = evals
        .iter()
        .filter(|e| e.status == "complete" && !e.failed_tg_allocs.is_empty())
        .max_by_key(|e| e.create_index)?;
    let mut out = title("Placement Failure");
    let groups = newest.failed_tg_allocs.iter().map(|(group, m)| {
        let mut lines = vec![format!("Task Group {group:?}:")];
        lines.extend(metric::lines(m, "  "));
        lines.join("\n")
    });
    out.push_str(&groups.collect::<Vec<_>>().join("\n\n"));
    out.push('\n');
    Some(out)
}

fn deployed(d: &Deployment, verbose: bool) -> String {
    let mut out = title("Latest Deployment");
    out.push_str(&block(&[
        ("ID", short(&d.id, verbose)),
        ("Status", d.status.as_str()),
        ("Description", d.status_description.as_str()),
    ]));
    out.push('\n');
    out.push_str(&title("Deployed"));
    out.push_str(&deployment::groups(d));
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use tarpan_model::metric::AllocMetric;

    use super::*;

    #[test]
    fn the_list_names_kinds_and_stops() {
        let stub = |id: &str, type_: &str| JobListStub {
            id: id.to_owned(),
            type_: type_.to_owned(),
            priority: 50,
            status: "running".to_owned(),
            ..JobListStub::default()
        };
        let jobs = [
            stub("web", "service"),
            JobListStub { periodic: true, ..stub("cron", "batch") },
            JobListStub { stop: true, status: "dead".to_owned(), ..stub("old", "service") },
        ];
        insta::assert_snapshot!(list(&jobs, false), @r"
        ID    Type            Priority  Status          Submit Date
        web   service         50        running         N/A
        cron  batch/periodic  50        running         N/A
        old   service         50        dead (stopped)  N/A
        ");
    }

    #[test]
    fn a_failure_is_shown_while_something_waits() {
        let metric = AllocMetric::default();
        let failed = Evaluation {
            status: "complete".to_owned(),
            failed_tg_allocs: [("g".to_owned(), metric)].into(),
            ..Evaluation::default()
        };
        assert_eq!(failure(std::slice::from_ref(&failed)), None);
        let blocked = Evaluation { status: "blocked".to_owned(), ..Evaluation::default() };
        insta::assert_snapshot!(failure(&[failed, blocked]).expect("one failed"), @r#"

        Placement Failure
        Task Group "g":
          * No nodes were eligible for evaluation
        "#);
    }
}
