//! The frame around every page: navigation, top bar, and the bar at the bottom of a phone.

use leptos::prelude::*;
use leptos_router::hooks::use_location;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tarpan_api::wire::ClusterCounts;
use tarpan_api::{Client, calls};
use tarpan_model::wire::{Light, Wire as _};

use super::palette::{Palette, PaletteOpen};
use super::toast::ToastList;
use super::{icon, icon_sheet, icon12};
use crate::digits::thousands;
use crate::dom;
use crate::lang::{Texts, t};
use crate::live::{Link, Topic, live};
use crate::paths::encode;
use crate::prefs::{LANG_COOKIE, Lang, Prefs, THEME_COOKIE};
use crate::shell::Assets;

/// The frame. It stays while pages come and go.
#[component]
pub fn Frame(children: Children) -> impl IntoView {
    let texts = t();
    provide_context(PaletteOpen(RwSignal::new(false)));
    Effect::new(|_| dom::keep_percents());
    let cluster = cluster();
    let trouble = move || {
        let said = cluster.get().map(|c| c.trouble).filter(|text| !text.is_empty());
        said.map(|text| {
            super::note("bad page-note", crate::status::Kind::Failed, view! { <span role="alert">{text}</span> })
        })
    };
    let unbuilt = use_context::<Assets>().is_some_and(|a| !a.is_built());
    view! {
        {icon_sheet()}
        <a class="vh" href="#main">{texts.skip}</a>
        <div class="frame">
            <Navigation cluster=cluster/>
            <div class="main">
                <TopBar cluster=cluster/>
                {unbuilt.then(|| super::note("warn page-note", crate::status::Kind::Degraded, view! { <span>{texts.not_built}" "<code>"cargo xtask ui"</code></span> }))}
                <Transition fallback=|| ()>{trouble}</Transition>
                {children()}
            </div>
        </div>
        <TabBar/>
        <Palette/>
        <ToastList/>
    }
}

/// The pages of the navigation: address, icon, text.
fn places(texts: &'static Texts) -> [Vec<(&'static str, &'static str, &'static str)>; 2] {
    [
        vec![
            ("/ui/jobs", "jobs", texts.jobs),
            ("/ui/services", "services", texts.services),
            ("/ui/evaluations", "evals", texts.evaluations),
        ],
        vec![
            ("/ui/clients", "clients", texts.clients),
            ("/ui/servers", "servers", texts.servers),
            ("/ui/storage", "storage", texts.storage),
            ("/ui/topology", "topology", texts.topology),
        ],
    ]
}

/// Whether a page at `path` belongs to the navigation's `place`.
pub fn belongs(path: &str, place: &str) -> bool {
    let home = match path {
        p if p.starts_with("/ui/run") || p.starts_with("/ui/allocations") => "/ui/jobs",
        p => p,
    };
    home == place || home.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'))
}

#[component]
fn Navigation(cluster: Resource<Cluster>) -> AnyView {
    let texts = t();
    let path = use_location().pathname;
    let list = move |places: Vec<(&'static str, &'static str, &'static str)>| {
        let items = places.into_iter().map(|(href, mark, text)| {
            let current = move || belongs(&path.get(), href).then_some("page");
            let count = move || match href {
                "/ui/jobs" => cluster.get().and_then(|c| c.jobs),
                "/ui/clients" => cluster.get().and_then(|c| c.clients),
                _ => None,
            };
            let shown = move || count().map(|n| view! { <span class="n">{thousands(n as i64)}</span> });
            view! { <li><a href=href aria-current=current title=text>{icon(mark)}<span>{text}</span><Transition>{shown}</Transition></a></li> }
        });
        view! { <ul>{items.collect_view()}</ul> }
    };
    view! {
        <nav class="nav" aria-label=texts.main_navigation>
            <a class="brand" href="/ui/jobs">{mark()}<span>"Tarpan"</span></a>
            {places(texts).map(list).into_iter().collect_view()}
            <div class="nav-foot"><span>{env!("CARGO_PKG_VERSION")}</span><span>{texts.search}" "<kbd class="kbd">"Ctrl K"</kbd></span></div>
        </nav>
    }
    .into_any()
}

/// What the frame says of the cluster.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
struct Cluster {
    region: String,
    /// How many jobs (without children) and clients there are; `None` where they can't be read.
    jobs: Option<u64>,
    clients: Option<u64>,
    /// What keeps the servers from their work, a sentence; empty: nothing.
    trouble: String,
}

fn cluster() -> Resource<Cluster> {
    let live = live();
    let client = use_context::<Client>();
    let changed = live.follow(&[Topic::Job, Topic::Node], None);
    Resource::new(
        move || changed.get(),
        move |_| {
            let client = client.clone();
            async move {
                let Some(client) = client else { return Cluster::default() };
                let counts = live.ask(&client, &calls::counts().part::<Value>()).await.ok().map(|a| a.value);
                let (counts, fields) = (counts.as_ref().map(Light::<ClusterCounts>::of), ClusterCounts::FIELDS);
                Cluster {
                    region: counts.map(|all| all.text(fields.region).to_owned()).unwrap_or_default(),
                    jobs: counts.map(|all| all.count(fields.jobs)),
                    clients: counts.map(|all| all.count(fields.nodes)),
                    trouble: counts.map(|all| all.text(fields.trouble).to_owned()).unwrap_or_default(),
                }
            }
        },
    )
}

