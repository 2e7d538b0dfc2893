//! What a search may show.

use crate::http::caller::{Access, Capability, READ_JOB};

/// What the rows of a context need to be found.
pub fn needs(context: &str) -> Capability {
    match context {
        "nodes" | "classes" => Capability::Node(Access::Read),
        "node_pools" => Capability::NodePool(Access::Read),
        "namespaces" => Capability::Open,
        "scaling_policy" => Capability::Namespace(&["list-scaling-policies", "read-job"]),
        "plugins" => Capability::Plugin(Access::List),
        "volumes" => Capability::Namespace(&["csi-list-volume", "csi-read-volume", "host-volume-read"]),
        "host_volumes" => Capability::Namespace(&["host-volume-read"]),
        "vars" => Capability::Management,
        _ => READ_JOB,
    }
}
