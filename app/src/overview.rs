//! The list of jobs as `/v1/jobs/overview` answers it: one page of lines, and what is told of all jobs beside it.
//!
//! Reads: a line a job, the query. Gives: a [`JobsPage`]. Pure. The server computes it ([`page`], only there), because a browser that
//! was sent every job would be busy with nothing else; the page shows it.

use serde::{Deserialize, Serialize};

use crate::lang::Texts;
use crate::paths::{Query, encode};
use crate::rows::{Filter, JobRow};
use crate::status::Kind;

pub use crate::parts::pager::PER_PAGE;

/// One page of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobsPage {
    pub rows: Vec<JobRow>,
    /// From 1; the last one where a later one was asked for.
    pub page: usize,
    /// Jobs that pass the filter.
    pub found: usize,
    /// Jobs in all, or children of the asked parent. Children are told by their parents, else.
    pub total: usize,
    /// Of all jobs, those that need attention.
    pub attention: usize,
    /// Allocations of what passes the filter, in the order of [`SUMS`].
    pub sums: [u64; 6],
    /// By facet, in the order of [`crate::rows::FACETS`]: each value with how many of all jobs have it, the most frequent first.
    pub facets: Vec<Vec<(String, u64)>>,
}

pub const SUMS: [Kind; 6] = [Kind::Running, Kind::Canary, Kind::Pending, Kind::Failed, Kind::Lost, Kind::Complete];

impl JobsPage {
    pub fn total_bar(&self) -> Vec<(Kind, u64)> {
        SUMS.into_iter().zip(self.sums).collect()
    }
}

/// The states of a job that the list can be narrowed to: as addresses and the API say them, as they look, in words.
pub fn states(t: &'static Texts) -> [(&'static str, Kind, &'static str); 12] {
    [
        ("running", Kind::Running, t.running),
        ("degraded", Kind::Degraded, t.degraded),
        ("deploying", Kind::Canary, t.deploying),
        ("blocked", Kind::Blocked, t.blocked),
        ("pending", Kind::Pending, t.pending),
        ("starting", Kind::Pending, t.starting),
        ("scheduled", Kind::Running, t.scheduled),
        ("ready", Kind::Complete, t.ready),
        ("complete", Kind::Complete, t.complete),
        ("failed", Kind::Failed, t.failed),
        ("lost", Kind::Lost, t.lost),
        ("stopped", Kind::Stopped, t.stopped),
    ]
}

/// What the page at this filter asks for.
pub fn request(filter: &Filter, page: usize) -> String {
    let query = filter.to_query();
    // The field's own parameter of this name says what may be seen at all.
    let query = query.trim_start_matches('?').replace("namespace=", "namespaces=");
    let query = if query.is_empty() { query } else { format!("&{query}") };
    format!("/v1/jobs/overview?namespace=*&page={page}&per_page={PER_PAGE}{query}")
}

/// What a list of the newest children of `parent` asks for.
pub fn children_request(namespace: &str, parent: &str, page: usize, per_page: usize) -> String {
    let (namespace, parent) = (encode(namespace, false), encode(parent, false));
    format!("/v1/jobs/overview?namespace={namespace}&parent={parent}&page={page}&per_page={per_page}")
}

/// The filter that a request of the API asks for.
pub fn filter_of(query: &Query) -> Filter {
    Filter::from_query(|name| query.get(if name == "namespace" { "namespaces" } else { name }))
}

#[cfg(feature = "ssr")]
pub use of_all::{Narrowed, narrow};

#[cfg(feature = "ssr")]
mod of_all {
    use std::cmp::Ordering;
    use std::collections::BTreeMap;

    use super::*;
    use crate::lang::texts_of;
    use crate::prefs::Lang;
    use crate::rows::{FACETS, Sort, badge, segments, urgency};

    /// What is said of all jobs, and which of them stand on the page: places in what was given, in order.
    #[derive(Debug)]
    pub struct Narrowed {
        pub places: Vec<usize>,
        /// Everything but the lines.
        pub page: JobsPage,
    }

