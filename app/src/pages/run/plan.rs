//! What a run would do: counts, the difference, what could not be placed and why.

use leptos::prelude::*;
use serde_json::Value;
use tarpan_api::wire::{JobPlanResponse, PlannedNode};
use tarpan_model::plan::DesiredUpdates;

use super::{Draft, PLAN_MS, TEMPLATES, Template, key_of};
use crate::context::client;
use crate::dom;
use crate::lang::plan::p;
use crate::lang::{self, counted, fill, t};
use crate::live::{Topic, live};
use crate::pages::clients::percent;
use crate::pages::in_namespace;
use crate::parts::diff::diff_view;
use crate::parts::loaded::sentence;
use crate::parts::{command, icon, meter_two, note, shape};
use crate::status::Kind;

/// What the plan's answer is kept as.
#[derive(Clone, Debug, PartialEq)]
enum Planned {
    Nothing,
    Answer(Box<JobPlanResponse>),
    Failed(String),
}

/// The counts of a plan in words, what matters first.
pub fn summary(t: &lang::plan::Plan, groups: &[DesiredUpdates]) -> Vec<(u64, &'static str)> {
    let sum = |get: fn(&DesiredUpdates) -> u64| groups.iter().map(get).sum::<u64>();
    let all = [
        (sum(|g| g.canary), t.canaries_first),
        (sum(|g| g.place), t.added),
        (sum(|g| g.destructive_update), t.replaced),
        (sum(|g| g.in_place_update), t.changed_in_place),
        (sum(|g| g.migrate), t.moved),
        (sum(|g| g.stop), t.stopped_l),
        (sum(|g| g.preemptions), t.preempted),
        (sum(|g| g.ignore), t.unchanged),
    ];
    all.into_iter().filter(|(n, _)| *n > 0).collect()
}

#[component]
pub fn Plan(draft: Draft) -> impl IntoView {
    let texts = t();
    let own = p();
    let planned = RwSignal::new(Planned::Nothing);
    let changed = live().follow(&[Topic::Node, Topic::Job], None);
    let client = StoredValue::new(client());
    Effect::new(move |_| {
        // A change of the cluster may change what fits.
        changed.track();
        let Some(job) = draft.checked.with(|c| c.job.clone()).filter(|_| draft.fresh.get()) else { return };
        leptos::task::spawn_local(async move {
            dom::sleep_ms(PLAN_MS).await;
            let current =
                move |job: &Value| draft.checked.try_with_untracked(|c| c.job.as_ref() == Some(job)) == Some(true);
            let Some((namespace, id)) = key_of(&job).filter(|_| current(&job)) else { return };
            let answer = client.get_value().plan_json(&in_namespace(&namespace), &id, &job).await;
            if current(&job) {
                planned.set(match answer {
                    Ok(answer) => Planned::Answer(Box::new(answer.value)),
                    Err(error) => Planned::Failed(sentence(&error)),
                });
            }
        });
    });
    let old = move || {
        draft.text.with(|t| !t.trim().is_empty())
            && draft.errors() > 0
            && planned.with(|p| matches!(p, Planned::Answer(_)))
    };
    let body = move || match planned.get() {
        Planned::Nothing if draft.text.with(|t| t.trim().is_empty()) => view! { <Samples draft=draft/> }.into_any(),
        Planned::Nothing => view! { <p class="plan-sum t2">{own.plan_appears_here}</p> }.into_any(),
        Planned::Failed(text) => view! { <div class="plan-sum">{note("bad", Kind::Failed, text)}</div> }.into_any(),
        Planned::Answer(answer) => {
            // Below the editor they stand already, each with its line.
            let told = draft.checked.with(|c| c.problems.iter().any(|p| p.severity == "warning"));
            let warnings = Some(answer.warnings.clone()).filter(|w| !told && !w.is_empty());
            let warnings = warnings.map(|w| view! { <div class="plan-sum">{note("warn", Kind::Degraded, w)}</div> });
            view! { {warnings}{shown(&answer)} }.into_any()
        }
    };
    let as_command = move || {
        draft
            .key()
            .map(|(_, id)| view! { <div class="plan-sum">{command(format!("tarpan job plan {id}.nomad.hcl"))}</div> })
    };
    view! {
        <header class="row"><h2>{texts.plan}</h2><span class="tag">{own.as_you_type}</span></header>
        {move || old().then(|| view! { <div class="plan-sum">{note("warn", Kind::Degraded, own.plan_is_old)}</div> })}
        {body}
        {as_command}
    }
}

/// What to begin with, while there is no text.
#[component]
fn Samples(draft: Draft) -> impl IntoView {
    let own = p();
    let item = move |sample: &'static Template| {
        view! {
            <li><button type="button" class="btn ghost" on:click=move |_| draft.text.set(sample.text.to_owned())>
                {icon("file")}<span class="b">{sample.name}</span><span class="t2 cut">{sample.about()}</span></button></li>
        }
    };
    view! {
        <div class="plan-sum stack stack-2">
            <h3>{own.begin_with}</h3>
            <p class="t2">{own.begin_with_text}</p>
            <ul class="samples">{TEMPLATES.iter().map(item).collect_view()}</ul>
        </div>
    }
}

