//! One file: a window of its text, what comes while it is followed, or that it is no text.

use futures::StreamExt;
use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use tarpan_api::wire::AllocFileInfo;
use tarpan_api::{Client, Error, Query, calls};

use super::{Sort, download, sort};
use crate::context::client;
use crate::dom;
use crate::format::{Ago, bytes};
use crate::lang::agent::a;
use crate::lang::{fill, t};
use crate::parts::loaded::sentence;
use crate::parts::{icon, note};
use crate::status::Kind;
use crate::{paths, plain};

/// Bytes of a window.
pub const WINDOW: u64 = 64 << 10;
/// Bytes that are kept of what is followed.
const KEPT: usize = 256 << 10;
const FOLLOW_MS: i32 = 1_000;

/// What to show of a window of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shown {
    Text(String),
    Binary,
}

/// A window that begins and ends anywhere, as text: half characters at its ends are left out, what is no text is called so.
pub fn shown(bytes: &[u8], from_start: bool) -> Shown {
    if bytes.contains(&0) {
        return Shown::Binary;
    }
    let is_rest = |b: &&u8| (**b & 0b1100_0000) == 0b1000_0000;
    let skip = if from_start { 0 } else { bytes.iter().take(3).take_while(is_rest).count() };
    let bytes = &bytes[skip..];
    let text = match std::str::from_utf8(bytes) {
        // Cut within its last character.
        Err(why) if why.error_len().is_none() => String::from_utf8_lossy(&bytes[..why.valid_up_to()]),
        _ => String::from_utf8_lossy(bytes),
    };
    let broken = text.chars().filter(|c| *c == '\u{fffd}').count();
    // Some broken characters are a text in another encoding; many are no text.
    if broken * 4 > text.chars().count().max(1) { Shown::Binary } else { Shown::Text(plain::lines(&text)) }
}

/// Where the windows before and after the one at `at` begin, and the last one; `None`: there is none.
pub fn around(at: u64, size: u64) -> (Option<u64>, Option<u64>, u64) {
    let last = size.saturating_sub(WINDOW);
    (at.checked_sub(1).map(|_| at.saturating_sub(WINDOW)), (at + WINDOW < size).then_some(at + WINDOW), last)
}

/// A window of a file, or why there is none.
pub type Window = Result<Shown, Error>;

/// Whether it is worth reading: by its first bytes, and no pipe or device. What a link leads to is not known before.
pub fn may_be_text(info: &AllocFileInfo) -> bool {
    match sort(info) {
        Sort::Link => true,
        Sort::File => info.content_type.is_empty() || info.content_type.starts_with("text/"),
        Sort::Dir | Sort::Other => false,
    }
}

/// The window at `at`.
pub async fn window(client: &Client, id: &str, path: &str, at: u64) -> Window {
    read(client, id, path, at, WINDOW).await.map(|bytes| shown(&bytes, at == 0))
}

/// `limit` bytes of a file from `at` on.
pub async fn read(client: &Client, id: &str, path: &str, at: u64, limit: u64) -> Result<Vec<u8>, Error> {
    let mut body = client.open(&calls::read_file(&Query::new(), id, path, at, limit)).await?;
    let mut all = Vec::new();
    while let Some(part) = body.next().await {
        all.extend_from_slice(&part?);
        if all.len() as u64 > limit {
            break;
        }
    }
    Ok(all)
}

#[component]
pub fn FileView(
    alloc: Signal<String>,
    path: String,
    at: Memo<u64>,
    file: Memo<(AllocFileInfo, Option<Window>)>,
) -> impl IntoView {
    let words = a();
    let size = Memo::new(move |_| file.with(|(info, _)| info.size.max(0) as u64));
    let kind = Memo::new(move |_| file.with(|(info, _)| sort(info)));
    let is_text = Memo::new(move |_| file.with(|(_, window)| window.is_some()));
    let head = {
        let path = path.clone();
        move || {
            let facts = file.with(|(i, _)| view! { <span>{bytes(i.size.max(0) as u64)}</span><span class="mono">{i.file_mode.clone()}</span><Ago at=i.mod_time.0.0/> });
            view! { <div class="row row-4 wrap body t12 t2">{facts}<span class="grow"></span>{download(&alloc.get(), &path, false)}</div> }
        }
    };
    let body = move || match (kind.get(), is_text.get()) {
        (Sort::Other, _) => view! { <div class="body">{note("", Kind::Stopped, words.special_text)}</div> }.into_any(),
        (_, false) => binary(size.get()),
        (kind, true) => {
            view! { <Text alloc=alloc path=path.clone() at=at size=size file=file known=kind != Sort::Link/> }
                .into_any()
        }
    };
    view! { {head}{body} }
}

