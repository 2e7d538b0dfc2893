//! Times as the wire writes them: RFC 3339 text.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tarpan_model::time::{UnixNanos, rfc3339};

/// A time that is RFC 3339 text on the wire; zero is year 1, as Go prints it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub UnixNanos);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&rfc3339(self.0))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl serde::de::Visitor<'_> for V {
            type Value = Timestamp;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as \"2026-11-21T10:00:00Z\"")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
                parse(text).map(Timestamp).ok_or_else(|| E::custom(format!("not a time: {text:?}")))
            }
        }
        d.deserialize_str(V)
    }
}

/// A time as a clock shows it that is ahead of UTC by some seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZonedTime {
    pub at: UnixNanos,
    /// Seconds east of Greenwich, in whole minutes.
    pub offset: i64,
}

impl fmt::Display for ZonedTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.offset / 60;
        let text = rfc3339(UnixNanos(self.at.0.saturating_add(minutes * 60_000_000_000)));
        if minutes == 0 {
            return f.write_str(&text);
        }
        let sign = if minutes < 0 { '-' } else { '+' };
        let (hours, rest) = (minutes.abs() / 60, minutes.abs() % 60);
        write!(f, "{}{sign}{hours:02}:{rest:02}", text.trim_end_matches('Z'))
    }
}

impl Serialize for ZonedTime {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ZonedTime {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        let at = parse(&text).ok_or_else(|| serde::de::Error::custom(format!("not a time: {text:?}")))?;
        // What the text would say were its clock that of UTC.
        let shown = text.find('T').and_then(|t| Some(t + text[t..].find(['Z', 'z', '+', '-'])?));
        let shown = shown.and_then(|zone| parse(&format!("{}Z", &text[..zone]))).unwrap_or(at);
        Ok(ZonedTime { at, offset: shown.since(at).0 / 1_000_000_000 })
    }
}

/// Reads RFC 3339; `None` when the text is something else. Year 1 is the zero time.
pub fn parse(text: &str) -> Option<UnixNanos> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let mut parts = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone_at);
    let (hms, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = hms.splitn(3, ':').map(str::parse::<i64>);
    let (h, m, s) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || h > 23 || m > 59 || s > 60 || year == 1 {
        return (year == 1).then_some(UnixNanos::ZERO);
    }
    let offset = match zone.as_bytes().first()? {
        b'Z' | b'z' => 0,
        sign => {
            let (oh, om) = zone[1..].split_once(':')?;
            let secs = oh.parse::<i64>().ok()? * 3600 + om.parse::<i64>().ok()? * 60;
            if *sign == b'-' { -secs } else { secs }
        }
    };
    let nanos = format!("{fraction:0<9}").get(..9)?.parse::<i64>().ok()?;
    let secs = days(year, month, day) * 86_400 + h * 3600 + m * 60 + s - offset;
    secs.checked_mul(1_000_000_000)?.checked_add(nanos).map(UnixNanos)
}

/// Days since 1970-01-01.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for text in ["2026-11-21T10:00:00Z", "2024-02-29T23:59:59.123456789Z", "0001-01-01T00:00:00Z"] {
            assert_eq!(rfc3339(parse(text).expect(text)), text);
        }
        assert_eq!(parse("2026-01-01T02:00:00+02:00"), parse("2026-01-01T00:00:00Z"));
        assert_eq!(parse("yesterday"), None);
    }

    #[test]
    fn zoned_times_keep_their_clock() {
        for (text, offset) in [
            ("2027-03-15T02:30:00-04:00", -4 * 3600),
            ("2027-03-15T02:30:00Z", 0),
            ("2026-11-28T12:00:00+05:45", 5 * 3600 + 45 * 60),
            ("2026-11-28T00:10:00-03:30", -(3 * 3600 + 30 * 60)),
        ] {
            let quoted = format!("{text:?}");
            let read: ZonedTime = serde_json::from_str(&quoted).expect(text);
            assert_eq!((read.offset, serde_json::to_string(&read).expect(text)), (offset, quoted));
        }
    }
}
