//! The overview: how the deployment goes, why something is not running, groups, recent allocations, facts.

use std::collections::BTreeMap;

use leptos::prelude::*;
use tarpan_api::wire::{AllocListStub, Deployment, DeploymentState};
use tarpan_api::{Query, calls};

use super::{JobData, blocked_eval, children, needs_promotion};
use crate::digits::thousands;
use crate::format::{Ago, mib, short, span};
use crate::lang::{Texts, fill, t};
use crate::pages::actions::{self, unbase64};
use crate::pages::tables::{AllocTable, Columns, instance, stub_badge};
use crate::parts::dialog::AskButton;
use crate::parts::pager::{self, Pager};
use crate::parts::{Square, fact, note, panel, shape, squares};
use crate::past::{Live, UseCharts};
use crate::paths;
use crate::shapes::{Group, Job, Task};
use crate::status::{Badge, Kind, alloc_badge};
use crate::usage::{self, SAMPLES, Usage};

#[component]
pub fn Overview(data: JobData) -> impl IntoView {
    let texts = t();
    let parent = Memo::new(move |_| data.job.with(Job::is_parent));
    let active = Memo::new(move |_| {
        data.deployments.with(|all| {
            all.iter()
                .filter(|d| matches!(d.status.as_str(), "running" | "paused" | "pending"))
                .max_by_key(|d| d.create_index)
                .cloned()
        })
    });
    let recent = Memo::new(move |_| data.allocs.with(|a| a.iter().take(12).cloned().collect::<Vec<_>>()));
    let all = move || data.job.with(|j| paths::job_tab(&j.namespace, &j.id, "allocations"));
    view! {
        <div class="pad two">
            <div class="stack stack-4">
                {move || why_not_running(data)}
                {move || active.get().map(|d| deployment(texts, data, &d))}
                {move || parent.get().then(|| view! { <children::Newest data=data/> })}
                <Groups data=data/>
                {move || (!parent.get()).then(|| panel(
                    texts.allocations,
                    view! { <span class="t3">{move || thousands(data.totals.get().allocs as i64)}</span> },
                    view! { <a class="link t12" href=all>{texts.all}</a> },
                    view! {
                        <AllocTable allocs=recent columns=Columns { client: true, job: false }/>
                        {move || recent.with(Vec::is_empty).then(|| view! { <p class="t2 body">{texts.no_allocations}</p> })}
                    },
                ))}
            </div>
            <aside class="side stack stack-4" aria-label=texts.about><About data=data/><Use data=data/><TimeLine data=data/></aside>
        </div>
    }
}

/// What could not be placed, and why, with the way to the evaluation.
pub fn why_not_running(data: JobData) -> Option<AnyView> {
    let texts = t();
    let blocked = data.evals.with(|e| blocked_eval(e).cloned())?;
    let groups = blocked.failed_tg_allocs.iter().map(|(group, metric)| {
        let waiting = metric.coalesced_failures + 1;
        let reasons = metric.sentences().into_iter().map(|s| view! { <li>{s}</li> }).collect_view();
        view! { <p><strong>{fill(texts.group_cant_be_placed, &[group, &waiting.to_string()])}</strong></p><ul class="lines">{reasons}</ul> }
    });
    let content = view! {
        <h2>{texts.why_not_running}</h2>
        {groups.collect_view()}
        <p class="t12 t2">{texts.tried_again_by_itself}" "<a class="link" href=paths::eval(&blocked.id)>{texts.all_checks}</a></p>
    };
    Some(note("warn", Kind::Blocked, content))
}

/// The steps of a deployment and where it is: text, detail, state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Done,
    Now,
    Next,
}

/// The numbers of a deployment, summed over its groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub canaries: i64,
    pub desired_canaries: i64,
    pub placed: i64,
    pub healthy: i64,
    pub unhealthy: i64,
    pub desired: i64,
    pub needs_promotion: bool,
}

