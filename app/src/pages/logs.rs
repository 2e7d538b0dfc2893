//! A task's output as it comes: stdout or stderr, filter, wrap, pause, download; a search through all that is kept, and the lines around
//! what it finds ([`found`]). Without JavaScript the last of it, as it was, and the search.

pub mod found;

use std::collections::VecDeque;

use futures::StreamExt;
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;
use tarpan_api::client::{LogRequest, Raw};
use tarpan_api::{Call, Client, Error, Query, calls};

use self::found::{Around, Matches, Place, Wish, marked};
use super::or_default;
use crate::context::client;
use crate::lang::agent::a;
use crate::lang::{counted, fill, t};
use crate::parts::icon;
use crate::parts::loaded::{Read, sentence};
use crate::{dom, paths, place};

/// Lines kept; older ones go.
const MOST_LINES: usize = 5_000;
/// Nearer to its end than this the box follows what comes.
const END_PX: i32 = 40;
/// Bytes asked for of what was written before.
const TAIL_BYTES: u64 = 65_536;

/// Output in lines, with the number of each since the page began to listen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lines {
    lines: VecDeque<(u64, String)>,
    /// Bytes after the last line break: a line that is not complete, or half a character.
    rest: Vec<u8>,
    next: u64,
}

impl Lines {
    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.add(&line[..end]);
        }
        // A line without end must not grow for ever.
        if self.rest.len() > 64 * 1024 {
            let line = std::mem::take(&mut self.rest);
            self.add(&line);
        }
    }

    fn add(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.lines.push_back((self.next, without_escapes(&String::from_utf8_lossy(line))));
        self.next += 1;
        if self.lines.len() > MOST_LINES {
            self.lines.pop_front();
        }
    }

    /// The lines that contain `text`, and what is there of the next one.
    pub fn matching(&self, text: &str) -> Vec<(u64, String)> {
        let tail = (!self.rest.is_empty()).then(|| (self.next, without_escapes(&String::from_utf8_lossy(&self.rest))));
        let text = text.to_lowercase();
        let all = self.lines.iter().cloned().chain(tail);
        all.filter(|(_, line)| text.is_empty() || line.to_lowercase().contains(&text)).collect()
    }
}

/// A line without the terminal's colour and cursor sequences.
pub fn without_escapes(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c != '\u{1b}' {
            out.push(c);
            continue;
        }
        if rest.next() == Some('[') {
            for c in rest.by_ref() {
                if c.is_ascii_alphabetic() || c == '~' {
                    break;
                }
            }
        }
    }
    out
}

/// How a line reads: errors stand out.
pub fn is_error(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    ["error", "fatal", "panic"].iter().any(|w| line.split(|c: char| !c.is_ascii_alphanumeric()).any(|x| x == *w))
}

/// What is asked of a task's output: its last part, and with `follow` what comes.
fn asked(alloc: &str, task: &str, stream: &str, follow: bool) -> Call<Raw> {
    let (task, stderr) = (task.to_owned(), stream == "stderr");
    let request =
        LogRequest { task, stderr, follow, plain: true, offset: TAIL_BYTES, from_end: true, ..LogRequest::default() };
    calls::logs(&Query::new(), alloc, &request)
}

/// What the person chose.
#[derive(Clone, Copy)]
struct Choice {
    alloc: StoredValue<String>,
    task: RwSignal<String>,
    stream: RwSignal<&'static str>,
    paused: RwSignal<bool>,
}

