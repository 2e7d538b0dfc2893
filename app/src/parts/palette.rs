//! The command palette (Ctrl or ⌘ K): pages, and every object that the cluster finds under a text.

use leptos::html::{Dialog, Input};
use leptos::prelude::*;
use leptos_router::hooks::use_navigate;
use tarpan_api::wire::FuzzySearchResponse;
use tarpan_api::{Client, Query};
use wasm_bindgen::JsCast;

use super::icon;
use crate::lang::{Texts, t};
use crate::later::later;
use crate::rows::order;
use crate::{dom, paths};

/// Whether the palette shows; in the context of every page.
#[derive(Clone, Copy)]
pub struct PaletteOpen(pub RwSignal<bool>);

/// One line: its head, icon, text, where it is, address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub head: &'static str,
    pub icon: &'static str,
    pub text: String,
    pub place: String,
    pub href: String,
}

/// The pages whose name contains `text`.
pub fn pages(texts: &'static Texts, text: &str) -> Vec<Item> {
    let all = [
        ("plus", texts.run_a_job, "/ui/run"),
        ("jobs", texts.jobs, "/ui/jobs"),
        ("services", texts.services, "/ui/services"),
        ("evals", texts.evaluations, "/ui/evaluations"),
        ("clients", texts.clients, "/ui/clients"),
        ("servers", texts.servers, "/ui/servers"),
        ("storage", texts.storage, "/ui/storage"),
        ("topology", texts.topology, "/ui/topology"),
    ];
    let text = dom::lower(text);
    let found = all.into_iter().filter(|(_, name, _)| dom::lower(name).contains(&text));
    found
        .map(|(icon, name, href)| Item {
            head: texts.go_to,
            icon,
            text: name.into(),
            place: String::new(),
            href: href.into(),
        })
        .collect()
}

/// What the cluster found, as lines; kinds without a page are left out.
pub fn found(texts: &'static Texts, answer: &FuzzySearchResponse) -> Vec<Item> {
    let mut items = Vec::new();
    for (context, matches) in &answer.matches {
        for hit in matches.iter().take(8) {
            let scope = |i: usize| hit.scope.get(i).cloned().unwrap_or_default();
            let last = hit.scope.last().map_or("", String::as_str);
            let id = hit.id.clone();
            let item = match context.as_str() {
                "jobs" => (texts.jobs, "jobs", scope(0), paths::job(&scope(0), last)),
                "groups" | "tasks" | "services" | "images" | "commands" | "classes" => {
                    (texts.in_jobs, "jobs", scope(1), paths::job(&scope(0), &scope(1)))
                }
                "allocs" => (texts.allocations, "play", scope(0), paths::alloc(last)),
                "nodes" => (texts.clients, "clients", String::new(), paths::client(last)),
                "host_volumes" => (texts.storage, "storage", scope(0), paths::host_volume(last)),
                "evals" => (texts.evaluations, "evals", scope(0), paths::eval(&id)),
                _ => continue,
            };
            let (head, icon, place, href) = item;
            items.push(Item { head, icon, text: id, place, href });
        }
    }
    let heads = [texts.jobs, texts.in_jobs, texts.allocations, texts.clients, texts.evaluations];
    let rank = |i: usize| heads.iter().position(|head| *head == items[i].head);
    order(items.len(), &|a, b| rank(a).cmp(&rank(b))).into_iter().map(|i| items[i].clone()).collect()
}

/// Opens the palette when its keys are pressed. The palette itself comes to the page when it is first wanted.
#[component]
pub fn Palette() -> AnyView {
    let PaletteOpen(open) = expect_context();
    listen_for_keys(open);
    let wanted = Memo::new(move |before: Option<&bool>| before == Some(&true) || open.get());
    view! { {move || wanted.get().then(|| (later().palette)(open))} }.into_any()
}