impl Progress {
    pub fn of<'a>(groups: impl Iterator<Item = &'a DeploymentState>) -> Progress {
        groups.fold(Progress::default(), |p, g| Progress {
            canaries: p.canaries + g.placed_canaries.len() as i64,
            desired_canaries: p.desired_canaries + g.desired_canaries,
            placed: p.placed + g.placed_allocs,
            healthy: p.healthy + g.healthy_allocs,
            unhealthy: p.unhealthy + g.unhealthy_allocs,
            desired: p.desired + g.desired_total,
            needs_promotion: p.needs_promotion || needs_promotion(g),
        })
    }

    /// Name, detail and state of each step.
    pub fn steps(&self, t: &Texts) -> Vec<(&'static str, String, Step)> {
        let n_of = |n: i64, m: i64| fill(t.n_of_m, &[&n.to_string(), &m.to_string()]);
        let mut all = Vec::new();
        if self.desired_canaries > 0 {
            all.push((
                t.place_canaries,
                n_of(self.canaries, self.desired_canaries),
                self.canaries >= self.desired_canaries,
            ));
            all.push((
                t.healthy_step,
                n_of(self.healthy.min(self.desired_canaries), self.desired_canaries),
                self.healthy >= self.desired_canaries,
            ));
            all.push((
                t.promote,
                if self.needs_promotion { t.waiting_for_you } else { t.done }.to_owned(),
                !self.needs_promotion,
            ));
        } else {
            all.push((t.place, n_of(self.placed, self.desired), self.placed >= self.desired));
        }
        all.push((
            t.roll_out,
            fill(t.n_of_m_healthy, &[&self.healthy.to_string(), &self.desired.to_string()]),
            self.healthy >= self.desired,
        ));
        all.push((t.done, String::new(), false));
        let first_open = all.iter().position(|(_, _, done)| !done).unwrap_or(all.len());
        let step = |i: usize| match i.cmp(&first_open) {
            std::cmp::Ordering::Less => Step::Done,
            std::cmp::Ordering::Equal => Step::Now,
            std::cmp::Ordering::Greater => Step::Next,
        };
        all.into_iter().enumerate().map(|(i, (name, detail, _))| (name, detail, step(i))).collect()
    }
}

/// The panel of a deployment that is under way.
pub fn deployment(texts: &'static Texts, data: JobData, deployment: &Deployment) -> AnyView {
    let progress = Progress::of(deployment.task_groups.values());
    let steps = progress.steps(texts).into_iter().map(|(name, detail, step)| {
        let (class, kind) = match step {
            Step::Done => ("done", None),
            Step::Now => ("now", Some(Kind::Canary)),
            Step::Next => ("next", Some(Kind::Stopped)),
        };
        let mark = match kind {
            Some(kind) => shape(kind),
            None => view! { <svg class="shape c-running" aria-hidden="true"><use href=Kind::Complete.shape()></use></svg> }.into_any(),
        };
        view! { <li class=class aria-current=(step == Step::Now).then_some("step")>{mark}<span><b>{name}</b><span class="t3 t12">{detail}</span></span></li> }
    });
    let by_version = squares_by_version(texts, data, deployment);
    let id = deployment.id.clone();
    let (fail_id, pause_id) = (id.clone(), id.clone());
    let paused = deployment.status == "paused";
    let promote = progress.needs_promotion.then(|| {
        let healthy = progress.healthy >= progress.desired_canaries;
        let text = if healthy { fill(texts.canaries_are_healthy, &[&progress.desired_canaries.to_string()]) } else { texts.canaries_not_yet.to_owned() };
        let ask = move |()| actions::promote(id.clone());
        note("canary", Kind::Canary, view! {
            <span>{text}</span>
            <div class="row wrap"><AskButton label=texts.promote.to_owned() icon_name="check" class="primary" ask=ask/></div>
        })
    });
    let buttons = view! {
        <div class="row wrap">
            <AskButton label=if paused { texts.resume } else { texts.pause }.to_owned() icon_name=if paused { "play" } else { "pause" }
                ask=move |()| actions::pause_deployment(pause_id.clone(), !paused)/>
            <AskButton label=texts.fail_e.to_owned() icon_name="restart" class="danger" ask=move |()| actions::fail_deployment(fail_id.clone())/>
        </div>
    };
    view! {
        <section class="panel deploy" aria-label=texts.deployment>
            <header>
                <h2>{fill(texts.deployment_of, &[&deployment.job_version.to_string()])}</h2>
                <span class="mono t3">{short(&deployment.id)}</span>
                <span class="end t12 t2">{deployment.status_description.clone()}</span>
            </header>
            <div class="body stack stack-4">
                <ol class="steps">{steps.collect_view()}</ol>
                <div class="stack stack-3">{by_version}</div>
                {promote}
                {buttons}
            </div>
        </section>
    }
    .into_any()
}

