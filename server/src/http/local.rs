//! What only the agent around this server knows, and its answers show.

use tarpan_model::NodeId;

/// The agent that this server runs in.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// The node of the same agent: what `/v1/client/…` means without a node. `None`: found by its address.
    pub node: Option<NodeId>,
    /// Its configuration as `/v1/agent/self` shows it, secrets left out.
    pub config: serde_json::Value,
}