    /// The state of a job, as addresses say it.
    fn state(row: &JobRow) -> &'static str {
        let t = texts_of(Lang::En);
        let word = badge(t, row).word;
        states(t).into_iter().find(|(_, _, w)| *w == word).map_or("running", |(name, _, _)| name)
    }

    /// A job's values of a facet.
    fn values<'a>(row: &'a JobRow, facet: &str) -> Vec<&'a str> {
        match facet {
            "status" => vec![state(row)],
            "type" => vec![&row.kind],
            "namespace" => vec![&row.namespace],
            "pool" => vec![&row.node_pool],
            _ => row.datacenters.iter().map(String::as_str).collect(),
        }
    }

    /// A facet's values with how many jobs have each, the most frequent first.
    fn facet(rows: &[JobRow], facet: &str) -> Vec<(String, u64)> {
        let mut found: BTreeMap<&str, u64> = BTreeMap::new();
        for row in rows {
            for value in values(row, facet).into_iter().filter(|v| !v.is_empty()) {
                *found.entry(value).or_default() += 1;
            }
        }
        let mut list: Vec<_> = found.into_iter().map(|(value, n)| (value.to_owned(), n)).collect();
        // In order of the values already.
        list.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        list
    }

    fn passes(row: &JobRow, filter: &Filter, text: &str) -> bool {
        let named = text.is_empty() || row.id.to_lowercase().contains(text) || row.name.to_lowercase().contains(text);
        let has = |facet: &str, wanted: &[String]| {
            // Addresses of before said the state in a language's words.
            values(row, facet).iter().any(|v| wanted.iter().any(|w| w.eq_ignore_ascii_case(v)))
        };
        named && filter.view.shows(row) && filter.chosen.iter().all(|(facet, wanted)| has(facet, wanted))
    }

    fn compare(sort: Sort, a: &JobRow, b: &JobRow) -> Ordering {
        let by = match sort {
            Sort::Changed => b.submitted.cmp(&a.submitted),
            Sort::Name => Ordering::Equal,
            Sort::Status => urgency(a).cmp(&urgency(b)),
            Sort::Kind => a.kind.cmp(&b.kind),
            Sort::Namespace => a.namespace.cmp(&b.namespace),
        };
        by.then_with(|| (&a.name, &a.namespace).cmp(&(&b.name, &b.namespace)))
    }

    /// The page `number` (from 1) of `per_page` lines of what passes the filter.
    pub fn narrow(rows: &[JobRow], filter: &Filter, number: usize, per_page: usize) -> Narrowed {
        let text = filter.text.to_lowercase();
        let mut places: Vec<usize> = (0..rows.len()).filter(|i| passes(&rows[*i], filter, &text)).collect();
        places.sort_by(|a, b| compare(filter.sort, &rows[*a], &rows[*b]));
        let mut sums = [0; 6];
        for (kind, n) in places.iter().flat_map(|i| segments(&rows[*i])) {
            if let Some(at) = SUMS.iter().position(|k| *k == kind) {
                sums[at] += n;
            }
        }
        let found = places.len();
        let number = number.clamp(1, found.div_ceil(per_page).max(1));
        let page = JobsPage {
            rows: Vec::new(),
            page: number,
            found,
            total: rows.len(),
            attention: rows.iter().filter(|row| crate::rows::View::Attention.shows(row)).count(),
            sums,
            facets: FACETS.iter().map(|name| facet(rows, name)).collect(),
        };
        let places = places.into_iter().skip((number - 1) * per_page).take(per_page).collect();
        Narrowed { places, page }
    }
}

#[cfg(all(test, feature = "ssr"))]
mod tests {
    use super::*;
    use crate::lang::texts_of;
    use crate::prefs::Lang;
    use crate::rows::{Counts, Sort, View};

    fn row(id: &str, kind: &str, counts: Counts) -> JobRow {
        let (id, kind, status) = (id.to_owned(), kind.to_owned(), "running".to_owned());
        JobRow { name: id.clone(), id, kind, counts, status, namespace: "default".to_owned(), ..Default::default() }
    }

    fn rows() -> Vec<JobRow> {
        let running = Counts { running: 1, ..Default::default() };
        let queued = Counts { queued: 1, running: 1, ..Default::default() };
        vec![row("web", "service", running), row("api", "service", queued), row("job", "batch", running)]
    }

    fn names(filter: &Filter, page: usize, per_page: usize) -> (Vec<String>, JobsPage) {
        let rows = rows();
        let found = narrow(&rows, filter, page, per_page);
        (found.places.iter().map(|i| rows[*i].id.clone()).collect(), found.page)
    }

    #[test]
    fn narrowing_and_counting() {
        let all = |filter: &Filter| names(filter, 1, 10).0;
        assert_eq!(all(&Filter { sort: Sort::Name, ..Default::default() }), ["api", "job", "web"]);
        assert_eq!(all(&Filter { sort: Sort::Status, ..Default::default() }), ["api", "job", "web"]);
        assert_eq!(all(&Filter::default().toggled("type", "batch")), ["job"]);
        assert_eq!(all(&Filter::default().toggled("status", "Blocked")), ["api"]);
        assert_eq!(all(&Filter { text: "WE".into(), ..Default::default() }), ["web"]);
        assert_eq!(all(&Filter { view: View::Attention, ..Default::default() }), ["api"]);
        let page = names(&Filter::default(), 1, 10).1;
        assert_eq!(page.facets[0], [("running".to_owned(), 2), ("blocked".to_owned(), 1)]);
        assert_eq!(page.facets[1], [("service".to_owned(), 2), ("batch".to_owned(), 1)]);
        assert_eq!(page.total_bar()[..3], [(Kind::Running, 3), (Kind::Canary, 0), (Kind::Pending, 1)]);
    }

    #[test]
    fn pages_of_what_passes() {
        let by_name = Filter { sort: Sort::Name, ..Default::default() };
        let (first, page) = names(&by_name, 1, 2);
        assert_eq!((first, page.page, page.found, page.total), (vec!["api".to_owned(), "job".to_owned()], 1, 3, 3));
        assert_eq!(names(&by_name, 2, 2).0, ["web"]);
        let (last, page) = names(&by_name, 900, 2);
        assert_eq!((last, page.page), (vec!["web".to_owned()], 2), "too far is the last one");
        let narrow = by_name.toggled("type", "service");
        let (_, page) = names(&narrow, 1, 2);
        assert_eq!((page.found, page.total, page.attention), (2, 3, 1), "counts are of all jobs");
    }

    #[test]
    fn every_state_has_a_word_of_its_own() {
        for lang in [Lang::En, Lang::Zh] {
            let words: std::collections::BTreeSet<_> = states(texts_of(lang)).map(|(_, _, word)| word).into();
            assert_eq!(words.len(), 12, "{words:?}");
        }
    }

    #[test]
    fn requests_say_the_filter() {
        let filter = Filter::default().toggled("namespace", "a b").toggled("status", "blocked");
        let asked = request(&filter, 3);
        assert_eq!(asked, "/v1/jobs/overview?namespace=*&page=3&per_page=100&namespaces=a%20b&status=blocked");
        let query = asked.split_once('?').map(|(_, q)| Query::parse(q)).unwrap_or_default();
        assert_eq!(filter_of(&query), filter);
    }
}
