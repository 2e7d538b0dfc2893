//! Routes that answer the same always: editions and subsystems that this server does not have.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::context::Context;
use super::error::ApiError;
use super::reply::Outcome;
use super::table::{Route, route};

pub const ROUTES: &[Route] = &[
    route!(ANY, "/v1/sentinel/policies", Open, Agent, enterprise),
    route!(ANY, "/v1/sentinel/policy/*rest", Open, Agent, enterprise),
    route!(ANY, "/v1/quotas", Open, Agent, enterprise),
    route!(ANY, "/v1/quota-usages", Open, Agent, enterprise),
    route!(ANY, "/v1/quota", Open, Agent, enterprise),
    route!(ANY, "/v1/quota/*rest", Open, Agent, enterprise),
    route!(ANY, "/v1/recommendation", Open, Agent, enterprise),
    route!(ANY, "/v1/recommendation/*rest", Open, Agent, enterprise),
    route!(ANY, "/v1/recommendations", Open, Agent, enterprise),
    route!(ANY, "/v1/recommendations/apply", Open, Agent, enterprise),
    route!(ANY, "/v1/operator/utilization", Open, Agent, enterprise),
    route!(ANY, "/v1/acl/*rest", Open, Agent, no_acl),
    route!(GET, "/.well-known/openid-configuration", Open, Agent, no_discovery),
    route!(GET, "/v1/volumes", Namespace(&["csi-list-volume", "host-volume-read"]), Server, volumes),
    route!(GET, "/v1/volumes/claims", Namespace(&["host-volume-read"]), Server, none),
    route!(GET, "/v1/volume/csi/*volume", Namespace(&["csi-read-volume"]), Server, no_volume),
    route!(GET, "/v1/volume/host/*volume", Namespace(&["host-volume-read"]), Server, no_volume),
    route!(GET, "/v1/plugins", Plugin(List), Server, plugins),
    route!(GET, "/v1/plugin/csi/:plugin", Plugin(Read), Server, no_plugin),
];

async fn enterprise(_: Context) -> Outcome {
    Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, "Nomad Enterprise only endpoint"))
}

async fn no_acl(_: Context) -> Outcome {
    Err(ApiError::bad_request("ACL support disabled"))
}

async fn no_discovery(_: Context) -> Outcome {
    Err(ApiError::not_found("OIDC Discovery endpoint disabled"))
}

/// An empty list of what is in no table.
async fn none(cx: Context) -> Outcome {
    let read = cx.read(&[], |_| 1).await?;
    read.json(&json!([]))
}

/// No plugin has ever made a volume here.
async fn volumes(cx: Context) -> Outcome {
    match cx.query.get("type") {
        None | Some("") => cx.plain(&Value::Array(Vec::new())),
        Some("csi" | "host") => none(cx).await,
        Some(_) => Err(ApiError::not_found("resource not found")),
    }
}

async fn plugins(cx: Context) -> Outcome {
    match cx.query.get("type") {
        Some("csi") => none(cx).await,
        None | Some("") => cx.plain(&Value::Array(Vec::new())),
        Some(_) => Err(ApiError::not_found("resource not found")),
    }
}

async fn no_volume(cx: Context) -> Outcome {
    Err(cx.read(&[], |_| 1).await?.missing("volume not found"))
}

async fn no_plugin(cx: Context) -> Outcome {
    Err(cx.read(&[], |_| 1).await?.missing("plugin not found"))
}
