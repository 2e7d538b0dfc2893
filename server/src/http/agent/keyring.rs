//! The keys of gossip, on every server: each is asked, over RPC, and what it says is put together.

use std::collections::BTreeMap;

use axum::body::to_bytes;
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use bytes::Bytes;
use tarpan_api::wire::{KeyringRequest, KeyringResponse};

use super::super::context::Context;
use super::super::elsewhere;
use super::super::error::ApiError;
use super::super::reply::Outcome;
use crate::gossip::KeyChange;
use crate::options::{MemberInfo, MemberStatus};

/// Set on what one server asks each of the others: it acts alone.
const HERE: HeaderName = HeaderName::from_static("tarpan-keyring-here");
/// What another server says fits in this.
const MOST: usize = 1 << 20;

/// `/v1/agent/keyring/list`: by key, how many servers have it.
pub(super) async fn list(cx: Context) -> Outcome {
    everywhere(cx, None).await
}

/// `/v1/agent/keyring/install`: what is sealed with the key is taken.
pub(super) async fn install(cx: Context) -> Outcome {
    everywhere(cx, Some(KeyChange::Install)).await
}

/// `/v1/agent/keyring/use`: what is sent is sealed with the key.
pub(super) async fn use_key(cx: Context) -> Outcome {
    everywhere(cx, Some(KeyChange::Use)).await
}

/// `/v1/agent/keyring/remove`: what is sealed with the key is refused.
pub(super) async fn remove(cx: Context) -> Outcome {
    everywhere(cx, Some(KeyChange::Remove)).await
}

/// Here, and on every other server that answers: gossip has no regions.
async fn everywhere(cx: Context, change: Option<KeyChange>) -> Outcome {
    let key = match change {
        None => String::new(),
        Some(_) => cx.decode::<KeyringRequest>()?.key,
    };
    let here = here(&cx, change, &key).await;
    if cx.parts.headers.contains_key(HERE) {
        return cx.plain(&here.map_err(ApiError::internal)?);
    }
    let me = cx.server.options();
    let name = format!("{}.{}", me.name, me.region);
    let others: Vec<MemberInfo> =
        cx.server.members().into_iter().filter(|m| !m.me && m.status == MemberStatus::Alive).collect();
    let asked = others.iter().map(|other| ask(&cx, other));
    let answers = futures::future::join_all(asked).await;
    let names = others.iter().map(|m| format!("{}.{}", m.name, m.region));
    let mut all = KeyringResponse::default();
    for (name, answer) in [(name, here)].into_iter().chain(names.zip(answers)) {
        all.num_nodes += 1;
        match answer {
            Ok(one) => one.keys.into_iter().for_each(|(key, n)| *all.keys.entry(key).or_default() += n),
            Err(why) => _ = all.messages.insert(name, why),
        }
    }
    // Half done is not done: it is said who did not.
    if all.messages.len() as u64 == all.num_nodes {
        return Err(ApiError::internal(all.messages.into_values().next().unwrap_or_default()));
    }
    cx.plain(&all)
}

/// What this server alone says.
async fn here(cx: &Context, change: Option<KeyChange>, key: &str) -> Result<KeyringResponse, String> {
    if let Some(change) = change {
        cx.server.change_gossip_key(change, key).await?;
    }
    let keys = cx.server.gossip_keys().await;
    if keys.is_empty() {
        return Err("gossip is not encrypted here: `server.encrypt` is not set".to_owned());
    }
    let keys: BTreeMap<String, u64> = keys.into_iter().map(|key| (key, 1)).collect();
    Ok(KeyringResponse { keys, num_nodes: 1, ..KeyringResponse::default() })
}

async fn ask(cx: &Context, other: &MemberInfo) -> Result<KeyringResponse, String> {
    let mut parts = cx.parts.clone();
    // Whatever it was asked by: it has a body. It is each server's own question, whichever region was named.
    parts.method = Method::PUT;
    parts.uri = Uri::try_from(parts.uri.path()).map_err(|e| e.to_string())?;
    parts.headers.insert(HERE, HeaderValue::from_static("1"));
    elsewhere::afresh(&mut parts);
    let answer =
        elsewhere::ask(&cx.server, &other.region, &other.rpc_addr, &parts, &cx.body).await.map_err(|e| e.message)?;
    let status = answer.status();
    let body: Bytes = to_bytes(answer.into_body(), MOST).await.map_err(|e| e.to_string())?;
    match status.is_success() {
        true => serde_json::from_slice(&body).map_err(|e| e.to_string()),
        false => Err(String::from_utf8_lossy(&body).trim().to_owned()),
    }
}