/// The palette's dialog.
pub fn dialog(open: RwSignal<bool>) -> AnyView {
    let texts = t();
    let (node, input) = (NodeRef::<Dialog>::new(), NodeRef::<Input>::new());
    let text = RwSignal::new(String::new());
    let hits = RwSignal::new(Vec::<Item>::new());
    let at = RwSignal::new(0_usize);
    let items = Memo::new(move |_| [pages(texts, &text.get()), hits.get()].concat());
    let client = StoredValue::new(use_context::<Client>());
    let navigate = StoredValue::new(use_navigate());
    Effect::new(move |_| {
        let Some(dialog) = node.get() else { return };
        if open.get() && !dialog.open() {
            let _ = dialog.show_modal();
            text.set(String::new());
            hits.set(Vec::new());
            if let Some(input) = input.get_untracked() {
                input.set_value("");
                let _ = input.focus();
            }
        } else if !open.get() && dialog.open() {
            dialog.close();
        }
    });
    let ask = move |asked: String| {
        at.set(0);
        text.set(asked.clone());
        let Some(client) = client.get_value() else { return };
        if asked.chars().count() < 2 {
            hits.set(Vec::new());
            return;
        }
        leptos::task::spawn_local(async move {
            dom::sleep_ms(120).await;
            if text.try_get_untracked().as_deref() != Some(&asked) {
                return;
            }
            let answer = client.search_fuzzy(&Query::in_namespace("*"), &asked, "all").await;
            if text.try_get_untracked().as_deref() == Some(&asked) {
                hits.try_set(answer.map(|a| found(texts, &a.value)).unwrap_or_default());
            }
        });
    };
    let go = move |href: String| {
        open.set(false);
        navigate.with_value(|go| go(&href, Default::default()));
    };
    let keys = move |event: leptos::ev::KeyboardEvent| {
        let many = items.with_untracked(Vec::len);
        match event.key().as_str() {
            "ArrowDown" if many > 0 => at.update(|n| *n = (*n + 1) % many),
            "ArrowUp" if many > 0 => at.update(|n| *n = (*n + many - 1) % many),
            "Enter" => {
                if let Some(item) = items.with_untracked(|i| i.get(at.get_untracked()).cloned()) {
                    go(item.href);
                }
            }
            _ => return,
        }
        event.prevent_default();
    };
    let rows = move || lines(texts, items.get(), at, go);
    view! {
        <dialog node_ref=node class="modal top" aria-label=texts.search_or_run on:close=move |_| open.set(false)
            on:click=move |e| if e.target() == e.current_target() { open.set(false) }>
            <div class="palette">
                <div class="ask">
                    {icon("search")}
                    <input node_ref=input type="text" role="combobox" aria-expanded="true" aria-controls="palette-list" autocomplete="off"
                        aria-activedescendant=move || format!("palette-{}", at.get())
                        aria-label=texts.search_or_run placeholder=texts.search_or_run on:input=move |e| ask(event_target_value(&e)) on:keydown=keys/>
                    <kbd class="kbd">"Esc"</kbd>
                </div>
                <ul class="menu" id="palette-list" role="listbox" aria-label=texts.results>{rows}</ul>
                <footer><span><kbd class="kbd">"↑"</kbd><kbd class="kbd">"↓"</kbd>{texts.choose}</span><span><kbd class="kbd">"Enter"</kbd>{texts.open}</span></footer>
            </div>
        </dialog>
    }
    .into_any()
}

/// The lines below the field, each kind under its head; the one at `at` is chosen.
fn lines(
    texts: &'static Texts,
    items: Vec<Item>,
    at: RwSignal<usize>,
    go: impl Fn(String) + Copy + Send + Sync + 'static,
) -> AnyView {
    let mut head = "";
    let mut rows = Vec::new();
    for (i, item) in items.into_iter().enumerate() {
        if item.head != head {
            head = item.head;
            rows.push(view! { <li class="head" role="presentation">{head}</li> }.into_any());
        }
        let class = move || if at.get() == i { "item is-on" } else { "item" };
        let href = item.href.clone();
        let row = view! {
            <li role="presentation"><a class=class id=format!("palette-{i}") href=item.href role="option" aria-selected=move || (at.get() == i).to_string()
                on:click=move |e| { e.prevent_default(); go(href.clone()); }>
                {icon(item.icon)}<span class="cut">{item.text}</span>" "<span class="where cut">{item.place}</span>
            </a></li>
        };
        rows.push(row.into_any());
    }
    if rows.is_empty() {
        view! { <li class="head">{texts.nothing_found}</li> }.into_any()
    } else {
        rows.collect_view().into_any()
    }
}

/// Ctrl or ⌘ K opens, from anywhere.
fn listen_for_keys(open: RwSignal<bool>) {
    Effect::new(move |_| {
        let handle = window_event_listener(leptos::ev::keydown, move |event| {
            let typing = event.target().and_then(|t| t.dyn_into::<web_sys::Element>().ok()).is_some_and(|e| {
                matches!(e.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT")
                    || e.get_attribute("contenteditable").is_some()
            });
            let wanted = (event.ctrl_key() || event.meta_key()) && event.key().eq_ignore_ascii_case("k");
            if wanted || (!typing && event.key() == "/") {
                event.prevent_default();
                open.set(true);
            }
        });
        on_cleanup(move || handle.remove());
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::texts_of;
    use crate::prefs::Lang;

    #[test]
    fn pages_by_name() {
        let names = |lang, text| pages(texts_of(lang), text).into_iter().map(|i| i.href).collect::<Vec<_>>();
        assert_eq!(names(Lang::En, "eval"), ["/ui/evaluations"]);
        assert_eq!(names(Lang::Zh, "服务").len(), 2);
    }

    #[test]
    fn hits_have_addresses() {
        let text = r#"{"Matches":{"jobs":[{"ID":"web","Scope":["shop","web"]}],"tasks":[{"ID":"cache","Scope":["default","web","g"]}],"nodes":[{"ID":"n1","Scope":["4d1a"]}],"plugins":[{"ID":"x"}]}}"#;
        let answer: FuzzySearchResponse = serde_json::from_str(text).expect("an answer");
        let got: Vec<_> = found(texts_of(Lang::En), &answer).into_iter().map(|i| i.href).collect();
        assert_eq!(got, ["/ui/jobs/web?namespace=shop", "/ui/jobs/web", "/ui/clients/4d1a"], "jobs first");
    }
}
