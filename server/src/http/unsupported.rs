//! Routes that answer the same always: editions and subsystems that this server does not have.

use axum::http::StatusCode;

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
}}

async fn enterprise(_: Context) -> Outcome {
    Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, "Nomad Enterprise only endpoint"))
}

async fn no_acl(_: Context) -> Outcome {
    Err(ApiError::bad_request("ACL support disabled"))
}
