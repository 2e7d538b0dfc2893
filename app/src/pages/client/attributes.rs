//! What a client says of itself: its attributes by their first word, with a filter; its metadata, which may be changed while it runs.

use std::collections::BTreeMap;

use leptos::prelude::*;
use tarpan_api::wire::{Node, NodeMetaResponse};
use tarpan_api::{Query, calls};

use crate::lang::agent::a;
use crate::lang::{counted, fill, t};
use crate::live::Topic;
use crate::pages::{actions, read_of};
use crate::parts::dialog::AskButton;
use crate::parts::loaded::{Read, sentence};
use crate::parts::{icon, note, panel, skeleton};
use crate::status::Kind;
use crate::{dom, place, plain};

/// Attributes whose name or value holds `text`, by the first word of their name.
pub fn grouped(
    all: &BTreeMap<String, String>,
    text: &str,
    lower: impl Fn(&str) -> String,
) -> Vec<(String, Vec<(String, String)>)> {
    let text = lower(text.trim());
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for (name, value) in all {
        if !text.is_empty() && !lower(name).contains(&text) && !lower(value).contains(&text) {
            continue;
        }
        let group = name.split('.').next().unwrap_or_default();
        let line = (name.clone(), value.clone());
        match found.last_mut().filter(|(last, _)| last == group) {
            Some((_, lines)) => lines.push(line),
            None => found.push((group.to_owned(), vec![line])),
        }
    }
    found
}

/// The tab: metadata, then attributes.
#[component]
pub fn Attributes(node: Signal<Node>) -> impl IntoView {
    let id = Memo::new(move |_| node.with(|n| n.id.clone()));
    view! { <div class="pad stack stack-4"><Metadata node=id/><Table node=node/></div> }
}

#[component]
fn Table(node: Signal<Node>) -> impl IntoView {
    let (texts, words) = (t(), a());
    let query = place::query();
    let text = RwSignal::new(query.with_untracked(|q| q.get("q")).unwrap_or_default());
    let found = Memo::new(move |_| node.with(|n| text.with(|text| grouped(&n.attributes, text, dom::lower))));
    let count = move || found.with(|all| all.iter().map(|(_, lines)| lines.len() as u64).sum());
    let rows = move || {
        let group = |(name, lines): (String, Vec<(String, String)>)| {
            let line = |(k, v): (String, String)| view! { <tr><td class="mono">{plain::name(&k)}</td><td class="mono t2">{plain::name(&v)}</td></tr> };
            view! { <tr class="group"><td colspan="2">{plain::name(&name)}</td></tr>{lines.into_iter().map(line).collect_view()} }
        };
        found.get().into_iter().map(group).collect_view()
    };
    let filter = view! {
        <form role="search" method="get"><input type="hidden" name="tab" value="attributes"/>
            <label class="affix find">{icon("filter")}<span class="vh">{words.filter_attributes}</span>
                <input type="search" name="q" placeholder=words.filter_attributes value=text.get_untracked() on:input=move |e| text.set(event_target_value(&e))/></label></form>
    };
    let note = view! { <span class="t3 t12" role="status">{move || counted(words.one_attribute, words.n_attributes, count())}</span> };
    let table = view! {
        <div class="table-wrap" tabindex="0" role="region" aria-label=texts.attributes><table class="table fit" aria-label=texts.attributes>
            <thead><tr><th scope="col">{texts.name}</th><th scope="col">{texts.value}</th></tr></thead>
            <tbody>{rows}</tbody>
        </table></div>
        {move || found.with(Vec::is_empty).then(|| view! { <p class="body t2">{words.nothing_like_it}</p> })}
    };
    panel(texts.attributes, note, filter, table)
}

/// Where a key of the metadata comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Configuration,
    Dynamic,
    /// The configuration has it, and it was taken away.
    Unset,
}

/// Keys with values, in order.
pub fn lines(meta: &NodeMetaResponse) -> Vec<(String, String, Source)> {
    let mut all: BTreeMap<&String, (&str, Source)> =
        meta.meta.iter().map(|(k, v)| (k, (v.as_str(), Source::Configuration))).collect();
    for (key, value) in &meta.dynamic {
        match value {
            Some(value) => drop(all.insert(key, (value, Source::Dynamic))),
            None if meta.static_.contains_key(key) => drop(all.insert(key, ("", Source::Unset))),
            None => {}
        }
    }
    all.into_iter().map(|(key, (value, source))| (key.clone(), value.to_owned(), source)).collect()
}