/// The panel. `task` is the one shown at first.
#[component]
pub fn LogPanel(alloc: String, tasks: Vec<String>, task: String) -> impl IntoView {
    let query = place::query();
    let choice = Choice {
        alloc: StoredValue::new(alloc),
        task: RwSignal::new(if tasks.contains(&task) { task } else { tasks.first().cloned().unwrap_or_default() }),
        stream: RwSignal::new(if query.with_untracked(|q| q.get("stream")).as_deref() == Some("stderr") {
            "stderr"
        } else {
            "stdout"
        }),
        paused: RwSignal::new(false),
    };
    // What the address asks for: a search, a place. Without JavaScript the form writes it.
    let address = Memo::new(move |_| {
        let text = query.with(|q| q.get("search")).unwrap_or_default();
        let exact = query.with(|q| q.get("exact")).is_some_and(|exact| exact == "true");
        (text, exact, query.with(|q| q.get("at")).as_deref().and_then(Place::of))
    });
    let wish = move |(text, exact)| Wish {
        alloc: choice.alloc.get_value(),
        task: choice.task.get(),
        stderr: choice.stream.get() == "stderr",
        text,
        exact,
    };
    let found = move || {
        let (text, exact, at) = address.get();
        (!text.is_empty()).then(|| view! { <Matches wish=wish((text, exact)) at=at/> })
    };
    let around = move || {
        let (text, exact, at) = address.get();
        at.map(|at| view! { <Around wish=wish((text, exact)) at=at/> })
    };
    let live = Memo::new(move |_| address.with(|(.., at)| at.is_none()));
    let client = client();
    let first: Read<String> = Resource::new(move || (choice.task.get(), choice.stream.get()), {
        let client = client.clone();
        move |(task, stream): (String, &'static str)| {
            let client = client.clone();
            async move { text_of(&client, &asked(&choice.alloc.get_value(), &task, stream, false)).await }
        }
    });
    let (lines, said) = (RwSignal::new(Lines::default()), RwSignal::new(None::<String>));
    follow(client, choice, lines, said);
    // Everything that reads the first text stands below the transition, so that server and browser begin with the same lines.
    view! {
        <section class="panel">
            <Search choice=choice tasks=tasks asked=address/>
            {found}
            {around}
            {move || live.get().then(|| view! {
                <Transition fallback=super::super::parts::skeleton><Shown choice=choice first=first lines=lines said=said/></Transition>
            })}
        </section>
    }
}

/// What the address asks for: a text, whether large and small letters are told apart, a place.
type Asked = Memo<(String, bool, Option<Place>)>;

/// Whose output, which stream, and what is looked for in all that is kept. A time range has its place in the form.
#[component]
fn Search(choice: Choice, tasks: Vec<String>, asked: Asked) -> impl IntoView {
    let (texts, words) = (t(), a());
    let Choice { alloc, task, stream, .. } = choice;
    let (text, exact) = asked.with_untracked(|(text, exact, _)| (RwSignal::new(text.clone()), RwSignal::new(*exact)));
    let go = StoredValue::new(use_navigate());
    let search = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let wish = Wish {
            alloc: alloc.get_value(),
            task: task.get_untracked(),
            stderr: stream.get_untracked() == "stderr",
            text: text.get_untracked(),
            exact: exact.get_untracked(),
        };
        let options = NavigateOptions { scroll: false, ..Default::default() };
        go.with_value(|go| go(&wish.address(None), options));
    };
    let choose = move |name: &'static str| {
        view! { <button type="button" aria-pressed=move || (stream.get() == name).to_string() on:click=move |_| stream.set(name)>{name}</button> }
    };
    let pick = move |name: String| {
        let (this, chosen) = (name.clone(), name.clone());
        view! { <button type="button" aria-pressed=move || (task.get() == chosen).to_string() on:click=move |_| task.set(this.clone())>{name}</button> }
    };
    let clear = move || {
        let wish =
            Wish { alloc: alloc.get_value(), task: task.get(), stderr: stream.get() == "stderr", ..Wish::default() };
        asked.with(|(text, ..)| !text.is_empty()).then(|| view! { <a class="btn icon ghost small" href=wish.address(None) aria-label=words.end_search title=words.end_search>{icon("x")}</a> })
    };
    view! {
        <header class="wrap">
            <h2>{texts.logs}</h2>
            {(tasks.len() > 1).then(|| view! { <div class="seg" role="group" aria-label=texts.task>{tasks.into_iter().map(pick).collect_view()}</div> })}
            <div class="seg" role="group" aria-label=texts.stream>{choose("stdout")}{choose("stderr")}</div>
            <span class="grow"></span>
            <form class="row" role="search" method="get" action=move || paths::alloc(&alloc.get_value()) on:submit=search>
                <input type="hidden" name="tab" value="logs"/>
                <input type="hidden" name="task" value=move || task.get()/>
                <input type="hidden" name="stream" value=move || stream.get()/>
                <label class="affix find">{icon("search")}<span class="vh">{words.search_all}</span>
                    <input type="search" name="search" placeholder=words.search_all value=text.get_untracked() maxlength="1000" on:input=move |e| text.set(event_target_value(&e))/></label>
                <label class="check t12"><input type="checkbox" name="exact" value="true" checked=exact.get_untracked() on:change=move |e| exact.set(event_target_checked(&e))/>{words.match_case}</label>
                <button type="submit" class="btn small">{texts.search}</button>
                {clear}
            </form>
        </header>
    }
}