fn binary(size: u64) -> AnyView {
    view! { <div class="body">{note("", Kind::Stopped, fill(a().binary_text, &[&bytes(size)]))}</div> }.into_any()
}

/// A window of a text, or what comes.
#[component]
fn Text(
    alloc: Signal<String>,
    path: String,
    at: Memo<u64>,
    size: Memo<u64>,
    file: Memo<(AllocFileInfo, Option<Window>)>,
    /// Whether `size` is that of the file, and not of a link to it.
    known: bool,
) -> impl IntoView {
    let (words, asking) = (a(), client());
    // What is followed, and how often somebody began to: who followed before leaves off.
    let (tail, turn) = (RwSignal::new(None::<Tail>), StoredValue::new(0));
    let place = StoredValue::new(path);
    let to = move |at: u64| {
        let base = paths::alloc_files(&alloc.get(), &place.get_value());
        if at == 0 { base } else { format!("{base}&at={at}") }
    };
    let link = move |mark: &'static str, label: &'static str, at: Option<u64>| {
        let href = at.map(to);
        view! { <a class="btn small" href=href aria-disabled=at.is_none().then_some("true")>{icon(mark)}{label}</a> }
    };
    let turns = move || {
        let (before, after, last) = around(at.get(), size.get());
        (known && size.get() > WINDOW).then(|| view! {
            {link("left", words.earlier, before)}{link("right", words.later, after)}{link("down", words.the_end, (last > at.get()).then_some(last))}
        })
    };
    let follow = {
        let client = asking.clone();
        move |_| match tail.get_untracked() {
            Some(_) => tail.set(None),
            None => {
                let from = if known { size.get_untracked().saturating_sub(WINDOW) } else { 0 };
                tail.set(Some(Tail { at: from, ..Tail::default() }));
                turn.update_value(|n| *n += 1);
                let mine = turn.get_value();
                let still = move || {
                    turn.try_get_value() == Some(mine) && tail.try_with_untracked(Option::is_some) == Some(true)
                };
                leptos::task::spawn_local(keep_following(
                    client.clone(),
                    alloc.get_untracked(),
                    place.get_value(),
                    tail,
                    still,
                ));
            }
        }
    };
    let window = move || {
        file.with(|(_, window)| match window.as_ref()? {
            Err(error) => {
                Some(view! { <div class="body">{note("bad", Kind::Failed, sentence(error))}</div> }.into_any())
            }
            Ok(Shown::Binary) => Some(binary(size.get())),
            Ok(Shown::Text(text)) if text.is_empty() => {
                Some(view! { <p class="body t2">{words.file_empty}</p> }.into_any())
            }
            Ok(Shown::Text(text)) => Some(
                view! { <pre class="code filetext" tabindex="0" aria-label=words.file>{text.clone()}</pre> }.into_any(),
            ),
        })
    };
    let following = Memo::new(move |_| tail.with(Option::is_some));
    let which = move || match following.get() {
        true => view! { <Following tail=tail/> }.into_any(),
        false => window.into_any(),
    };
    view! {
        <div class="row wrap body file-bar">
            {move || (!following.get()).then(turns)}
            <button type="button" class="btn small" aria-pressed=move || following.get().to_string() on:click=follow>
                {move || icon(if following.get() { "pause" } else { "play" })}{move || if following.get() { t().pause } else { t().follow }}</button>
        </div>
        {which}
    }
}

/// What is kept of a file that is followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Bytes read up to here.
    pub at: u64,
    pub bytes: Vec<u8>,
    /// Whether `bytes` begins where the file does.
    pub whole: bool,
    pub news: Option<News>,
}

/// What happened to the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It got shorter, and is read from its start again.
    Shorter,
    Gone(String),
}

impl Tail {
    /// Adds what came; what is oldest goes.
    pub fn push(&mut self, new: &[u8]) {
        self.whole |= self.at == 0;
        self.news = self.news.take().filter(|news| *news == News::Shorter);
        self.at += new.len() as u64;
        self.bytes.extend_from_slice(new);
        if self.bytes.len() > KEPT {
            let over = self.bytes.len() - KEPT;
            // Whole lines, where there are any.
            let cut = self.bytes[over..].iter().position(|b| *b == b'\n').map_or(over, |n| over + n + 1);
            self.bytes.drain(..cut);
            self.whole = false;
        }
    }

    /// The file has `size` bytes and nothing new.
    pub fn is(&mut self, size: u64) {
        if size < self.at {
            *self = Tail { news: Some(News::Shorter), ..Tail::default() };
        }
    }
}

