//! The rows of the Jobs list: what a job's line says, its facets, its filter. Pure.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dom::lower;
use crate::json::{count, fields, flag, items, number, text};
use crate::lang::{Texts, fill};
use crate::status::{Badge, Kind};

/// A job as a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobRow {
    pub id: String,
    pub name: String,
    pub namespace: String,
    pub parent: String,
    /// `service`, `batch`, …, `periodic`, `parameterized`.
    pub kind: String,
    pub node_pool: String,
    pub datacenters: Vec<String>,
    pub priority: i64,
    pub status: String,
    pub stop: bool,
    pub version: Option<u64>,
    pub submitted: i64,
    pub changed_index: u64,
    pub counts: Counts,
    pub children: Option<[u64; 3]>,
    /// Allocations that the job asks for; 0 when not known.
    pub wanted: u64,
    /// Canaries: placed, and of them healthy; a deployment is under way.
    pub canaries: (u64, u64),
    pub deploying: bool,
    pub needs_promotion: bool,
    /// Ids of the allocations that run; empty when not known.
    pub running: Vec<String>,
}

/// Allocations by state, summed over the groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Counts {
    pub queued: u64,
    pub starting: u64,
    pub running: u64,
    pub complete: u64,
    pub failed: u64,
    pub lost: u64,
    pub unknown: u64,
}

impl Counts {
    /// Of the `Summary` of a job's summary.
    fn sum(groups: &Value) -> Counts {
        let sum = |name| fields(groups).map(|(_, g)| count(g, name)).sum();
        Counts {
            queued: sum("Queued"),
            starting: sum("Starting"),
            running: sum("Running"),
            complete: sum("Complete"),
            failed: sum("Failed"),
            lost: sum("Lost"),
            unknown: sum("Unknown"),
        }
    }
}

/// The lines of the list, from the two lists that the API has of jobs: stubs, and (where it answers) statuses.
///
/// Read without their types ([`tarpan_api::wire::JobListStub`], [`tarpan_api::wire::JobStatusesJob`]): the decoders of all that a stub
/// may hold would be a tenth of what a browser loads before its first page is live.
pub fn job_rows<'a>(stubs: impl IntoIterator<Item = &'a Value>, statuses: &Value) -> Vec<JobRow> {
    let mut known = BTreeMap::new();
    for status in items(statuses) {
        known.insert((namespace(status), text(status, "ID")), status);
    }
    stubs.into_iter().map(|stub| row(stub, known.get(&(namespace(stub), text(stub, "ID"))).copied())).collect()
}

/// The children of `parent` among `stubs`, newest first.
pub fn children(stubs: &Value, parent: &str) -> Vec<JobRow> {
    let mine: Vec<_> = items(stubs).iter().filter(|s| text(s, "ParentID") == parent).collect();
    let key = |i: usize| (number(mine[i], "SubmitTime"), number(mine[i], "CreateIndex"));
    job_rows(order(mine.len(), &|a, b| key(b).cmp(&key(a))).into_iter().map(|i| mine[i]), &Value::Null)
}

fn namespace(stub: &Value) -> &str {
    [text(stub, "Namespace"), text(&stub["JobSummary"], "Namespace"), "default"]
        .into_iter()
        .find(|n| !n.is_empty())
        .unwrap_or_default()
}

