//! An evaluation: what was decided, and of what could not be placed, why, in words.

use std::collections::BTreeSet;

use leptos::prelude::*;
use tarpan_api::wire::AllocListStub;
use tarpan_api::{Query, calls};
use tarpan_model::metric::{AllocMetric, Shortfall};

use super::clients::percent;
use super::tables::{AllocTable, Columns, newest_first, trigger};
use super::{or_default, read_of, read_when, verdicts};
use crate::format::{Ago, At, Since, short, thousands};
use crate::lang::{Texts, counted, fill, t};
use crate::live::{Topic, live};
use crate::parts::loaded::{Loaded, Read};
use crate::parts::pager::PER_PAGE;
use crate::parts::title::Title;
use crate::parts::{command, crumbs, fact, icon, meter, panel, pill, shape};
use crate::shapes::{Eval, RelatedEval};
use crate::status::{Kind, eval_badge};
use crate::{paths, place};

#[component]
pub fn EvaluationPage() -> impl IntoView {
    let id = place::after("/ui/evaluations/");
    let with_clients = move || calls::evaluation(&Query::new(), &id.get(), true).flag("clients", true).part();
    // It is one evaluation's; what keeps clients out is of all clients.
    let (live, this) = (live(), Signal::derive(move || id.get()));
    let (own, nodes) = (live.follow(&[Topic::Evaluation], Some(this)), live.follow(&[Topic::Node], None));
    let eval: Read<Eval> = read_when(with_clients, Memo::new(move |_| own.get() + nodes.get()));
    let allocs: Read<Vec<AllocListStub>> =
        read_of(this, move || calls::evaluation_allocations(&Query::new(), &id.get()), &[Topic::Allocation]);
    view! {
        <main id="main" class="page page-evaluation">
            <Loaded read=eval view=move |eval| view! { <Shown eval=eval allocs=or_default(allocs)/> }.into_any()/>
        </main>
    }
}

/// What the page's title asks or says.
pub fn question(t: &Texts, eval: &Eval) -> String {
    match eval.status.as_str() {
        "blocked" => fill(t.why_is_x_not_running, &[&eval.job_id]),
        _ if !eval.failed.is_empty() => fill(t.why_is_x_not_all_placed, &[&eval.job_id]),
        _ => fill(t.evaluation_of, &[&eval.job_id]),
    }
}

/// The answer in one sentence, before the evidence.
pub fn answer(t: &Texts, eval: &Eval) -> (String, String) {
    let reasons: Vec<String> =
        eval.failed.values().flat_map(AllocMetric::sentences).collect::<BTreeSet<_>>().into_iter().collect();
    match (eval.status.as_str(), reasons.is_empty()) {
        (_, false) => (t.no_client_can_take_it.to_owned(), format!("{}.", capital(&reasons.join("; ")))),
        ("blocked", true) => (t.waits_for_capacity.to_owned(), String::new()),
        ("pending", _) => (t.not_looked_at_yet.to_owned(), String::new()),
        ("failed", _) => (t.failed.to_owned(), eval.status_description.clone()),
        ("canceled" | "cancelled", _) => (t.canceled.to_owned(), eval.status_description.clone()),
        _ => (t.all_placed.to_owned(), eval.status_description.clone()),
    }
}

/// The text with a large first letter.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[component]
fn Shown(eval: Signal<Eval>, allocs: Signal<Vec<AllocListStub>>) -> impl IntoView {
    let texts = t();
    let allocs = Memo::new(move |_| newest_first(allocs.get()));
    let head = move || {
        eval.with(|e| {
            let job = (paths::job(&e.namespace, &e.job_id), e.job_id.clone());
            let list = (paths::job_tab(&e.namespace, &e.job_id, "evaluations"), texts.evaluations.to_owned());
            let edit = format!(
                "/ui/run?job={}&namespace={}",
                paths::encode(&e.job_id, false),
                paths::encode(&e.namespace, false)
            );
            view! {
                {crumbs(vec![("/ui/jobs".to_owned(), texts.jobs.to_owned()), job, list], short(&e.id))}
                <div class="title">
                    <h1>{question(texts, e)}</h1>
                    {pill(eval_badge(texts, &e.status, !e.failed.is_empty()))}
                    {(e.status == "blocked").then(|| view! { <span class="t2"><Since at=e.create_time/></span> })}
                    <div class="actions"><a class="btn" href=edit>{icon("file")}{texts.edit_the_job}</a></div>
                </div>
            }
        })
    };
    let said = move || {
        eval.with(|e| {
            let (answer, why) = answer(texts, e);
            view! { <p class="answer"><b>{answer}</b>" "{why}</p> }
        })
    };
    let placed = move || {
        (!allocs.with(Vec::is_empty)).then(|| {
            panel(
                texts.placed_by_this,
                view! { <span class="t3">{allocs.with(Vec::len)}</span> },
                (),
                view! { <AllocTable allocs=allocs columns=Columns { job: true, client: true }/> },
            )
        })
    };
    view! {
        <Title text=move || eval.with(|e| question(texts, e))/>
        <div class="page-head">{head}</div>
        <div class="pad stack stack-4">
            {said}
            {move || eval.with(chain)}
            {move || eval.with(|e| e.failed.iter().map(|(group, metric)| checks(e, group, metric)).collect_view())}
            {placed}
            <div class="halves">
                {move || eval.with(related)}
                {move || eval.with(facts)}
            </div>
        </div>
    }
}

