//! The servers that gossip knows or knew, with what became of each. Pure: told what happens, and when.

use std::collections::BTreeMap;

use tarpan_control::servers::{Presence, ServerId};
use tarpan_model::{Dur, UnixNanos};

use super::identity::Identity;

/// How long one that failed or left is remembered. A failed one is tried again for as long.
pub const REMEMBERED: Dur = Dur::from_secs(24 * 3600);

/// A server, this one included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub identity: Identity,
    pub presence: Presence,
    /// Since when it is like that.
    pub since: UnixNanos,
}

/// By the server's own number: one that moved to another address is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster(BTreeMap<ServerId, Known>);

impl Roster {
    pub fn all(&self) -> impl Iterator<Item = &Known> {
        self.0.values()
    }

    /// Somebody is there.
    pub fn up(&mut self, identity: &Identity, now: UnixNanos) {
        match self.0.get(&identity.about.id) {
            // Old news of one that has moved.
            Some(known) if known.identity.addr != identity.addr && known.identity.bump > identity.bump => {}
            Some(known) if known.presence == Presence::Alive && !identity.about.leaving => {
                let known = Known { identity: identity.clone(), ..*known };
                self.0.insert(identity.about.id, known);
            }
            _ => self.put(identity, Presence::Alive, now),
        }
    }

    /// The other servers say of somebody that he is gone.
    pub fn down(&mut self, identity: &Identity, now: UnixNanos) {
        let Some(known) = self.0.get(&identity.about.id) else { return };
        if known.identity.addr != identity.addr || known.identity.bump > identity.bump {
            return;
        }
        match (known.presence, identity.about.leaving || known.identity.about.leaving) {
            (_, true) | (Presence::Left, _) => self.put(identity, Presence::Left, now),
            _ => self.put(identity, Presence::Failed, now),
        }
    }

    /// At an address sits another one, or the same in a later life.
    pub fn renamed(&mut self, before: &Identity, after: &Identity, now: UnixNanos) {
        if before.about.id != after.about.id {
            // The disk behind the address is another one: who was there will not come back.
            if let Some(known) = self.0.get(&before.about.id).filter(|k| k.identity.addr == before.addr) {
                let (identity, presence) = (known.identity.clone(), known.presence);
                self.put(&identity, Presence::Left, now);
                // That somebody answers there is no news then: nothing else tells of the new one.
                if presence == Presence::Alive {
                    self.up(after, now);
                }
            }
        } else if let Some(known) = self.0.get_mut(&after.about.id) {
            known.identity = after.clone();
        }
    }

    /// Somebody said of one who does not answer that he counts as gone. Whether that was news.
    pub fn gone(&mut self, id: ServerId, bump: u64, forget: bool, now: UnixNanos) -> bool {
        let Some(known) = self.0.get(&id) else { return false };
        if known.identity.bump > bump || known.presence == Presence::Alive {
            return false;
        }
        let news = known.presence == Presence::Failed || forget;
        let identity = known.identity.clone();
        match forget {
            true => _ = self.0.remove(&id),
            false if news => self.put(&identity, Presence::Left, now),
            false => {}
        }
        news
    }

    /// Lets go of who has been away for long.
    pub fn forget(&mut self, now: UnixNanos) {
        self.0.retain(|_, k| k.presence == Presence::Alive || now < k.since + REMEMBERED);
    }

    fn put(&mut self, identity: &Identity, presence: Presence, now: UnixNanos) {
        let since = match self.0.get(&identity.about.id) {
            Some(known) if known.presence == presence => known.since,
            _ => now,
        };
        self.0.insert(identity.about.id, Known { identity: identity.clone(), presence, since });
    }
}

#[cfg(test)]
mod tests {
    use super::super::identity::About;
    use super::*;

    fn server(id: ServerId, port: u16, bump: u64) -> Identity {
        Identity { addr: ([127, 0, 0, 1], port).into(), bump, about: About { id, ..About::default() } }
    }

    fn at(seconds: i64) -> UnixNanos {
        UnixNanos(seconds * 1_000_000_000)
    }

    fn shown(roster: &Roster) -> Vec<(ServerId, Presence, i64)> {
        roster.all().map(|k| (k.identity.about.id, k.presence, k.since.0 / 1_000_000_000)).collect()
    }

    #[test]
    fn who_goes_silent_failed_and_who_said_good_bye_left() {
        let mut roster = Roster::default();
        let (one, two) = (server(1, 1, 5), server(2, 2, 5));
        roster.up(&one, at(1));
        roster.up(&two, at(1));
        let bye = Identity { bump: 6, about: About { leaving: true, ..two.about.clone() }, ..two.clone() };
        roster.renamed(&two, &bye, at(2));
        roster.down(&one, at(3));
        roster.down(&bye, at(3));
        assert_eq!(shown(&roster), [(1, Presence::Failed, 3), (2, Presence::Left, 3)]);
        roster.up(&server(1, 1, 6), at(4));
        roster.down(&one, at(5));
        assert_eq!(shown(&roster)[0], (1, Presence::Alive, 4), "old news changes nothing");
        roster.forget(at(3) + REMEMBERED);
        assert_eq!(shown(&roster), [(1, Presence::Alive, 4)]);
    }

    #[test]
    fn a_new_disk_at_an_old_address_is_another_server() {
        let mut roster = Roster::default();
        roster.up(&server(1, 1, 5), at(1));
        roster.renamed(&server(1, 1, 5), &server(9, 1, 6), at(2));
        assert_eq!(shown(&roster), [(1, Presence::Left, 2), (9, Presence::Alive, 2)]);
        // The one before had failed already: that there is somebody again is news of its own.
        roster.down(&server(9, 1, 6), at(3));
        roster.renamed(&server(9, 1, 6), &server(11, 1, 7), at(4));
        assert_eq!(shown(&roster), [(1, Presence::Left, 2), (9, Presence::Left, 4)]);
        roster.up(&server(11, 1, 7), at(4));
        assert_eq!(shown(&roster)[2], (11, Presence::Alive, 4));
    }

    #[test]
    fn a_server_that_moved_is_the_same_one() {
        let mut roster = Roster::default();
        roster.up(&server(1, 1, 5), at(1));
        roster.up(&server(1, 2, 8), at(2));
        roster.down(&server(1, 1, 5), at(3));
        roster.up(&server(1, 1, 5), at(4));
        assert_eq!(shown(&roster), [(1, Presence::Alive, 1)]);
        assert_eq!(roster.all().next().expect("one").identity.addr.port(), 2);
    }

    #[test]
    fn who_does_not_answer_can_be_sent_away() {
        let mut roster = Roster::default();
        roster.up(&server(1, 1, 5), at(1));
        assert!(!roster.gone(1, 5, false, at(2)), "it is alive: it would only come back");
        roster.down(&server(1, 1, 5), at(2));
        assert!(!roster.gone(1, 4, false, at(3)), "that was an earlier life");
        assert!(roster.gone(1, 5, false, at(3)) && !roster.gone(1, 5, false, at(4)));
        assert_eq!(shown(&roster), [(1, Presence::Left, 3)]);
        assert!(roster.gone(1, 5, true, at(5)) && shown(&roster).is_empty());
    }
}
