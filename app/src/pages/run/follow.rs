//! What came of a run, in the page where it was started: evaluation, deployment, allocations, as they change.

use leptos::prelude::*;
use tarpan_api::calls;
use tarpan_api::wire::{AllocListStub, Deployment, Evaluation};

use crate::format::short;
use crate::lang::{fill, t};
use crate::live::Topic;
use crate::pages::job::overview::{deployment, why_not_running};
use crate::pages::job::{ALLOCS, Counted, DEPLOYMENTS, EVALS, JobData, blocked_eval, job_badge, read_newest};
use crate::pages::tables::{AllocTable, Columns};
use crate::pages::{in_namespace, or_default, read_of};
use crate::parts::loaded::Read;
use crate::parts::{icon, note, pill};
use crate::paths;
use crate::shapes::Job;
use crate::status::Kind;

#[component]
pub fn Follow(namespace: String, id: String, eval: String) -> impl IntoView {
    let texts = t();
    let href = paths::job(&namespace, &id);
    let job_id = Signal::stored(id.clone());
    let key = StoredValue::new((namespace, id));
    let job: Read<Job> = read_of(
        job_id,
        move || key.with_value(|(namespace, id)| calls::job(&in_namespace(namespace), id).part()),
        &[Topic::Job],
    );
    let key = move || key.get_value();
    let allocs: Read<Counted<AllocListStub>> = read_newest(key, ALLOCS, &[Topic::Allocation, Topic::Job]);
    let evals: Read<Counted<Evaluation>> = read_newest(key, EVALS, &[Topic::Evaluation]);
    let deployments: Read<Counted<Deployment>> = read_newest(key, DEPLOYMENTS, &[Topic::Deployment]);
    let content = move || {
        let data = JobData::new(or_default(job), or_default(allocs), or_default(evals), or_default(deployments));
        let newest = move || {
            let version = data.job.with(|j| j.version);
            data.deployments
                .with(|all| all.iter().filter(|d| d.job_version == version).max_by_key(|d| d.create_index).cloned())
        };
        let badge = move || {
            let blocked = data.evals.with(|e| blocked_eval(e).is_some());
            data.job.with(|j| data.allocs.with(|a| data.deployments.with(|d| pill(job_badge(texts, j, a, d, blocked)))))
        };
        let done = move || {
            newest()
                .filter(|d| d.status == "successful")
                .map(|d| note("good", Kind::Complete, fill(texts.version_is_healthy, &[&d.job_version.to_string()])))
        };
        let panel = move || newest().filter(|d| d.status == "running").map(|d| deployment(texts, data, &d));
        let failed =
            move || newest().filter(|d| d.status == "failed").map(|d| note("bad", Kind::Failed, d.status_description));
        view! {
            <div class="row wrap">{badge}</div>
            {move || why_not_running(data)}
            {panel}{done}{failed}
            {move || (!data.allocs.with(Vec::is_empty)).then(|| view! { <section class="panel"><AllocTable allocs=data.allocs columns=Columns { client: true, job: false }/></section> })}
        }
    };
    let eval_link = (!eval.is_empty())
        .then(|| view! { <a class="link mono t12" href=paths::eval(&eval)>{texts.evaluation}" "{short(&eval)}</a> });
    view! {
        <header class="row"><h2>{texts.running_now}</h2>{eval_link}<span class="grow"></span><a class="btn small" href=href>{icon("jobs")}{texts.open_the_job}</a></header>
        <div class="follow stack stack-3" role="status"><Transition fallback=|| ()>{content()}</Transition></div>
    }
}