/// Reads on while somebody follows.
async fn keep_following(
    client: Client,
    id: String,
    path: String,
    tail: RwSignal<Option<Tail>>,
    still: impl Fn() -> bool,
) {
    while still() {
        let Some(Some(at)) = tail.try_with_untracked(|tail| tail.as_ref().map(|tail| tail.at)) else { return };
        let new = read(&client, &id, &path, at, WINDOW).await;
        if !still() {
            return;
        }
        let more = match new {
            Ok(new) if new.is_empty() => {
                let info = client.call(&calls::stat_file(&Query::new(), &id, &path)).await;
                let size = info.ok().filter(|i| sort(&i.value) == Sort::File).map(|i| i.value.size.max(0) as u64);
                tail.try_update(|tail| tail.as_mut().zip(size).map(|(tail, size)| tail.is(size)));
                false
            }
            Ok(new) => {
                tail.try_update(|tail| tail.as_mut().map(|tail| tail.push(&new)));
                new.len() as u64 >= WINDOW
            }
            Err(error) => {
                // It may come back.
                let why = News::Gone(sentence(&error));
                tail.try_update(|tail| tail.as_mut().map(|tail| tail.news = Some(why)));
                false
            }
        };
        if !more {
            dom::sleep_ms(FOLLOW_MS).await;
        }
    }
}

#[component]
fn Following(tail: RwSignal<Option<Tail>>) -> impl IntoView {
    let words = a();
    let news = move || {
        let news = tail.with(|tail| tail.as_ref().and_then(|tail| tail.news.clone()))?;
        let text = match news {
            News::Shorter => words.file_shorter.to_owned(),
            News::Gone(why) => why,
        };
        Some(view! { <div class="body">{note("warn", Kind::Degraded, text)}</div> })
    };
    let text = Memo::new(move |_| {
        tail.with(|tail| tail.as_ref().map_or(Shown::Text(String::new()), |tail| shown(&tail.bytes, tail.whole)))
    });
    let node = NodeRef::<leptos::html::Pre>::new();
    Effect::new(move |_| {
        text.track();
        if let Some(element) = node.get() {
            request_animation_frame(move || element.set_scroll_top(element.scroll_height()));
        }
    });
    let body = move || {
        text.with(|text| match text {
            Shown::Text(text) => text.clone(),
            Shown::Binary => words.no_text.to_owned(),
        })
    };
    view! {
        {news}
        <pre class="code filetext" tabindex="0" role="log" aria-label=words.file node_ref=node>{body}</pre>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], from_start: bool) -> String {
        match shown(bytes, from_start) {
            Shown::Text(text) => text,
            Shown::Binary => "binary".to_owned(),
        }
    }

    #[test]
    fn a_window_begins_and_ends_within_characters() {
        let whole = "aé文😀z".as_bytes();
        assert_eq!(text(whole, true), "aé文😀z");
        // After the first byte of é; before the last of 😀.
        assert_eq!(text(&whole[2..], false), "文😀z");
        assert_eq!(text(&whole[..9], true), "aé文");
        assert_eq!(text(b"", true), "");
    }

    #[test]
    fn what_is_no_text_is_called_so() {
        assert_eq!(shown(b"\x7fELF\x02\x01\x01\0\0", true), Shown::Binary);
        assert_eq!(shown(&[0xff; 100], true), Shown::Binary);
        // Latin-1 is a text with a few characters that are not known.
        assert_eq!(
            text("caf\u{e9} au lait, cr\u{e8}me".chars().map(|c| c as u8).collect::<Vec<_>>().as_slice(), true),
            "caf\u{fffd} au lait, cr\u{fffd}me"
        );
        assert_eq!(text(b"\x1b[31mred\x1b[0m\x07", true), "␛[31mred␛[0m␇");
    }

    #[test]
    fn windows() {
        assert_eq!(around(0, 10), (None, None, 0));
        assert_eq!(around(0, 3 * WINDOW), (None, Some(WINDOW), 2 * WINDOW));
        assert_eq!(around(WINDOW + 5, 3 * WINDOW), (Some(5), Some(2 * WINDOW + 5), 2 * WINDOW));
        assert_eq!(around(7, 8), (Some(0), None, 0));
    }

    #[test]
    fn a_followed_file_is_bounded_and_may_get_shorter() {
        let mut tail = Tail::default();
        let line = [b'x'; 999].iter().chain(b"\n").copied().collect::<Vec<_>>();
        (0..500).for_each(|_| tail.push(&line));
        assert_eq!((tail.at, tail.whole), (500_000, false));
        assert!(tail.bytes.len() <= KEPT && tail.bytes.len() > KEPT - 2000 && tail.bytes[0] == b'x');
        tail.is(500_000);
        assert_eq!(tail.news, None);
        tail.is(10);
        assert_eq!(tail, Tail { news: Some(News::Shorter), ..Tail::default() });
        tail.push(b"new");
        assert!(tail.whole && tail.bytes == b"new");
    }
}
