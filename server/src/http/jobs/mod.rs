//! Routes of jobs.

mod actions;
pub mod admission;
mod annotate;
mod list;
mod overview;
mod parse;
mod placements;
mod plan;
mod read;
mod register;
mod scale;
mod statuses;
mod versions;

use super::table::{Route, route};

pub use list::list_of;
pub use overview::is_child;

const READ: super::caller::Capability = super::caller::Capability::Namespace(&["read-job"]);

pub const ROUTES: &[Route] = &[
    route!(GET, "/v1/jobs", Namespace(&["list-jobs"]), Server, list::list),
    route!(PUT, "/v1/jobs", Namespace(&["submit-job", "register-job"]), Leader, register::register),
    route!(PUT, "/v1/jobs/parse", Namespace(&["parse-job", "submit-job"]), Server, parse::parse),
    route!(GET, "/v1/jobs/overview", Namespace(&["list-jobs"]), Server, overview::get),
    route!(GET_POST, "/v1/jobs/statuses", READ, Server, statuses::statuses),
    route!(PUT, "/v1/validate/job", READ, Server, parse::validate),
    route!(GET, "/v1/job/*job/allocations", READ, Server, read::allocations),
    route!(GET, "/v1/job/*job/evaluations", READ, Server, read::evaluations),
    route!(GET, "/v1/job/*job/deployments", READ, Server, read::deployments),
    route!(GET, "/v1/job/*job/deployment", READ, Server, read::latest_deployment),
    route!(GET, "/v1/job/*job/summary", READ, Server, read::summary),
    route!(GET, "/v1/job/*job/services", READ, Server, read::services),
    route!(GET, "/v1/job/*job/actions", READ, Server, read::actions),
    route!(GET, "/v1/job/*job/submission", READ, Server, versions::submission),
    route!(PUT, "/v1/job/*job/versions/:tag/tag", Namespace(&["submit-job", "tag-job-version"]), Leader, versions::tag),
    route!(
        DELETE,
        "/v1/job/*job/versions/:tag/tag",
        Namespace(&["submit-job", "tag-job-version"]),
        Leader,
        versions::untag
    ),
    route!(GET, "/v1/job/*job/versions", READ, Server, versions::versions),
    route!(GET, "/v1/job/*job/scale", Namespace(&["read-job", "read-job-scaling"]), Server, scale::status),
    route!(PUT, "/v1/job/*job/scale", Namespace(&["scale-job", "submit-job"]), Leader, scale::scale),
    route!(PUT, "/v1/job/*job/evaluate", Namespace(&["submit-job", "evaluate-job"]), Leader, actions::evaluate),
    route!(PUT, "/v1/job/*job/plan", Namespace(&["submit-job", "plan-job"]), Server, plan::plan),
    route!(PUT, "/v1/job/*job/dispatch/payload", Namespace(&["dispatch-job"]), Leader, actions::dispatch_payload),
    route!(PUT, "/v1/job/*job/dispatch", Namespace(&["dispatch-job"]), Leader, actions::dispatch),
    route!(
        PUT,
        "/v1/job/*job/periodic/force",
        Namespace(&["dispatch-job", "submit-job", "force-periodic-job"]),
        Leader,
        actions::periodic_force
    ),
    route!(PUT, "/v1/job/*job/revert", Namespace(&["submit-job", "revert-job"]), Leader, actions::revert),
    route!(PUT, "/v1/job/*job/stable", Namespace(&["submit-job", "stable-job"]), Leader, actions::stable),
    route!(GET, "/v1/job/*job", READ, Server, read::job),
    route!(PUT, "/v1/job/*job", Namespace(&["submit-job", "register-job"]), Leader, register::register_named),
    route!(
        DELETE,
        "/v1/job/*job",
        Namespace(&["submit-job", "deregister-job", "purge-job"]),
        Leader,
        actions::deregister
    ),
];
