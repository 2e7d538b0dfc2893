//! CSI: volumes and their plugins. None are kept in tables yet.

use serde_json::{Value, json};

use super::bind::bind;
use super::context::Context;
use super::error::ApiError;
use super::reply::Outcome;

bind! { Csi {
    Volume => volume,
    Plugins => plugins,
    Plugin => plugin,
}}

/// `GET /v1/volumes?type=csi`
pub async fn volumes(cx: Context) -> Outcome {
    none(cx).await
}

async fn none(cx: Context) -> Outcome {
    let read = cx.read(&[], |_| 1).await?;
    read.json(&json!([]))
}

async fn plugins(cx: Context) -> Outcome {
    match cx.query.get("type") {
        Some("csi") => none(cx).await,
        None | Some("") => cx.plain(&Value::Array(Vec::new())),
        Some(_) => Err(ApiError::not_found("resource not found")),
    }
}

async fn volume(cx: Context) -> Outcome {
    Err(cx.read(&[], |_| 1).await?.missing("volume not found"))
}

async fn plugin(cx: Context) -> Outcome {
    Err(cx.read(&[], |_| 1).await?.missing("plugin not found"))
}
