//! Handlers of the route table's rows. Every family's file binds its own with [`bind!`]; [`handler`] knows all families.

use std::future::Future;
use std::pin::Pin;

use tarpan_api::routes::Name;

use super::context::Context;
use super::reply::Outcome;
use super::{
    agent, allocs, client, deployments, evals, events, jobs, keyring, namespaces, nodes, operator, scaling, search,
    services, unsupported,
};

pub type Handler = fn(Context) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// `bind! { Family { Row => handler, … }}`: the function that gives a family's handlers. A row that is left out does not compile.
macro_rules! bind {
    ($family:ident { $($route:ident => $handler:path,)+ }) => {
        pub fn handler(route: tarpan_api::routes::$family) -> $crate::http::bind::Handler {
            match route {
                $(tarpan_api::routes::$family::$route => |cx| Box::pin($handler(cx)),)+
            }
        }
    };
}
pub(super) use bind;

/// What answers a row.
pub fn handler(name: Name) -> Handler {
    match name {
        Name::Jobs(route) => jobs::handler(route),
        Name::Allocs(route) => allocs::handler(route),
        Name::Evals(route) => evals::handler(route),
        Name::Deployments(route) => deployments::handler(route),
        Name::Nodes(route) => nodes::handler(route),
        Name::OnNode(route) => client::handler(route),
        Name::Agent(route) => agent::handler(route),
        Name::Operator(route) => operator::handler(route),
        Name::Keyring(route) => keyring::handler(route),
        Name::Search(route) => search::handler(route),
        Name::Events(route) => events::handler(route),
        Name::Services(route) => services::handler(route),
        Name::Namespaces(route) => namespaces::handler(route),
        Name::Scaling(route) => scaling::handler(route),
        Name::Unsupported(route) => unsupported::handler(route),
    }
}
