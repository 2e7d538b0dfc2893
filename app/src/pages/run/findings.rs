//! What is wrong with the text, with places and, where it is known, what to write instead.

use leptos::prelude::*;

use super::Draft;
use crate::lang::{self, Texts, fill, t};
use crate::parts::editor::Handle;
use crate::parts::{icon, shape};
use crate::status::Kind;
use crate::web::Problem;

/// `1 error`, `2 warnings`.
pub fn counted(t: &Texts, problems: &[Problem]) -> Vec<(Kind, String)> {
    let count = |severity: &str| problems.iter().filter(|p| p.severity == severity).count() as u64;
    let mut said = Vec::new();
    match count("error") {
        0 => {}
        n => said.push((Kind::Failed, lang::counted(t.one_error, t.n_errors, n))),
    }
    match count("warning") {
        0 => {}
        n => said.push((Kind::Degraded, lang::counted(t.one_warning, t.n_warnings, n))),
    }
    said
}

#[component]
pub fn Problems(draft: Draft, handle: Handle) -> impl IntoView {
    let texts = t();
    let counts = move || {
        let said = draft.checked.with(|c| counted(texts, &c.problems));
        if said.is_empty()
            && draft.text.with(|t| !t.trim().is_empty())
            && draft.fresh.get()
            && draft.checked.with(|c| c.job.is_some())
        {
            return view! { <span class="st t12"><svg class="shape c-running" aria-hidden="true"><use href="#s-complete"></use></svg>{texts.no_problems}</span> }.into_any();
        }
        said.into_iter()
            .map(|(kind, text)| view! { <span class="st t12">{shape(kind)}{text}</span> })
            .collect_view()
            .into_any()
    };
    let line = move |problem: Problem| {
        let kind = if problem.severity == "error" { Kind::Failed } else { Kind::Degraded };
        let (at, from) = (format!("{}:{}", problem.line, problem.column), problem.from);
        let go = move |_| {
            handle.with_value(|h| {
                if let Some(editor) = h {
                    editor.go_to(from)
                }
            })
        };
        let (to, fix) = (problem.to, problem.fix.clone());
        let label = fill(texts.change_to_x, &[&fix]);
        let mend = move |_| {
            handle.with_value(|h| {
                if let Some(editor) = h {
                    editor.replace(from, to, &fix)
                }
            })
        };
        let mend = (!problem.fix.is_empty())
            .then(|| view! { <button type="button" class="btn small" on:click=mend>{icon("fix")}{label}</button> });
        view! {
            <li class="diag">{shape(kind)}
                {if problem.line > 0 { view! { <button type="button" class="btn ghost small mono t3 at" on:click=go>{at}</button> }.into_any() } else { view! { <span></span> }.into_any() }}
                <span>{problem.sentence()}</span><span>{mend}</span></li>
        }
    };
    view! {
        <section class="diags" aria-label=texts.problems>
            <header class="row"><h2>{texts.problems}</h2><span class="row" role="status">{counts}</span></header>
            <ul>{move || draft.checked.with(|c| c.problems.clone()).into_iter().map(line).collect_view()}</ul>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::texts_of;
    use crate::prefs::Lang;

    #[test]
    fn problems_are_counted() {
        let problem = |severity: &str| Problem { severity: severity.into(), ..Default::default() };
        let all = [problem("error"), problem("warning"), problem("warning")];
        let said: Vec<_> = counted(texts_of(Lang::En), &all).into_iter().map(|(_, s)| s).collect();
        assert_eq!(said, ["1 error", "2 warnings"]);
    }
}
