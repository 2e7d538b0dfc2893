//! One event stream a page: says which topics changed, and nothing more; pages read again what they show.
//!
//! In the browser a WebSocket of `/v1/event/stream`; when none can be had, the topics are called changed every two seconds.
//! Changes are gathered, so that a topic is read again at most four times a second whatever the cluster does.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use leptos::prelude::*;
use serde::Deserialize;
use wasm_bindgen::prelude::*;
use web_sys::{MessageEvent, WebSocket};

use crate::dom;

/// What pages watch. The names are those of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    Job,
    Allocation,
    Evaluation,
    Deployment,
    Node,
    Service,
}

const TOPICS: [(Topic, &str); 6] = [
    (Topic::Job, "Job"),
    (Topic::Allocation, "Allocation"),
    (Topic::Evaluation, "Evaluation"),
    (Topic::Deployment, "Deployment"),
    (Topic::Node, "Node"),
    (Topic::Service, "Service"),
];

impl Topic {
    fn from_name(name: &str) -> Option<Topic> {
        TOPICS.iter().find(|(_, n)| *n == name).map(|(t, _)| *t)
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
    counters: [RwSignal<u64>; 6],
    pub link: RwSignal<Link>,
    /// The raft index of the newest event seen.
    pub index: RwSignal<u64>,
    /// Actions of this page that are under way.
    held: RwSignal<u32>,
}

impl Live {
    /// A number that grows when one of `topics` changed: read it in a resource's source.
    pub fn changed(&self, topics: &[Topic]) -> u64 {
        topics.iter().map(|t| self.counters[*t as usize].get()).sum()
    }

    fn bump(&self, topics: &BTreeSet<Topic>) {
        for topic in topics {
            self.counters[*topic as usize].try_update(|n| *n += 1);
        }
    }

    /// Notes the raft index of an answer. Only in the browser: what the server renders must be what the browser begins with.
    pub fn seen(&self, index: u64) {
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
    pub fn bump_all(&self) {
        self.bump(&TOPICS.iter().map(|(t, _)| *t).collect());
    }
}

pub fn live() -> Live {
    use_context::<Live>().unwrap_or_else(new)
}

fn new() -> Live {
    Live {
        counters: std::array::from_fn(|_| RwSignal::new(0)),
        link: RwSignal::new(Link::Off),
        index: RwSignal::new(0),
        held: RwSignal::new(0),
    }
}

/// Provides [`Live`]; in the browser it starts to listen.
pub fn provide() {
    let live = new();
    provide_context(live);
    Effect::new(move |_| leptos::task::spawn_local(run(live)));
}

/// What a message of the stream says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    index: u64,
    topics: BTreeSet<Topic>,
    /// The stream could not go on from where we were: read everything again.
    gap: bool,
}

/// What pages need of [`tarpan_api::wire::Events`].
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Line {
    index: u64,
    events: Vec<LineEvent>,
    lost: bool,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct LineEvent {
    topic: String,
}

/// Reads one message: one or more lines of JSON; heartbeats are `{}`.
fn read(message: &str) -> Said {
    let mut said = Said::default();
    for line in message.lines().filter(|l| !l.trim().is_empty()) {
        let Ok(line) = serde_json::from_str::<Line>(line) else { continue };
        said.index = said.index.max(line.index);
        said.gap |= line.lost;
        said.topics.extend(line.events.iter().filter_map(|e| Topic::from_name(&e.topic)));
    }
    said
}

/// The shortest time between two readings of a topic.
const GATHER_MS: i32 = 250;
const POLL_MS: i32 = 2_000;
/// The server beats every 30 s at the latest; after this long without a word the connection is taken for dead.
const SILENCE_MS: i32 = 75_000;

/// How long to wait before try number `n` (from 0).
fn backoff_ms(n: u32) -> i32 {
    (500 * 2_i32.pow(n.min(4))).min(5_000)
}

async fn run(live: Live) {
    let gathered: Rc<RefCell<BTreeSet<Topic>>> = Rc::default();
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
                live.bump_all();
                dom::sleep_ms(POLL_MS).await;
            }
        } else {
            dom::sleep_ms(backoff_ms(failures)).await;
            // What happened meanwhile may be gone from the server's buffer.
            live.bump_all();
        }
    }
}

/// Carries gathered changes to the pages; a page that is not on screen waits.
async fn flush(live: Live, gathered: Rc<RefCell<BTreeSet<Topic>>>) {
    loop {
        dom::sleep_ms(GATHER_MS).await;
        if live.link.try_get_untracked().is_none() {
            return;
        }
        if dom::visible() && live.held.try_get_untracked() == Some(0) {
            let topics = std::mem::take(&mut *gathered.borrow_mut());
            live.bump(&topics);
        }
    }
}

/// One connection, until it ends. True when it had been open.
async fn listen(live: Live, gathered: &Rc<RefCell<BTreeSet<Topic>>>) -> bool {
    let index = live.index.get_untracked();
    // An index replays from there; without one the stream starts with what comes next.
    let from = if index > 0 { format!("&index={}", index + 1) } else { String::new() };
    let Some(url) = dom::websocket_url(&format!("/v1/event/stream?namespace=*{from}")) else { return false };
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
            let said = read(&event.data().as_string().unwrap_or_default());
            if said.index > live.index.get_untracked() {
                live.index.try_set(said.index);
            }
            if said.gap {
                gathered.borrow_mut().extend(TOPICS.iter().map(|(t, _)| *t));
            }
            gathered.borrow_mut().extend(said.topics);
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
        let check = |text: &str, index: u64, topics: &[Topic], gap: bool| {
            assert_eq!(read(text), Said { index, topics: topics.iter().copied().collect(), gap }, "{text}");
        };
        check("{}", 0, &[], false);
        check(
            "{\"Index\":7,\"Events\":[{\"Topic\":\"Job\",\"Payload\":{\"a\":1}},{\"Topic\":\"Job\"}]}",
            7,
            &[Topic::Job],
            false,
        );
        check(
            "{\"Index\":7,\"Events\":[{\"Topic\":\"Node\"}]}\n{\"Index\":9,\"Events\":[{\"Topic\":\"Variable\"}]}\n",
            9,
            &[Topic::Node],
            false,
        );
        // As the server writes it.
        let gap = tarpan_api::wire::Events { index: 12, events: Vec::new(), lost: true };
        check(&serde_json::to_string(&gap).expect("JSON"), 12, &[], true);
        check("not json", 0, &[], false);
    }

    #[test]
    fn waits_grow_and_stop_growing() {
        assert_eq!((0..7).map(backoff_ms).collect::<Vec<_>>(), [500, 1000, 2000, 4000, 5000, 5000, 5000]);
    }
}
