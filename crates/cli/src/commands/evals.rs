//! `eval list`, `eval status`.

use tarpan_api::wire::{ClientVerdict, Evaluation};
use tarpan_api::{Client, Query, calls};
use tarpan_model::time::UnixNanos;

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::output::{self, Format, Table, allocs, block, eval, metric, sdk, short, time, title};
use crate::{lookup, monitor};

#[derive(Debug, Default, clap::Args)]
pub struct EvalStatus {
    #[command(flatten)]
    pub client: ClientFlags,
    #[command(flatten)]
    pub format: Format,
    /// Follow the evaluation until it ends.
    #[arg(long)]
    pub monitor: bool,
    /// Print whole ids and all counts.
    #[arg(long)]
    pub verbose: bool,
    /// Of what could not be placed, print client by client which check keeps it out now.
    #[arg(long)]
    pub clients: bool,
    /// Open the page that shows the same in a browser, too.
    #[arg(long)]
    pub ui: bool,
    pub args: Vec<String>,
}

impl Command for EvalStatus {
    const PATH: &'static str = "eval status";
    const ALIASES: &'static [&'static str] = &["eval-status"];
    const USAGE: &'static str = "<evaluation>";
    const ABOUT: &'static str = "Shows an evaluation: what it did, and why something could not be placed.";

    async fn run(self) -> Outcome {
        match self.args.as_slice() {
            [word] => self.one(word).await,
            [] if self.format.asked() => {
                let (client, all) = (self.client.client()?, calls::evaluations(&Query::new()));
                self.format.print_shaped(&client, all, sdk::evaluation, "Error querying evaluations").await
            }
            _ => Err(Fail::usage("This command takes one argument")),
        }
    }
}

impl EvalStatus {
    pub async fn one(&self, word: &str) -> Outcome {
        let client = self.client.client()?;
        let found = lookup::evaluation(&client, word).await?;
        let query = match found.namespace.as_str() {
            "" => Query::new(),
            namespace => Query::in_namespace(namespace),
        };
        if self.monitor {
            let options = monitor::Options { verbose: self.verbose, query, ..Default::default() };
            return monitor::evaluation(&client, &found.id, &options).await;
        }
        if self.format.asked() {
            let one = calls::evaluation(&self.asked(&query), &found.id, false);
            return self.format.print_shaped(&client, one, sdk::evaluation, "Error querying evaluation").await;
        }
        let full =
            client.evaluation(&self.asked(&query), &found.id, true).await.doing("Error querying evaluation")?.value;
        println!("{}", self.text(&client, &query, &full).await?.trim_end());
        let page = format!("/ui/evaluations?currentEval={}", full.id);
        output::page(self.ui, "View evaluation details", &self.client.address(), &page);
        Ok(0)
    }

    /// The query, with what only the evaluation itself is asked for.
    fn asked(&self, query: &Query) -> Query {
        if self.clients { query.clone().with("clients", true) } else { query.clone() }
    }

