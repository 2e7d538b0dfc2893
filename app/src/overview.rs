//! The list of jobs as `/v1/jobs/overview` answers it: one page of lines, and what is told of all jobs beside it.
//!
//! Reads: a line a job, the query. Gives: a [`JobsPage`], which `tarpan_api::wire` declares. Pure. The server computes it ([`page`], only there), because a browser that
//! was sent every job would be busy with nothing else; the page shows it.

pub use tarpan_api::wire::JobsPage;
use tarpan_api::{Call, calls};

use crate::lang::Texts;
use crate::paths::Query;
use crate::rows::Filter;
use crate::status::Kind;

pub use crate::parts::pager::PER_PAGE;

pub const SUMS: [Kind; 6] = [Kind::Running, Kind::Canary, Kind::Pending, Kind::Failed, Kind::Lost, Kind::Complete];

/// The sums of a page ([`JobsPage::sums`]), for the bar above the list.
pub fn total_bar(page: &JobsPage) -> Vec<(Kind, u64)> {
    SUMS.into_iter().zip(page.sums).collect()
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
pub fn request(filter: &Filter, page: usize) -> Call<JobsPage> {
    let query = filter.to_query();
    // The field's own parameter of this name says what may be seen at all.
    calls::jobs_overview(&query.trim_start_matches('?').replace("namespace=", "namespaces="), page, PER_PAGE)
}

/// The filter that a request of the API asks for.
pub fn filter_of(query: &Query) -> Filter {
    Filter::from_query(|name| query.get(if name == "namespace" { "namespaces" } else { name }))
}

#[cfg(feature = "ssr")]
pub use of_all::{Line, Narrowed, narrow};

#[cfg(feature = "ssr")]
mod of_all {
    use std::cmp::Ordering;
    use std::collections::BTreeMap;

    use super::*;
    use crate::lang::texts_of;
    use crate::prefs::Lang;
    use crate::rows::{FACETS, JobRow, Sort, View, badge, segments, urgency};

    /// A job's line with what is told of all of them together: worked out once, asked for with each page.
    #[derive(Clone, Debug)]
    pub struct Line {
        pub row: JobRow,
        /// As addresses say it.
        state: &'static str,
        urgency: u8,
        /// In the order of [`SUMS`].
        sums: [u64; 6],
    }

    impl Line {
        pub fn of(row: JobRow) -> Line {
            let mut sums = [0; 6];
            for (kind, n) in segments(&row) {
                if let Some(at) = SUMS.iter().position(|k| *k == kind) {
                    sums[at] += n;
                }
            }
            Line { state: state(&row), urgency: urgency(&row), sums, row }
        }
    }

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

    /// Hands each of a job's values of a facet to `each`.
    fn values<'a>(line: &'a Line, facet: &str, mut each: impl FnMut(&'a str)) {
        match facet {
            "status" => each(line.state),
            "type" => each(&line.row.kind),
            "namespace" => each(&line.row.namespace),
            "pool" => each(&line.row.node_pool),
            _ => line.row.datacenters.iter().for_each(|dc| each(dc)),
        }
    }

    /// A facet's values with how many jobs have each, the most frequent first.
    fn facet(lines: &[&Line], facet: &str) -> Vec<(String, u64)> {
        let mut found: BTreeMap<&str, u64> = BTreeMap::new();
        for line in lines {
            values(line, facet, |value| {
                if !value.is_empty() {
                    *found.entry(value).or_default() += 1;
                }
            });
        }
        let mut list: Vec<_> = found.into_iter().map(|(value, n)| (value.to_owned(), n)).collect();
        // In order of the values already.
        list.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        list
    }

    fn passes(line: &Line, filter: &Filter, text: &str) -> bool {
        let row = &line.row;
        let named = text.is_empty() || row.id.to_lowercase().contains(text) || row.name.to_lowercase().contains(text);
        let has = |facet: &str, wanted: &[String]| {
            let mut has = false;
            // Addresses of before said the state in a language's words.
            values(line, facet, |v| has |= wanted.iter().any(|w| w.eq_ignore_ascii_case(v)));
            has
        };
        let in_view = match filter.view {
            View::All => true,
            View::Attention => line.urgency < URGENT,
            View::Scheduled => row.kind == "periodic",
        };
        in_view && named && filter.chosen.iter().all(|(facet, wanted)| has(facet, wanted))
    }

    /// Below this, a job needs attention: it failed, was lost, is blocked or degraded.
    const URGENT: u8 = 2;

    fn compare(sort: Sort, a: &Line, b: &Line) -> Ordering {
        let by = match sort {
            Sort::Changed => b.row.submitted.cmp(&a.row.submitted),
            Sort::Name => Ordering::Equal,
            Sort::Status => a.urgency.cmp(&b.urgency),
            Sort::Kind => a.row.kind.cmp(&b.row.kind),
            Sort::Namespace => a.row.namespace.cmp(&b.row.namespace),
        };
        by.then_with(|| (&a.row.name, &a.row.namespace).cmp(&(&b.row.name, &b.row.namespace)))
    }

    /// The page `number` (from 1) of `per_page` lines of what passes the filter.
    pub fn narrow(lines: &[&Line], filter: &Filter, number: usize, per_page: usize) -> Narrowed {
        let text = filter.text.to_lowercase();
        let mut places: Vec<usize> = (0..lines.len()).filter(|i| passes(lines[*i], filter, &text)).collect();
        let mut sums = [0; 6];
        for place in &places {
            sums.iter_mut().zip(lines[*place].sums).for_each(|(sum, n)| *sum += n);
        }
        let found = places.len();
        let number = number.clamp(1, found.div_ceil(per_page).max(1));
        let (from, to) = ((number - 1) * per_page, (number * per_page).min(found));
        let compare = |a: &usize, b: &usize| compare(filter.sort, lines[*a], lines[*b]);
        // Only what stands on the page has to be in order; what comes before it has to come before it.
        if to < found {
            places.select_nth_unstable_by(to, compare);
            places.truncate(to);
        }
        places.sort_unstable_by(compare);
        let page = JobsPage {
            rows: Vec::new(),
            page: number,
            found,
            total: lines.len(),
            attention: lines.iter().filter(|line| line.urgency < URGENT).count(),
            sums,
            facets: FACETS.iter().map(|name| facet(lines, name)).collect(),
        };
        Narrowed { places: places.split_off(from.min(to)), page }
    }
}

#[cfg(all(test, feature = "ssr"))]
mod tests {
    use super::*;
    use crate::lang::texts_of;
    use crate::prefs::Lang;
    use crate::rows::{Counts, JobRow, Sort, View};

    fn row(id: &str, kind: &str, counts: Counts) -> JobRow {
        let (id, kind, status) = (id.to_owned(), kind.to_owned(), "running".to_owned());
        JobRow { name: id.clone(), id, kind, counts, status, namespace: "default".to_owned(), ..Default::default() }
    }

    fn lines() -> Vec<Line> {
        let running = Counts { running: 1, ..Default::default() };
        let queued = Counts { queued: 1, running: 1, ..Default::default() };
        let rows = [row("web", "service", running), row("api", "service", queued), row("job", "batch", running)];
        rows.map(Line::of).into()
    }

    fn names(filter: &Filter, page: usize, per_page: usize) -> (Vec<String>, JobsPage) {
        let lines = lines();
        let found = narrow(&lines.iter().collect::<Vec<_>>(), filter, page, per_page);
        (found.places.iter().map(|i| lines[*i].row.id.clone()).collect(), found.page)
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
        assert_eq!(total_bar(&page)[..3], [(Kind::Running, 3), (Kind::Canary, 0), (Kind::Pending, 1)]);
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
        assert_eq!(asked.path(), "/v1/jobs/overview?namespace=*&page=3&per_page=100&namespaces=a%20b&status=blocked");
        let query = asked.path().split_once('?').map(|(_, q)| Query::parse(q)).unwrap_or_default();
        assert_eq!(filter_of(&query), filter);
    }
}
