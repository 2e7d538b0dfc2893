//! What an allocation's actor can be told, and the bounded way to it.
//!
//! Orders wait in a slot each, a newer one in place of an older: they need no room, so none is refused or lost, and whoever
//! gives one never waits. Everything else is told by work beside the loop, or by somebody who waits for an answer anyway: it
//! waits for room. The actor itself tells itself nothing this way, as it would wait for itself.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tarpan_model::alloc::NetworkStatus;
use tarpan_model::{Allocation, TaskEvent};
use tokio::sync::{Notify, mpsc, oneshot};

use super::core::Input;
use super::health::Checks;
use super::refusal::Refusal;
use super::task::{self, KEPT_EVENTS};
use crate::driver::{Exit, Handle};
use crate::template;

/// Messages that may wait. A task has a handful of things under way at a time: more than this only wait when the loop does.
const ROOM: usize = 64;

/// What an actor can be told.
pub(super) enum Message {
    Core(Input),
    Task(usize, task::Input),
    RegisterGroup,
    WithdrawGroup,
    /// The allocation has a network of its own.
    Network(NetworkStatus),
    /// A hook has made something that must not be made twice.
    Made,
    /// Nothing of an earlier set-up is under way any more: the task may be set up anew. `true`: it runs.
    SetUp(usize, bool),
    Prepared(usize),
    Started(usize, Arc<dyn Handle>),
    /// A start is over; its traces are still there.
    Ended(usize, Arc<dyn Handle>, Exit),
    /// The servers were heard of: a task that could not be found again may run anew.
    Contacted(usize),
    Template(usize, template::Change),
    Update(Box<Allocation>),
    Restart {
        task: Option<String>,
        all: bool,
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    Signal {
        task: Option<String>,
        signal: String,
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// What was reported so far is not known any more.
    ReportAgain,
    /// What the set-up made for the time that it ran is given back.
    Undone,
    /// The allocation is forgotten: everything of it goes.
    Remove(oneshot::Sender<()>),
    /// The agent ends; what runs goes on.
    Leave,
}

/// Orders that nobody has looked at yet.
#[derive(Default)]
struct Orders {
    checks: Option<Checks>,
    notices: VecDeque<(usize, TaskEvent)>,
    update: Option<Box<Allocation>>,
    report_again: bool,
    stop: bool,
    destroy: bool,
    leave: bool,
}

impl Orders {
    /// A task keeps so few events that of more the oldest would be gone anyway.
    fn notice(&mut self, index: usize, event: TaskEvent) {
        let of_task = |n: &(usize, TaskEvent)| n.0 == index;
        if self.notices.iter().filter(|n| of_task(n)).count() >= KEPT_EVENTS
            && let Some(oldest) = self.notices.iter().position(of_task)
        {
            self.notices.remove(oldest);
        }
        self.notices.push_back((index, event));
    }

    /// In the order in which they make sense: what is to end is told what is new before.
    fn messages(self) -> impl Iterator<Item = Message> {
        let core = |wanted: bool, input| wanted.then_some(Message::Core(input));
        let notices = self.notices.into_iter().map(|(index, event)| Message::Task(index, task::Input::Notice(event)));
        let rest = [
            self.checks.map(|checks| Message::Core(Input::Checks(checks))),
            self.update.map(Message::Update),
            self.report_again.then_some(Message::ReportAgain),
            core(self.stop, Input::Stop { no_shutdown_delay: true }),
            core(self.destroy, Input::Destroy),
            self.leave.then_some(Message::Leave),
        ];
        notices.chain(rest.into_iter().flatten())
    }
}

/// The way in; cheap to clone.
#[derive(Clone)]
pub(crate) struct Inbox {
    messages: mpsc::Sender<Message>,
    orders: Arc<Mutex<Orders>>,
    given: Arc<Notify>,
}

/// The actor's end.
pub(super) struct Receiver {
    messages: mpsc::Receiver<Message>,
    orders: Arc<Mutex<Orders>>,
    given: Arc<Notify>,
}

pub(super) fn inbox() -> (Inbox, Receiver) {
    let (sender, messages) = mpsc::channel(ROOM);
    let (orders, given) = (Arc::<Mutex<Orders>>::default(), Arc::<Notify>::default());
    (Inbox { messages: sender, orders: orders.clone(), given: given.clone() }, Receiver { messages, orders, given })
}

impl Inbox {
    /// Tells something when there is room. Nobody hears it when the actor has left.
    pub(super) async fn tell(&self, message: Message) {
        let _ = self.messages.send(message).await;
    }

    /// The actor has left.
    pub(super) async fn closed(&self) {
        self.messages.closed().await;
    }

    #[cfg(test)]
    pub(super) fn fill(&self) {
        while self.messages.try_send(Message::Made).is_ok() {}
    }

    pub(super) async fn task(&self, index: usize, input: task::Input) {
        self.tell(Message::Task(index, input)).await;
    }

    fn order(&self, give: impl FnOnce(&mut Orders)) {
        give(&mut self.orders.lock().expect("no panic while held"));
        self.given.notify_one();
    }

    /// A newer row; the last one counts, whatever its index: after a fork of the servers' state they begin lower.
    pub(super) fn update(&self, alloc: Allocation) {
        self.order(|o| o.update = Some(Box::new(alloc)));
    }

    pub(super) fn report_again(&self) {
        self.order(|o| o.report_again = true);
    }

    pub(super) fn stop(&self) {
        self.order(|o| o.stop = true);
    }

    pub(super) fn destroy(&self) {
        self.order(|o| o.destroy = true);
    }

    pub(super) fn leave(&self) {
        self.order(|o| o.leave = true);
    }

    /// What the native checks say; the newest counts.
    pub(super) fn checks(&self, checks: Checks) {
        self.order(|o| o.checks = Some(checks));
    }

    /// Something for a task's events.
    pub(super) fn notice(&self, index: usize, event: TaskEvent) {
        self.order(|o| o.notice(index, event));
    }
}

impl Receiver {
    /// What was ordered since the last call.
    pub(super) fn orders(&self) -> impl Iterator<Item = Message> + use<> {
        std::mem::take(&mut *self.orders.lock().expect("no panic while held")).messages()
    }

    /// Waits for a message; `None`: look at the orders.
    pub(super) async fn message(&mut self) -> Option<Message> {
        tokio::select! {
            // What was ordered before a message was told comes before it.
            biased;
            () = self.given.notified() => None,
            message = self.messages.recv() => message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::event;

    fn names(messages: impl Iterator<Item = Message>) -> Vec<String> {
        let name = |message| match message {
            Message::Core(input) => format!("{input:?}").split(' ').next().unwrap_or_default().to_owned(),
            Message::Task(index, task::Input::Notice(event)) => format!("{index} {}", event.message),
            Message::Update(alloc) => format!("Update {}", alloc.alloc_modify_index),
            Message::ReportAgain => "ReportAgain".to_owned(),
            Message::Leave => "Leave".to_owned(),
            _ => "?".to_owned(),
        };
        messages.map(name).collect()
    }

    #[tokio::test]
    async fn orders_need_no_room_and_none_is_lost() {
        let (inbox, mut receiver) = inbox();
        inbox.fill();
        let row = |index| Allocation { alloc_modify_index: index, ..crate::test_support::alloc("web") };
        inbox.leave();
        inbox.destroy();
        inbox.stop();
        [3, 4, 5].into_iter().for_each(|index| inbox.update(row(index)));
        inbox.report_again();
        inbox.checks(Checks::Failing(vec!["web".to_owned()]));
        inbox.checks(Checks::Passing);
        for n in 0..KEPT_EVENTS + 2 {
            inbox.notice(1, event::driver_message(&n.to_string()));
        }
        inbox.notice(0, event::driver_message("other"));
        // Who waits for room gets it, when there is some.
        let waits = tokio::spawn({
            let inbox = inbox.clone();
            async move { inbox.task(7, task::Input::Tick).await }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());

        let notices = (2..KEPT_EVENTS + 2).map(|n| format!("1 {n}")).chain(["0 other".to_owned()]);
        let rest = ["Checks(Passing)", "Update 5", "ReportAgain", "Stop", "Destroy", "Leave"].map(str::to_owned);
        assert_eq!(names(receiver.orders()), notices.chain(rest).collect::<Vec<_>>());
        assert_eq!(receiver.orders().count(), 0);
        let mut told = Vec::new();
        while told.len() <= ROOM {
            told.extend(receiver.message().await);
        }
        assert!(matches!(told.last(), Some(Message::Task(7, task::Input::Tick))));
        waits.await.expect("told");
    }
}
