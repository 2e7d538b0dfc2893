//! A registration of a service of provider `nomad`: where one allocation answers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{AllocId, JobId, Namespace, NodeId};
use crate::wire::Wire;

/// One instance of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct ServiceRegistration {
    /// `_nomad-task-<alloc id>-<task or group-group>-<service>-<port label>`.
    #[serde(rename = "ID")]
    pub id: Arc<str>,
    #[serde(rename = "ServiceName")]
    pub service_name: Arc<str>,
    #[serde(rename = "Namespace")]
    pub namespace: Namespace,
    #[serde(rename = "NodeID")]
    pub node_id: NodeId,
    #[serde(rename = "Datacenter")]
    pub datacenter: Arc<str>,
    #[serde(rename = "JobID")]
    pub job_id: JobId,
    #[serde(rename = "AllocID")]
    pub alloc_id: AllocId,
    #[serde(rename = "Tags")]
    pub tags: Vec<String>,
    #[serde(rename = "Address")]
    pub address: Arc<str>,
    #[serde(rename = "Port")]
    pub port: u16,
    #[serde(rename = "CreateIndex", default)]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", default)]
    pub modify_index: u64,
}
