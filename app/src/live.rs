//! One event stream a page: says what changed, and nothing more; pages read again what they show.
//!
//! In the browser a WebSocket of `/v1/event/stream`; when none can be had, everything is called changed every two seconds.
//! Changes are gathered, so that a page reads again at most four times a second whatever the cluster does, and less often where
//! reading takes long ([`pace_ms`]). Who shows one object follows that object only.

use std::cell::RefCell;
use std::rc::Rc;

use leptos::prelude::*;
use serde::de::DeserializeOwned;
use tarpan_api::wire::{Event, Events};
use tarpan_api::{Answer, Call, Client, Error, Query, calls};
use tarpan_model::part;
use wasm_bindgen::prelude::*;
use web_sys::{MessageEvent, WebSocket};

use crate::dom;
use crate::prefs::Region;

/// What pages watch. The names are those of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    Job,
    Allocation,
    Evaluation,
    Deployment,
    Node,
    Service,
    HostVolume,
    CSIVolume,
    CSIPlugin,
}

impl Topic {
    fn name(self) -> &'static str {
        match self {
            Topic::Job => "Job",
            Topic::Allocation => "Allocation",
            Topic::Evaluation => "Evaluation",
            Topic::Deployment => "Deployment",
            Topic::Node => "Node",
            Topic::Service => "Service",
            Topic::HostVolume => "HostVolume",
            Topic::CSIVolume => "CSIVolume",
            Topic::CSIPlugin => "CSIPlugin",
        }
    }
}

/// How the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Before the browser took the page over.
    Off,
    Live,
    Reconnecting,
    /// No stream: the page asks every two seconds.
    Polling,
}

#[derive(Clone, Copy)]
pub struct Live {
    heard: RwSignal<Heard>,
    pub link: RwSignal<Link>,
    /// The raft index of the newest event seen.
    pub index: RwSignal<u64>,
    /// Actions of this page that are under way.
    held: RwSignal<u32>,
    /// Nanoseconds that reading took since changes were last told.
    spent_ns: StoredValue<i64>,
}

impl Live {
    /// A number that grows when something of `topics` changed; with a `key` (of a job, node, service, …), something of that name or
    /// that belongs to it. To be read in a resource's source.
    pub fn follow(&self, topics: &'static [Topic], key: Option<Signal<String>>) -> Memo<u64> {
        let heard = self.heard;
        Memo::new(move |before: Option<&u64>| {
            let key = key.map(|key| key.get());
            let changed = heard.with(|h| h.has(topics, key.as_deref()));
            before.copied().unwrap_or_default() + u64::from(changed)
        })
    }

    /// Asks, and notes at which index the answer was read and how long it took.
    pub async fn ask<T: DeserializeOwned>(&self, client: &Client, call: &Call<T>) -> Result<Answer<T>, Error> {
        // There is no such clock where the server renders.
        let now = || if cfg!(feature = "hydrate") { dom::now_ns() } else { 0 };
        let begun = now();
        let answer = client.call(call).await;
        self.spent_ns.try_update_value(|spent| *spent += now() - begun);
        if let Ok(answer) = &answer {
            self.seen(answer.index);
        }
        answer
    }

    /// Notes the raft index of an answer. Only in the browser: what the server renders must be what the browser begins with.
    fn seen(&self, index: u64) {
        if cfg!(feature = "hydrate") {
            self.index.try_update(|i| *i = (*i).max(index));
        }
    }

    /// Reads nothing again until [`Live::release`]: a page that purges its own job must not ask for it before it is left.
    pub fn hold(&self) {
        self.held.try_update(|n| *n += 1);
    }

    /// Ends a [`Live::hold`]. What changed meanwhile is read then.
    pub fn release(&self) {
        self.held.try_update(|n| *n = n.saturating_sub(1));
    }

    /// Reads everything again, as after a missed stretch of the stream.
    fn tell_all(&self) {
        self.heard.try_set(Heard { all: true, ..Heard::default() });
    }
}

pub fn live() -> Live {
    use_context::<Live>().unwrap_or_else(new)
}

fn new() -> Live {
    Live {
        heard: RwSignal::new(Heard::default()),
        link: RwSignal::new(Link::Off),
        index: RwSignal::new(0),
        held: RwSignal::new(0),
        spent_ns: StoredValue::new(0),
    }
}

