//! The small components: icons, status marks, bars, squares, meters, panels, tabs, notes.

use leptos::prelude::*;

use crate::digits::thousands;
use crate::format::decimal;
use crate::lang::t;
use crate::status::{Badge, Kind};

/// The symbols that icons and shapes refer to; once in the page, put there by the server.
pub fn icon_sheet() -> AnyView {
    let symbols = if cfg!(feature = "ssr") { include_str!("icons.svg") } else { "" };
    view! { <svg class="vh" aria-hidden="true" inner_html=symbols></svg> }.into_any()
}

/// A 16 px line icon: `icon("jobs")`.
pub fn icon(name: &'static str) -> AnyView {
    view! { <svg class="i" aria-hidden="true"><use href=format!("#i-{name}")></use></svg> }.into_any()
}

/// A 12 px line icon.
pub fn icon12(name: &'static str) -> AnyView {
    view! { <svg class="i i12" aria-hidden="true"><use href=format!("#i-{name}")></use></svg> }.into_any()
}

/// A status shape on its own line of text.
pub fn shape(kind: Kind) -> AnyView {
    view! { <svg class=format!("shape c-{}", kind.class()) aria-hidden="true"><use href=kind.shape()></use></svg> }
        .into_any()
}

/// Shape and word, for rows.
pub fn status(badge: Badge) -> AnyView {
    let Badge { kind, word, sub } = badge;
    view! {
        <span class="st">
            <svg class=format!("c-{}", kind.class()) aria-hidden="true"><use href=kind.shape()></use></svg>
            {word}
            {(!sub.is_empty()).then(|| view! { " "<span class="sub">{sub}</span> })}
        </span>
    }
    .into_any()
}

/// Shape and word in a pill, for headings.
pub fn pill(badge: Badge) -> AnyView {
    let Badge { kind, word, sub } = badge;
    let text = if sub.is_empty() { word } else { format!("{word}, {sub}") };
    view! {
        <span class=format!("pill c-{}", kind.class())>
            <svg aria-hidden="true"><use href=kind.shape()></use></svg>
            {text}
        </span>
    }
    .into_any()
}

/// `44 running, 2 canary`, of segments.
pub fn count_words(segments: &[(Kind, u64)]) -> String {
    let texts = t();
    let some = segments.iter().filter(|(_, n)| *n > 0);
    some.map(|(kind, n)| format!("{} {}", thousands(*n as i64), kind.word(texts))).collect::<Vec<_>>().join(", ")
}

/// Offsets and widths of a bar's segments, in percent with two digits: what adds up to 100.
pub fn bar_parts(segments: &[(Kind, u64)]) -> Vec<(Kind, String, String)> {
    let total: u64 = segments.iter().map(|(_, n)| n).sum();
    let mut before = 0;
    let mut parts = Vec::new();
    for (kind, n) in segments.iter().filter(|(_, n)| *n > 0) {
        let percent = |n: u64| format!("{}%", decimal(n as f64 * 100.0 / total as f64, 2));
        parts.push((*kind, percent(before), percent(*n)));
        before += n;
    }
    parts
}

/// The allocation bar: a segment a state. Counts stand beside it.
pub fn alloc_bar(segments: Vec<(Kind, u64)>) -> AnyView {
    let label = count_words(&segments);
    let label = if label.is_empty() { t().none.to_owned() } else { label };
    let rects = bar_parts(&segments).into_iter().map(|(kind, x, width)| {
        view! { <rect x=x width=width height="100%" class=format!("f-{}", kind.class())></rect> }
    });
    view! {
        <svg class="abar" role="img" aria-label=label>
            <rect class="track" width="100%" height="100%"></rect>
            {rects.collect_view()}
        </svg>
    }
    .into_any()
}

