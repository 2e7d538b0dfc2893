//! Questions about the cluster itself: members, leader, settings, namespaces, search.

use serde_json::json;

use super::{Answer, Client, Query, escape};
use crate::transport::{ByteStream, Error};
use crate::wire::{
    AgentHealth, AgentSelf, FuzzySearchResponse, MetricsSummary, Namespace, RaftConfigurationResponse,
    SchedulerConfigurationResponse, SearchResponse, ServerMembers, Variable, VariableMetadata,
};

impl Client {
    pub async fn members(&self) -> Result<Answer<ServerMembers>, Error> {
        self.get("/v1/agent/members").await
    }

    /// `host:port` of the leader's RPC address.
    pub async fn leader(&self) -> Result<Answer<String>, Error> {
        self.get("/v1/status/leader").await
    }

    pub async fn peers(&self) -> Result<Answer<Vec<String>>, Error> {
        self.get("/v1/status/peers").await
    }

    pub async fn regions(&self) -> Result<Answer<Vec<String>>, Error> {
        self.get("/v1/regions").await
    }

    /// Configuration, membership and statistics of the agent that answers.
    pub async fn agent_self(&self) -> Result<Answer<AgentSelf>, Error> {
        self.get("/v1/agent/self").await
    }

    /// An unhealthy agent answers 500 with the same JSON in the error's message.
    pub async fn agent_health(&self) -> Result<Answer<AgentHealth>, Error> {
        self.get("/v1/agent/health").await
    }

    pub async fn raft_configuration(&self, query: &Query) -> Result<Answer<RaftConfigurationResponse>, Error> {
        self.get(&query.on("/v1/operator/raft/configuration")).await
    }

    pub async fn scheduler_configuration(&self) -> Result<Answer<SchedulerConfigurationResponse>, Error> {
        self.get("/v1/operator/scheduler/configuration").await
    }

    pub async fn metrics(&self) -> Result<Answer<MetricsSummary>, Error> {
        self.get("/v1/metrics").await
    }

    /// Collects what nobody needs any more, now.
    pub async fn system_gc(&self) -> Result<Answer<()>, Error> {
        self.touch("/v1/system/gc").await
    }

    pub async fn namespaces(&self, query: &Query) -> Result<Answer<Vec<Namespace>>, Error> {
        self.get(&query.on("/v1/namespaces")).await
    }

    pub async fn namespace(&self, name: &str) -> Result<Answer<Namespace>, Error> {
        self.get(&format!("/v1/namespace/{}", escape(name))).await
    }

    /// Ids that start with `prefix`. `context` is `jobs`, `allocs`, `nodes`, …, or `all`.
    pub async fn search(&self, query: &Query, prefix: &str, context: &str) -> Result<Answer<SearchResponse>, Error> {
        self.post(&query.on("/v1/search"), &json!({"Prefix": prefix, "Context": context})).await
    }

    /// Names that contain `text`.
    pub async fn search_fuzzy(
        &self,
        query: &Query,
        text: &str,
        context: &str,
    ) -> Result<Answer<FuzzySearchResponse>, Error> {
        self.post(&query.on("/v1/search/fuzzy"), &json!({"Text": text, "Context": context})).await
    }

    /// Changes as JSON lines. `topics` such as `Job:web` or `Allocation`; empty means everything.
    pub async fn events(&self, query: &Query, topics: &[&str], after: u64) -> Result<ByteStream, Error> {
        let mut query = query.clone();
        for topic in topics {
            query = query.with("topic", topic);
        }
        if after > 0 {
            query = query.with("index", after);
        }
        self.stream(&query.on("/v1/event/stream")).await
    }

    pub async fn variables(&self, query: &Query) -> Result<Answer<Vec<VariableMetadata>>, Error> {
        self.get(&query.on("/v1/vars")).await
    }

    pub async fn variable(&self, query: &Query, path: &str) -> Result<Answer<Variable>, Error> {
        self.get(&query.on(&variable_path(path))).await
    }

    /// Writes a variable; `cas` refuses unless its modify index is that one (0: unless there is none).
    pub async fn put_variable(
        &self,
        query: &Query,
        variable: &Variable,
        cas: Option<u64>,
    ) -> Result<Answer<Variable>, Error> {
        let query = match cas {
            Some(index) => query.clone().with("cas", index),
            None => query.clone(),
        };
        self.put(&query.on(&variable_path(&variable.path)), variable).await
    }

    pub async fn delete_variable(&self, query: &Query, path: &str) -> Result<Answer<()>, Error> {
        self.delete(&query.on(&variable_path(path))).await
    }
}

/// Slashes of a variable's path stay slashes.
fn variable_path(path: &str) -> String {
    let segments: Vec<String> = path.split('/').map(escape).collect();
    format!("/v1/var/{}", segments.join("/"))
}
