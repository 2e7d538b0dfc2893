//! Services of provider `nomad`. One registration is the row itself.

use serde::{Deserialize, Serialize};
pub use tarpan_model::service::ServiceRegistration;
use tarpan_model::wire::Wire;

use crate::null_default;

/// The services of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct NamespaceServices {
    #[serde(rename = "Namespace", deserialize_with = "null_default")]
    pub namespace: String,
    #[serde(rename = "Services", deserialize_with = "null_default")]
    pub services: Vec<ServiceStub>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default)]
pub struct ServiceStub {
    #[serde(rename = "ServiceName", deserialize_with = "null_default")]
    pub service_name: String,
    /// Of all its instances.
    #[serde(rename = "Tags", deserialize_with = "null_default")]
    pub tags: Vec<String>,
}
