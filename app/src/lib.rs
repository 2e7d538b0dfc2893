//! The web UI: pages and components. Renders on the server, hydrates in the browser.
//!
//! Reads: `/v1` through the typed [`tarpan_api::Client`] of the Leptos context, and nothing else; on the server the client calls
//! the router in the same process, in the browser it fetches, in tests it is a fake.
//! Gives: [`App`] (everything inside `<body>`), [`shell::shell`] (the document around it), [`hydrate`] (the browser's start).
//! Start at [`App`] for the routes, at [`pages`] for what each page shows. What a page shows is computed by plain functions
//! ([`status`], [`format`], [`rows`]) that are tested without a browser.

// Types of views nest as deeply as the pages do.
#![recursion_limit = "512"]

pub mod chart;
pub mod context;
pub mod digits;
pub mod dom;
#[cfg(feature = "ssr")]
pub mod fixtures;
pub mod format;
pub mod lang;
pub mod later;
pub mod live;
pub mod overview;
pub mod pages;
pub mod parts;
pub mod past;
pub mod paths;
pub mod place;
pub mod plain;
pub mod prefs;
pub mod routes;
pub mod rows;
pub mod runs;
pub mod shapes;
pub mod shell;
pub mod status;
pub mod term;
pub mod transport;
pub mod usage;
pub mod web;

use leptos::prelude::*;
use leptos_meta::provide_meta_context;
use leptos_router::components::{Route, Router, Routes};
use leptos_router::{Lazy, SsrMode, path};

/// Every style sheet in one text, in order.
#[cfg(feature = "ssr")]
pub const STYLE: &str = include_str!(concat!(env!("OUT_DIR"), "/style.css"));

/// Takes over the page that the server rendered, once the part that has it is there.
#[cfg(feature = "hydrate")]
pub fn hydrate() {
    use leptos::mount::hydrate_body;
    use tarpan_api::Client;
    wasm_bindgen_futures::spawn_local(async {
        routes::load(&dom::path()).await;
        hydrate_body(|| {
            provide_context(Client::new(transport::Fetch));
            provide_context(prefs::Region::from_document());
            provide_context(prefs::Prefs::from_document());
            provide_context(shell::Assets::from_document());
            view! { <App/> }
        });
    });
}

/// The routes. Lists render in order as their data comes; details wait, so that status and title are right.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    let prefs = use_context::<prefs::Prefs>().unwrap_or_default();
    provide_context(prefs);
    provide_context(lang::texts_of(prefs.lang));
    provide_context(routes::LATER);
    live::provide();
    format::provide_clock();
    parts::toast::provide();
    view! {
        <parts::title::Title text=""/>
        <Router>
            <parts::frame::Frame>
                <Routes fallback=pages::missing::Missing>
                    <Route path=path!("/ui/jobs") view=pages::jobs::Jobs ssr=SsrMode::InOrder/>
                    <Route path=path!("/ui/jobs/*job") view={Lazy::<routes::JobRoute>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/ui/run") view={Lazy::<routes::RunRoute>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/ui/allocations/:id") view={Lazy::<routes::AllocRoute>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/ui/clients") view={Lazy::<routes::ClientsRoute>::new()} ssr=SsrMode::InOrder/>
                    <Route path=path!("/ui/clients/:id") view={Lazy::<routes::ClientRoute>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/ui/servers") view={Lazy::<routes::ServersRoute>::new()} ssr=SsrMode::InOrder/>
                    <Route path=path!("/ui/evaluations") view={Lazy::<routes::EvalsRoute>::new()} ssr=SsrMode::InOrder/>
                    <Route path=path!("/ui/evaluations/:id") view={Lazy::<routes::EvalRoute>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/ui/services") view={Lazy::<routes::ServicesRoute>::new()} ssr=SsrMode::InOrder/>
                    <Route path=path!("/ui/storage") view={Lazy::<routes::StorageRoute>::new()} ssr=SsrMode::InOrder/>
                    <Route path=path!("/ui/storage/:id") view={Lazy::<routes::VolumeRoute>::new()} ssr=SsrMode::Async/>
                    <Route path=path!("/ui/topology") view={Lazy::<routes::TopologyRoute>::new()} ssr=SsrMode::InOrder/>
                </Routes>
            </parts::frame::Frame>
        </Router>
    }
}