#[component]
fn Metadata(node: Memo<String>) -> impl IntoView {
    let (texts, words) = (t(), a());
    let read: Read<NodeMetaResponse> =
        read_of(node, move || calls::node_metadata(&Query::new(), Some(&node.get())), &[Topic::Node]);
    let (key, value) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let again = Callback::new(move |()| read.refetch());
    let table = move |meta: &NodeMetaResponse| {
        let row = move |(k, v, source): (String, String, Source)| {
            let says = match source {
                Source::Configuration => words.from_config,
                Source::Dynamic => words.set_here,
                Source::Unset => words.taken_away,
            };
            let (this, that) = (k.clone(), (k.clone(), v.clone()));
            let edit = move |_| {
                key.set(that.0.clone());
                value.set(that.1.clone());
            };
            let unset = (source != Source::Unset).then(|| {
                view! {
                    <AskButton label=fill(words.unset_meta_e, &[&k]) icon_name="x" class="icon ghost small" after=again
                        ask=move |()| actions::set_meta(node.get_untracked(), this.clone(), None)/>
                }
            });
            view! {
                <tr><td class="m1 mono">{plain::name(&k)}</td><td class="m2 mono t2">{plain::name(&v)}</td><td class="mr t12 t3">{says}</td>
                    <td class="num"><span class="row row-1 end-r"><button type="button" class="btn small" on:click=edit>{texts.edit}</button>{unset}</span></td></tr>
            }
        };
        view! {
            <table class="table stacked" aria-label=texts.meta>
                <thead><tr><th scope="col">{words.key}</th><th scope="col">{texts.value}</th><th scope="col">{words.source}</th><th scope="col"><span class="vh">{texts.actions}</span></th></tr></thead>
                <tbody>{lines(meta).into_iter().map(row).collect_view()}</tbody>
            </table>
        }
        .into_any()
    };
    // A client that does not answer is no fault of the page.
    let shown = move || {
        read.get().map(|answer| match answer {
            Ok(meta) => table(&meta),
            Err(error) => view! { <div class="body">{note("warn", Kind::Degraded, sentence(&error))}</div> }.into_any(),
        })
    };
    let ask = move |()| {
        actions::set_meta(node.get_untracked(), key.get_untracked().trim().to_owned(), Some(value.get_untracked()))
    };
    let form = view! {
        <div class="row wrap body">
            <label class="vh" for="meta-key">{words.key}</label>
            <input class="input mono meta-in" id="meta-key" type="text" placeholder=words.key maxlength="128" prop:value=move || key.get() on:input=move |e| key.set(event_target_value(&e))/>
            <label class="vh" for="meta-value">{texts.value}</label>
            <input class="input mono meta-in" id="meta-value" type="text" placeholder=texts.value prop:value=move || value.get() on:input=move |e| value.set(event_target_value(&e))/>
            <AskButton label=words.set_meta_e.to_owned() icon_name="check" after=again ask=ask/>
        </div>
    };
    panel(texts.meta, (), (), view! { <Transition fallback=skeleton>{shown}</Transition>{form} })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn attributes_are_found_by_name_and_value() {
        let all =
            map(&[("cpu.arch", "amd64"), ("cpu.numcores", "4"), ("driver.docker", "1"), ("kernel.name", "Linux")]);
        let shown = |text: &str| {
            let groups = grouped(&all, text, str::to_lowercase);
            groups.iter().map(|(g, lines)| format!("{g}:{}", lines.len())).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(""), "cpu:2 driver:1 kernel:1");
        assert_eq!(
            (shown("CPU.a"), shown("linux "), shown("nothing")),
            ("cpu:1".into(), "kernel:1".into(), String::new())
        );
    }

    #[test]
    fn metadata_says_where_it_comes_from() {
        let meta = NodeMetaResponse {
            meta: map(&[("a", "1"), ("b", "2")]),
            dynamic: [("b".to_owned(), Some("2".to_owned())), ("c".to_owned(), None), ("d".to_owned(), None)].into(),
            static_: map(&[("a", "1"), ("b", "0"), ("c", "3")]),
        };
        let line = |k: &str, v: &str, source| (k.to_owned(), v.to_owned(), source);
        assert_eq!(
            lines(&meta),
            [line("a", "1", Source::Configuration), line("b", "2", Source::Dynamic), line("c", "", Source::Unset)]
        );
    }
}
