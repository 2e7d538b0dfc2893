//! Which requests may cost more than a moment, and where they are answered.
//!
//! To change threads takes some thirty microseconds: what takes no longer stays where it is.

use tarpan_api::routes::{Allocs, Deployments, Evals, Jobs, Name, Nodes, Route, Scaling, Search, Services};
use tokio::runtime::Handle;

use super::bind::Handler;
use super::context::Context;
use super::heavy::Heavy;
use super::reply::Outcome;

/// Bodies from here on are read on a thread of their own; below, reading takes less than a millisecond.
const LARGE_BODY: usize = 64 << 10;
/// Rows from which on looking through all of them takes longer than some milliseconds.
const MANY_ROWS: usize = 2_000;
/// A filter takes up to a hundred times as long as a row without.
const MANY_FILTERED: usize = 200;
/// A page of so many rows is not much, however many there are.
const PAGE: usize = 1_000;

/// Has a request answered where there is time for it.
pub async fn run(heavy: &Heavy, handler: Handler, mut cx: Context) -> Outcome {
    let pool = match load(cx.route, &cx) {
        Load::Light => return handler(cx).await,
        Load::Text => &heavy.texts,
        Load::Read => &heavy.reads,
    };
    // It must not ask for another slot.
    cx.heavy = None;
    let runtime = Handle::current();
    pool.work(cx.gone.clone(), move || runtime.block_on(handler(cx))).await?
}

/// Where a request's work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    /// Where it is.
    Light,
    Text,
    Read,
}

/// One that waits for a change is light whatever it does: it would keep its slot all that time.
fn load(route: &Route, cx: &Context) -> Load {
    let many = if cx.std.filter.is_some() { MANY_FILTERED } else { MANY_ROWS };
    match () {
        () if cx.std.index > 0 => Load::Light,
        () if cx.body.len() >= LARGE_BODY => Load::Text,
        () if writes_a_text(route, cx) => Load::Text,
        () if looked_through(route, cx) >= many => Load::Read,
        () => Load::Light,
    }
}

/// Nobody else's route is to take a slot by being asked for this.
fn writes_a_text(route: &Route, cx: &Context) -> bool {
    route.name == Name::Jobs(Jobs::Submission) && cx.query.get("printed").is_some()
}

/// How many rows an answer may have to look through.
fn looked_through(route: &Route, cx: &Context) -> usize {
    let counts = cx.server.state().counts();
    let rows = match route.name {
        // These sort or count all there is, whatever they show.
        Name::Jobs(Jobs::Overview | Jobs::Statuses) | Name::Scaling(Scaling::List) => return counts.jobs,
        Name::Nodes(Nodes::Pools) => return counts.nodes,
        Name::Search(Search::ByPrefix | Search::ByText) => return counts.all(),
        Name::Jobs(Jobs::List) | Name::Nodes(Nodes::PoolJobs) => counts.jobs,
        Name::Allocs(Allocs::List)
        | Name::Jobs(Jobs::Allocations)
        | Name::Deployments(Deployments::Allocations)
        | Name::Services(Services::List) => counts.allocs,
        Name::Evals(Evals::List | Evals::Count) | Name::Jobs(Jobs::Evaluations) => counts.evals,
        Name::Deployments(Deployments::List) => counts.deployments,
        Name::Nodes(Nodes::List | Nodes::PoolNodes) => counts.nodes,
        _ => return 0,
    };
    match cx.std.filter {
        None if (1..=PAGE).contains(&cx.std.per_page) => rows.min(cx.std.per_page),
        _ => rows,
    }
}
