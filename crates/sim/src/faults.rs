//! What goes wrong: drawn one after the other while users are at work, each with its end.

use std::fmt;

use tarpan_model::{Dur, UnixNanos};

use crate::world::World;

/// Something that goes wrong, or ends going wrong.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    /// The next one is to be drawn.
    Draw,
    Crash(usize),
    Start(usize),
    /// From each of these servers to each of those nothing comes through.
    Cut {
        from: Vec<usize>,
        to: Vec<usize>,
    },
    Join,
    SlowDisk {
        server: usize,
        secs: i64,
    },
    /// Of a thousand messages so many are lost and repeated, and a message takes up to so many milliseconds.
    BadNetwork {
        lost: u64,
        repeated: u64,
        delay: i64,
    },
    StepClock {
        server: usize,
        by: Dur,
    },
    CrashAgent(usize),
    StartAgent(usize),
    LoseMachine(usize),
    Away(usize),
    Back(usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Draw => write!(f, "draw"),
            Fault::Crash(s) => write!(f, "crash s{s}"),
            Fault::Start(s) => write!(f, "start s{s}"),
            Fault::Cut { from, to } => write!(f, "cut {from:?} from {to:?}"),
            Fault::Join => write!(f, "the network is whole"),
            Fault::SlowDisk { server, secs } => write!(f, "slow disk of s{server} for {secs} s"),
            Fault::BadNetwork { lost, repeated, delay } => {
                write!(f, "network loses {lost} and repeats {repeated} of 1000, up to {delay} ms")
            }
            Fault::StepClock { server, by } => write!(f, "clock of s{server} is set by {by}"),
            Fault::CrashAgent(a) => write!(f, "crash agent n{a}"),
            Fault::StartAgent(a) => write!(f, "start agent n{a}"),
            Fault::LoseMachine(a) => write!(f, "lose machine n{a}"),
            Fault::Away(a) => write!(f, "n{a} is cut off"),
            Fault::Back(a) => write!(f, "n{a} is back"),
        }
    }
}

impl World {
    pub fn fault(&mut self, fault: Fault) {
        if fault == Fault::Draw {
            return self.draw_fault();
        }
        let text = format!("{:.1}s {fault}", self.now.0 as f64 / 1e9);
        self.say(format_args!("FAULT {fault}"));
        self.checks.faults.push(text);
        match fault {
            Fault::Draw => {}
            Fault::Crash(s) if self.servers[s].alive => self.crash_server(s),
            Fault::Start(s) if !self.servers[s].alive => self.start_server(s),
            Fault::Cut { from, to } => {
                self.net.cut.extend(from.iter().flat_map(|a| to.iter().map(|b| (*a, *b)).collect::<Vec<_>>()));
            }
            Fault::Join => self.net.cut.clear(),
            Fault::SlowDisk { server, secs } => self.servers[server].disk.slow_until = self.now + Dur::from_secs(secs),
            Fault::BadNetwork { lost, repeated, delay } => {
                (self.net.lost, self.net.repeated, self.net.delay) = (lost, repeated, delay);
            }
            Fault::StepClock { server, by } => {
                let wall = Dur(self.servers[server].clock.wall.0 + by.0);
                self.servers[server].clock.wall = wall;
            }
            Fault::CrashAgent(a) if self.agents[a].alive => self.crash_agent(a),
            Fault::LoseMachine(a) if self.agents[a].alive => self.lose_machine(a),
            Fault::StartAgent(a) if !self.agents[a].alive => self.start_agent(a),
            Fault::Away(a) => {
                self.net.away.insert(a);
            }
            Fault::Back(a) => {
                self.net.away.remove(&a);
            }
            // It is so already.
            Fault::Crash(_) | Fault::Start(_) | Fault::CrashAgent(_) | Fault::LoseMachine(_) | Fault::StartAgent(_) => {
            }
        }
    }

    fn draw_fault(&mut self) {
        if self.now >= self.users.until {
            return;
        }
        let next = self.chance.millis(1_000, 22_000);
        self.fault_in(next, Fault::Draw);
        let server = self.chance.below(self.servers.len() as u64) as usize;
        let agent = self.chance.below(self.agents.len() as u64) as usize;
        let (short, long) = (self.chance.millis(500, 9_000), self.chance.millis(3_000, 90_000));
        let (first, ends): (Fault, Option<(Dur, Fault)>) = match self.chance.below(12) {
            0 => (Fault::Crash(server), Some((short, Fault::Start(server)))),
            // The one that leads, most of the time.
            1 => {
                let leader = (0..self.servers.len()).find(|s| self.servers[*s].leads()).unwrap_or(server);
                (Fault::Crash(leader), Some((short, Fault::Start(leader))))
            }
            2 => (self.draw_cut(server), Some((self.chance.millis(1_000, 20_000), Fault::Join))),
            3 => (Fault::SlowDisk { server, secs: self.chance.between(1, 15) }, None),
            4 => {
                let (lost, repeated) = (self.chance.below(200), self.chance.below(300));
                let delay = *self.chance.pick(&[5, 60, 300]).unwrap_or(&5);
                let whole = Fault::BadNetwork { lost: 0, repeated: 0, delay: 5 };
                (Fault::BadNetwork { lost, repeated, delay }, Some((long, whole)))
            }
            5 => {
                let by = *self.chance.pick(&[-300, -20, -2, 2, 20, 300]).unwrap_or(&2);
                (Fault::StepClock { server, by: Dur::from_secs(by) }, None)
            }
            6 | 7 => (Fault::CrashAgent(agent), Some((short, Fault::StartAgent(agent)))),
            8 => (Fault::LoseMachine(agent), Some((long, Fault::StartAgent(agent)))),
            _ => (Fault::Away(agent), Some((long, Fault::Back(agent)))),
        };
        self.fault(first);
        if let Some((after, end)) = ends {
            self.fault_in(after, end);
        }
    }

    /// One server from the others, or one way only.
    fn draw_cut(&mut self, server: usize) -> Fault {
        let others: Vec<usize> = (0..self.servers.len()).filter(|s| *s != server).collect();
        match self.chance.below(3) {
            0 => Fault::Cut { from: vec![server], to: others },
            1 => Fault::Cut { from: others, to: vec![server] },
            _ => {
                let all: Vec<usize> = (0..self.servers.len()).collect();
                let (some, rest): (Vec<usize>, Vec<usize>) = all.into_iter().partition(|_| self.chance.one_in(2));
                let (some, rest) = if some.is_empty() { (vec![server], others) } else { (some, rest) };
                // Both ways.
                Fault::Cut {
                    from: [some.clone(), rest.clone()].concat(),
                    to: if rest.is_empty() { some } else { rest },
                }
            }
        }
    }

    /// Faults end, and everything that is down starts.
    pub fn heal(&mut self) {
        self.say(format_args!("faults end"));
        self.net = crate::world::Net { delay: 5, ..Default::default() };
        for s in 0..self.servers.len() {
            self.servers[s].disk.slow_until = UnixNanos::ZERO;
            self.servers[s].clock.wall = Dur::ZERO;
            if !self.servers[s].alive {
                self.start_server(s);
            }
        }
        for a in 0..self.agents.len() {
            if !self.agents[a].alive {
                self.start_agent(a);
            }
        }
    }
}