fn mark() -> AnyView {
    view! {
        <svg class="mark" viewBox="0 0 20 20" aria-hidden="true">
            <path d="M4 17.5V9.25L9.5 3l1.25 2.5 5.25 6-2 2.5-4-1.25-.75 4.75z" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round"></path>
            <path d="M4 9.25 2 12M4 12.5 2 15.25M6.25 6.7 3.75 9" fill="none" stroke="var(--accent)" stroke-width="1.5" stroke-linecap="round"></path>
        </svg>
    }
    .into_any()
}

#[component]
fn TopBar(cluster: Resource<Cluster>) -> AnyView {
    let texts = t();
    let PaletteOpen(open) = expect_context();
    let region = move || cluster.get().map(|c| c.region);
    view! {
        <header class="topbar">
            <span class="row row-1 t12 t2 wide nw">{icon("globe")}<Transition fallback=|| ()>{region}</Transition><span class="t3">"/"</span>{texts.all_namespaces}</span>
            <button type="button" class="search" on:click=move |_| open.set(true)>
                {icon("search")}<span class="cut">{texts.search_or_run}</span><span class="kbd wide">"Ctrl K"</span>
            </button>
            <span class="grow wide"></span>
            <LiveMark/>
            <span class="sep wide"></span>
            <ThemeButton/>
            <LanguageLink/>
        </header>
    }
    .into_any()
}

#[component]
fn LiveMark() -> AnyView {
    let (texts, live) = (t(), live());
    let class = move || match live.link.get() {
        Link::Live | Link::Off => "live",
        Link::Reconnecting => "live reconnecting",
        Link::Polling => "live stale",
    };
    let word = move || match live.link.get() {
        Link::Off => texts.not_live,
        Link::Live => texts.live,
        Link::Reconnecting => texts.reconnecting,
        Link::Polling => texts.polling,
    };
    let beat =
        move || if live.link.get() == Link::Live { "M.75 6.5h2.5L5 2.5l2 7 1.5-3h2.75" } else { "M.75 6.5h10.5" };
    let index =
        move || (live.index.get() > 0).then(|| format!("{} {}", texts.index, thousands(live.index.get() as i64)));
    view! {
        <span class=class title=texts.live_title>
            <svg viewBox="0 0 12 12" aria-hidden="true"><path class="beat" d=beat></path></svg>
            {word}" "<span class="wide t3">{index}</span>
        </span>
    }
    .into_any()
}

/// System, light, dark, high contrast. Without JavaScript a link does it.
#[component]
fn ThemeButton() -> AnyView {
    let texts = t();
    let theme = RwSignal::new(use_context::<Prefs>().unwrap_or_default().theme);
    let path = use_location().pathname;
    let href = move || {
        format!(
            "/ui/set?theme={}&back={}",
            theme.get().next().attribute().unwrap_or("system"),
            encode(&path.get(), true)
        )
    };
    let turn = move |event: leptos::ev::MouseEvent| {
        event.prevent_default();
        let next = theme.get_untracked().next();
        theme.set(next);
        dom::set_root_attribute("data-theme", next.attribute());
        dom::remember(THEME_COOKIE, next.attribute().unwrap_or("system"));
    };
    view! { <a class="btn icon ghost" rel="external nofollow" href=href aria-label=texts.theme title=texts.theme on:click=turn>{icon("sun")}</a> }
    .into_any()
}

#[component]
fn LanguageLink() -> AnyView {
    let here = use_context::<Prefs>().unwrap_or_default().lang;
    let (other, name) = match here {
        Lang::En => (Lang::Zh, "中文"),
        Lang::Zh => (Lang::En, "English"),
    };
    let location = use_location();
    let href = move || format!("/ui/set?lang={}&back={}", other.tag(), encode(&location.pathname.get(), true));
    let turn = move |event: leptos::ev::MouseEvent| {
        event.prevent_default();
        dom::remember(LANG_COOKIE, other.tag());
        dom::reload();
    };
    view! { <a class="btn ghost" rel="external nofollow" href=href lang=other.tag() on:click=turn>{name}</a> }
        .into_any()
}

/// The bar of five at the bottom of a phone.
#[component]
fn TabBar() -> AnyView {
    let texts = t();
    let path = use_location().pathname;
    let PaletteOpen(open) = expect_context();
    let link = move |href: &'static str, mark: &'static str, text: &'static str| {
        view! { <a href=href aria-current=move || belongs(&path.get(), href).then_some("page")>{icon(mark)}{text}</a> }
    };
    view! {
        <nav class="tabbar" aria-label=texts.phone_navigation>
            {link("/ui/jobs", "jobs", texts.jobs)}
            {link("/ui/clients", "clients", texts.clients)}
            {link("/ui/evaluations", "evals", texts.evaluations_short)}
            {link("/ui/services", "services", texts.services)}
            <a href="/ui/jobs" role="button" on:click=move |e| { e.prevent_default(); open.set(true); }>{icon("search")}{texts.search}</a>
        </nav>
    }
    .into_any()
}

/// A drop-down of a few actions.
pub fn more(label: &'static str, content: impl IntoView) -> AnyView {
    view! { <details class="more"><summary class="btn" aria-label=label>{label}{icon12("down")}</summary><div class="menu">{content.into_any()}</div></details> }.into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_belong_to_places() {
        assert!(belongs("/ui/jobs", "/ui/jobs"));
        assert!(belongs("/ui/jobs/a/b", "/ui/jobs"));
        assert!(belongs("/ui/allocations/1", "/ui/jobs"));
        assert!(belongs("/ui/clients/1", "/ui/clients"));
        assert!(!belongs("/ui/clientsx", "/ui/clients"));
    }
}
