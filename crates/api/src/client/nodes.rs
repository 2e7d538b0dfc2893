//! Questions about nodes, and what can be done to them.

use serde_json::json;

use super::{Answer, Client, Query, escape};
use crate::transport::Error;
use crate::wire::{
    Allocation, HostStats, Node, NodeDrainUpdateResponse, NodeEligibilityUpdateResponse, NodeListStub, NodePool,
    NodeUpdateDrainRequest, NodeUpdateResponse,
};

impl Client {
    /// In id order. With `resources=true` in the query, what each has and what is reserved.
    pub async fn nodes(&self, query: &Query) -> Result<Answer<Vec<NodeListStub>>, Error> {
        self.get(&query.on("/v1/nodes")).await
    }

    pub async fn node(&self, query: &Query, id: &str) -> Result<Answer<Node>, Error> {
        self.get(&query.on(&format!("/v1/node/{}", escape(id)))).await
    }

    pub async fn node_allocations(&self, query: &Query, id: &str) -> Result<Answer<Vec<Allocation>>, Error> {
        self.get(&query.on(&format!("/v1/node/{}/allocations", escape(id)))).await
    }

    pub async fn set_node_eligibility(
        &self,
        query: &Query,
        id: &str,
        eligible: bool,
    ) -> Result<Answer<NodeEligibilityUpdateResponse>, Error> {
        let body = json!({"NodeID": id, "Eligibility": if eligible { "eligible" } else { "ineligible" }});
        self.put(&query.on(&format!("/v1/node/{}/eligibility", escape(id))), &body).await
    }

    /// Starts a drain, or ends it when `request.drain_spec` is `None`.
    pub async fn drain_node(
        &self,
        query: &Query,
        request: &NodeUpdateDrainRequest,
    ) -> Result<Answer<NodeDrainUpdateResponse>, Error> {
        self.put(&query.on(&format!("/v1/node/{}/drain", escape(&request.node_id))), request).await
    }

    pub async fn purge_node(&self, query: &Query, id: &str) -> Result<Answer<NodeUpdateResponse>, Error> {
        self.touch(&query.on(&format!("/v1/node/{}/purge", escape(id)))).await
    }

    pub async fn evaluate_node(&self, query: &Query, id: &str) -> Result<Answer<NodeUpdateResponse>, Error> {
        self.touch(&query.on(&format!("/v1/node/{}/evaluate", escape(id)))).await
    }

    /// What the node uses right now; `None`: the node that answers.
    pub async fn node_stats(&self, query: &Query, id: Option<&str>) -> Result<Answer<HostStats>, Error> {
        let query = match id {
            Some(id) => query.clone().with("node_id", id),
            None => query.clone(),
        };
        self.get(&query.on("/v1/client/stats")).await
    }

    pub async fn node_pools(&self, query: &Query) -> Result<Answer<Vec<NodePool>>, Error> {
        self.get(&query.on("/v1/node/pools")).await
    }

    pub async fn node_pool(&self, query: &Query, name: &str) -> Result<Answer<NodePool>, Error> {
        self.get(&query.on(&format!("/v1/node/pool/{}", escape(name)))).await
    }
}
