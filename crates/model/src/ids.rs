//! Identifiers. UUIDs are 16 bytes inside and the usual text on the wire; names are shared strings.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            pub const NIL: $name = $name(Uuid::nil());
            pub fn is_nil(&self) -> bool {
                self.0.is_nil()
            }
            /// The first eight hex digits, as people are shown ids.
            pub fn short(&self) -> String {
                self.to_string()[..8].to_owned()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map($name)
            }
        }
        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                $name(id)
            }
        }
    };
}

uuid_id!(
    /// A node: one machine that runs allocations.
    NodeId
);
uuid_id!(
    /// An allocation: one task group placed on one node.
    AllocId
);
uuid_id!(
    /// An evaluation: one request to look at a job again.
    EvalId
);
uuid_id!(
    /// A deployment: the rollout of one job version.
    DeploymentId
);
uuid_id!(
    /// A root key of the cluster.
    KeyId
);
uuid_id!(
    /// A dynamic host volume.
    VolumeId
);
uuid_id!(
    /// What a group with a sticky volume holds of it.
    ClaimId
);

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Arc<str>);

        // Rows share their names: most comparisons in an index end at the pointer.
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                if Arc::ptr_eq(&self.0, &other.0) { std::cmp::Ordering::Equal } else { self.0.cmp(&other.0) }
            }
        }
        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $name {
            pub fn new(text: &str) -> Self {
                $name(Arc::from(text))
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl Default for $name {
            fn default() -> Self {
                $name::new("")
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name::new(text)
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                $name(Arc::from(text))
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name_id!(
    /// A namespace; every user-made object lives in one.
    Namespace
);
name_id!(
    /// A job's id, unique within its namespace.
    JobId
);

/// The key of a job: namespace, then id.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NamespacedId {
    #[serde(rename = "Namespace")]
    pub namespace: Namespace,
    #[serde(rename = "ID")]
    pub id: JobId,
}

impl NamespacedId {
    pub fn new(namespace: impl Into<Namespace>, id: impl Into<JobId>) -> Self {
        NamespacedId { namespace: namespace.into(), id: id.into() }
    }
}

impl fmt::Display for NamespacedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.id)
    }
}

/// Where fresh ids come from: random in the shell, a seeded counter in tests and simulations.
pub trait IdSource {
    fn next_uuid(&mut self) -> Uuid;
}

impl<F: FnMut() -> Uuid> IdSource for F {
    fn next_uuid(&mut self) -> Uuid {
        self()
    }
}

/// Ids 1, 2, 3 … as UUIDs: for tests, where shrinking and reading want small numbers.
#[derive(Clone, Debug, Default)]
pub struct CountingIds(pub u128);

impl IdSource for CountingIds {
    fn next_uuid(&mut self) -> Uuid {
        self.0 += 1;
        Uuid::from_u128(self.0)
    }
}