fn row(stub: &Value, status: Option<&Value>) -> JobRow {
    let own = |name| text(stub, name).to_owned();
    let child = flag(stub, "Periodic") || flag(stub, "ParameterizedJob");
    let children = &stub["JobSummary"]["Children"];
    let status = status.unwrap_or(&Value::Null);
    let deployment = &status["LatestDeployment"];
    let deploying = flag(deployment, "IsActive");
    let running: Vec<_> = items(&status["Allocs"]).iter().filter(|a| text(a, "ClientStatus") == "running").collect();
    let canaries = running.iter().map(|a| &a["DeploymentStatus"]).filter(|d| flag(d, "Canary"));
    let canaries = canaries.fold((0, 0), |(n, h), d| (n + 1, h + u64::from(flag(d, "Healthy"))));
    JobRow {
        id: own("ID"),
        name: Some(own("Name")).filter(|n| !n.is_empty()).unwrap_or_else(|| own("ID")),
        namespace: namespace(stub).to_owned(),
        parent: own("ParentID"),
        kind: kind(stub).to_owned(),
        node_pool: own("NodePool"),
        datacenters: items(&stub["Datacenters"]).iter().filter_map(|d| d.as_str().map(str::to_owned)).collect(),
        priority: number(stub, "Priority"),
        status: own("Status"),
        stop: flag(stub, "Stop"),
        version: status["Version"].as_u64(),
        submitted: number(stub, "SubmitTime"),
        changed_index: count(stub, "ModifyIndex"),
        counts: Counts::sum(&stub["JobSummary"]["Summary"]),
        children: (child && children.is_object()).then(|| ["Pending", "Running", "Dead"].map(|n| count(children, n))),
        wanted: count(status, "GroupCountSum"),
        canaries: if deploying { canaries } else { (0, 0) },
        deploying,
        needs_promotion: deploying && flag(deployment, "RequiresPromotion"),
        running: running.iter().map(|a| text(a, "ID").to_owned()).collect(),
    }
}

/// Namespace and id.
pub type Key = (String, String);

impl JobRow {
    pub fn key(&self) -> Key {
        (self.namespace.clone(), self.id.clone())
    }
}

/// The allocations whose use is asked for: of the first lines that run something, each job whole, at most `most` in all.
pub fn sampled(rows: &[JobRow], most: usize) -> Vec<(Key, String)> {
    let mut found = Vec::new();
    for row in rows {
        if found.len() + row.running.len() <= most {
            found.extend(row.running.iter().map(|id| (row.key(), id.clone())));
        }
    }
    found
}

fn kind(stub: &Value) -> &str {
    if flag(stub, "Periodic") {
        "periodic"
    } else if flag(stub, "ParameterizedJob") {
        "parameterized"
    } else {
        text(stub, "Type")
    }
}

/// What a job's line says of its state.
pub fn badge(t: &Texts, row: &JobRow) -> Badge {
    let c = row.counts;
    if row.stop {
        return Badge::new(Kind::Stopped, t.stopped);
    }
    match (row.kind.as_str(), row.status.as_str()) {
        ("periodic", "running") => return Badge::new(Kind::Running, t.scheduled),
        ("parameterized", "running") => return Badge::new(Kind::Complete, t.ready),
        _ => {}
    }
    let placed = || {
        fill(
            t.n_of_m_placed,
            &[&(c.running + c.starting).to_string(), &(c.running + c.starting + c.queued).to_string()],
        )
    };
    if row.deploying && row.status != "dead" && c.queued == 0 {
        let sub = match (row.needs_promotion, row.canaries) {
            (true, _) => t.waiting_for_you.to_owned(),
            (_, (0, _)) => String::new(),
            (_, (placed, healthy)) => fill(t.canaries_of, &[&healthy.to_string(), &placed.to_string()]),
        };
        return Badge::new(Kind::Canary, t.deploying).sub(sub);
    }
    match row.status.as_str() {
        _ if c.queued > 0 && row.status != "dead" => Badge::new(Kind::Blocked, t.blocked).sub(placed()),
        "dead" if c.failed > 0 && c.complete == 0 => Badge::new(Kind::Failed, t.failed),
        "dead" if c.lost > 0 && c.complete == 0 => Badge::new(Kind::Lost, t.lost),
        "dead" => Badge::new(Kind::Complete, t.complete),
        "pending" => Badge::new(Kind::Pending, t.pending),
        _ if c.running == 0 && c.starting > 0 => Badge::new(Kind::Pending, t.starting),
        _ if is_steady(row) && row.wanted > c.running => Badge::new(Kind::Degraded, t.degraded)
            .sub(fill(t.n_of_m, &[&c.running.to_string(), &row.wanted.to_string()])),
        _ => Badge::new(Kind::Running, t.running),
    }
}