    async fn text(&self, client: &Client, query: &Query, e: &Evaluation) -> Result<String, Fail> {
        let now = time::now();
        let mut out = heading(e, self.verbose, now);
        out.push('\n');
        if !e.related_evals.is_empty() {
            let mut table = Table::new(["ID", "Priority", "Triggered By", "Node ID", "Status", "Description"]);
            for r in &e.related_evals {
                table.row([
                    short(&r.id, self.verbose).to_owned(),
                    r.priority.to_string(),
                    r.triggered_by.clone(),
                    short(&r.node_id, self.verbose).to_owned(),
                    r.status.clone(),
                    r.status_description.clone(),
                ]);
            }
            out.push_str(&format!("{}{}\n", title("Related Evaluations"), table.render()));
        }
        if let Some(annotations) = e.plan_annotations.as_ref().filter(|a| !a.groups.is_empty()) {
            out.push_str(&format!("{}{}\n", title("Plan Annotations"), updates(annotations, self.verbose)));
            if !annotations.preempted.is_empty() {
                let list = allocs::placed(&annotations.preempted, self.verbose, now);
                out.push_str(&format!("{}{list}\n", title("Preempted Allocations")));
            }
        }
        let mut placed =
            client.evaluation_allocations(query, &e.id).await.doing("Error querying evaluation allocations")?.value;
        placed.sort_by(|a, b| b.create_index.cmp(&a.create_index).then_with(|| a.name.cmp(&b.name)));
        if !placed.is_empty() {
            out.push_str(&format!("{}{}\n", title("Placed Allocations"), allocs::placed(&placed, self.verbose, now)));
        }
        if !e.failed_tg_allocs.is_empty() {
            out.push_str(&format!(
                "{}{}\n",
                title("Failed Placements"),
                metric::failures(&e.failed_tg_allocs, "", "\n")
            ));
            if !e.blocked_eval.is_empty() {
                let blocked = short(&e.blocked_eval, self.verbose);
                out.push_str(&format!("\nEvaluation {blocked:?} waiting for additional capacity to place remainder\n"));
            }
        }
        for (group, clients) in e.clients.iter().flatten() {
            out.push_str(&format!("{}{}\n", title(&format!("Clients of Group {group:?}")), verdicts(clients)));
        }
        if !e.missing_non_node_resources.is_empty() {
            out.push_str(&format!("{}{}\n", title("Missing Resources"), e.missing_non_node_resources.join("\n")));
        }
        Ok(out)
    }
}

/// A line a client, the nearest first.
fn verdicts(clients: &[ClientVerdict]) -> String {
    let mut table = Table::new(["Client", "Datacenter", "Fails", "Reason", "Asked", "Free", "Total"]);
    for client in clients {
        let amount = |n: i64| if client.asked > 0 { n.to_string() } else { "-".to_owned() };
        let or_none = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
        table.row([
            client.node_name.clone(),
            client.datacenter.clone(),
            or_none(&client.fails),
            or_none(&client.reason),
            amount(client.asked),
            amount(client.free),
            amount(client.total),
        ]);
    }
    table.render()
}

fn heading(e: &Evaluation, verbose: bool, now: UnixNanos) -> String {
    let description = if e.status_description.is_empty() { &e.status } else { &e.status_description };
    let mut pairs = vec![
        ("ID", short(&e.id, verbose).to_owned()),
        ("Create Time", time::ago_or_stamp(UnixNanos(e.create_time), now, verbose)),
        ("Modify Time", time::ago_or_stamp(UnixNanos(e.modify_time), now, verbose)),
        ("Status", e.status.clone()),
        ("Status Description", description.clone()),
        ("Type", e.type_.clone()),
        ("TriggeredBy", e.triggered_by.clone()),
    ];
    if e.node_id.is_empty() {
        pairs.push(("Job ID", e.job_id.clone()));
    } else {
        pairs.push(("Node ID", short(&e.node_id, verbose).to_owned()));
        pairs.push(("Job ID", e.job_id.clone()));
    }
    pairs.extend([
        ("Namespace", e.namespace.clone()),
        ("Priority", e.priority.to_string()),
        ("Placement Failures", eval::failures(e)),
    ]);
    if !e.wait_until.0.is_zero() {
        pairs.push(("Wait Until", time::stamp(e.wait_until.0)));
    }
    if !e.quota_limit_reached.is_empty() {
        pairs.push(("Quota Limit Reached", e.quota_limit_reached.clone()));
    }
    pairs.extend([
        ("Previous Eval", short(&e.previous_eval, verbose).to_owned()),
        ("Next Eval", short(&e.next_eval, verbose).to_owned()),
        ("Blocked Eval", short(&e.blocked_eval, verbose).to_owned()),
    ]);
    block(&pairs)
}