/// One row of squares a version: the new one with what is still to place, then the older ones that still run.
fn squares_by_version(texts: &'static Texts, data: JobData, deployment: &Deployment) -> AnyView {
    let desired: i64 = deployment.task_groups.values().map(|g| g.desired_total.max(g.desired_canaries)).sum();
    let mut versions: BTreeMap<u64, Vec<AllocListStub>> = BTreeMap::new();
    versions.entry(deployment.job_version).or_default();
    data.allocs.with(|all| {
        for alloc in all.iter().filter(|a| {
            matches!(a.client_status.as_str(), "running" | "pending")
                || (a.job_version == deployment.job_version && a.desired_status == "run")
        }) {
            versions.entry(alloc.job_version).or_default().push(alloc.clone());
        }
    });
    let rows = versions.into_iter().rev().map(|(version, allocs)| {
        let new = version == deployment.job_version;
        let waiting = if new { (desired - allocs.len() as i64).max(0) as u64 } else { 0 };
        let running = allocs.iter().filter(|a| a.client_status == "running").count();
        let of = if new { desired as usize } else { allocs.len() };
        view! {
            <div class="sq-row">
                <span class="row between"><span>{format!("{} {version}", texts.version)}</span>
                    <span class="t12 t2">{fill(texts.n_of_m, &[&running.to_string(), &of.to_string()])}</span></span>
                {squares(alloc_squares(texts, &allocs), waiting, true)}
            </div>
        }
    });
    rows.collect_view().into_any()
}

/// Allocations as squares, by name.
pub fn alloc_squares(texts: &Texts, allocs: &[AllocListStub]) -> Vec<Square> {
    let mut allocs: Vec<_> = allocs.iter().collect();
    allocs.sort_by(|a, b| a.name.cmp(&b.name));
    let square = |a: &&AllocListStub| {
        let badge = alloc_badge(texts, &a.desired_status, &a.client_status, a.deployment_status.as_ref());
        Square {
            kind: badge.kind,
            label: format!("{} {}", instance(&a.name), badge.word.to_lowercase()),
            href: paths::alloc(&a.id),
        }
    };
    allocs.iter().map(square).collect()
}

#[component]
fn Groups(data: JobData) -> impl IntoView {
    let texts = t();
    let groups = Memo::new(move |_| data.job.with(|j| j.groups.clone()));
    let (shown, count) = (pager::shown(groups.into()), Signal::derive(move || groups.with(Vec::len)));
    let rows = move || {
        let key = data.job.with(|j| (j.namespace.clone(), j.id.clone(), j.stop || j.is_parent()));
        shown.get().into_iter().map(|group| group_row(texts, data, &key, group)).collect_view()
    };
    let table = view! {
        <table class="table stacked" aria-label=texts.groups>
            <thead><tr>
                <th scope="col">{texts.group}</th><th scope="col">{texts.count}</th><th scope="col">{texts.allocations}</th>
                <th scope="col" class="x4">{texts.tasks}</th><th scope="col" class="num">{texts.each}</th>
                <th scope="col"><span class="vh">{texts.actions}</span></th>
            </tr></thead>
            <tbody>{rows}</tbody>
        </table>
    };
    panel(texts.groups, view! { <span class="t3">{count}</span> }, (), view! { {table}<Pager count=count/> })
}

fn group_row(
    texts: &'static Texts,
    data: JobData,
    key: &(String, String, bool),
    group: Group,
) -> impl IntoView + use<> {
    let name = group.name.clone();
    let current = move || {
        let of: Vec<_> = data.allocs.with(|all| {
            let mine = all.iter().filter(|a| a.task_group == name);
            mine.filter(|a| a.desired_status == "run" || a.client_status == "running").take(400).cloned().collect()
        });
        squares(alloc_squares(texts, &of), 0, false)
    };
    let cpu: i64 = group.tasks.iter().map(|t| t.resources.cpu).sum();
    let memory: i64 = group.tasks.iter().map(|t| t.resources.memory_mb).sum();
    let tasks = tasks_line(&group.tasks);
    let (namespace, id, fixed) = key.clone();
    let scale = |count: i64, icon_name: &'static str, label: String| {
        let (namespace, id, group) = (namespace.clone(), id.clone(), group.name.clone());
        view! { <AskButton label=label icon_name=icon_name class="icon ghost small" ask=move |()| actions::scale(namespace.clone(), id.clone(), group.clone(), count)/> }
    };
    let controls = (!fixed).then(|| {
        view! {
            <span class="row row-1 end-r">
                {(group.count > 0).then(|| scale(group.count - 1, "minus", fill(texts.one_less, &[&group.name])))}
                {scale(group.count + 1, "plus", fill(texts.one_more, &[&group.name]))}
            </span>
        }
    });
    view! {
        <tr>
            <td class="m1"><span class="name">{group.name.clone()}</span></td>
            <td class="mr">{group.count}</td>
            <td class="m2">{current}</td>
            <td class="t2 x4">{tasks}</td>
            <td class="num t2">{format!("{} MHz · {}", thousands(cpu), mib(memory))}</td>
            <td class="num">{controls}</td>
        </tr>
    }
}

