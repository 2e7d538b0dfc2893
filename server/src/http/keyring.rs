//! Root keys, and what others check the signatures of tasks' identities by. Nothing here touches a secret.

use axum::http::{HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use tarpan_api::wire::RootKeyMeta;
use tarpan_model::RootKey;
use tarpan_state::Table;

use super::bind::bind;
use super::context::Context;
use super::error::ApiError;
use super::reply::Outcome;
use crate::watch::Watch;

bind! { Keyring {
    List => list,
    PublicKeys => public_keys,
    Discovery => discovery,
}}

const WATCH: [Watch; 1] = [Watch::Table(Table::RootKeys)];

/// `GET /v1/operator/keyring/keys`
async fn list(cx: Context) -> Outcome {
    let read = cx.read(&WATCH, |s| s.table_index(Table::RootKeys)).await?;
    let mut keys: Vec<_> = read.state.root_keys().map(|key| described(key)).collect();
    keys.sort_by_key(|key| key.create_index);
    read.json(&keys)
}

pub fn described(key: &RootKey) -> RootKeyMeta {
    RootKeyMeta {
        key_id: key.id.to_string(),
        algorithm: "aes256-gcm".to_owned(),
        create_time: key.create_time.0,
        create_index: key.create_index,
        modify_index: key.modify_index,
        state: key.state.to_string(),
        publish_time: 0,
    }
}

/// A key of a JSON web key set (RFC 7517); `n` and `e` are big-endian numbers in base64.
#[derive(Serialize)]
struct PublicKey {
    #[serde(rename = "use")]
    used_for: &'static str,
    kty: &'static str,
    kid: String,
    alg: &'static str,
    n: String,
    e: String,
}

#[derive(Serialize)]
struct KeySet {
    keys: Vec<PublicKey>,
}

/// How long others may keep the set, in seconds. Nothing rotates keys by itself; what an operator does is seen after this.
///
/// Source: `reference/semantics.md` 13.2, the least time that the field says.
const MAX_AGE: u64 = 15 * 60;

/// `GET /.well-known/jwks.json`
async fn public_keys(cx: Context) -> Outcome {
    let read = cx.read(&WATCH, |s| s.table_index(Table::RootKeys)).await?;
    let mut rows: Vec<_> = read.state.root_keys().collect();
    rows.sort_by_key(|key| key.create_index);
    let public = |key: &&std::sync::Arc<RootKey>| PublicKey {
        used_for: "sig",
        kty: "RSA",
        kid: key.id.to_string(),
        alg: "RS256",
        n: URL_SAFE_NO_PAD.encode(&key.public.modulus.0),
        e: URL_SAFE_NO_PAD.encode(&key.public.exponent.0),
    };
    let mut response = read.json(&KeySet { keys: rows.iter().map(public).collect() })?;
    let age = HeaderValue::from_str(&format!("max-age={MAX_AGE}")).expect("a number is a header");
    response.headers_mut().insert(header::CACHE_CONTROL, age);
    Ok(response)
}

/// `GET /.well-known/openid-configuration`: no issuer can be configured yet.
async fn discovery(_: Context) -> Outcome {
    Err(ApiError::not_found("OIDC Discovery endpoint disabled"))
}