#[component]
fn Shown(choice: Choice, first: Read<String>, lines: RwSignal<Lines>, said: RwSignal<Option<String>>) -> impl IntoView {
    let texts = t();
    let Choice { task, stream, paused, .. } = choice;
    let (wrap, search) = (RwSignal::new(true), RwSignal::new(String::new()));
    let first = or_default(first);
    let shown = Memo::new(move |_| {
        let live = lines.with(|l| l.matching(&search.get()));
        if !live.is_empty() || lines.with(|l| l.next > 0) {
            return live;
        }
        let mut then = Lines::default();
        first.with(|text| then.push(text.as_bytes()));
        then.matching(&search.get())
    });
    let box_ref = NodeRef::<leptos::html::Div>::new();
    // Who scrolled up reads: the lines stay where they are until the end is reached again.
    let at_end = StoredValue::new(true);
    let scrolled = move |_| {
        if let Some(element) = box_ref.get_untracked() {
            let below = element.scroll_height() - element.scroll_top() - element.client_height();
            at_end.set_value(below < END_PX);
        }
    };
    Effect::new(move |_| {
        shown.track();
        if let (Some(element), false, true) = (box_ref.get(), paused.get_untracked(), at_end.get_value()) {
            request_animation_frame(move || element.set_scroll_top(element.scroll_height()));
        }
    });
    let save = move |_| {
        let text: String = shown.get_untracked().into_iter().map(|(_, line)| line + "\n").collect();
        dom::download_text(&format!("{}.{}.log", task.get_untracked(), stream.get_untracked()), &text)
    };
    let nothing = move || {
        shown.with(Vec::is_empty).then(|| {
            let other = if stream.get() == "stdout" { "stderr" } else { "stdout" };
            let text = match said.get() {
                Some(why) => why,
                None if search.with(|s| !s.is_empty()) => texts.no_line_matches.to_owned(),
                None => fill(texts.nothing_on_x, &[stream.get()]),
            };
            view! {
                <p class="body t2 row wrap">{text}
                    <button type="button" class="btn small" on:click=move |_| stream.set(other)>{fill(texts.show_x, &[other])}</button></p>
            }
        })
    };
    let class = move || match (shown.with(Vec::is_empty), wrap.get()) {
        (true, _) => "log logbox none",
        (_, true) => "log logbox",
        (_, false) => "log logbox nowrap",
    };
    view! {
            <div class="row wrap log-bar">
                <label class="affix find grow">{icon("filter")}<span class="vh">{texts.search_logs}</span>
                    <input type="text" placeholder=texts.search_logs on:input=move |e| search.set(event_target_value(&e))/></label>
                <span class="t12 t2 nw">{move || counted(texts.one_line, texts.n_lines, shown.with(Vec::len) as u64)}</span>
                <span class="wide row row-1">
                    <button type="button" class="btn icon ghost small" aria-label=texts.wrap_lines title=texts.wrap_lines aria-pressed=move || wrap.get().to_string()
                        on:click=move |_| wrap.update(|w| *w = !*w)>{icon("wrap")}</button>
                    <button type="button" class="btn icon ghost small" aria-label=texts.download title=texts.download on:click=save>{icon("download")}</button>
                </span>
                <button type="button" class="btn small" aria-pressed=move || paused.get().to_string() on:click=move |_| paused.update(|p| *p = !*p)>
                    {move || icon(if paused.get() { "play" } else { "pause" })}{move || if paused.get() { texts.follow } else { texts.pause }}
                </button>
            </div>
            {nothing}
            <div class=class node_ref=box_ref tabindex="0" role="log" aria-label=texts.logs on:scroll=scrolled>
                <For each=move || search.with(|s| shown.get().into_iter().map(|(n, line)| (n, line, s.clone())).collect::<Vec<_>>())
                    key=|(n, line, search)| (*n, line.len(), search.clone()) children=|(_, line, search)| {
                    let class = if is_error(&line) { "l err" } else { "l" };
                    view! { <div class=class><span class="lane"></span><span>{marked(&line, &search, false)}</span></div> }
                }/>
            </div>
    }
}