/// Provides [`Live`]; in the browser it starts to listen.
pub fn provide() {
    let live = new();
    provide_context(live);
    Effect::new(move |_| leptos::task::spawn_local(run(live)));
}

part! {
    /// What pages need of a line of the stream.
    Line of Events { index: u64, events: Vec<LineEvent>, lost: bool }
    LineEvent of Event { topic: String, key: String, filter_keys: Vec<String> }
}

/// What the stream said.
#[derive(Clone, Debug, Default, PartialEq)]
struct Heard {
    index: u64,
    /// Anything may have changed: the stream could not go on from where we were, or said more than is kept.
    all: bool,
    events: Vec<LineEvent>,
}

/// Events that are kept one by one; a page that is not on screen hears more and tells nobody.
const MOST_KEPT: usize = 1_000;

impl Heard {
    /// Adds what a message says: one or more lines of JSON; heartbeats are `{}`.
    fn add(&mut self, message: &str) {
        for line in message.lines().filter(|l| !l.trim().is_empty()) {
            let Ok(mut line) = serde_json::from_str::<Line>(line) else { continue };
            self.index = self.index.max(line.index);
            self.all |= line.lost;
            self.events.append(&mut line.events);
        }
        if self.all || self.events.len() > MOST_KEPT {
            self.all = true;
            self.events.clear();
        }
    }

    fn has(&self, topics: &[Topic], key: Option<&str>) -> bool {
        let touches =
            |event: &LineEvent| key.is_none_or(|key| event.key == key || event.filter_keys.iter().any(|k| k == key));
        self.all || self.events.iter().any(|e| topics.iter().any(|t| t.name() == e.topic) && touches(e))
    }

    fn is_empty(&self) -> bool {
        !self.all && self.events.is_empty()
    }
}

/// The shortest time between two readings.
const GATHER_MS: i32 = 250;
/// The longest: what changes is on the page within a second.
const SLOWEST_MS: i64 = 750;
/// Of an open page's time, the part in which it may be reading: one in so many. What it asks for keeps a server busy no longer than that.
const ONE_IN: i64 = 25;
const POLL_MS: i32 = 2_000;
/// The server beats every 30 s at the latest; after this long without a word the connection is taken for dead.
const SILENCE_MS: i32 = 75_000;

/// How long to wait before try number `n` (from 0).
fn backoff_ms(n: u32) -> i32 {
    (500 * 2_i32.pow(n.min(4))).min(5_000)
}

/// How long after changes were told the next ones are, when reading took so long.
fn pace_ms(spent_ns: i64) -> i32 {
    (spent_ns / 1_000_000 * ONE_IN).clamp(i64::from(GATHER_MS), SLOWEST_MS) as i32
}

async fn run(live: Live) {
    let gathered: Rc<RefCell<Heard>> = Rc::default();
    leptos::task::spawn_local(flush(live, Rc::clone(&gathered)));
    let mut failures = 0;
    loop {
        let opened = listen(live, &gathered).await;
        failures = if opened { 0 } else { failures + 1 };
        if live.link.try_set(if failures > 2 { Link::Polling } else { Link::Reconnecting }).is_some() {
            return;
        }
        if failures > 2 {
            for _ in 0..5 {
                live.tell_all();
                dom::sleep_ms(POLL_MS).await;
            }
        } else {
            dom::sleep_ms(backoff_ms(failures)).await;
            // What happened meanwhile may be gone from the server's buffer.
            live.tell_all();
        }
    }
}

/// Carries gathered changes to the pages; a page that is not on screen waits.
async fn flush(live: Live, gathered: Rc<RefCell<Heard>>) {
    let mut since_ms = 0;
    loop {
        dom::sleep_ms(GATHER_MS).await;
        since_ms += GATHER_MS;
        let (Some(held), Some(spent_ns)) = (live.held.try_get_untracked(), live.spent_ns.try_get_value()) else {
            return;
        };
        let wanted = dom::visible() && held == 0 && since_ms >= pace_ms(spent_ns);
        if wanted && !gathered.borrow().is_empty() {
            since_ms = 0;
            live.spent_ns.try_set_value(0);
            live.heard.try_set(gathered.take());
        }
    }
}

