//! Routes that answer the same always: editions and subsystems that this server does not have.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::bind::bind;
use super::context::Context;
use super::error::ApiError;
use super::reply::Outcome;

bind! { Unsupported {
    SentinelPolicies => enterprise,
    SentinelPolicy => enterprise,
    Quotas => enterprise,
    QuotaUsages => enterprise,
    NewQuota => enterprise,
    Quota => enterprise,
    NewRecommendation => enterprise,
    Recommendation => enterprise,
    Recommendations => enterprise,
    ApplyRecommendations => enterprise,
    Utilization => enterprise,
    Acl => no_acl,
    Volumes => volumes,
    VolumeClaims => none,
    CsiVolume => no_volume,
    HostVolume => no_volume,
    Plugins => plugins,
    CsiPlugin => no_plugin,
}}

async fn enterprise(_: Context) -> Outcome {
    Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, "Nomad Enterprise only endpoint"))
}

async fn no_acl(_: Context) -> Outcome {
    Err(ApiError::bad_request("ACL support disabled"))
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
