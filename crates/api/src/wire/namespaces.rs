//! Namespaces and variables.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{is_default, null_default};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespace {
    #[serde(rename = "Name", deserialize_with = "null_default")]
    pub name: String,
    #[serde(rename = "Description", deserialize_with = "null_default")]
    pub description: String,
    #[serde(rename = "Quota", deserialize_with = "null_default")]
    pub quota: String,
    #[serde(rename = "Capabilities")]
    pub capabilities: Option<NamespaceCapabilities>,
    #[serde(rename = "NodePoolConfiguration")]
    pub node_pools: Option<AllowList>,
    #[serde(rename = "VaultConfiguration")]
    pub vault: Option<AllowList>,
    #[serde(rename = "ConsulConfiguration")]
    pub consul: Option<AllowList>,
    #[serde(rename = "Meta")]
    pub meta: Option<BTreeMap<String, String>>,
    /// Base64.
    #[serde(rename = "Hash")]
    pub hash: Option<String>,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
    #[serde(rename = "RequiredExtraClaims")]
    pub required_extra_claims: Option<BTreeMap<String, String>>,
    #[serde(rename = "OptionalExtraClaims")]
    pub optional_extra_claims: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamespaceCapabilities {
    #[serde(rename = "EnabledTaskDrivers")]
    pub enabled_task_drivers: Option<Vec<String>>,
    #[serde(rename = "DisabledTaskDrivers")]
    pub disabled_task_drivers: Option<Vec<String>>,
    #[serde(rename = "EnabledNetworkModes")]
    pub enabled_network_modes: Option<Vec<String>>,
    #[serde(rename = "DisabledNetworkModes")]
    pub disabled_network_modes: Option<Vec<String>>,
}

/// What a namespace may use of something: the default, and what is allowed or denied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllowList {
    #[serde(rename = "Default", deserialize_with = "null_default")]
    pub default: String,
    #[serde(rename = "Allowed")]
    pub allowed: Option<Vec<String>>,
    #[serde(rename = "Denied")]
    pub denied: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VariableMetadata {
    #[serde(rename = "Namespace", deserialize_with = "null_default")]
    pub namespace: String,
    #[serde(rename = "Path", deserialize_with = "null_default")]
    pub path: String,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "CreateTime", deserialize_with = "null_default")]
    pub create_time: i64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
    #[serde(rename = "ModifyTime", deserialize_with = "null_default")]
    pub modify_time: i64,
    #[serde(rename = "Lock", skip_serializing_if = "is_default")]
    pub lock: Option<VariableLock>,
}

/// A variable with what it holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Variable {
    #[serde(rename = "Namespace", deserialize_with = "null_default")]
    pub namespace: String,
    #[serde(rename = "Path", deserialize_with = "null_default")]
    pub path: String,
    #[serde(rename = "CreateIndex", deserialize_with = "null_default")]
    pub create_index: u64,
    #[serde(rename = "CreateTime", deserialize_with = "null_default")]
    pub create_time: i64,
    #[serde(rename = "ModifyIndex", deserialize_with = "null_default")]
    pub modify_index: u64,
    #[serde(rename = "ModifyTime", deserialize_with = "null_default")]
    pub modify_time: i64,
    #[serde(rename = "Lock", skip_serializing_if = "is_default")]
    pub lock: Option<VariableLock>,
    #[serde(rename = "Items", skip_serializing_if = "is_default")]
    pub items: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VariableLock {
    #[serde(rename = "ID", deserialize_with = "null_default")]
    pub id: String,
    /// Such as `30s`.
    #[serde(rename = "TTL", deserialize_with = "null_default")]
    pub ttl: String,
    #[serde(rename = "LockDelay", deserialize_with = "null_default")]
    pub lock_delay: String,
}