/// More new allocations of a client than this are a number only.
const MOST_SQUARES: u64 = 12;

fn shown(answer: &JobPlanResponse) -> AnyView {
    let texts = t();
    let own = p();
    let groups: Vec<DesiredUpdates> = answer.annotations.iter().flat_map(|a| a.groups.values().copied()).collect();
    let waiting: u64 = answer.failed_tg_allocs.values().map(|m| m.coalesced_failures + 1).sum();
    let counts = summary(own, &groups).into_iter().map(|(n, word)| view! { <span><b>{n}</b>" "{word}</span> });
    let cant = (waiting > 0).then(|| view! { <span><b class="c-failed">{waiting}</b>" "{own.cant_be_placed}</span> });
    let failures = answer.failed_tg_allocs.iter().map(|(group, metric)| {
        let reasons = metric.sentences().into_iter().map(|s| view! { <li>{crate::pages::eval::capital(&s)}</li> }).collect_view();
        view! {
            <section class="cant">
                <header class="row">{shape(Kind::Blocked)}<h3>{fill(texts.group_cant_be_placed, &[group, &(metric.coalesced_failures + 1).to_string()])}</h3></header>
                <ul class="lines">{reasons}</ul>
            </section>
        }
    });
    let launch = answer.next_periodic_launch;
    let launch =
        launch.map(|launch| view! { <p class="plan-sum">{own.next_launch}" "<crate::format::At at=launch.at.0/></p> });
    let diff = answer.diff.as_ref().map(|d| {
        let title = if answer.job_modify_index == 0 { own.new_job } else { own.changes };
        view! { <section><header class="row between"><h3>{title}</h3></header>{diff_view(d)}</section> }
    });
    view! {
        <div class="plan-sum">{counts.collect_view()}{cant}</div>
        {failures.collect_view()}
        {launch}
        {diff}
        {answer.placements.as_ref().filter(|p| !p.is_empty()).map(|p| placements(p))}
    }
    .into_any()
}

/// Clients shown of those to which something would go.
const MOST_CLIENTS: usize = 12;

/// Where allocations would go: a line a client.
fn placements(nodes: &[PlannedNode]) -> AnyView {
    let texts = t();
    let own = p();
    let row = |node: &PlannedNode| {
        let groups: Vec<String> = node.groups.iter().map(|(group, n)| format!("{group}: {n}")).collect();
        let added = node.groups.values().sum::<u64>();
        let blue = (0..added.min(MOST_SQUARES)).map(|_| view! { <span class="sq"><svg viewBox="0 0 16 16" aria-hidden="true"><use href="#q-new"></use></svg></span> });
        let squares = (added <= MOST_SQUARES)
            .then(|| view! { <span class="squares" aria-hidden="true">{blue.collect_view()}</span> });
        let (before, after) =
            (percent(node.memory_mb_before, node.memory_mb_total), percent(node.memory_mb_after, node.memory_mb_total));
        let says = fill(own.memory_before_after, &[&format!("{before:.0}"), &format!("{after:.0}")]);
        let scores: Vec<String> =
            node.scores.iter().filter(|(_, s)| **s != 0.0).map(|(name, s)| format!("{name} {s:.2}")).collect();
        view! {
            <tr>
                <td><a href=crate::paths::client(&node.node_id)>{node.node_name.clone()}</a>" "<span class="t3">{node.datacenter.clone()}</span></td>
                <td><span class="row">{squares}<span class="t12">{groups.join(", ")}</span></span></td>
                <td><span class="row">{meter_two(after, before, says)}<span class="t12 nw">{format!("{after:.0} %")}</span></span></td>
                <td class="num" title=scores.join(", ")>{format!("{:.2}", node.score)}</td>
            </tr>
        }
    };
    let more = nodes.len().saturating_sub(MOST_CLIENTS) as u64;
    view! {
        <section>
            <header class="row between"><h3>{own.where_it_would_go}</h3></header>
            <table class="table flush place" aria-label=own.where_it_would_go>
                <thead><tr><th scope="col">{texts.client}</th><th scope="col">{texts.allocations}</th><th scope="col">{own.memory_after}</th><th scope="col" class="num">{own.score}</th></tr></thead>
                <tbody>{nodes.iter().take(MOST_CLIENTS).map(row).collect_view()}</tbody>
            </table>
            {(more > 0).then(|| view! { <p class="plan-sum t12">{counted(own.and_one_more_client, own.and_n_more_clients, more)}</p> })}
            <p class="row scorekey t12 t2"><span class="key k-accent" aria-hidden="true"></span>{own.added_by_plan}</p>
        </section>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefs::Lang;

    #[test]
    fn what_would_happen() {
        let groups = [
            DesiredUpdates { place: 2, ignore: 1, ..Default::default() },
            DesiredUpdates { place: 1, stop: 1, ..Default::default() },
        ];
        assert_eq!(summary(lang::plan::Plan::of(Lang::En), &groups), [(3, "added"), (1, "stopped"), (1, "unchanged")]);
    }
}