/// A service or system job: what failed in the past does not count against it.
fn is_steady(row: &JobRow) -> bool {
    matches!(row.kind.as_str(), "service" | "system")
}

/// The segments of a job's bar.
pub fn segments(row: &JobRow) -> Vec<(Kind, u64)> {
    let c = row.counts;
    if let Some([pending, running, dead]) = row.children {
        return vec![(Kind::Complete, dead), (Kind::Running, running), (Kind::Pending, pending)];
    }
    let canaries = row.canaries.0.min(c.running);
    let mut out =
        vec![(Kind::Running, c.running - canaries), (Kind::Canary, canaries), (Kind::Pending, c.starting + c.queued)];
    if !is_steady(row) || row.status == "dead" {
        out.extend([(Kind::Complete, c.complete), (Kind::Failed, c.failed)]);
    } else if row.wanted > c.running {
        out.push((Kind::Failed, c.failed.min(row.wanted - c.running)));
    }
    out.push((Kind::Lost, if is_steady(row) && row.wanted <= c.running { 0 } else { c.lost }));
    out
}

/// The counts beside the bar: `7 / 7 +2`, or `12 children`.
pub fn counts(t: &Texts, row: &JobRow) -> String {
    let c = row.counts;
    if let Some(children) = row.children {
        return fill(
            if children.iter().sum::<u64>() == 1 { t.one_child } else { t.n_children },
            &[&children.iter().sum::<u64>().to_string()],
        );
    }
    if is_steady(row) && !row.stop {
        let want = if row.wanted > 0 { row.wanted } else { c.running + c.starting + c.queued };
        let extra = if row.canaries.0 > 0 { format!(" +{}", row.canaries.0) } else { String::new() };
        return format!("{} / {want}{extra}", c.running.min(want));
    }
    let all = c.running + c.starting + c.queued + c.complete + c.failed + c.lost;
    let good = if row.status == "dead" || !is_steady(row) { c.complete + c.running } else { c.running };
    format!("{good} / {all}")
}

/// What the list is narrowed to, as the address says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub text: String,
    /// Chosen values by facet; nothing chosen lets everything through.
    pub chosen: BTreeMap<&'static str, Vec<String>>,
    pub sort: Sort,
    pub view: View,
}

/// What kind of jobs the list is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    #[default]
    All,
    /// Failed, lost, blocked or degraded.
    Attention,
    /// Periodic jobs.
    Scheduled,
}

impl View {
    pub fn text(self) -> &'static str {
        match self {
            View::All => "",
            View::Attention => "attention",
            View::Scheduled => "scheduled",
        }
    }
    fn from_text(text: &str) -> View {
        match text {
            "attention" => View::Attention,
            "scheduled" => View::Scheduled,
            _ => View::All,
        }
    }
    pub fn shows(self, t: &Texts, row: &JobRow) -> bool {
        match self {
            View::All => true,
            View::Attention => urgency(badge(t, row).kind) < 2,
            View::Scheduled => row.kind == "periodic",
        }
    }
}

/// The facets, in the order in which they are shown.
pub const FACETS: [&str; 5] = ["status", "type", "namespace", "pool", "dc"];

/// Order of the lines; the address says it as `sort=name` or `sort=-name`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    #[default]
    Changed,
    Name,
    Status,
    Kind,
    Namespace,
}

impl Sort {
    pub fn from_text(text: &str) -> Sort {
        match text {
            "name" => Sort::Name,
            "status" => Sort::Status,
            "type" => Sort::Kind,
            "namespace" => Sort::Namespace,
            _ => Sort::Changed,
        }
    }
    pub fn text(self) -> &'static str {
        match self {
            Sort::Changed => "",
            Sort::Name => "name",
            Sort::Status => "status",
            Sort::Kind => "type",
            Sort::Namespace => "namespace",
        }
    }
}