/// The way from the trigger to what comes next.
fn chain(eval: &Eval) -> AnyView {
    let texts = t();
    let looked: u64 = eval.failed.values().map(AllocMetric::nodes_looked_at).max().unwrap_or(0);
    let waiting: u64 = eval.failed.values().map(|m| m.coalesced_failures + 1).sum();
    let step = |class: &'static str, kind: Kind, small: AnyView, title: String, text: String| {
        view! { <li class=class>{shape(kind)}<div><span class="t11 t3">{small}</span><b>{title}</b><span class="t12 t2">{text}</span></div></li> }
    };
    let started = step(
        "",
        Kind::Accent,
        view! { <At at=eval.create_time/> }.into_any(),
        capital(&trigger(texts, &eval.triggered_by)),
        eval.status_description.clone(),
    );
    let id = format!("{} {}", texts.evaluation, short(&eval.id));
    let blocked = eval.status == "blocked" || !eval.blocked_eval.is_empty();
    let second = if eval.failed.is_empty() {
        let kind = match eval.status.as_str() {
            "complete" => Kind::Complete,
            "failed" => Kind::Failed,
            _ => Kind::Pending,
        };
        step("", kind, id.into_any(), eval_badge(texts, &eval.status, false).word, String::new())
    } else {
        step(
            "",
            Kind::Complete,
            id.into_any(),
            counted(texts.looked_at_one, texts.looked_at_n, looked),
            fill(texts.n_could_not_be_placed, &[&waiting.to_string()]),
        )
    };
    let rest = blocked.then(|| {
        let link = if eval.blocked_eval.is_empty() { short(&eval.id).into_any() } else { view! { <a class="mono" href=paths::eval(&eval.blocked_eval)>{short(&eval.blocked_eval)}</a> }.into_any() };
        view! {
            {step("here", Kind::Blocked, link, texts.blocked_waits.to_owned(), counted(texts.one_waits, texts.n_wait, waiting))}
            {step("next", Kind::Stopped, texts.next.into_any(), texts.tried_again.to_owned(), texts.tried_again_when.to_owned())}
        }
    });
    view! { <ol class="chain">{started}{second}{rest}</ol> }.into_any()
}

/// A reason that keeps clients out: what, how many, and for resources how near the nearest comes.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    pub what: String,
    pub nodes: u64,
    /// Asked, most free, most in all.
    pub amounts: Option<(i64, i64, i64)>,
}

/// The checks that kept clients out, the commonest first.
pub fn failed_checks(metric: &AllocMetric) -> Vec<Check> {
    let mut all: Vec<Check> = Vec::new();
    let short: BTreeSet<&str> = metric.shortfalls.iter().map(|s| &*s.dimension).collect();
    for Shortfall { dimension, asked, most_free, most_total, nodes } in &metric.shortfalls {
        let amounts = (*asked > 0).then_some((*asked, *most_free, *most_total));
        all.push(Check { what: dimension.to_string(), nodes: *nodes, amounts });
    }
    let named = metric
        .constraint_filtered
        .iter()
        .chain(metric.dimension_exhausted.iter().filter(|(d, _)| !short.contains(&***d)));
    all.extend(named.map(|(what, nodes)| Check { what: what.to_string(), nodes: *nodes, amounts: None }));
    all.sort_by_key(|c| std::cmp::Reverse(c.nodes));
    all
}

/// `MHz` of cpu, `MiB` of memory and disk.
pub fn unit(what: &str) -> &'static str {
    match what {
        "cpu" => "MHz",
        "memory" | "disk" => "MiB",
        _ => "",
    }
}