/// A row a group; rarer counts only when asked for or not zero.
fn updates(annotations: &tarpan_api::wire::PlanAnnotations, verbose: bool) -> String {
    let rows: Vec<(&String, [u64; 12])> = annotations
        .groups
        .iter()
        .map(|(name, u)| {
            let counts = [
                u.ignore,
                u.place,
                u.stop,
                u.in_place_update,
                u.destructive_update,
                u.migrate,
                u.canary,
                u.preemptions,
                u.reschedule_now,
                u.reschedule_later,
                u.disconnect,
                u.reconnect,
            ];
            (name, counts)
        })
        .collect();
    let names = [
        "Ignore",
        "Place",
        "Stop",
        "InPlace",
        "Destructive",
        "Migrate",
        "Canary",
        "Preemptions",
        "Reschedule Now",
        "Reschedule Later",
        "Disconnect",
        "Reconnect",
    ];
    let shown = |i: &usize| verbose || *i < 5 || rows.iter().any(|(_, counts)| counts[*i] > 0);
    let columns: Vec<usize> = (0..names.len()).filter(shown).collect();
    let mut table = Table::new(std::iter::once("Task Group").chain(columns.iter().map(|i| names[*i])));
    for (name, counts) in &rows {
        table.row(std::iter::once((*name).clone()).chain(columns.iter().map(|i| counts[*i].to_string())));
    }
    table.render()
}

#[derive(Debug, clap::Args)]
pub struct EvalList {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    /// Print whole ids.
    #[arg(long)]
    verbose: bool,
    /// How many evaluations a page has.
    #[arg(long, value_name = "number")]
    per_page: Option<u64>,
    /// Where the page starts.
    #[arg(long, value_name = "token")]
    page_token: Option<String>,
    /// A filter expression.
    #[arg(long, value_name = "expression")]
    filter: Option<String>,
    /// Only evaluations of this job.
    #[arg(long, value_name = "job")]
    job: Option<String>,
    /// Only evaluations with this status.
    #[arg(long, value_name = "status")]
    status: Option<String>,
    /// Open the page that shows the same in a browser, too.
    #[arg(long)]
    ui: bool,
    args: Vec<String>,
}

impl Command for EvalList {
    const PATH: &'static str = "eval list";
    const ABOUT: &'static str = "Lists evaluations, newest first.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let client = self.client.client()?;
        let mut query = Query::new().page(self.per_page.unwrap_or(0), self.page_token.clone());
        query.reverse = true;
        query.filter.clone_from(&self.filter);
        for (name, value) in [("job", &self.job), ("status", &self.status)] {
            if let Some(value) = value {
                query = query.with(name, value);
            }
        }
        if self.format.asked() {
            let all = calls::evaluations(&query);
            return self.format.print_shaped(&client, all, sdk::evaluation, "Error querying evaluations").await;
        }
        let answer = client.evaluations(&query).await.doing("Error querying evaluations")?;
        match answer.value.is_empty() {
            true => println!("No evals found"),
            false => println!("{}", list(&answer.value, self.verbose)),
        }
        if let Some(token) = answer.next_token {
            println!(
                "\nResults have been paginated. To get the next page run:\n\n{} eval list -page-token {token}",
                output::program()
            );
        }
        output::page(self.ui, "View evaluations", &self.client.address(), "/ui/evaluations");
        Ok(0)
    }
}

fn list(evals: &[Evaluation], verbose: bool) -> String {
    let mut table = Table::new([
        "ID",
        "Priority",
        "Triggered By",
        "Job ID",
        "Namespace",
        "Node ID",
        "Status",
        "Placement Failures",
    ]);
    for e in evals {
        table.row([
            short(&e.id, verbose).to_owned(),
            e.priority.to_string(),
            e.triggered_by.clone(),
            e.job_id.clone(),
            e.namespace.clone(),
            short(&e.node_id, verbose).to_owned(),
            e.status.clone(),
            eval::failures(e),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_in_a_block() {
        let e = Evaluation {
            id: "0123456789".to_owned(),
            status: "complete".to_owned(),
            type_: "service".to_owned(),
            triggered_by: "job-register".to_owned(),
            job_id: "web".to_owned(),
            namespace: "default".to_owned(),
            priority: 50,
            ..Evaluation::default()
        };
        insta::assert_snapshot!(heading(&e, false, UnixNanos::ZERO), @r"
        ID                 = 01234567
        Create Time        = N/A
        Modify Time        = N/A
        Status             = complete
        Status Description = complete
        Type               = service
        TriggeredBy        = job-register
        Job ID             = web
        Namespace          = default
        Priority           = 50
        Placement Failures = false
        Previous Eval      = <none>
        Next Eval          = <none>
        Blocked Eval       = <none>
        ");
    }
}
