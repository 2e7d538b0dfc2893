//! Which history this state belongs to: the same indexes may have been something else before an older copy was put back.
//!
//! Each leader's term begins with an entry of raft's own, and what each server process writes begins with a [`crate::Command::Noop`],
//! whose random id names what follows: an [`Epoch`]. A term alone would not do: a server that starts again may lead on in the same one. Whoever was told something at an index within an epoch can tell whether a state holds all of that, lacks some of it
//! still, or went another way. A digest over all entries would say the same and cost every entry; an index alone says nothing as
//! soon as the other way has grown longer.

use serde::{Deserialize, Serialize};

/// Epochs that a state remembers. One a leader's term or start: years of restarts.
const KEPT: usize = 1024;
/// Epochs that an agent is told.
const TOLD: usize = 32;

/// What one leader wrote in one go: what is applied from `start` on, until the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    pub id: u128,
    pub start: u64,
}

/// The epochs that led to a state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Oldest first.
    epochs: Vec<Epoch>,
    /// A term began here whose name is not known yet.
    begun: Option<u64>,
}

/// What somebody was told: everything up to `index`, in the last of these epochs (oldest first).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub index: u64,
    pub epochs: Vec<Epoch>,
}

/// How a state stands to what somebody has seen of some state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds all of that: what is not there any more was removed by a decision.
    Holds,
    /// Not yet, or it can't be told yet.
    Behind,
    /// It went another way: from this index on nothing that was seen is known here.
    Forked { at: u64 },
}

impl Lineage {
    pub(crate) fn begin(&mut self, index: u64) {
        self.begun = Some(index);
    }

    /// Names the term that began; within one that has a name, another epoch begins here: the leader started again.
    pub(crate) fn name(&mut self, id: u128, index: u64) {
        let start = self.begun.take().unwrap_or(index);
        if self.epochs.len() >= KEPT {
            self.epochs.remove(0);
        }
        self.epochs.push(Epoch { id, start });
    }

    /// The newest term has a name: what is read now can be told with it.
    pub fn settled(&self) -> bool {
        self.begun.is_none() && !self.epochs.is_empty()
    }

    /// The newest epochs, oldest first.
    pub fn newest(&self) -> &[Epoch] {
        &self.epochs[self.epochs.len().saturating_sub(TOLD)..]
    }

    /// How a state of this lineage at `index` stands to what was seen.
    pub fn standing(&self, index: u64, seen: &Seen) -> Standing {
        let by_index = if index >= seen.index { Standing::Holds } else { Standing::Behind };
        let Some(newest_seen) = seen.epochs.last() else { return by_index };
        let common = seen.epochs.iter().rev().find_map(|epoch| {
            let at = self.epochs.iter().position(|known| known.id == epoch.id)?;
            Some((at, epoch == newest_seen))
        });
        match common {
            None if self.epochs.is_empty() => Standing::Behind,
            None => Standing::Forked { at: 0 },
            Some((at, newest)) => match self.end(at) {
                end if newest && end.is_none_or(|end| seen.index < end) => by_index,
                // Whether the term that follows is the one that was seen is known with its name.
                _ if at + 1 == self.epochs.len() => Standing::Behind,
                Some(end) => Standing::Forked { at: end },
                None => Standing::Behind,
            },
        }
    }

    fn end(&self, at: usize) -> Option<u64> {
        self.epochs.get(at + 1).map(|next| next.start).or(self.begun)
    }
}

#[cfg(test)]
mod tests {
    use super::Standing::{Behind, Forked, Holds};
    use super::*;

    /// Terms that begin at these indexes, named by these ids.
    fn lineage(terms: &[(u64, u128)]) -> Lineage {
        let mut lineage = Lineage::default();
        for (start, id) in terms {
            lineage.begin(*start);
            lineage.name(*id, start + 1);
        }
        lineage
    }

    fn seen(lineage: &Lineage, index: u64) -> Seen {
        Seen { index, epochs: lineage.newest().to_vec() }
    }

    #[test]
    fn a_state_holds_what_was_seen_of_its_own_past() {
        let (first, both) = (lineage(&[(1, 11)]), lineage(&[(1, 11), (50, 12)]));
        for (told, index, now, expected) in [
            (seen(&first, 20), 20, &first, Holds),
            (seen(&first, 20), 19, &first, Behind),
            (seen(&first, 49), 60, &both, Holds),
            (seen(&both, 70), 70, &both, Holds),
            (seen(&both, 70), 40, &first, Behind),
            (seen(&both, 70), 0, &Lineage::default(), Behind),
        ] {
            assert_eq!(now.standing(index, &told), expected, "{told:?} at {index} of {now:?}");
        }
    }

    #[test]
    fn an_older_copy_went_another_way_however_long_it_grows() {
        let told = seen(&lineage(&[(1, 11), (50, 12)]), 300);
        let mut copy = lineage(&[(1, 11), (50, 12)]);
        assert_eq!(copy.standing(100, &told), Behind, "the copy itself can't be told from a server that starts");
        copy.begin(101);
        assert_eq!(copy.standing(101, &told), Behind);
        copy.name(13, 102);
        for index in [102, 299, 301, 10_000] {
            assert_eq!(copy.standing(index, &told), Forked { at: 101 });
        }
        let told = seen(&copy, 250);
        let older = lineage(&[(1, 11), (30, 21), (60, 22)]);
        assert_eq!(older.standing(400, &told), Forked { at: 30 }, "they part where the last common term ends");
        assert_eq!(lineage(&[(1, 99)]).standing(400, &told), Forked { at: 0 }, "nothing in common");
    }

    #[test]
    fn what_was_seen_before_the_copy_was_made_is_held() {
        let told = seen(&lineage(&[(1, 11), (50, 12)]), 90);
        assert_eq!(lineage(&[(1, 11), (50, 12), (101, 13)]).standing(102, &told), Holds);
    }

    #[test]
    fn who_names_no_epoch_is_believed_by_the_index() {
        let told = Seen { index: 20, epochs: Vec::new() };
        let now = lineage(&[(1, 11)]);
        assert_eq!((now.standing(19, &told), now.standing(20, &told)), (Behind, Holds));
    }

    #[test]
    fn a_leader_that_started_again_in_its_term_writes_another_history() {
        let mut before = lineage(&[(1, 11)]);
        let copy = before.clone();
        before.name(12, 20);
        let told = seen(&before, 30);
        let mut again = copy;
        assert_eq!(again.standing(15, &told), Behind, "nothing was written yet: it can't be told");
        again.name(13, 16);
        for index in [16, 30, 10_000] {
            assert_eq!(again.standing(index, &told), Forked { at: 16 });
        }
        assert_eq!(again.standing(16, &seen(&lineage(&[(1, 11)]), 15)), Holds);
    }

    #[test]
    fn a_term_without_a_name_is_not_settled() {
        let mut now = Lineage::default();
        assert!(!now.settled());
        now.name(11, 5);
        assert!(now.settled());
        now.name(12, 6);
        assert_eq!(now.newest(), [Epoch { id: 11, start: 5 }, Epoch { id: 12, start: 6 }]);
        now.begin(9);
        assert!(!now.settled());
    }

    #[test]
    fn old_epochs_are_forgotten() {
        let terms: Vec<(u64, u128)> = (1..=1100).map(|i| (i * 10, u128::from(i))).collect();
        let now = lineage(&terms);
        assert_eq!((now.epochs.len(), now.newest().len()), (KEPT, TOLD));
        assert_eq!(now.newest().last(), Some(&Epoch { id: 1100, start: 11_000 }));
    }
}
