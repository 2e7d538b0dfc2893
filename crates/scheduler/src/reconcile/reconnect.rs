//! A node came back: which of an allocation and its replacement stays.

use tarpan_model::alloc::TaskStateKind;
use tarpan_model::{Allocation, ClientStatus, DesiredStatus, UnixNanos};

use super::{AllocRef, Reconciler, text};
use crate::compile::{Group, Reconcile};

impl<'a> Reconciler<'a, '_> {
    /// Settles each returning allocation against its replacements; gives those that stay.
    pub(super) fn reconnect(
        &mut self,
        group: &Group,
        returning: Vec<AllocRef<'a>>,
        all: &[AllocRef<'a>],
    ) -> Vec<AllocRef<'a>> {
        let mut stay = Vec::new();
        for alloc in returning {
            if alloc.desired_status == DesiredStatus::Run && alloc.client_status == ClientStatus::Failed {
                self.stop(alloc, text::RESCHEDULED, Some(ClientStatus::Failed));
                continue;
            }
            let transition = &alloc.transition;
            let asked_away =
                [transition.migrate, transition.reschedule, transition.force_reschedule].contains(&Some(true));
            let outdated = self.input.job.is_some_and(|job| {
                alloc.job_version < job.job.version() || alloc.job_create_index < job.job.create_index.unwrap_or(0)
            });
            if alloc.desired_status != DesiredStatus::Run || asked_away || outdated {
                self.stop(alloc, text::NOT_NEEDED, None);
                continue;
            }
            if self.wins(group, alloc, all) {
                if alloc.client_status == ClientStatus::Running {
                    let now = self.input.now;
                    let row = self.rewrite(alloc);
                    row.client_states.push((ClientStatus::Running, now));
                }
                stay.push(alloc);
            } else {
                self.stop(alloc, text::NOT_NEEDED, None);
            }
        }
        stay
    }

    /// Is it better than every replacement? Replacements that lose are stopped.
    fn wins(&mut self, group: &Group, original: AllocRef<'a>, all: &[AllocRef<'a>]) -> bool {
        let mut replacements = Vec::new();
        let mut next = original.next;
        while let Some(replacement) = next.and_then(|id| all.iter().find(|a| a.id == id)).copied() {
            if replacements.len() > all.len() {
                break;
            }
            next = replacement.next;
            if !replacement.server_terminal() {
                replacements.push(replacement);
            }
        }
        if replacements.iter().any(|replacement| replacement_wins(group.disconnect.reconcile, original, replacement)) {
            return false;
        }
        for replacement in replacements {
            self.stop(replacement, text::RECONNECTED, None);
        }
        true
    }
}

fn replacement_wins(strategy: Reconcile, original: &Allocation, replacement: &Allocation) -> bool {
    if replacement.job_version > original.job_version || replacement.job_create_index > original.job_create_index {
        return true;
    }
    match strategy {
        Reconcile::KeepOriginal => false,
        Reconcile::KeepReplacement => true,
        Reconcile::BestScore => replacement_scores_better(original, replacement),
        Reconcile::LongestRunning => match (started(original), started(replacement)) {
            (None, None) => replacement_scores_better(original, replacement),
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (Some(original), Some(replacement)) => replacement <= original,
        },
    }
}

fn replacement_scores_better(original: &Allocation, replacement: &Allocation) -> bool {
    let score = |alloc: &Allocation| alloc.metrics.as_ref().and_then(|m| m.scores.first()).map(|s| s.norm_score);
    let better = match (score(original), score(replacement)) {
        (None, _) => true,
        (Some(original), replacement) => replacement.unwrap_or(0.0) > original,
    };
    let runs = |alloc: &Allocation| alloc.client_status == ClientStatus::Running;
    better && (runs(replacement) || !runs(original))
}

/// Since when its leader, or else its oldest task, has run without a break.
fn started(alloc: &Allocation) -> Option<UnixNanos> {
    let leader =
        alloc.group().and_then(|g| g.tasks().iter().find(|t| t.leader == Some(true))).map(|t| t.name().to_owned());
    alloc
        .task_states
        .iter()
        .filter(|(name, task)| task.state == TaskStateKind::Running && leader.as_deref().is_none_or(|l| l == &***name))
        .map(|(_, task)| if task.restarts > 0 { task.last_restart } else { task.started_at })
        .filter(|time| !time.is_zero())
        .min()
}
