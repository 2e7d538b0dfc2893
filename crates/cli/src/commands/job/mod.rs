//! `job …`.

use crate::command::Entry;
use crate::command::Fail;

mod act;
mod action;
mod allocs;
mod deployments;
mod dispatch;
mod eval;
mod history;
mod init;
mod inspect;
mod plan;
mod restart;
mod run;
mod scale;
mod scaling_events;
pub mod status;
pub mod stop;
mod tag;
mod validate;

pub fn table() -> Vec<Entry> {
    vec![
        Entry::of::<act::PeriodicForce>(),
        Entry::of::<act::Promote>(),
        Entry::of::<act::Revert>(),
        Entry::of::<act::Start>(),
        Entry::of::<action::Action>(),
        Entry::of::<allocs::Allocs>(),
        Entry::of::<deployments::Deployments>(),
        Entry::of::<dispatch::Dispatch>(),
        Entry::of::<eval::Eval>(),
        Entry::of::<history::History>(),
        Entry::of::<init::Init>(),
        Entry::of::<inspect::Inspect>(),
        Entry::of::<plan::Plan>(),
        Entry::of::<restart::Restart>(),
        Entry::of::<run::Run>(),
        Entry::of::<scale::Scale>(),
        Entry::of::<scaling_events::ScalingEvents>(),
        Entry::of::<status::JobStatus>(),
        Entry::of::<stop::Stop>(),
        Entry::of::<tag::TagApply>(),
        Entry::of::<tag::TagUnset>(),
        Entry::of::<validate::Validate>(),
    ]
}

/// The only word, or how to say it.
pub fn one<'a>(args: &'a [String], what: &str) -> Result<&'a str, Fail> {
    match args {
        [one] => Ok(one),
        _ => Err(Fail::usage(format!("This command takes one argument: {what}"))),
    }
}

/// The page of a job: `/ui/jobs/web@default`.
pub fn page(id: &str, namespace: &str) -> String {
    format!("/ui/jobs/{}@{namespace}", tarpan_api::client::escape(id))
}