impl Filter {
    /// From the address's query.
    pub fn from_query(get: impl Fn(&str) -> Option<String>) -> Filter {
        let list =
            |name| get(name).map(|v| v.split(',').filter(|v| !v.is_empty()).map(str::to_owned).collect::<Vec<_>>());
        let mut chosen = BTreeMap::new();
        for facet in FACETS {
            if let Some(values) = list(facet).filter(|v| !v.is_empty()) {
                chosen.insert(facet, values);
            }
        }
        Filter {
            text: get("q").unwrap_or_default(),
            chosen,
            sort: Sort::from_text(&get("sort").unwrap_or_default()),
            view: View::from_text(&get("view").unwrap_or_default()),
        }
    }

    /// As the address's query; empty when nothing is chosen.
    pub fn to_query(&self) -> String {
        let mut parts = Vec::new();
        if !self.text.is_empty() {
            parts.push(format!("q={}", crate::paths::encode(&self.text, false)));
        }
        for (facet, values) in &self.chosen {
            if !values.is_empty() {
                let values: Vec<_> = values.iter().map(|v| crate::paths::encode(v, false)).collect();
                parts.push(format!("{facet}={}", values.join(",")));
            }
        }
        if self.sort != Sort::default() {
            parts.push(format!("sort={}", self.sort.text()));
        }
        if self.view != View::default() {
            parts.push(format!("view={}", self.view.text()));
        }
        if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
    }

    /// The same with `value` of `facet` chosen, or no longer.
    pub fn toggled(&self, facet: &'static str, value: &str) -> Filter {
        let mut next = self.clone();
        let values = next.chosen.entry(facet).or_default();
        match values.iter().position(|v| v == value) {
            Some(at) => drop(values.remove(at)),
            None => values.push(value.to_owned()),
        }
        next.chosen.retain(|_, v| !v.is_empty());
        next
    }

    pub fn is_chosen(&self, facet: &str, value: &str) -> bool {
        self.chosen.get(facet).is_some_and(|v| v.iter().any(|x| x == value))
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.chosen.is_empty() && self.view == View::All
    }
}

/// A job's values of a facet.
fn values(t: &Texts, row: &JobRow, facet: &str) -> Vec<String> {
    match facet {
        "status" => vec![badge(t, row).word],
        "type" => vec![row.kind.clone()],
        "namespace" => vec![row.namespace.clone()],
        "pool" => vec![row.node_pool.clone()],
        _ => row.datacenters.clone(),
    }
}

/// The lines that pass, in order.
pub fn narrowed(t: &Texts, rows: &[JobRow], filter: &Filter) -> Vec<JobRow> {
    let text = lower(&filter.text);
    let passes = |row: &&JobRow| {
        let named = text.is_empty() || lower(&row.id).contains(&text) || lower(&row.name).contains(&text);
        named
            && filter.view.shows(t, row)
            && filter.chosen.iter().all(|(facet, wanted)| values(t, row, facet).iter().any(|v| wanted.contains(v)))
    };
    let found: Vec<&JobRow> = rows.iter().filter(passes).collect();
    let urgent = |row: &JobRow| urgency(badge(t, row).kind);
    let sorted = order(found.len(), &|a, b| {
        let (a, b) = (found[a], found[b]);
        let by = match filter.sort {
            Sort::Changed => b.submitted.cmp(&a.submitted),
            Sort::Name => Ordering::Equal,
            Sort::Status => urgent(a).cmp(&urgent(b)),
            Sort::Kind => a.kind.cmp(&b.kind),
            Sort::Namespace => a.namespace.cmp(&b.namespace),
        };
        by.then_with(|| (&a.name, &a.namespace).cmp(&(&b.name, &b.namespace)))
    });
    sorted.into_iter().map(|i| found[i].clone()).collect()
}

