//! What of one set-up is planned, begun and made.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::store::{Made, Stage};

/// Shared by the set-up, which fills it in, and the actor, which writes it down.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Vec<Made>>>);

impl Ledger {
    /// As an earlier agent wrote it down.
    pub(crate) fn recorded(rows: Vec<Made>) -> Ledger {
        Ledger(Arc::new(Mutex::new(rows)))
    }

    /// What an earlier agent planned, it may have begun.
    pub(crate) fn suspect(&self) {
        let mut rows = self.0.lock().expect("no panic while held");
        rows.iter_mut().filter(|row| row.stage == Stage::Planned).for_each(|row| row.stage = Stage::Begun);
    }

    pub(crate) fn rows(&self) -> Vec<Made> {
        self.0.lock().expect("no panic while held").clone()
    }

    pub(super) fn plan<'a>(&self, hooks: impl Iterator<Item = &'a str>) -> bool {
        let mut rows = self.0.lock().expect("no panic while held");
        let known = rows.len();
        for hook in hooks {
            if !rows.iter().any(|row| row.hook == hook) {
                rows.push(Made { hook: hook.to_owned(), stage: Stage::Planned });
            }
        }
        rows.len() > known
    }

    /// What it is about to make may be there from now on.
    pub(super) fn begin(&self, hook: &str) {
        if !self.begun(hook) {
            self.set(hook, Stage::Begun);
        }
    }

    pub(super) fn done(&self, hook: &str) {
        self.set(hook, Stage::Made(self.kept(hook).unwrap_or_default()));
    }

    /// What the hook wants to know at its next call.
    pub(super) fn keep(&self, hook: &str, value: Value) {
        let made = self.made(hook);
        self.set(hook, if made { Stage::Made(value) } else { Stage::Partly(value) });
    }

    pub(super) fn kept(&self, hook: &str) -> Option<Value> {
        match self.stage(hook)? {
            Stage::Partly(value) | Stage::Made(value) => Some(value).filter(|v| !v.is_null()),
            Stage::Planned | Stage::Begun => None,
        }
    }

    pub(super) fn made(&self, hook: &str) -> bool {
        matches!(self.stage(hook), Some(Stage::Made(_)))
    }

    fn set(&self, hook: &str, stage: Stage) {
        let mut rows = self.0.lock().expect("no panic while held");
        match rows.iter_mut().find(|row| row.hook == hook) {
            Some(row) => row.stage = stage,
            None => rows.push(Made { hook: hook.to_owned(), stage }),
        }
    }

    pub(super) fn forget(&self, hook: &str) {
        self.0.lock().expect("no panic while held").retain(|row| row.hook != hook);
    }

    fn stage(&self, hook: &str) -> Option<Stage> {
        let rows = self.0.lock().expect("no panic while held");
        rows.iter().find(|row| row.hook == hook).map(|row| row.stage.clone())
    }

    pub(super) fn begun(&self, hook: &str) -> bool {
        self.stage(hook).is_some_and(|stage| stage != Stage::Planned)
    }
}
