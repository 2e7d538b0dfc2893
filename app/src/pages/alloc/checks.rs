//! The checks of an allocation's services: how each went last, what was answered, and the runs before.

use std::collections::BTreeMap;

use leptos::prelude::*;
use tarpan_api::wire::{CheckQueryResult, CheckRun};
use tarpan_api::{Query, calls};

use crate::context::client;
use crate::dom;
use crate::format::Ago;
use crate::lang::agent::a;
use crate::lang::fill;
use crate::parts::{panel, status};
use crate::plain;
use crate::status::{Badge, Kind};

/// Checks run every ten seconds where nothing else is asked for.
const AGAIN_MS: i32 = 3_000;

/// How a check stands. One that only says whether a service is ready does not make it unhealthy.
pub fn badge(check: &CheckQueryResult) -> Badge {
    let words = a();
    let readiness = check.mode == "readiness";
    let badge = match (check.status.as_str(), readiness) {
        ("success", _) => Badge::new(Kind::Running, words.check_passing),
        ("failure", true) => Badge::new(Kind::Degraded, words.check_failing),
        ("failure", false) => Badge::new(Kind::Failed, words.check_failing),
        _ => Badge::new(Kind::Pending, words.check_waiting),
    };
    if readiness { badge.sub(words.check_readiness) } else { badge }
}

/// The panel; nothing while there are no checks, and before the browser asked: what a node says every few seconds is no part of what the
/// server renders.
#[component]
pub fn Checks(alloc: Memo<String>) -> impl IntoView {
    let last = poll(alloc);
    move || {
        last.with(|all| {
            let rows = all.iter().map(row).collect_view();
            (!all.is_empty()).then(|| panel(crate::lang::t().checks, (), (), view! { <ul class="checks">{rows}</ul> }))
        })
    }
}

/// The checks by service and name, asked for while the page shows. A node that does not answer says nothing new.
fn poll(alloc: Memo<String>) -> RwSignal<Vec<CheckQueryResult>> {
    let found = RwSignal::new(Vec::new());
    let client = client();
    Effect::new(move |_| {
        let client = client.clone();
        leptos::task::spawn_local(async move {
            loop {
                let Some(id) = alloc.try_get_untracked() else { return };
                if dom::visible() {
                    let call = calls::allocation_checks(&Query::new(), &id).flag("history", true);
                    if let Ok(answer) = client.call(&call).await
                        && found.try_set(sorted(answer.value.unwrap_or_default())).is_some()
                    {
                        return;
                    }
                }
                dom::sleep_ms(AGAIN_MS).await;
            }
        });
    });
    found
}

fn sorted(checks: BTreeMap<String, CheckQueryResult>) -> Vec<CheckQueryResult> {
    let mut checks: Vec<_> = checks.into_values().collect();
    checks.sort_by(|a, b| (&a.service, &a.check, &a.id).cmp(&(&b.service, &b.check, &b.id)));
    checks
}

fn row(check: &CheckQueryResult) -> AnyView {
    let words = a();
    let code = (check.status_code != 0).then(|| fill(words.answered_code, &[&check.status_code.to_string()]));
    let of = [&check.service, &check.task]
        .into_iter()
        .filter(|s| !s.is_empty())
        .map(|s| plain::name(s))
        .collect::<Vec<_>>()
        .join(" · ");
    view! {
        <li class="stack stack-1">
            <div class="row wrap"><span class="b">{plain::name(&check.check)}</span>{status(badge(check))}<span class="grow"></span>
                <span class="t12 t3"><Ago at=check.timestamp * 1_000_000_000/></span></div>
            <div class="row wrap t12 t2"><span>{of}</span><span>{code}</span></div>
            {bar(&plain::name(&check.check), &check.history)}
            {(!check.output.is_empty()).then(|| view! { <pre class="code output" tabindex="0">{plain::lines(&check.output)}</pre> })}
        </li>
    }
    .into_any()
}

/// One mark a run, oldest first.
fn bar(name: &str, runs: &[CheckRun]) -> Option<AnyView> {
    let failed = runs.iter().filter(|run| run.status != "success").count();
    let label = fill(a().last_runs, &[name, &runs.len().to_string(), &failed.to_string()]);
    let mark = |run: &CheckRun| {
        let kind = if run.status == "success" { Kind::Running } else { Kind::Failed };
        let output = run.output.lines().next().unwrap_or_default();
        view! { <svg class=format!("shape c-{}", kind.class()) aria-hidden="true"><title>{plain::name(output)}</title><use href=kind.shape()></use></svg> }
    };
    (runs.len() > 1).then(|| view! { <div class="row row-1 runs" role="img" aria-label=label>{runs.iter().map(mark).collect_view()}</div> }.into_any())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_is_not_ready_is_no_failure() {
        let check = |status: &str, mode: &str| {
            badge(&CheckQueryResult { status: status.into(), mode: mode.into(), ..Default::default() })
        };
        assert_eq!(check("success", "healthiness"), Badge::new(Kind::Running, "passing"));
        assert_eq!(check("failure", "healthiness").kind, Kind::Failed);
        assert_eq!(check("failure", "readiness"), Badge::new(Kind::Degraded, "failing").sub("readiness"));
        assert_eq!(check("pending", "healthiness").kind, Kind::Pending);
    }
}