/// The places of `n` things in the order of `compare`, which is handed two places: one sorting routine in the browser's module for all
/// that is sorted.
pub fn order(n: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut places: Vec<usize> = (0..n).collect();
    places.sort_by(|a, b| compare(*a, *b));
    places
}

/// What wants attention comes first.
fn urgency(kind: Kind) -> u8 {
    match kind {
        Kind::Failed | Kind::Lost => 0,
        Kind::Blocked | Kind::Degraded => 1,
        Kind::Canary | Kind::Draining | Kind::Pending => 2,
        Kind::Running | Kind::Accent => 3,
        Kind::Complete => 4,
        Kind::Stopped => 5,
    }
}

/// A facet's values with how many jobs have each, the most frequent first.
pub fn facet(t: &Texts, rows: &[JobRow], facet: &str) -> Vec<(String, Option<Kind>, u64)> {
    let mut found: BTreeMap<String, (Option<Kind>, u64)> = BTreeMap::new();
    for row in rows {
        let kind = (facet == "status").then(|| badge(t, row).kind);
        for value in values(t, row, facet).into_iter().filter(|v| !v.is_empty()) {
            found.entry(value).or_insert((kind, 0)).1 += 1;
        }
    }
    // In order of the values already.
    let list: Vec<_> = found.into_iter().map(|(value, (kind, n))| (value, kind, n)).collect();
    order(list.len(), &|a, b| list[b].2.cmp(&list[a].2)).into_iter().map(|i| list[i].clone()).collect()
}

