//! Pages that the browser loads when somebody goes to them. The list of jobs is the first page and comes with the frame.
//!
//! Each is a part of the module of its own (`cargo xtask ui` splits it); the server renders them like any other page.

use leptos::prelude::*;
use leptos_router::{LazyRoute, lazy_route};

use crate::pages::{alloc, client, clients, eval, evals, job, run, servers, services, topology};

pub struct JobRoute;

#[lazy_route]
impl LazyRoute for JobRoute {
    fn data() -> Self {
        JobRoute
    }
    fn view(this: Self) -> AnyView {
        let JobRoute = this;
        view! { <job::JobPage/> }.into_any()
    }
}

pub struct RunRoute;

#[lazy_route]
impl LazyRoute for RunRoute {
    fn data() -> Self {
        RunRoute
    }
    fn view(this: Self) -> AnyView {
        let RunRoute = this;
        view! { <run::Run/> }.into_any()
    }
}

pub struct AllocRoute;

#[lazy_route]
impl LazyRoute for AllocRoute {
    fn data() -> Self {
        AllocRoute
    }
    fn view(this: Self) -> AnyView {
        let AllocRoute = this;
        view! { <alloc::AllocPage/> }.into_any()
    }
}

pub struct ClientsRoute;

#[lazy_route]
impl LazyRoute for ClientsRoute {
    fn data() -> Self {
        ClientsRoute
    }
    fn view(this: Self) -> AnyView {
        let ClientsRoute = this;
        view! { <clients::Clients/> }.into_any()
    }
}

pub struct ClientRoute;

#[lazy_route]
impl LazyRoute for ClientRoute {
    fn data() -> Self {
        ClientRoute
    }
    fn view(this: Self) -> AnyView {
        let ClientRoute = this;
        view! { <client::ClientPage/> }.into_any()
    }
}

pub struct ServersRoute;

#[lazy_route]
impl LazyRoute for ServersRoute {
    fn data() -> Self {
        ServersRoute
    }
    fn view(this: Self) -> AnyView {
        let ServersRoute = this;
        view! { <servers::Servers/> }.into_any()
    }
}

pub struct EvalsRoute;

#[lazy_route]
impl LazyRoute for EvalsRoute {
    fn data() -> Self {
        EvalsRoute
    }
    fn view(this: Self) -> AnyView {
        let EvalsRoute = this;
        view! { <evals::Evaluations/> }.into_any()
    }
}

pub struct EvalRoute;

#[lazy_route]
impl LazyRoute for EvalRoute {
    fn data() -> Self {
        EvalRoute
    }
    fn view(this: Self) -> AnyView {
        let EvalRoute = this;
        view! { <eval::EvaluationPage/> }.into_any()
    }
}

pub struct ServicesRoute;

#[lazy_route]
impl LazyRoute for ServicesRoute {
    fn data() -> Self {
        ServicesRoute
    }
    fn view(this: Self) -> AnyView {
        let ServicesRoute = this;
        view! { <services::Services/> }.into_any()
    }
}

pub struct TopologyRoute;

#[lazy_route]
impl LazyRoute for TopologyRoute {
    fn data() -> Self {
        TopologyRoute
    }
    fn view(this: Self) -> AnyView {
        let TopologyRoute = this;
        view! { <topology::Topology/> }.into_any()
    }
}