/// One connection, until it ends. True when it had been open.
async fn listen(live: Live, gathered: &Rc<RefCell<Heard>>) -> bool {
    let index = live.index.get_untracked();
    // An index replays from there; without one the stream starts with what comes next.
    let from = if index > 0 { index + 1 } else { 0 };
    let stream = calls::events(&Query::in_namespace("*"), &[], from).with("payload", false);
    let Some(url) = dom::websocket_url(&Region::from_document().on(stream.path())) else { return false };
    let Ok(socket) = WebSocket::new(&url) else { return false };
    let (closed, ended) = futures::channel::oneshot::channel::<()>();
    let closed = Rc::new(RefCell::new(Some(closed)));
    let was_open = Rc::new(RefCell::new(false));
    let last_word = Rc::new(RefCell::new(dom::now_ns()));

    let on_open = Closure::<dyn FnMut()>::new({
        let was_open = Rc::clone(&was_open);
        move || {
            *was_open.borrow_mut() = true;
            live.link.try_set(Link::Live);
        }
    });
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new({
        let (gathered, last_word) = (Rc::clone(gathered), Rc::clone(&last_word));
        move |event: MessageEvent| {
            *last_word.borrow_mut() = dom::now_ns();
            let mut gathered = gathered.borrow_mut();
            gathered.add(&event.data().as_string().unwrap_or_default());
            live.seen(gathered.index);
        }
    });
    let on_close = Closure::<dyn FnMut()>::new({
        let closed = Rc::clone(&closed);
        move || {
            if let Some(closed) = closed.borrow_mut().take() {
                let _ = closed.send(());
            }
        }
    });
    socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
    socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));

    let watch = async {
        loop {
            dom::sleep_ms(5_000).await;
            if dom::now_ns() - *last_word.borrow() > i64::from(SILENCE_MS) * 1_000_000 {
                return;
            }
        }
    };
    futures::pin_mut!(watch);
    futures::future::select(ended, watch).await;
    socket.set_onclose(None);
    let _ = socket.close();

    *was_open.borrow()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let heard = |text: &str| {
            let mut heard = Heard::default();
            heard.add(text);
            heard
        };
        assert!(heard("{}").is_empty() && heard("not json").is_empty());
        let one = heard("{\"Index\":7,\"Events\":[{\"Topic\":\"Job\",\"Payload\":{\"a\":1}},{\"Topic\":\"Job\"}]}");
        assert_eq!((one.index, one.events.len()), (7, 2));
        let two = heard(
            "{\"Index\":7,\"Events\":[{\"Topic\":\"Node\"}]}\n{\"Index\":9,\"Events\":[{\"Topic\":\"Variable\"}]}\n",
        );
        assert!(two.index == 9 && two.has(&[Topic::Node], None) && !two.has(&[Topic::Job, Topic::Service], None));
        // As the server writes it.
        let gap = Events { index: 12, events: Vec::new(), lost: true };
        let gap = heard(&serde_json::to_string(&gap).expect("JSON"));
        assert!(gap.index == 12 && gap.has(&[Topic::Service], Some("x")));
    }

    #[test]
    fn who_shows_one_object_hears_of_that_one() {
        let mut heard = Heard::default();
        heard.add(r#"{"Index":7,"Events":[{"Topic":"Allocation","Key":"a1","FilterKeys":["web","n1"]}]}"#);
        for key in ["a1", "web", "n1"] {
            assert!(heard.has(&[Topic::Allocation], Some(key)) && !heard.has(&[Topic::Job], Some(key)), "{key}");
        }
        assert!(!heard.has(&[Topic::Allocation], Some("db")));
        heard.events = vec![LineEvent::default(); MOST_KEPT + 1];
        heard.add("{}");
        assert!(
            heard.events.is_empty() && heard.has(&[Topic::Job], Some("db")),
            "too much to tell apart is everything"
        );
    }

    #[test]
    fn slow_answers_are_asked_for_less_often() {
        let ms = 1_000_000;
        assert_eq!([0, 5 * ms, 20 * ms, 3_000 * ms].map(pace_ms), [250, 250, 500, 750]);
    }

    #[test]
    fn waits_grow_and_stop_growing() {
        assert_eq!((0..7).map(backoff_ms).collect::<Vec<_>>(), [500, 1000, 2000, 4000, 5000, 5000, 5000]);
    }
}