/// One group's evidence.
fn checks(eval: &Eval, group: &str, metric: &AllocMetric) -> AnyView {
    let texts = t();
    let row = |check: Check| {
        let unit = unit(&check.what);
        let near = check.amounts.map(|(asked, free, total)| {
            let short = (asked - free).max(0);
            view! {
                <td class="num">{thousands(asked)}" "{unit}</td>
                <td class="num">{thousands(free)}" "{unit}</td>
                <td class="num x5">{thousands(total)}" "{unit}</td>
                <td><span class="row">{meter(percent(free, asked).min(81.0), texts.how_near.to_owned(), false)}<span class="t12 t2">{fill(texts.x_short, &[&format!("{} {unit}", thousands(short))])}</span></span></td>
            }
            .into_any()
        });
        let near = near.unwrap_or_else(|| view! { <td class="num t3">"–"</td><td class="num t3">"–"</td><td class="num t3 x5">"–"</td><td class="t3">"–"</td> }.into_any());
        view! {
            <tr>
                <th scope="row">{check.what}</th>
                <td><span class="st c-failed"><svg aria-hidden="true"><use href="#s-failed"></use></svg><span class="t12">{counted(texts.one_client, texts.n_clients, check.nodes)}</span></span></td>
                {near}
            </tr>
        }
    };
    let waiting = metric.coalesced_failures + 1;
    let about = fill(texts.group_n_wait, &[group, &waiting.to_string()]);
    let sentences = metric.sentences().into_iter().map(|s| view! { <li>{capital(&s)}</li> }).collect_view();
    let available = metric.nodes_available.iter().map(|(dc, n)| format!("{dc}: {n}")).collect::<Vec<_>>().join(", ");
    let content = view! {
        <ul class="body lines">{sentences}</ul>
        <div class="table-wrap" tabindex="0" role="region" aria-label=texts.checks><table class="table checks" aria-label=texts.checks>
            <thead><tr>
                <th scope="col">{texts.check}</th><th scope="col">{texts.keeps_out}</th><th scope="col" class="num">{texts.asked}</th>
                <th scope="col" class="num">{texts.most_free}</th><th scope="col" class="num x5">{texts.most_total}</th><th scope="col">{texts.how_near}</th>
            </tr></thead>
            <tbody>{failed_checks(metric).into_iter().map(row).collect_view()}</tbody>
        </table></div>
        {eval.clients.get(group).filter(|all| !all.is_empty()).map(|all| verdicts::table(all))}
        <footer class="row wrap row-4">
            <span>{counted(texts.looked_at_one, texts.looked_at_n, metric.nodes_looked_at())}</span>
            {(!available.is_empty()).then(|| view! { <span>{texts.ready_by_dc}" "{available}</span> })}
            <span class="grow"></span>
            <span class="t3">{texts.index}" "{thousands(eval.snapshot_index as i64)}</span>
        </footer>
    };
    panel(texts.clients_and_checks, view! { <span class="t12 t3">{about}</span> }, (), content)
}

fn related(eval: &Eval) -> AnyView {
    let texts = t();
    let mut all = eval.related.clone();
    all.sort_by_key(|e| e.create_time);
    let line = |e: RelatedEval| {
        let badge = eval_badge(texts, &e.status, false);
        view! {
            <li><span class="n">{shape(badge.kind)}<a class="mono" href=paths::eval(&e.id)>{short(&e.id)}</a>
                <span class="t2 cut">{trigger(texts, &e.triggered_by)}</span><span class="end"><At at=e.create_time/></span></span></li>
        }
    };
    let this = view! {
        <li><span class="n" data-current="true">{shape(eval_badge(texts, &eval.status, false).kind)}<b class="mono">{short(&eval.id)}</b>
            <span class="t2 cut">{texts.this_one}</span><span class="end"><At at=eval.create_time/></span></span></li>
    };
    let count = view! { <span class="t3">{all.len() + 1}</span> };
    panel(
        texts.related_evaluations,
        count,
        (),
        view! { <ul class="tree rel">{this}{all.into_iter().rev().take(PER_PAGE).rev().map(line).collect_view()}</ul> },
    )
}

fn facts(eval: &Eval) -> AnyView {
    let texts = t();
    let queued = eval.queued.iter().map(|(g, n)| format!("{g}: {n}")).collect::<Vec<_>>().join(", ");
    let content = view! {
        <div class="body stack stack-3">
            <dl class="facts">
                {fact(texts.trigger, trigger(texts, &eval.triggered_by))}
                {fact(texts.priority, eval.priority)}
                {fact(texts.created, view! { <Ago at=eval.create_time/> })}
                {fact(texts.scheduler, eval.type_.clone())}
                {(!queued.is_empty()).then(|| fact(texts.queued, queued))}
                {(!eval.node_id.is_empty()).then(|| fact(texts.client, view! { <a class="link mono" href=paths::client(&eval.node_id)>{short(&eval.node_id)}</a> }))}
            </dl>
            {command(format!("tarpan eval status {}", short(&eval.id)))}
        </div>
    };
    panel(texts.about, (), (), content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::texts_of;
    use crate::prefs::Lang;

    #[test]
    fn questions_and_answers() {
        let t = texts_of(Lang::En);
        let metric = AllocMetric {
            nodes_evaluated: 3,
            nodes_exhausted: 3,
            shortfalls: vec![Shortfall {
                dimension: "memory".into(),
                asked: 4096,
                most_free: 3412,
                most_total: 8192,
                nodes: 3,
            }],
            ..Default::default()
        };
        let eval = Eval {
            status: "blocked".into(),
            job_id: "web".into(),
            failed: [("g".to_owned(), metric.clone())].into(),
            ..Default::default()
        };
        assert_eq!(question(t, &eval), "Why is web not running?");
        let (short, why) = answer(t, &eval);
        assert_eq!(short, "No client can take it.");
        assert!(why.contains("3412") || why.contains("3,412"), "{why}");
        assert_eq!(
            failed_checks(&metric),
            [Check { what: "memory".into(), nodes: 3, amounts: Some((4096, 3412, 8192)) }]
        );
        assert_eq!(answer(t, &Eval { status: "complete".into(), ..Default::default() }).0, "Everything was placed.");
        assert_eq!(question(texts_of(Lang::Zh), &eval), "web 为什么没有运行？");
    }
}
