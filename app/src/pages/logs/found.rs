//! What was found in everything that is kept of a task's output, and the output around one place of it. Both stand in the address, so that
//! a link shows another person the same lines.

use leptos::prelude::*;
use tarpan_api::client::LogSearch;
use tarpan_api::wire::{LogMatch, LogMatches};
use tarpan_api::{Client, Error, Query, calls};

use crate::context::client;
use crate::format::bytes;
use crate::lang::agent::a;
use crate::lang::{counted, fill, t};
use crate::pages::files::view::read;
use crate::parts::loaded::{Loaded, Read, sentence};
use crate::parts::{icon, note};
use crate::status::Kind;
use crate::{paths, plain};

/// What is looked for, in which output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    pub alloc: String,
    pub task: String,
    pub stderr: bool,
    pub text: String,
    /// Large and small letters are told apart.
    pub exact: bool,
}

impl Wish {
    /// The page that shows this; around a place where one is given.
    pub fn address(&self, at: Option<Place>) -> String {
        let mut address = paths::alloc_logs(&self.alloc, &self.task);
        if self.stderr {
            address.push_str("&stream=stderr");
        }
        if !self.text.is_empty() {
            address.push_str(&format!("&search={}", paths::encode(&self.text, false)));
        }
        if self.exact {
            address.push_str("&exact=true");
        }
        if let Some(Place { file, offset }) = at {
            address.push_str(&format!("&at={file}:{offset}"));
        }
        address
    }

    /// Where the output lies below the allocation's directory.
    fn file(&self, number: u64) -> String {
        format!("/alloc/logs/{}.{}.{number}", self.task, if self.stderr { "stderr" } else { "stdout" })
    }

    async fn find(&self, client: &Client, next_token: String) -> Result<LogMatches, Error> {
        let Wish { alloc, task, stderr, text, exact } = self.clone();
        let search = LogSearch { task, stderr, text, ignore_case: !exact, next_token, ..LogSearch::default() };
        client.call(&calls::search_logs(&Query::new(), &alloc, &search)).await.map(|answer| answer.value)
    }
}

/// A place in the output: number of the file, bytes in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: u64,
    pub offset: u64,
}

impl Place {
    /// `3:1200`.
    pub fn of(text: &str) -> Option<Place> {
        let (file, offset) = text.split_once(':')?;
        Some(Place { file: file.parse().ok()?, offset: offset.parse().ok()? })
    }
}

/// `line` in pieces: each with whether it is what was looked for. `exact`: large and small letters are told apart; else those of ASCII
/// are not.
pub fn pieces<'a>(line: &'a str, text: &str, exact: bool) -> Vec<(&'a str, bool)> {
    let same = |at: usize| {
        let part = line.get(at..at + text.len());
        part.is_some_and(|part| if exact { part == text } else { part.eq_ignore_ascii_case(text) })
    };
    let (mut found, mut begun, mut at) = (Vec::new(), 0, 0);
    while !text.is_empty() && at + text.len() <= line.len() {
        if !same(at) {
            at += 1;
            continue;
        }
        if begun < at {
            found.push((&line[begun..at], false));
        }
        found.push((&line[at..at + text.len()], true));
        at += text.len();
        begun = at;
    }
    if begun < line.len() {
        found.push((&line[begun..], false));
    }
    found
}

/// A line with what was looked for marked.
pub fn marked(line: &str, text: &str, exact: bool) -> AnyView {
    // Elements all of them: a text beside a text would be one node when the browser takes the page over.
    let piece = |(piece, hit): (&str, bool)| match hit {
        true => view! { <mark>{piece.to_owned()}</mark> }.into_any(),
        false => view! { <span>{piece.to_owned()}</span> }.into_any(),
    };
    pieces(line, text, exact).into_iter().map(piece).collect_view().into_any()
}

/// As a line is shown: without the terminal's sequences, and without what would not be seen.
pub fn clean(line: &str) -> String {
    plain::lines(&super::without_escapes(line))
}

