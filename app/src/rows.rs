//! The rows of the Jobs list: what a job's line says, its facets, its filter. Pure.

use std::cmp::Ordering;
use std::collections::BTreeMap;

pub use tarpan_api::wire::{AllocCounts as Counts, JobRow};

use crate::lang::{Texts, fill, texts_of};
use crate::prefs::Lang;
use crate::status::{Badge, Kind};

/// Namespace and id.
pub type Key = (String, String);

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

/// The places of `n` things in the order of `compare`, which is handed two places: one sorting routine in the browser's module for all
/// that is sorted.
pub fn order(n: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut places: Vec<usize> = (0..n).collect();
    places.sort_by(|a, b| compare(*a, *b));
    places
}

/// What wants attention comes first.
pub fn urgency(row: &JobRow) -> u8 {
    match badge(texts_of(Lang::En), row).kind {
        Kind::Failed | Kind::Lost => 0,
        Kind::Blocked | Kind::Degraded => 1,
        Kind::Canary | Kind::Draining | Kind::Pending => 2,
        Kind::Running | Kind::Accent => 3,
        Kind::Complete => 4,
        Kind::Stopped => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_says() {
        let t = texts_of(Lang::En);
        let check = |row: &JobRow, said: &str, counted: &str| {
            let b = badge(t, row);
            assert_eq!((format!("{} {}", b.word, b.sub).trim(), counts(t, row).as_str()), (said, counted));
        };
        let job = |kind: &str, status: &str, counts: Counts| JobRow {
            id: "a".into(),
            name: "a".into(),
            kind: kind.into(),
            status: status.into(),
            counts,
            ..Default::default()
        };
        let of = |running, queued, starting| Counts { running, queued, starting, ..Default::default() };
        check(&job("service", "running", of(2, 0, 0)), "Running", "2 / 2");
        check(&JobRow { wanted: 3, ..job("service", "running", of(1, 0, 0)) }, "Degraded 1 of 3", "1 / 3");
        check(&job("service", "pending", of(0, 2, 0)), "Blocked 0 of 2 placed", "0 / 2");
        check(&job("service", "running", of(0, 0, 1)), "Starting", "0 / 1");
        let done = Counts { complete: 3, failed: 1, ..Default::default() };
        check(&job("batch", "dead", done), "Complete", "3 / 4");
        check(&job("batch", "dead", Counts { failed: 1, ..Default::default() }), "Failed", "0 / 1");
        check(&JobRow { stop: true, ..job("service", "dead", done) }, "Stopped", "3 / 4");
        let parent = JobRow { children: Some([0, 1, 11]), ..job("periodic", "running", of(0, 0, 0)) };
        check(&parent, "Scheduled", "12 children");
        let deploying =
            JobRow { wanted: 6, deploying: true, canaries: (2, 2), ..job("service", "running", of(8, 0, 0)) };
        check(&deploying, "Deploying canaries 2/2", "6 / 6 +2");
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
}
