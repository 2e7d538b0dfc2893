//! Which fault comes next, and what came of those before.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tarpan_end2end::chance::Random;

use super::cluster::SERVERS;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// SIGKILL, and started again.
    Kill,
    KillAll,
    /// SIGSTOP, and SIGCONT.
    Pause,
    /// Nothing comes and nothing goes, but for what the test asks.
    CutOff,
    /// Nothing of what others send comes.
    Deaf,
    /// Nothing of what it sends arrives.
    Mute,
    /// No server reaches another.
    Shatter,
    Full,
    FullAll,
    /// Killed, and started again with a full disk.
    FullStart,
    /// The time of day jumps, and stays as it is then.
    Forward,
    Back,
}

const ALL: [Trouble; 12] = [
    Trouble::Kill,
    Trouble::KillAll,
    Trouble::Pause,
    Trouble::CutOff,
    Trouble::Deaf,
    Trouble::Mute,
    Trouble::Shatter,
    Trouble::Full,
    Trouble::FullAll,
    Trouble::FullStart,
    Trouble::Forward,
    Trouble::Back,
];

/// All of them, or those that `TARPAN_FAULTS` names: `Kill,Pause`.
fn wanted() -> Vec<Trouble> {
    let named = std::env::var("TARPAN_FAULTS").unwrap_or_default();
    let is_named = |kind: &Trouble| named.split(',').any(|name| name == format!("{kind:?}"));
    let some: Vec<Trouble> = ALL.into_iter().filter(is_named).collect();
    if some.is_empty() { ALL.to_vec() } else { some }
}

pub struct Fault {
    pub kind: Trouble,
    pub target: usize,
    pub lasts: Duration,
}

/// Every fault once in each round, in an order drawn by lot.
pub struct Deck {
    random: Random,
    round: Vec<Trouble>,
    waits: BTreeMap<Trouble, Vec<[Duration; SERVERS]>>,
}

impl Deck {
    pub fn new(random: Random) -> Deck {
        Deck { random, round: Vec::new(), waits: BTreeMap::new() }
    }

    /// Of the leader in two cases of three.
    pub fn draw(&mut self, leader: impl FnOnce() -> Option<usize>) -> Fault {
        if self.round.is_empty() {
            self.round = self.random.shuffled(wanted());
        }
        let kind = self.round.pop().expect("not empty");
        let any = self.random.below(SERVERS as u64) as usize;
        let target = if self.random.below(3) < 2 { leader().unwrap_or(any) } else { any };
        Fault { kind, target, lasts: Duration::from_millis(1500 + self.random.below(5500)) }
    }

    /// Until the next one.
    pub fn calm(&mut self) -> Duration {
        Duration::from_millis(200 + self.random.below(1300))
    }

    /// How long each server took to take writes again.
    pub fn note(&mut self, kind: Trouble, waits: [Duration; SERVERS]) {
        self.waits.entry(kind).or_default().push(waits);
    }
}

impl fmt::Display for Deck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.waits.values().flatten();
        let (first, last) =
            (all.clone().filter_map(|w| w.iter().min()).max(), all.filter_map(|w| w.iter().max()).max());
        writeln!(
            f,
            "{} faults; the longest wait for a write after one: {:?} by any server, {:?} by every server",
            self.waits.values().map(Vec::len).sum::<usize>(),
            first.unwrap_or(&Duration::ZERO),
            last.unwrap_or(&Duration::ZERO)
        )?;
        for (kind, waits) in &self.waits {
            let longest = waits.iter().flatten().max().expect("three a fault");
            writeln!(f, "  {} of {kind:?}, longest wait {longest:?}", waits.len())?;
        }
        Ok(())
    }
}