/// Every segment of every line, summed: the bar above the list.
pub fn total(rows: &[JobRow]) -> Vec<(Kind, u64)> {
    let order = [Kind::Running, Kind::Canary, Kind::Pending, Kind::Failed, Kind::Lost, Kind::Complete];
    let sum = |kind| rows.iter().flat_map(segments).filter(|(k, _)| *k == kind).map(|(_, n)| n).sum();
    order.into_iter().map(|kind| (kind, sum(kind))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::texts_of;
    use crate::prefs::Lang;
    use serde_json::to_value;
    use tarpan_api::wire::{
        JobChildrenSummary, JobListStub, JobStatusesAlloc, JobStatusesDeployment, JobStatusesJob,
        JobStatusesLatestDeployment, JobSummary, TaskGroupSummary,
    };

    fn stub(id: &str, type_: &str, status: &str, counts: TaskGroupSummary) -> JobListStub {
        let summary = JobSummary { summary: [("g".to_owned(), counts)].into(), ..Default::default() };
        JobListStub {
            id: id.into(),
            name: id.into(),
            type_: type_.into(),
            status: status.into(),
            job_summary: Some(summary),
            ..Default::default()
        }
    }

    #[test]
    fn what_a_line_says() {
        let t = texts_of(Lang::En);
        let check = |stub: &JobListStub, status: Option<JobStatusesJob>, said: &str, counted: &str| {
            let statuses = to_value(status.into_iter().collect::<Vec<_>>()).expect("statuses");
            let row = &job_rows([&to_value(stub).expect("a stub")], &statuses)[0];
            let b = badge(t, row);
            assert_eq!((format!("{} {}", b.word, b.sub).trim(), counts(t, row).as_str()), (said, counted));
        };
        let of = |running, queued, starting| TaskGroupSummary { running, queued, starting, ..Default::default() };
        let status = |id: &str, wanted| JobStatusesJob { id: id.into(), group_count_sum: wanted, ..Default::default() };
        check(&stub("a", "service", "running", of(2, 0, 0)), None, "Running", "2 / 2");
        check(&stub("a", "service", "running", of(1, 0, 0)), Some(status("a", 3)), "Degraded 1 of 3", "1 / 3");
        check(&stub("a", "service", "pending", of(0, 2, 0)), None, "Blocked 0 of 2 placed", "0 / 2");
        check(&stub("a", "service", "running", of(0, 0, 1)), None, "Starting", "0 / 1");
        let done = TaskGroupSummary { complete: 3, failed: 1, ..Default::default() };
        check(&stub("b", "batch", "dead", done.clone()), None, "Complete", "3 / 4");
        check(
            &stub("b", "batch", "dead", TaskGroupSummary { failed: 1, ..Default::default() }),
            None,
            "Failed",
            "0 / 1",
        );
        check(&JobListStub { stop: true, ..stub("b", "service", "dead", done) }, None, "Stopped", "3 / 4");
        let parent = JobListStub {
            periodic: true,
            job_summary: Some(JobSummary {
                children: Some(JobChildrenSummary { pending: 0, running: 1, dead: 11 }),
                ..Default::default()
            }),
            ..stub("p", "batch", "running", of(0, 0, 0))
        };
        check(&parent, None, "Scheduled", "12 children");
        let canary = JobStatusesAlloc {
            client_status: "running".into(),
            deployment_status: JobStatusesDeployment { canary: true, healthy: Some(true) },
            ..Default::default()
        };
        let deploying = JobStatusesJob {
            allocs: vec![canary.clone(), canary],
            latest_deployment: Some(JobStatusesLatestDeployment { is_active: true, ..Default::default() }),
            ..status("w", 6)
        };
        check(&stub("w", "service", "running", of(8, 0, 0)), Some(deploying), "Deploying canaries 2/2", "6 / 6 +2");
    }

    #[test]
    fn filters_live_in_the_address() {
        let query = "q=web&status=Running,Blocked&sort=name&view=attention";
        let get =
            |name: &str| query.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned);
        let filter = Filter::from_query(get);
        assert_eq!(filter.to_query(), format!("?{query}"));
        assert!(filter.is_chosen("status", "Blocked"));
        let less = filter.toggled("status", "Blocked").toggled("status", "Running");
        assert_eq!(less.to_query(), "?q=web&sort=name&view=attention");
        let all = Filter { view: View::All, ..less };
        assert_eq!(all.toggled("dc", "fra 1").to_query(), "?q=web&dc=fra%201&sort=name");
    }

    #[test]
    fn a_job_is_sampled_whole_or_not_at_all() {
        let row = |id: &str, n: usize| JobRow {
            id: id.into(),
            running: (0..n).map(|i| format!("{id}{i}")).collect(),
            ..Default::default()
        };
        let found = sampled(&[row("a", 2), row("b", 4), row("c", 1)], 4);
        let ids: Vec<_> = found.iter().map(|(_, id)| id.as_str()).collect();
        assert_eq!(ids, ["a0", "a1", "c0"]);
    }

    #[test]
    fn narrowing_and_counting() {
        let t = texts_of(Lang::En);
        let running = TaskGroupSummary { running: 1, ..Default::default() };
        let stubs = [
            stub("web", "service", "running", running.clone()),
            stub("api", "service", "running", TaskGroupSummary { queued: 1, ..Default::default() }),
            stub("job", "batch", "running", running),
        ];
        let rows = job_rows(items(&to_value(stubs).expect("stubs")), &Value::Null);
        let names = |filter: &Filter| narrowed(t, &rows, filter).into_iter().map(|r| r.id).collect::<Vec<_>>();
        assert_eq!(names(&Filter { sort: Sort::Name, ..Default::default() }), ["api", "job", "web"]);
        assert_eq!(names(&Filter { sort: Sort::Status, ..Default::default() }), ["api", "job", "web"]);
        assert_eq!(names(&Filter::default().toggled("type", "batch")), ["job"]);
        assert_eq!(names(&Filter { text: "WE".into(), ..Default::default() }), ["web"]);
        assert_eq!(names(&Filter { view: View::Attention, ..Default::default() }), ["api"]);
        assert_eq!(facet(t, &rows, "type"), [("service".to_owned(), None, 2), ("batch".to_owned(), None, 1)]);
        assert_eq!(total(&rows)[..3], [(Kind::Running, 2), (Kind::Canary, 0), (Kind::Pending, 1)]);
    }
}