/// The lines that hold what is looked for, page after page.
#[component]
pub fn Matches(wish: Wish, at: Option<Place>) -> impl IntoView {
    let words = a();
    let asking = client();
    let (first, kept) = (wish.clone(), StoredValue::new(wish));
    let read: Read<LogMatches> = Resource::new(|| (), {
        let client = asking.clone();
        move |()| {
            let (client, wish) = (client.clone(), first.clone());
            async move { wish.find(&client, String::new()).await }
        }
    });
    // What was found after the first answer; the token of the next one.
    let more = RwSignal::new(None::<(Vec<LogMatch>, String, u64)>);
    let (busy, failed) = (RwSignal::new(false), RwSignal::new(None::<String>));
    let go_on = move |token: String| {
        let (client, wish) = (asking.clone(), kept.get_value());
        busy.set(true);
        leptos::task::spawn_local(async move {
            match wish.find(&client, token).await {
                Ok(answer) => drop(more.try_update(|more| {
                    let (lines, next, scanned) = more.get_or_insert_default();
                    lines.extend(answer.lines);
                    *next = answer.next_token;
                    *scanned += answer.scanned;
                })),
                Err(error) => drop(failed.try_set(Some(sentence(&error)))),
            }
            busy.try_set(false);
        });
    };
    let shown = move |found: Signal<LogMatches>| {
        let lines = Memo::new(move |_| {
            let mut lines = found.with(|f| f.lines.clone());
            more.with(|more| lines.extend(more.iter().flat_map(|(lines, ..)| lines.iter().cloned())));
            lines
        });
        let next = Memo::new(move |_| {
            more.with(|more| more.as_ref().map(|(_, next, _)| next.clone()))
                .unwrap_or_else(|| found.with(|f| f.next_token.clone()))
        });
        let scanned = move || found.with(|f| f.scanned) + more.with(|more| more.as_ref().map_or(0, |(.., n)| *n));
        let says = move || {
            let count = counted(words.one_match, words.n_matches, lines.with(Vec::len) as u64);
            fill(words.found_in, &[&count, &bytes(scanned())])
        };
        let line = move |m: LogMatch| {
            let here = Place { file: m.file, offset: m.offset };
            kept.with_value(|wish| {
                let text = marked(&clean(&m.text), &wish.text, wish.exact);
                let cut = m.cut.then_some("…");
                view! { <li aria-current=(at == Some(here)).then_some("true")><a class="match mono" href=wish.address(Some(here)) title=words.in_context>{text}{cut}</a></li> }
            })
        };
        let go_on = go_on.clone();
        let further = move || {
            let (go_on, token) = (go_on.clone(), next.get());
            (!token.is_empty()).then(|| view! {
                <button type="button" class="btn small" disabled=move || busy.get() on:click=move |_| go_on(token.clone())>{words.search_on}</button>
            })
        };
        view! {
            <div class="body row wrap t12 t2" role="status"><span>{says}</span>{further}{move || failed.get()}</div>
            {move || (lines.with(Vec::is_empty) && next.with(String::is_empty)).then(|| view! { <p class="body t2">{t().no_line_matches}</p> })}
            <ul class="matches">{move || lines.get().into_iter().map(line).collect_view()}</ul>
        }
        .into_any()
    };
    view! { <div class="found" role="region" aria-label=words.matches><Loaded read=read view=shown/></div> }
}

/// Bytes before a place that are shown, and in all.
const BEFORE: u64 = 8 << 10;
const WINDOW: u64 = 32 << 10;

/// Lines with where each begins; half a line at the start is left out.
fn lines_of(bytes: &[u8], from: u64) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    let mut at = from;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        found.push((at, clean(String::from_utf8_lossy(text).trim_end_matches('\r'))));
        at += line.len() as u64;
    }
    if from > 0 && found.len() > 1 {
        found.remove(0);
    }
    found
}

