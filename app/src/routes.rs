//! Pages that the browser loads when somebody goes to them. The list of jobs is the first page and comes with the frame.
//!
//! They lie in two parts, split off by `cargo xtask ui`: what is about one job, and what is about the cluster. A third holds the
//! palette. The more parts, the more pieces are shared between some of them, and each piece is a request. The server renders pages of
//! parts like any other page.

use leptos::prelude::*;
use leptos_router::LazyRoute;

use crate::later::{Around, Later};
use crate::pages::{alloc, client, clients, eval, evals, job, run, selected, servers, services, storage, topology};
use crate::parts::palette as search;
use crate::rows::JobRow;

/// A page of the first part.
#[derive(Clone, Copy)]
pub enum OfJob {
    Job,
    Run,
    Allocation,
    /// Not a page: what may be done with several jobs.
    Selected(Memo<Vec<JobRow>>, Around),
}

/// A page of the second part.
#[derive(Clone, Copy)]
pub enum OfCluster {
    Clients,
    Client,
    Servers,
    Evaluations,
    Evaluation,
    Services,
    Storage,
    Volume,
    Topology,
}

#[lazy]
fn of_job(page: OfJob) -> AnyView {
    match page {
        OfJob::Job => view! { <job::JobPage/> }.into_any(),
        OfJob::Run => view! { <run::Run/> }.into_any(),
        OfJob::Allocation => view! { <alloc::AllocPage/> }.into_any(),
        OfJob::Selected(rows, around) => view! { <selected::Selected rows=rows around=around/> }.into_any(),
    }
}

#[lazy]
fn of_cluster(page: OfCluster) -> AnyView {
    match page {
        OfCluster::Clients => view! { <clients::Clients/> }.into_any(),
        OfCluster::Client => view! { <client::ClientPage/> }.into_any(),
        OfCluster::Servers => view! { <servers::Servers/> }.into_any(),
        OfCluster::Evaluations => view! { <evals::Evaluations/> }.into_any(),
        OfCluster::Evaluation => view! { <eval::EvaluationPage/> }.into_any(),
        OfCluster::Services => view! { <services::Services/> }.into_any(),
        OfCluster::Storage => view! { <storage::Storage/> }.into_any(),
        OfCluster::Volume => view! { <storage::VolumePage/> }.into_any(),
        OfCluster::Topology => view! { <topology::Topology/> }.into_any(),
    }
}

#[lazy]
fn of_palette(open: RwSignal<bool>) -> AnyView {
    search::dialog(open)
}

/// What comes to a page when it is wanted.
pub const LATER: Later = Later { selected: selected_jobs, palette };

/// What may be done with the selected jobs, as soon as its part is there.
fn selected_jobs(rows: Memo<Vec<JobRow>>, around: Around) -> AnyView {
    Suspend::new(async move { of_job(OfJob::Selected(rows, around)).await }).into_any()
}

/// The palette's dialog, as soon as its part is there.
fn palette(open: RwSignal<bool>) -> AnyView {
    Suspend::new(async move { of_palette(open).await }).into_any()
}

/// A route to a page of a part: its name, the part, the page.
macro_rules! route {
    ($name:ident, $part:ident, $page:expr) => {
        pub struct $name;

        impl LazyRoute for $name {
            fn data() -> Self {
                $name
            }
            async fn view(_: Self) -> AnyView {
                $part($page).await
            }
        }
    };
}

route!(JobRoute, of_job, OfJob::Job);
route!(RunRoute, of_job, OfJob::Run);
route!(AllocRoute, of_job, OfJob::Allocation);
route!(ClientsRoute, of_cluster, OfCluster::Clients);
route!(ClientRoute, of_cluster, OfCluster::Client);
route!(ServersRoute, of_cluster, OfCluster::Servers);
route!(EvalsRoute, of_cluster, OfCluster::Evaluations);
route!(EvalRoute, of_cluster, OfCluster::Evaluation);
route!(ServicesRoute, of_cluster, OfCluster::Services);
route!(StorageRoute, of_cluster, OfCluster::Storage);
route!(VolumeRoute, of_cluster, OfCluster::Volume);
route!(TopologyRoute, of_cluster, OfCluster::Topology);

/// Loads the part that has the page at `path`.
#[cfg(feature = "hydrate")]
pub async fn load(path: &str) {
    let of_job = |p: &str| p.starts_with("/ui/jobs/") || p.starts_with("/ui/run") || p.starts_with("/ui/allocations/");
    if of_job(path) {
        __preload_of_job().await;
    } else if path != "/ui/jobs" {
        __preload_of_cluster().await;
    }
}