/// Tasks of a group that its line names.
const MOST_NAMED: usize = 20;

/// The tasks with their drivers; of very many the first, and how many there are beyond.
fn tasks_line(tasks: &[Task]) -> String {
    let named = tasks.iter().take(MOST_NAMED).map(|t| format!("{} ({})", t.name, t.driver));
    let beyond = tasks.len().saturating_sub(MOST_NAMED);
    let beyond = (beyond > 0).then(|| format!("+{}", thousands(beyond as i64)));
    named.chain(beyond).collect::<Vec<_>>().join(", ")
}

/// More allocations than this are not asked what they use.
const MOST_SAMPLED: usize = 40;
const SAMPLE_MS: i32 = 3_000;
/// From this age on there is a past worth a chart.
const RIPE_NS: i64 = 3 * 60 * 1_000_000_000;

/// What the running allocations use together, of what they were given.
#[component]
fn Use(data: JobData) -> impl IntoView {
    let running = Memo::new(move |_| {
        let of = |all: &Vec<AllocListStub>| {
            all.iter().filter(|a| a.client_status == "running").map(|a| ((), a.id.clone())).collect::<Vec<_>>()
        };
        data.allocs.with(of)
    });
    let few = move || (1..=MOST_SAMPLED).contains(&running.with(Vec::len));
    let usage = usage::poll(Signal::derive(move || if few() { running.get() } else { Vec::new() }), SAMPLE_MS);
    let series = move |get: fn(&Usage) -> &Vec<f64>| {
        Signal::derive(move || usage.with(|u| usage::of(u, &()).map(|u| get(u).clone()).unwrap_or_default()))
    };
    let (cpu, memory) = (series(|u| &u.cpu), series(|u| &u.memory));
    let given = Memo::new(move |_| {
        let counts = data.allocs.with(|all| {
            let mut counts = BTreeMap::<String, i64>::new();
            all.iter()
                .filter(|a| a.client_status == "running")
                .for_each(|a| *counts.entry(a.task_group.clone()).or_default() += 1);
            counts
        });
        data.job.with(|job| {
            let tasks =
                job.groups.iter().flat_map(|g| g.tasks.iter().map(|t| (counts.get(&g.name).copied().unwrap_or(0), t)));
            tasks.fold((0, 0), |(c, m), (n, t)| (c + n * t.resources.cpu, m + n * t.resources.memory_mb))
        })
    });
    let live = Live { cpu, memory, span: i64::from(SAMPLE_MS) / 1000 * SAMPLES as i64 };
    let limit = Signal::derive(move || (given.get().0 as f64, given.get().1 as f64));
    let ripe = Signal::derive(move || {
        let began = data.allocs.with(|all| all.iter().map(|a| a.create_time).min());
        began.is_some_and(|at| crate::dom::now_ns() - at > RIPE_NS)
    });
    let past = move |span| {
        let ids = running.get_untracked();
        ids.iter().map(|(_, id)| calls::allocation_history(&Query::new(), id, span).part()).collect::<Vec<_>>()
    };
    move || few().then(|| view! { <UseCharts live=live limit=limit ripe=ripe class="body stack stack-3" calls=past/> })
}

/// What a dispatched job was given: the text, or base64 of what is none.
fn payload_of(job: &Job) -> Option<String> {
    let text = || String::from_utf8(unbase64(&job.payload)?).ok();
    (!job.payload.is_empty()).then(|| text().unwrap_or_else(|| job.payload.clone()))
}

