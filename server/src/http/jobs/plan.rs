//! Dry runs: what registering a job would do, decided by the scheduler itself on a copy of the state.

use std::sync::Arc;

use tarpan_api::ZonedTime;
use tarpan_api::convert;
use tarpan_api::wire::{AllocListStub, JobPlanRequest, JobPlanResponse};
use tarpan_control::jobs::admission::succeed;
use tarpan_control::periodic;
use tarpan_model::diff::job_diff;
use tarpan_model::plan::PlanAnnotations;
use tarpan_model::{EvalId, Evaluation, Job, Trigger, UnixNanos};
use tarpan_scheduler::{Cache, Outcome as Scheduled, schedule};
use tarpan_state::command::RegisterJob;
use tarpan_state::{Command, CommandId, Envelope, State, same_spec};

use super::admission::{self, warnings_text};
use super::annotate::annotate;
use super::placements::placements;
use crate::http::context::Context;
use crate::http::error::ApiError;
use crate::http::page::value_of;
use crate::http::reply::Outcome;

/// `PUT /v1/job/:id/plan`
pub async fn plan(cx: Context) -> Outcome {
    let request: JobPlanRequest = cx.decode()?;
    if request.job.as_ref().is_some_and(|job| job.id().is_empty()) {
        return Err(ApiError::bad_request("Job must have a valid ID"));
    }
    let job = admission::address(&cx, request.job)?;
    if job.id() != cx.path.get("job") {
        return Err(ApiError::bad_request("Job ID does not match"));
    }
    let state = cx.server.state();
    let admitted = succeed(&state, &admission::rules(cx.server.options()), job)?;
    let old = state.job(&admitted.job.key()).cloned();
    let now = cx.now();
    let next_periodic_launch = next_launch(&admitted.job, now)?;
    let scheduled = match child_of(&admitted.job, old.as_deref()) {
        None => None,
        Some(job) => Some(dry_run(&cx, &state, job, now).await?),
    };
    let mut response = JobPlanResponse {
        job_modify_index: old.as_ref().and_then(|job| job.job_modify_index).unwrap_or(0),
        next_periodic_launch,
        warnings: warnings_text(&admitted.warnings),
        ..JobPlanResponse::default()
    };
    if let Some(scheduled) = &scheduled {
        describe(&mut response, scheduled, &state);
        response.placements = request.placements.then(|| placements(&state, &scheduled.plan));
    }
    if request.diff {
        let mut diff = job_diff(old.as_deref(), Some(&admitted.job), true);
        if let Some(scheduled) = &scheduled
            && let Some(updates) = annotations(scheduled)
        {
            annotate(&mut diff, updates);
        }
        response.diff = Some(diff);
    }
    cx.written(state.index(), &response)
}

/// What the scheduler is to look at. A job that launches others runs nothing itself: its plan is that of a child as it would be
/// launched, and one that is registered as it is launches nothing for it.
fn child_of(job: &Job, old: Option<&Job>) -> Option<Job> {
    if !job.is_periodic() && !job.is_parameterized() {
        return Some(job.clone());
    }
    match old.is_some_and(|old| !old.stopped() && same_spec(old, job)) {
        true => None,
        false => Some(Job { periodic: None, parameterized_job: None, ..job.clone() }),
    }
}

fn next_launch(job: &Job, now: UnixNanos) -> Result<Option<ZonedTime>, ApiError> {
    let Some(block) = job.periodic.as_ref().filter(|p| p.enabled != Some(false)) else { return Ok(None) };
    let Some(at) = periodic::next_launch(block, now)? else { return Ok(None) };
    Ok(Some(ZonedTime { at, offset: periodic::offset(block, at)? }))
}

/// Registers the job in a copy of the state and lets the scheduler look at it.
async fn dry_run(cx: &Context, state: &Arc<State>, job: Job, now: UnixNanos) -> Result<Scheduled, ApiError> {
    let mut eval = Evaluation::for_job(EvalId(cx.server.new_id()), &job, Trigger::JobRegister, now);
    eval.annotate_plan = true;
    let (state, mut ids) = (state.clone(), cx.ids());
    let command_id = CommandId(cx.server.new_id().as_u128());
    let seed = eval.id.0.as_u64_pair().0;
    let run = move || {
        let mut copy = State::clone(&state);
        let index = copy.index() + 1;
        let register = RegisterJob::of(job, Some(eval.clone()), now);
        copy.apply(index, &[Envelope { id: command_id, command: Command::RegisterJob(Box::new(register)) }]);
        let eval = copy.eval(eval.id).map_or(eval, |stored| Evaluation { annotate_plan: true, ..(**stored).clone() });
        let mut cache = Cache::default();
        schedule(
            tarpan_scheduler::Inputs { state: &copy, now, seed, ids: &mut ids, most: usize::MAX, cache: &mut cache },
            &eval,
        )
    };
    // A look at a large cluster takes milliseconds of a whole core.
    tokio::task::spawn_blocking(run).await.map_err(|e| ApiError::internal(format!("the dry run did not end: {e}")))
}

/// What the plan does to each group.
fn annotations(scheduled: &Scheduled) -> Option<&PlanAnnotations> {
    scheduled.plan.annotations.as_deref().or(scheduled.eval.plan_annotations.as_deref())
}

fn describe(response: &mut JobPlanResponse, scheduled: &Scheduled, state: &State) {
    response.annotations = annotations(scheduled).map(|annotations| {
        let mut wire = convert::plan_annotations(annotations);
        let evicted = scheduled.plan.preemptions.values().flatten().filter_map(|p| state.alloc(p.id));
        wire.preempted = evicted.filter_map(|row| stub(row)).collect();
        wire
    });
    let failed = scheduled.eval.failed_tg_allocs.iter();
    response.failed_tg_allocs = failed.map(|(group, metric)| (group.to_string(), (**metric).clone())).collect();
    let created = scheduled.evals_before.iter().chain(&scheduled.blocked);
    response.created_evals = created.map(convert::evaluation).collect();
}

fn stub(row: &tarpan_model::Allocation) -> Option<AllocListStub> {
    serde_json::from_value(value_of(&convert::alloc_stub(row, convert::StubOptions::default()))).ok()
}
