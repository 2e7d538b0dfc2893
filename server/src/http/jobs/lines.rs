//! The lines of the list of jobs, kept from one request to the next: what changed since is made anew, the rest stands.
//!
//! A page that is open asks several times a second while the cluster moves, and each answer tells of all jobs. States are persistent
//! maps: what differs between the one that the lines were made of and a newer one is found without looking through both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tarpan_app::overview::Line;
use tarpan_model::NamespacedId;
use tarpan_state::State;

use super::overview::line_of;

/// Lines of jobs that are no children of others.
#[derive(Default)]
pub struct Lines(Mutex<Made>);

#[derive(Default)]
struct Made {
    /// `None`: of none.
    of: Option<State>,
    lines: Arc<BTreeMap<NamespacedId, Arc<Line>>>,
}

/// More are made anew each time: they are not worth the memory between two requests that may be far apart.
const MOST_KEPT: usize = 100_000;

impl Lines {
    /// The lines as `state` has them.
    pub fn of(&self, state: &State) -> Arc<BTreeMap<NamespacedId, Arc<Line>>> {
        if state.counts().jobs > MOST_KEPT {
            return Arc::new(all(state));
        }
        let mut made = self.0.lock().expect("no panic while held");
        let Made { of, lines } = &mut *made;
        match of {
            None => *lines = Arc::new(all(state)),
            // Another request saw more than this one does.
            Some(before) if before.index() > state.index() => return Arc::new(all(state)),
            Some(before) => {
                let changed = state.jobs_changed(before);
                let lines = if changed.is_empty() { return lines.clone() } else { Arc::make_mut(lines) };
                for key in changed {
                    match state.job(&key).and_then(|job| line_of(state, &key, job)) {
                        Some(line) => drop(lines.insert(key, Arc::new(line))),
                        None => drop(lines.remove(&key)),
                    }
                }
            }
        }
        *of = Some(state.of_jobs());
        lines.clone()
    }
}

fn all(state: &State) -> BTreeMap<NamespacedId, Arc<Line>> {
    state.jobs().filter_map(|(key, job)| Some((key.clone(), Arc::new(line_of(state, key, job)?)))).collect()
}