/// The words under a bar.
pub fn legend(segments: Vec<(Kind, u64)>) -> AnyView {
    let texts = t();
    let parts = segments.into_iter().filter(|(_, n)| *n > 0).map(|(kind, n)| {
        view! {
            <span><span class="st">
                <svg class=format!("c-{}", kind.class()) aria-hidden="true"><use href=kind.shape()></use></svg>
                <b>{thousands(n as i64)}</b>" "{kind.word(texts)}
            </span></span>
        }
    });
    parts.collect_view().into_any()
}

/// An allocation as a square.
#[derive(Clone, Debug, PartialEq)]
pub struct Square {
    pub kind: Kind,
    /// `web[0] running`.
    pub label: String,
    /// Empty: nothing to open.
    pub href: String,
}

/// More squares than this are a bar and counts.
const MOST_SQUARES: usize = 200;

/// One square an allocation; `waiting` empty ones after them.
pub fn squares(found: Vec<Square>, waiting: u64, big: bool) -> AnyView {
    if found.len() + waiting as usize > MOST_SQUARES {
        let mut counts = std::collections::BTreeMap::<Kind, u64>::new();
        for square in &found {
            *counts.entry(square.kind).or_default() += 1;
        }
        let segments: Vec<_> = counts.into_iter().chain([(Kind::Stopped, waiting)]).collect();
        return view! { <div>{alloc_bar(segments.clone())}<span class="t12 t2">{count_words(&segments)}</span></div> }
            .into_any();
    }
    let drawn = found.into_iter().map(|s| {
        let mark = view! { <svg viewBox="0 0 16 16" role="img" aria-label=s.label.clone()><use href=s.kind.square()></use></svg> };
        if s.href.is_empty() {
            view! { <span class="sq" title=s.label>{mark}</span> }.into_any()
        } else {
            view! { <a class="sq" href=s.href title=s.label>{mark}</a> }.into_any()
        }
    });
    let label = t().w_waiting;
    let empty = (0..waiting).map(|_| {
        view! { <span class="sq" title=label><svg viewBox="0 0 16 16" role="img" aria-label=label><use href="#q-waiting"></use></svg></span> }
    });
    let class = if big { "squares sq-big" } else { "squares" };
    view! { <div class=class>{drawn.collect_view()}{empty.collect_view()}</div> }.into_any()
}

/// `high` and `over` colour a meter: amber from 82 %, red from 95 %.
pub fn meter_class(percent: f64) -> &'static str {
    if percent >= 95.0 {
        "v over"
    } else if percent >= 82.0 {
        "v high"
    } else {
        "v"
    }
}

/// A meter of `percent`; `full` takes the width there is.
pub fn meter(percent: f64, label: String, full: bool) -> AnyView {
    let shown = percent.clamp(0.0, 100.0);
    view! {
        <svg class=if full { "mbar full" } else { "mbar" } role="meter" aria-valuemin="0" aria-valuemax="100"
            aria-valuenow=decimal(shown, 0) aria-label=label>
            <rect class="track" width="100%" height="6"></rect>
            <rect class=meter_class(percent) width=format!("{}%", decimal(shown, 1)) height="6" rx="3"></rect>
        </svg>
    }
    .into_any()
}

/// A meter of two: what is reserved, and over it what is used.
pub fn meter_two(reserved: f64, used: f64, label: String) -> AnyView {
    view! {
        <svg class="mbar full" role="img" aria-label=label>
            <rect class="track" width="100%" height="6"></rect>
            <rect class="f-accent-soft" width=format!("{}%", decimal(reserved.clamp(0.0, 100.0), 1)) height="6"></rect>
            <rect class="v" width=format!("{}%", decimal(used.clamp(0.0, 100.0), 1)) height="6"></rect>
        </svg>
    }
    .into_any()
}

/// A panel: head line and content.
pub fn panel(title: impl IntoView, note: impl IntoView, end: impl IntoView, content: impl IntoView) -> AnyView {
    view! {
        <section class="panel">
            <header><h2>{title.into_any()}</h2>{note.into_any()}<span class="end">{end.into_any()}</span></header>
            {content.into_any()}
        </section>
    }
    .into_any()
}

