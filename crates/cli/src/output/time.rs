//! Times for people: RFC 3339 in the local zone, and "how long ago".

use chrono::{DateTime, Local, SecondsFormat};
use tarpan_model::duration::{Dur, HOUR, MINUTE, SECOND};
use tarpan_model::time::UnixNanos;

/// The wall clock.
#[allow(clippy::disallowed_methods, reason = "the clock module of the command line: what it shows is times of day")]
pub fn now() -> UnixNanos {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixNanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// RFC 3339 with seconds in the local zone; `N/A` when not set.
pub fn stamp(t: UnixNanos) -> String {
    if t.is_zero() {
        return "N/A".to_owned();
    }
    DateTime::from_timestamp_nanos(t.0).with_timezone(&Local).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// `3m20s ago`, with the two largest units.
pub fn ago(t: UnixNanos, now: UnixNanos) -> String {
    if t.is_zero() {
        return "N/A".to_owned();
    }
    format!("{} ago", span(now.since(t)))
}

/// The time itself when everything is asked for, else how long ago it was.
pub fn ago_or_stamp(t: UnixNanos, now: UnixNanos, verbose: bool) -> String {
    if verbose { stamp(t) } else { ago(t, now) }
}

/// A wait in whole seconds, as Go writes durations: `1h0m5s`.
pub fn rounded(d: Dur) -> String {
    Dur::from_secs(d.0.max(0).saturating_add(SECOND / 2) / SECOND).to_string()
}

/// A length of time in at most two units: `3d4h`, `5m1s`, `0s`.
pub fn span(d: Dur) -> String {
    const DAY: i64 = 24 * HOUR;
    const UNITS: [(i64, &str); 6] =
        [(365 * DAY, "y"), (30 * DAY, "mo"), (DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")];
    let mut rest = d.0.max(0);
    let mut text = String::new();
    let mut parts = 0;
    for (size, name) in UNITS {
        let number = rest / size;
        rest %= size;
        if number > 0 && parts < 2 {
            text.push_str(&format!("{number}{name}"));
        }
        if parts > 0 || number > 0 {
            parts += 1;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m1s"),
            (3600, "1h"),
            (3661, "1h1m"),
            (90_000, "1d1h"),
            (86_400 * 40, "1mo10d"),
        ] {
            assert_eq!(span(Dur::from_secs(seconds)), text);
        }
        assert_eq!(span(Dur(-5)), "0s");
    }
}