#[component]
fn About(data: JobData) -> impl IntoView {
    let texts = t();
    let facts = move || {
        data.job.with(|job| {
            let update = job.groups.iter().find_map(|g| g.update.as_ref()).filter(|_| job.type_ == "service");
            let update = update.map(|u| fact(texts.update, fill(texts.update_says, &[&u.max_parallel.to_string(), &u.canary.to_string(), &span(u.min_healthy_time / 1_000_000_000)])));
            let periodic = job.periodic.as_ref().filter(|p| p.enabled).map(|p| {
                let spec = if p.specs.is_empty() { p.spec.clone() } else { p.specs.join("; ") };
                let zone = if p.time_zone.is_empty() { "UTC".to_owned() } else { p.time_zone.clone() };
                view! { {fact(texts.schedule, view! { <span class="mono">{spec}</span> })}{fact(texts.time_zone, zone)}{fact(texts.overlap, if p.prohibit_overlap { texts.not_permitted } else { texts.permitted })} }
            });
            let parameters = job.parameterized.as_ref().filter(|_| job.is_parameterized()).map(|p| {
                view! {
                    {fact(texts.payload, p.payload.clone())}
                    {(!p.meta_required.is_empty()).then(|| fact(texts.meta_required, p.meta_required.join(", ")))}
                    {(!p.meta_optional.is_empty()).then(|| fact(texts.meta_optional, p.meta_optional.join(", ")))}
                }
            });
            let payload = payload_of(job).map(|text| fact(texts.payload, view! { <pre class="code">{text}</pre> }));
            let meta = job.meta.iter().map(|(k, v)| view! { <dt class="mono">{k.clone()}</dt><dd class="mono">{v.clone()}</dd> }).collect_view();
            view! {
                <dl class="facts">
                    {fact(texts.kind, job.type_.clone())}
                    {fact(texts.priority, job.priority)}
                    {fact(texts.namespace, job.namespace.clone())}
                    {fact(texts.node_pool, job.node_pool.clone())}
                    {fact(texts.datacenters, job.datacenters.join(", "))}
                    {fact(texts.submitted, view! { <Ago at=job.submit_time/> })}
                    {periodic}{parameters}{update}{meta}{payload}
                </dl>
            }
        })
    };
    panel(texts.about, (), (), view! { <div class="body">{facts}</div> })
}

/// What happened to the job lately: versions, deployments, allocations.
#[component]
fn TimeLine(data: JobData) -> impl IntoView {
    let texts = t();
    let items = move || {
        let mut items: Vec<(i64, Kind, String, String)> = Vec::new();
        data.job.with(|j| {
            items.push((
                j.submit_time,
                Kind::Accent,
                fill(texts.version_submitted, &[&j.version.to_string()]),
                String::new(),
            ))
        });
        data.deployments.with(|all| {
            for d in all.iter().filter(|d| d.modify_time > 0) {
                let Badge { kind, word, .. } = crate::status::deployment_badge(texts, &d.status, false);
                items.push((
                    d.modify_time,
                    kind,
                    format!("{} · {word}", fill(texts.deployment_of, &[&d.job_version.to_string()])),
                    d.status_description.clone(),
                ));
            }
        });
        data.allocs.with(|all| {
            for a in all.iter().take(8) {
                let Badge { kind, word, .. } = stub_badge(texts, a);
                items.push((a.modify_time, kind, format!("{} · {word}", instance(&a.name)), a.node_name.clone()));
            }
        });
        items.sort_by_key(|i| std::cmp::Reverse(i.0));
        let line = |(at, kind, text, who): (i64, Kind, String, String)| {
            view! { <li><crate::format::At at=at/>{shape(kind)}<span>{text}<br/><span class="who">{who}</span></span></li> }
        };
        items.into_iter().take(8).map(line).collect_view()
    };
    panel(texts.time_line, (), (), view! { <div class="body"><ol class="trace">{items}</ol></div> })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::texts_of;
    use crate::prefs::Lang;

    #[test]
    fn payloads_are_shown_as_they_were_given() {
        let with = |payload: &str| payload_of(&Job { payload: payload.to_owned(), ..Job::default() });
        assert_eq!(with(""), None);
        assert_eq!(with("aGkgw6kK").as_deref(), Some("hi é\n"));
        assert_eq!(with("/wA=").as_deref(), Some("/wA="), "no text");
    }

    #[test]
    fn steps_of_a_deployment() {
        let t = texts_of(Lang::En);
        let said = |p: Progress| p.steps(t).into_iter().map(|(n, d, s)| format!("{n} {d} {s:?}")).collect::<Vec<_>>();
        let plain = Progress { placed: 2, healthy: 1, desired: 2, ..Default::default() };
        assert_eq!(said(plain), ["Place 2 of 2 Done", "Roll out 1 of 2 healthy Now", "Done  Next"]);
        let canary = Progress {
            canaries: 2,
            desired_canaries: 2,
            placed: 2,
            healthy: 2,
            desired: 6,
            needs_promotion: true,
            ..Default::default()
        };
        assert_eq!(
            said(canary),
            [
                "Place canaries 2 of 2 Done",
                "Healthy 2 of 2 Done",
                "Promote waiting for you Now",
                "Roll out 2 of 6 healthy Next",
                "Done  Next"
            ]
        );
    }
}