/// A body as text.
async fn text_of(client: &Client, call: &Call<Raw>) -> Result<String, Error> {
    let mut stream = client.open(call).await?;
    let mut all = Vec::new();
    while let Some(chunk) = stream.next().await {
        all.extend_from_slice(&chunk?);
        if all.len() as u64 > 2 * TAIL_BYTES {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&all).into_owned())
}

/// Listens while the page shows: again after an end, anew when another task or stream is chosen. A paused page does not listen.
fn follow(client: Client, choice: Choice, lines: RwSignal<Lines>, said: RwSignal<Option<String>>) {
    let Choice { alloc, task, stream, paused } = choice;
    Effect::new(move |_| {
        let wish = (task.get(), stream.get());
        if paused.get() {
            return;
        }
        let client = client.clone();
        let still = {
            let wish = wish.clone();
            move || {
                let chosen = task.try_get_untracked().zip(stream.try_get_untracked());
                chosen.as_ref() == Some(&wish) && paused.try_get_untracked() == Some(false)
            }
        };
        leptos::task::spawn_local(async move {
            while still() {
                let Some(id) = alloc.try_get_value() else { return };
                match client.open(&asked(&id, &wish.0, wish.1, true)).await {
                    Ok(mut body) => {
                        said.try_set(None);
                        lines.try_set(Lines::default());
                        while let Some(Ok(chunk)) = body.next().await {
                            if !still() {
                                return;
                            }
                            lines.try_update(|l| l.push(&chunk));
                        }
                    }
                    Err(error) => drop(said.try_set(Some(sentence(&error)))),
                }
                dom::sleep_ms(3_000).await;
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_become_lines() {
        let mut lines = Lines::default();
        for chunk in [
            &b"one\r\ntw"[..],
            "o \u{e9}".as_bytes().split_last().expect("bytes").1,
            &[0xa9],
            b"\n\x1b[31mred\x1b[0m\nhal",
        ] {
            lines.push(chunk);
        }
        let texts: Vec<_> = lines.matching("").into_iter().map(|(_, l)| l).collect();
        assert_eq!(texts, ["one", "two é", "red", "hal"]);
        assert_eq!(lines.matching("TW").len(), 1);
    }

    #[test]
    fn old_lines_go() {
        let mut lines = Lines::default();
        (0..MOST_LINES + 10).for_each(|i| lines.push(format!("{i}\n").as_bytes()));
        let found = lines.matching("");
        assert_eq!((found.len(), found[0].1.as_str()), (MOST_LINES, "10"));
    }

    #[test]
    fn errors_stand_out() {
        for (line, bad) in [
            ("10:24 ERROR redis: timeout", true),
            ("no errors", false),
            ("thread panicked", false),
            ("level=fatal x", true),
        ] {
            assert_eq!(is_error(line), bad, "{line}");
        }
    }
}
