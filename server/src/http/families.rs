//! All families of rows, each with its file.

use tarpan_api::routes::Name;

use super::bind::Handler;
use super::{
    agent, allocs, client, csi, deployments, evals, events, jobs, keyring, namespaces, nodes, operator, scaling,
    search, services, unsupported, volumes,
};

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
        Name::Volumes(route) => volumes::handler(route),
        Name::Csi(route) => csi::handler(route),
        Name::Unsupported(route) => unsupported::handler(route),
    }
}
