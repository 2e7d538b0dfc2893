//! What an allocation and each of its tasks need before anything runs: hooks, made in order and undone in reverse.
//!
//! A set-up runs beside the actor's loop. What it is about to make is in the stored record before it begins ([`Stage`]), what
//! it has made there when that matters; an agent that comes back goes on from the record, or undoes by it.
//! [`alloc`] has the hooks of an allocation, [`task`] those of a task: a new one is a type there and a line in its list.

pub(crate) mod alloc;
mod ledger;
pub(crate) mod task;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{Mutex, RwLock};

pub(crate) use self::ledger::Ledger;

/// How long one hook may take to undo what it made. What is not undone by then stays in the record, for the next agent.
const UNDOING: Duration = Duration::from_secs(60);

/// What hooks work on: an allocation or a task.
pub(crate) trait Scope: Send + Sync + 'static {
    /// Why a set-up did not work, as the core wants to know it.
    type Failure: Send;

    /// Something was made that must be written down.
    fn made(&self) -> BoxFuture<'_, ()>;
}

/// Up to when what a hook made is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Until {
    /// Nothing runs any more.
    End,
    /// The allocation is forgotten: until then people look at its files.
    Removed,
}

pub(crate) type Making<'a, S> = BoxFuture<'a, Result<(), <S as Scope>::Failure>>;

/// What a hook keeps in the record for its next call, also in a later agent.
#[derive(Clone, Copy)]
pub(crate) struct Notes<'a> {
    ledger: &'a Ledger,
    hook: &'static str,
}

impl Notes<'_> {
    pub(crate) fn kept(&self) -> Option<Value> {
        self.ledger.kept(self.hook)
    }

    /// In place of what was kept before. On disk with the next record: [`Scope::made`] has one written.
    pub(crate) fn keep(&self, value: Value) {
        self.ledger.keep(self.hook, value);
    }
}

/// One thing that is made before something runs.
///
/// An agent may die, and an allocation be stopped, at any moment of `make`, which is then dropped. So whatever a hook makes
/// has a name that follows from the allocation and the task: it is found again without being told.
pub(crate) trait Hook<S: Scope>: Send + Sync {
    /// In the record: it must never change.
    fn name(&self) -> &'static str;

    fn wanted(&self, scope: &S) -> bool {
        let _ = scope;
        true
    }

    /// Not made again once it was, neither at the next start of a task nor by a later agent.
    fn once(&self) -> bool {
        false
    }

    fn until(&self) -> Until {
        Until::End
    }

    /// Makes it, or takes it up where it is there already, whole or in part.
    fn make<'a>(&'a self, scope: &'a S, notes: Notes<'a>) -> Making<'a, S>;

    /// Removes it, however much of it there is. Called for every hook whose `make` began; a hook whose things lie in a
    /// directory that goes anyway has nothing to do.
    fn undo<'a>(&'a self, scope: &'a S, notes: Notes<'a>) -> BoxFuture<'a, ()> {
        let _ = (scope, notes);
        Box::pin(std::future::ready(()))
    }
}

pub(crate) type List<S> = Arc<Vec<Box<dyn Hook<S>>>>;

/// Everything that sets something up on this node, in order.
#[derive(Clone)]
pub(crate) struct Hooks {
    pub(crate) alloc: List<alloc::AllocScope>,
    pub(crate) task: List<task::TaskScope>,
}

impl Default for Hooks {
    fn default() -> Hooks {
        Hooks { alloc: Arc::new(alloc::hooks()), task: Arc::new(task::hooks()) }
    }
}

/// The set-up of one allocation or task.
pub(crate) struct Setup<S: Scope> {
    hooks: List<S>,
    pub(crate) ledger: Ledger,
    /// Held by who makes or undoes: a kill may come to either at any moment, and what follows must not meet it.
    turn: Arc<Mutex<()>>,
}

impl<S: Scope> Clone for Setup<S> {
    fn clone(&self) -> Setup<S> {
        Setup { hooks: self.hooks.clone(), ledger: self.ledger.clone(), turn: self.turn.clone() }
    }
}

impl<S: Scope> Setup<S> {
    pub(crate) fn new(hooks: List<S>, ledger: Ledger) -> Setup<S> {
        Setup { hooks, ledger, turn: Arc::default() }
    }

    fn notes(&self, hook: &'static str) -> Notes<'_> {
        Notes { ledger: &self.ledger, hook }
    }

    /// Puts what will be made into the ledger; whether some of it is new there, and so must be on disk before it is made.
    pub(crate) fn plan(&self, scope: &S) -> bool {
        let wanted = self.hooks.iter().filter(|h| h.wanted(scope)).map(|h| h.name());
        self.ledger.plan(wanted)
    }

    /// Takes everything that is made once for made: an older record, or a task that was found running, says no more.
    pub(crate) fn assume_once(&self) {
        self.hooks.iter().filter(|h| h.once()).for_each(|h| self.ledger.done(h.name()));
    }

    /// Makes everything in order, up to the first that fails. What was made stays.
    pub(crate) async fn make(&self, scope: &S) -> Result<(), S::Failure> {
        let _turn = self.turn.lock().await;
        for hook in self.hooks.iter().filter(|h| h.wanted(scope)) {
            if self.ledger.made(hook.name()) && hook.once() {
                continue;
            }
            self.ledger.begin(hook.name());
            let notes = self.notes(hook.name());
            hook.make(scope, notes).await?;
            self.ledger.done(hook.name());
            if hook.once() || notes.kept().is_some() {
                scope.made().await;
            }
        }
        Ok(())
    }

    /// Whether [`Setup::undo`] would do anything.
    pub(crate) fn undoable(&self, until: Until) -> bool {
        self.hooks.iter().any(|h| h.until() <= until && self.ledger.begun(h.name()))
    }

    /// Undoes what was begun and is needed no longer than `until`, the last first.
    pub(crate) async fn undo(&self, scope: &S, until: Until) {
        let _turn = self.turn.lock().await;
        for hook in self.hooks.iter().rev().filter(|h| h.until() <= until) {
            let name = hook.name();
            if self.ledger.begun(name)
                && tokio::time::timeout(UNDOING, hook.undo(scope, self.notes(name))).await.is_err()
            {
                tracing::warn!(hook = name, "undoing what was set up takes too long: it is left");
                continue;
            }
            self.ledger.forget(name);
        }
    }
}

/// Blocking calls of a set-up, on threads of their own. They go on when nobody waits for them any more: whoever undoes waits
/// until none is left.
#[derive(Clone, Default)]
pub(crate) struct Beside(Arc<RwLock<()>>);

impl Beside {
    /// The error is a sentence.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let running = self.0.clone().read_owned().await;
        let calling = tokio::task::spawn_blocking(move || {
            let _running = running;
            call()
        });
        calling.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// The same for a call that somebody else makes: as long as what this gives lives.
    pub(crate) fn hold(&self) -> BoxFuture<'static, Box<dyn Send>> {
        let lock = self.0.clone();
        Box::pin(async move { Box::new(lock.read_owned().await) as Box<dyn Send> })
    }

    pub(crate) async fn idle(&self) {
        drop(self.0.write().await);
    }
}
