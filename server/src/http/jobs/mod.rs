//! Routes of jobs.

pub mod action;
mod actions;
pub mod admission;
mod annotate;
pub mod list;
mod overview;
mod parse;
mod placements;
mod plan;
mod read;
mod register;
mod scale;
mod statuses;
mod versions;

use super::bind::bind;

pub use list::list_of;

bind! { Jobs {
    List => list::list,
    Register => register::register,
    Parse => parse::parse,
    Overview => overview::get,
    Statuses => statuses::statuses,
    Validate => parse::validate,
    Allocations => read::allocations,
    Evaluations => read::evaluations,
    Deployments => read::deployments,
    LatestDeployment => read::latest_deployment,
    Summary => read::summary,
    Services => read::services,
    Actions => read::actions,
    Action => action::action,
    Submission => versions::submission,
    Tag => versions::tag,
    Untag => versions::untag,
    Versions => versions::versions,
    ScaleStatus => scale::status,
    Scale => scale::scale,
    Evaluate => actions::evaluate,
    Plan => plan::plan,
    DispatchPayload => actions::dispatch_payload,
    Dispatch => actions::dispatch,
    PeriodicForce => actions::periodic_force,
    Revert => actions::revert,
    Stable => actions::stable,
    Get => read::job,
    RegisterNamed => register::register_named,
    Deregister => actions::deregister,
}}
