//! What something used over time: evenly spaced slots of the last hour and, coarser, of the last day. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tarpan_api::wire::UsageSeries;

/// How far back, and how finely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Hour,
    Day,
}

impl Span {
    pub(crate) fn step(self) -> Duration {
        Duration::from_secs(match self {
            Span::Hour => 10,
            Span::Day => 5 * 60,
        })
    }

    /// Slots that are kept.
    pub(crate) fn most(self) -> usize {
        match self {
            Span::Hour => 360,
            Span::Day => 288,
        }
    }

    /// The number of the slot that a moment falls into.
    fn slot(self, at: Duration) -> u64 {
        at.as_secs() / self.step().as_secs()
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        match text {
            "" | "hour" => Ok(Span::Hour),
            "day" => Ok(Span::Day),
            other => Err(format!("span {other:?} is neither \"hour\" nor \"day\"")),
        }
    }
}

/// How much was used: MHz, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Used {
    pub(crate) cpu: f64,
    pub(crate) memory: u64,
}

/// Eight bytes, because there are hundreds for each task.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slot {
    /// MHz, the mean; not a number where nothing was measured.
    cpu: f32,
    /// KiB, the most.
    memory: u32,
}

const GAP: Slot = Slot { cpu: f32::NAN, memory: 0 };

impl Slot {
    fn used(self) -> Option<Used> {
        (!self.cpu.is_nan()).then(|| Used { cpu: f64::from(self.cpu), memory: u64::from(self.memory) * 1024 })
    }
}

/// Slots without a hole: what was not measured is a gap.
#[derive(Clone, Debug, Default)]
struct Ring {
    slots: VecDeque<Slot>,
    /// The number of the newest slot.
    newest: u64,
    /// Samples in the newest slot.
    samples: u32,
}

impl Ring {
    fn add(&mut self, span: Span, at: Duration, used: Used) {
        let (number, cpu) = (span.slot(at), used.cpu as f32);
        let memory = u32::try_from(used.memory / 1024).unwrap_or(u32::MAX);
        if let Some(slot) = self.slots.back_mut().filter(|_| number <= self.newest) {
            self.samples += 1;
            slot.cpu += (cpu - slot.cpu) / self.samples as f32;
            slot.memory = slot.memory.max(memory);
            return;
        }
        let missed = if self.slots.is_empty() { 0 } else { number - self.newest - 1 };
        let missed = usize::try_from(missed).unwrap_or(usize::MAX).min(span.most());
        self.slots.extend(std::iter::repeat_n(GAP, missed));
        self.slots.push_back(Slot { cpu, memory });
        self.slots.drain(..self.slots.len().saturating_sub(span.most()));
        (self.newest, self.samples) = (number, 1);
    }

    /// The slots up to that of `now`, oldest first.
    fn until(&self, span: Span, now: Duration) -> Vec<Option<Used>> {
        let after = usize::try_from(span.slot(now).saturating_sub(self.newest)).unwrap_or(usize::MAX).min(span.most());
        if self.slots.is_empty() || after == span.most() {
            return Vec::new();
        }
        let all = self.slots.iter().map(|slot| slot.used()).chain(std::iter::repeat_n(None, after));
        let too_old = (self.slots.len() + after).saturating_sub(span.most());
        all.skip(too_old).collect()
    }
}

/// The last hour and the last day of one thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    hour: Ring,
    day: Ring,
}

impl Series {
    /// `at`: by a clock that only goes forward, the same for all series.
    pub(crate) fn add(&mut self, at: Duration, used: Used) {
        self.hour.add(Span::Hour, at, used);
        self.day.add(Span::Day, at, used);
    }

    /// What is known up to the slot of `now`, oldest first; empty where all of it is longer ago.
    pub(crate) fn until(&self, span: Span, now: Duration) -> Vec<Option<Used>> {
        match span {
            Span::Hour => self.hour.until(span, now),
            Span::Day => self.day.until(span, now),
        }
    }
}

/// As many slots as the longest; where nothing was measured in any, it is a gap.
pub(crate) fn sum<'a>(all: impl Iterator<Item = &'a Vec<Option<Used>>> + Clone) -> Vec<Option<Used>> {
    let length = all.clone().map(Vec::len).max().unwrap_or_default();
    let at = |back: usize| {
        let here = all.clone().filter_map(|slots| slots.len().checked_sub(back).and_then(|i| slots[i]));
        here.reduce(|a, b| Used { cpu: a.cpu + b.cpu, memory: a.memory + b.memory })
    };
    (1..=length).rev().map(at).collect()
}

/// As it is shown; CPU to a hundredth.
pub(crate) fn shown(slots: &[Option<Used>]) -> UsageSeries {
    UsageSeries {
        cpu: slots.iter().map(|slot| slot.map(|used| (used.cpu * 100.0).round() / 100.0)).collect(),
        memory: slots.iter().map(|slot| slot.map(|used| used.memory)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn used(cpu: f64, kib: u64) -> Used {
        Used { cpu, memory: kib * 1024 }
    }

    #[test]
    fn what_falls_into_one_slot_is_one_and_what_was_missed_is_a_gap() {
        let mut series = Series::default();
        series.add(seconds(100), used(10.0, 5));
        series.add(seconds(109), used(20.0, 3));
        series.add(seconds(131), used(7.0, 4));
        let hour = series.until(Span::Hour, seconds(139));
        assert_eq!(hour, [Some(used(15.0, 5)), None, None, Some(used(7.0, 4))]);
        assert_eq!(series.until(Span::Hour, seconds(150)).len(), 6, "it ends now, not at the last sample");
        let day = series.until(Span::Day, seconds(139));
        assert_eq!(day.len(), 1);
        assert!((day[0].expect("measured").cpu - 37.0 / 3.0).abs() < 0.01);
    }

    #[test]
    fn no_more_is_kept_than_the_span_has() {
        let mut series = Series::default();
        (0..5000).for_each(|n| series.add(seconds(n * 10), used(n as f64, n)));
        let now = seconds(49_999);
        let hour = series.until(Span::Hour, now);
        assert_eq!((hour.len(), hour[0], hour[359]), (360, Some(used(4640.0, 4640)), Some(used(4999.0, 4999))));
        assert_eq!(series.until(Span::Day, now).len(), 167);
        let later = series.until(Span::Hour, now + seconds(1000));
        assert_eq!((later.len(), later[0], later[359]), (360, Some(used(4740.0, 4740)), None));
        assert_eq!(series.until(Span::Hour, now + seconds(4000)), [], "all of it is longer ago");
        series.add(now + seconds(1_000_000), used(1.0, 1));
        let after = series.until(Span::Hour, now + seconds(1_000_000));
        assert_eq!(after.iter().flatten().count(), 1, "a long pause is a gap");
    }

    #[test]
    fn sums_go_by_time() {
        let (old, new) = (vec![Some(used(1.0, 1)), None, Some(used(2.0, 2))], vec![None, Some(used(5.0, 5))]);
        assert_eq!(sum([&old, &new].into_iter()), [Some(used(1.0, 1)), None, Some(used(7.0, 7))]);
        assert_eq!(sum([].into_iter()), []);
    }
}
