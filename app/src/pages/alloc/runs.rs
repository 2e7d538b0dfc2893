//! The runs of an allocation's tasks as a time line: how each ended, and when it starts again.

use leptos::prelude::*;

use crate::format::{At, clock, span};
use crate::lang::agent::a;
use crate::lang::{counted, fill, t};
use crate::parts::{panel, shape};
use crate::plain;
use crate::runs::{End, Run, Then, runs, worth_telling};
use crate::shapes::Alloc;
use crate::status::Kind;

/// Runs that are shown of a task.
const MOST: usize = 6;

/// The runs that ended, of every task; nothing where none did.
pub fn history(alloc: &Alloc) -> Option<AnyView> {
    let (texts, words) = (t(), a());
    let several = alloc.task_states.len() > 1;
    let told = alloc
        .task_states
        .iter()
        .map(|(task, state)| (task, state, runs(state)))
        .filter(|(.., runs)| worth_telling(runs));
    let one = |(task, state, runs): (&String, &tarpan_api::wire::TaskState, Vec<Run>)| {
        let oom = runs.iter().filter(|run| run.is_oom()).count() as u64;
        let counts = [
            (state.restarts > 0).then(|| counted(texts.one_restart, texts.n_restarts, state.restarts)),
            (oom > 0).then(|| counted(words.one_oom, words.n_oom, oom)),
        ];
        let counts = counts.into_iter().flatten().collect::<Vec<_>>().join(" · ");
        let head = several.then(|| view! { <span class="b">{plain::name(task)}</span> });
        let forgotten =
            (state.restarts as usize > runs.len()).then(|| view! { <p class="t12 t3">{words.older_runs}</p> });
        view! {
            <div class="row wrap t12">{head}<span class="t2">{counts}</span></div>
            <ol class="trace">{runs.into_iter().take(MOST).map(line).collect_view()}</ol>
            {forgotten}
        }
    };
    let all: Vec<_> = told.map(one).collect();
    (!all.is_empty()).then(|| panel(words.history, (), (), view! { <div class="body stack">{all}</div> }))
}

fn line(run: Run) -> AnyView {
    let (texts, words) = (t(), a());
    let ran = run.seconds().map(|s| fill(words.run_for, &[&span(s)]));
    let (kind, title) = match &run.end {
        End::Running => (Kind::Running, words.run_now.to_owned()),
        End::NotStarted(why) => (Kind::Failed, format!("{}: {}", words.run_failed, plain::name(why))),
        End::Exited { code, signal, oom } => {
            let kind = if *oom || (*code != 0 && !matches!(*signal, 2 | 15)) { Kind::Failed } else { Kind::Complete };
            let parts = [
                Some(fill(texts.exit_code, &[&code.to_string()])),
                (*signal != 0).then(|| fill(words.run_signal, &[&signal_name(*signal)])),
                oom.then(|| words.run_oom.to_owned()),
            ];
            (kind, format!("{}: {}", words.run_ended, parts.into_iter().flatten().collect::<Vec<_>>().join(", ")))
        }
    };
    let at = if run.ended > 0 { run.ended } else { run.begun };
    let then = match run.then {
        Then::Nothing => None,
        Then::Never(why) => Some(fill(words.not_again, &[&plain::name(&why)]).into_any()),
        Then::Again(at) => Some(countdown(at)),
    };
    view! { <li><At at=at/>{shape(kind)}<span>{title}<br/><span class="who">{ran}{then.map(|then| view! { " · "{then} })}</span></span></li> }
        .into_any()
}

/// When it starts again: seconds, while they are to come.
fn countdown(at: i64) -> AnyView {
    let (words, clock) = (a(), clock());
    let text = move || {
        let left = (at - clock.now()) / 1_000_000_000;
        if left > 0 { fill(words.starts_in, &[&span(left)]) } else { words.starts_now.to_owned() }
    };
    text.into_any()
}

/// The name of a signal that tasks end by.
fn signal_name(number: i64) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        31 => "SIGSYS",
        _ => return number.to_string(),
    };
    format!("{number} ({name})")
}