/// The output around a place.
#[component]
pub fn Around(wish: Wish, at: Place) -> impl IntoView {
    let (words, asking) = (a(), client());
    let from = at.offset.saturating_sub(BEFORE);
    let asked = wish.clone();
    let read_it: Read<Vec<(u64, String)>> = Resource::new(
        || (),
        move |()| {
            let (client, wish) = (asking.clone(), asked.clone());
            async move {
                let bytes = read(&client, &wish.alloc, &wish.file(at.file), from, WINDOW).await?;
                Ok(lines_of(&bytes, from))
            }
        },
    );
    let node = NodeRef::<leptos::html::Div>::new();
    Effect::new(move |_| {
        if let Some(element) = node.get() {
            request_animation_frame(move || {
                if let Ok(Some(pin)) = element.query_selector(".pin") {
                    pin.scroll_into_view();
                    element.set_scroll_top(element.scroll_top() - element.client_height() / 3);
                }
            });
        }
    });
    let back = Wish { text: String::new(), exact: false, ..wish.clone() }.address(None);
    let turn = |mark: &'static str, label: &'static str, offset: Option<u64>| {
        let href = offset.map(|offset| wish.address(Some(Place { offset, ..at })));
        view! { <a class="btn small" href=href aria-disabled=offset.is_none().then_some("true")>{icon(mark)}{label}</a> }
    };
    let (before, after) = ((from > 0).then(|| at.offset.saturating_sub(WINDOW - BEFORE)), at.offset + WINDOW - BEFORE);
    let name = wish.file(at.file);
    let head = view! {
        <div class="body row wrap">
            <a class="btn small" href=back>{icon("down")}{words.to_the_newest}</a>
            {turn("left", words.earlier, before)}{turn("right", words.later, Some(after))}
            <span class="mono t12 t2 cut">{plain::name(&name)}</span>
        </div>
    };
    let shown = move |lines: Signal<Vec<(u64, String)>>| {
        let (text, exact) = (wish.text.clone(), wish.exact);
        let line = move |(offset, line): (u64, String)| {
            let class = if offset == at.offset { "l pin" } else { "l" };
            view! { <div class=class><span class="lane"></span><span>{marked(&line, &text, exact)}</span></div> }
        };
        let rows = lines.get_untracked().into_iter().map(line).collect_view();
        let nothing = lines
            .with_untracked(Vec::is_empty)
            .then(|| view! { <div class="body">{note("", Kind::Stopped, words.nothing_there)}</div> });
        view! { {nothing}<div class="log logbox" tabindex="0" role="region" aria-label=words.around node_ref=node>{rows}</div> }.into_any()
    };
    view! { {head}<Loaded read=read_it view=shown/> }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_for_is_marked() {
        let check = |line: &str, text: &str, exact: bool, expected: &str| {
            let shown: String = pieces(line, text, exact)
                .into_iter()
                .map(|(p, hit)| if hit { format!("[{p}]") } else { p.to_owned() })
                .collect();
            assert_eq!(shown, expected, "{line} {text}");
        };
        check("an Error and an error", "error", false, "an [Error] and an [error]");
        check("an Error and an error", "error", true, "an Error and an [error]");
        check("aaa", "aa", true, "[aa]a");
        check("naïve é ÉÉ", "é", true, "naïve [é] ÉÉ");
        check("nothing", "", true, "nothing");
        check("", "x", true, "");
    }

    #[test]
    fn a_place_and_a_search_stand_in_the_address() {
        let wish = Wish { alloc: "a1".into(), task: "web".into(), stderr: true, text: "a&b =".into(), exact: true };
        let address = wish.address(Some(Place { file: 3, offset: 1200 }));
        assert_eq!(
            address,
            "/ui/allocations/a1?tab=logs&task=web&stream=stderr&search=a%26b%20%3D&exact=true&at=3:1200"
        );
        assert_eq!(Place::of("3:1200"), Some(Place { file: 3, offset: 1200 }));
        assert_eq!(["", "3", "x:1", "1:-2"].map(Place::of), [None; 4]);
        assert_eq!(wish.file(3), "/alloc/logs/web.stderr.3");
    }

    #[test]
    fn lines_know_where_they_begin() {
        let all = |bytes: &[u8], from| lines_of(bytes, from);
        assert_eq!(all(b"one\r\ntwo\nthr", 0), [(0, "one".into()), (5, "two".into()), (9, "thr".into())]);
        assert_eq!(all(b"ne\ntwo\n", 101), [(104, "two".to_owned())]);
        assert_eq!(all(b"no end", 7), [(7, "no end".to_owned())]);
        assert_eq!(all(b"a\x1b[31mb\x07\n", 0), [(0, "ab\u{2407}".to_owned())]);
    }
}
