//! The values of the variables that the text declares.

use leptos::prelude::*;

use super::Draft;
use crate::lang::{counted, t};
use crate::web::Variable;

#[component]
pub fn Variables(draft: Draft) -> impl IntoView {
    let texts = t();
    let declared = Memo::new(move |before: Option<&Vec<Variable>>| {
        // A text that can't be read declares nothing: the fields stay until it can be read again.
        let found = draft.checked.with(|c| (c.job.is_some() || !c.variables.is_empty()).then(|| c.variables.clone()));
        found.or_else(|| before.filter(|_| draft.text.with(|t| !t.trim().is_empty())).cloned()).unwrap_or_default()
    });
    let field = move |variable: Variable| {
        let Variable { name, kind, default, description, sensitive } = variable;
        let id = format!("variable-{name}");
        let value = {
            let name = name.clone();
            move || draft.given.with(|g| g.get(&name).cloned().unwrap_or_default())
        };
        let typed = {
            let name = name.clone();
            move |event| {
                let text = event_target_value(&event);
                draft.given.update(|given| {
                    let _ = if text.is_empty() { given.remove(&name) } else { given.insert(name.clone(), text) };
                });
            }
        };
        let required = default.is_none();
        view! {
            <div class="field">
                <label for=id.clone()>{name}" "<span class="t3">{kind}{required.then(|| format!(", {}", texts.required))}</span></label>
                <input id=id class="input mono" type=if sensitive { "password" } else { "text" } autocomplete="off" required=required
                    placeholder=default.filter(|_| !sensitive) prop:value=value on:input=typed/>
                {(!description.is_empty()).then(|| view! { <span class="hint">{description}</span> })}
            </div>
        }
    };
    move || {
        (!declared.with(Vec::is_empty)).then(|| view! {
            <section class="vars" aria-label=texts.variables>
                <header class="row"><h2>{texts.variables}</h2>
                    <span class="t12 t3">{move || counted(texts.one_from_the_text, texts.n_from_the_text, declared.with(Vec::len) as u64)}</span></header>
                <div class="varform"><For each=move || declared.get() key=Variable::clone children=field/></div>
            </section>
        })
    }
}