/// Bread crumbs: links, then where one is.
pub fn crumbs(links: Vec<(String, String)>, here: String) -> AnyView {
    let links = links.into_iter().map(|(href, text)| view! { <a href=href>{text}</a>{icon("right")} });
    view! { <nav class="crumbs" aria-label=t().breadcrumb>{links.collect_view()}<span>{here}</span></nav> }.into_any()
}

/// A page's tabs: address, text, count, whether it is the current one.
pub fn tabs(items: Vec<(String, &'static str, Option<usize>, bool)>) -> AnyView {
    let items = items.into_iter().map(|(href, text, n, current)| {
        view! {
            <a href=href aria-current=current.then_some("page")>{text}{n.map(|n| view! { " "<span class="n">{n}</span> })}</a>
        }
    });
    view! { <nav class="tabs" aria-label=t().tabs>{items.collect_view()}</nav> }.into_any()
}

/// A note with a shape; `class` is `warn`, `bad`, `info`, `good` or empty.
pub fn note(class: &'static str, kind: Kind, content: impl IntoView) -> AnyView {
    view! { <div class=format!("note {class}")>{shape(kind)}<div class="grow stack stack-1">{content.into_any()}</div></div> }.into_any()
}

/// What is missing, why, and what to do.
pub fn blank(mark: &'static str, title: &'static str, text: impl IntoView, action: impl IntoView) -> AnyView {
    view! {
        <div class="blank">
            {icon(mark)}
            <h2>{title}</h2>
            <p>{text.into_any()}</p>
            <div class="row">{action.into_any()}</div>
        </div>
    }
    .into_any()
}

/// A fact of a `dl.facts`.
pub fn fact(name: &'static str, value: impl IntoView) -> AnyView {
    view! { <dt>{name}</dt><dd>{value.into_any()}</dd> }.into_any()
}

/// A command line with its copy button.
pub fn command(text: String) -> AnyView {
    let copied = text.clone();
    view! { <div class="cmd"><code>{text}</code>{copy_button(copied, t().copy_command)}</div> }.into_any()
}

/// Copies `text`.
pub fn copy_button(text: String, label: &'static str) -> AnyView {
    copy_button_of(move || text.clone(), label)
}

/// Copies what `text` is when the button is pressed.
pub fn copy_button_of(text: impl Fn() -> String + 'static, label: &'static str) -> AnyView {
    let copy = move |_| {
        let text = text();
        leptos::task::spawn_local(async move {
            let said = match crate::dom::copy_text(&text).await {
                Ok(_) => t_now().copied,
                Err(_) => t_now().copy_failed,
            };
            super::toast::say(Kind::Complete, said.to_owned());
        });
    };
    view! { <button type="button" class="btn icon ghost small" aria-label=label title=label on:click=copy>{icon("copy")}</button> }.into_any()
}

/// The texts, for code that runs outside of any component.
fn t_now() -> &'static crate::lang::Texts {
    crate::lang::texts_of(crate::prefs::Prefs::from_document().lang)
}

/// Grey bars in the shape of rows, while there is nothing yet.
pub fn skeleton() -> AnyView {
    let row = |class: &'static str| view! { <p><span class=format!("skeleton {class}")></span></p> };
    view! { <div class="pad stack" aria-busy="true" aria-label=t().loading role="status">{["w-60", "w-80", "w-40", "w-60"].map(row).collect_view()}</div> }.into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_add_up() {
        let parts = bar_parts(&[(Kind::Running, 7), (Kind::Failed, 0), (Kind::Canary, 2)]);
        let texts: Vec<_> = parts.iter().map(|(k, x, w)| format!("{} {x} {w}", k.class())).collect();
        assert_eq!(texts, ["running 0.00% 77.78%", "canary 77.78% 22.22%"]);
        assert!(bar_parts(&[(Kind::Running, 0)]).is_empty());
    }

    #[test]
    fn meters_warn() {
        assert_eq!([10.0, 82.0, 96.0].map(meter_class), ["v", "v high", "v over"]);
    }
}
