//! A root key of the cluster: signs the identities of tasks, and will encrypt what must be readable by servers only.
//!
//! The row carries secrets in sealed form alone; only `server` opens them. What others may know of it is [`RootKey::public`].
//! Shape: a data key (AES-256-GCM) and a signing key (RSA, RS256), each encrypted by a wrapping key of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::KeyId;
use crate::text_enum::text_enum;
use crate::time::UnixNanos;

text_enum!(
    /// What a root key is used for.
    RootKeyState {
        /// Signs and encrypts. One key at most.
        Active = "active",
        /// Only for what it signed or encrypted before.
        Inactive = "inactive",
    }
);

/// One root key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootKey {
    pub id: KeyId,
    pub state: RootKeyState,
    pub create_time: UnixNanos,
    pub public: RsaPublicKey,
    pub wrapped: WrappedKey,
    /// Raft index from which on it was the active one: the signing key of what was placed since.
    #[serde(default)]
    pub active_since: u64,
    #[serde(default)]
    pub create_index: u64,
    #[serde(default)]
    pub modify_index: u64,
}

/// What a signature of the key is checked by: numbers of the RSA key, big-endian and without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RsaPublicKey {
    pub modulus: Bytes,
    pub exponent: Bytes,
}

/// The secrets of a key, encrypted by AES-256-GCM: nonce (12 bytes), text, tag; the key's id is authenticated with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// Who holds the wrapping key. `aead`: it lies beside it, so that a snapshot is enough for a restore.
    pub provider: String,
    pub data_key: Bytes,
    /// The RSA key as PKCS #8.
    pub signing_key: Bytes,
    /// The wrapping key of provider `aead`; empty with others.
    #[serde(default)]
    pub wrapping_key: Bytes,
}

/// Bytes that no log shows.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(#[serde(with = "serde_bytes")] pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}
