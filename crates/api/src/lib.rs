//! What `/v1` says: shapes, requests, errors, the route table, and the typed client over a [`Transport`].
//!
//! Pure: transports live elsewhere (in-process in `server`, fetch in `app`, HTTP in `cli` and `end2end`). Start at [`Client`].

pub mod client;
pub mod convert;
pub mod routes;
pub mod timestamp;
pub mod transport;
pub mod wire;

pub use client::{Answer, Call, Client, Query, calls};
/// The release of the field's API that is spoken.
pub const API_VERSION: &str = "2.0.6";

pub use timestamp::{Timestamp, ZonedTime};
pub use transport::{ByteStream, Error, Fut, Transport};

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Reads `null` as the default value: lists and texts may be null on the wire.
pub(crate) fn null_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Writes an empty list as `null`, as Go writes one that was never filled.
pub(crate) fn null_list<T: Serialize, S: Serializer>(list: &[T], s: S) -> Result<S::Ok, S::Error> {
    if list.is_empty() { s.serialize_none() } else { list.serialize(s) }
}

/// Writes an empty map as `null`.
pub(crate) fn null_map<K: Serialize, V: Serialize, S: Serializer>(
    map: &BTreeMap<K, V>,
    s: S,
) -> Result<S::Ok, S::Error> {
    if map.is_empty() { s.serialize_none() } else { map.serialize(s) }
}
