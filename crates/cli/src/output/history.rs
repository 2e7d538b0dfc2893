//! What was used over time, as lines of blocks: a picture that a terminal shows.

use tarpan_api::wire::{UsageHistory, UsageSeries};
use tarpan_model::duration::Dur;

use super::{Table, bytes, title};

/// Blocks of a line: an hour and a day both fit.
const WIDTH: usize = 72;
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How far back a history goes: the argument of `-history`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Span {
    Hour,
    Day,
}

impl Span {
    /// As `/v1` calls it.
    pub fn word(self) -> &'static str {
        match self {
            Span::Hour => "hour",
            Span::Day => "day",
        }
    }
}

/// The whole first, then each task.
pub fn text(history: &UsageHistory) -> String {
    let length = i64::try_from(history.whole.cpu.len()).unwrap_or(i64::MAX);
    let heading = title(&format!("Usage, last {}", Dur(length.saturating_mul(history.step))));
    if history.whole.cpu.iter().all(Option::is_none) {
        return format!("{heading}Nothing was measured yet\n");
    }
    let mut table = Table::new(["Of", "Least", "Most", "Over Time"]);
    let tasks = history.tasks.iter().map(|(name, series)| (name.as_str(), series));
    for (name, series) in std::iter::once(("all", &history.whole)).chain(tasks) {
        series_rows(&mut table, name, series);
    }
    format!("{heading}{}\n", table.render())
}

fn series_rows(table: &mut Table, name: &str, series: &UsageSeries) {
    let memory: Vec<_> = series.memory.iter().map(|m| m.map(|bytes| bytes as f64)).collect();
    line(table, format!("{name} CPU"), &series.cpu, |value| format!("{value:.0} MHz"));
    line(table, format!("{name} memory"), &memory, |value| bytes(value as u64));
}

fn line(table: &mut Table, of: String, values: &[Option<f64>], shown: impl Fn(f64) -> String) {
    let known = || values.iter().copied().flatten();
    let end = |value: Option<f64>| value.map(&shown).unwrap_or_default();
    table.row([of, end(known().reduce(f64::min)), end(known().reduce(f64::max)), blocks(values)]);
}

/// A block for what was most in each part of the time; a space where nothing is known.
fn blocks(values: &[Option<f64>]) -> String {
    let most = values.iter().copied().flatten().fold(0.0, f64::max);
    let one = |part: &[Option<f64>]| match part.iter().copied().flatten().reduce(f64::max) {
        None => ' ',
        Some(_) if most <= 0.0 => BLOCKS[0],
        Some(value) => BLOCKS[((value / most * 7.0).round() as usize).min(7)],
    };
    values.chunks(values.len().div_ceil(WIDTH).max(1)).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_what_was_most_and_gaps() {
        assert_eq!(blocks(&[Some(0.0), Some(7.0), None, Some(3.5)]), "▁█ ▅");
        assert_eq!(blocks(&[Some(0.0); 3]), "▁▁▁");
        let mut hour = vec![Some(1.0); 360];
        hour[359] = Some(8.0);
        let line = blocks(&hour);
        assert_eq!((line.chars().count(), line.chars().last()), (72, Some('█')));
    }

    #[test]
    fn tasks_stand_below_the_whole() {
        let series = UsageSeries { cpu: vec![None, Some(12.4)], memory: vec![None, Some(3 << 20)] };
        let tasks = [("web".to_owned(), series.clone())].into();
        let shown = text(&UsageHistory { step: 10_000_000_000, whole: series, tasks, ..Default::default() });
        let lines: Vec<_> = shown.trim().lines().collect();
        assert!(lines[0].ends_with("last 20s"), "{shown}");
        assert!(lines[2].starts_with("all CPU") && lines[2].contains("12 MHz"), "{shown}");
        assert!(lines[5].starts_with("web memory") && lines[5].contains("3.0 MiB"), "{shown}");
        assert!(text(&UsageHistory::default()).contains("Nothing was measured yet"));
    }
}
