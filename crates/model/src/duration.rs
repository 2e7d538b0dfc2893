//! Durations as the field writes them: integer nanoseconds on the wire, `1h2m3.5s` in text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A signed length of time in nanoseconds.
///
/// JSON: an integer of nanoseconds; on input a text such as `"30s"` too. Text: Go's duration form, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dur(pub i64);

pub const NANOSECOND: i64 = 1;
pub const MICROSECOND: i64 = 1_000;
pub const MILLISECOND: i64 = 1_000_000;
pub const SECOND: i64 = 1_000_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;

impl Dur {
    pub const ZERO: Dur = Dur(0);
    pub const fn from_secs(secs: i64) -> Dur {
        Dur(secs * SECOND)
    }
    pub const fn from_millis(millis: i64) -> Dur {
        Dur(millis * MILLISECOND)
    }
    pub const fn nanos(self) -> i64 {
        self.0
    }
    pub fn secs_f64(self) -> f64 {
        self.0 as f64 / SECOND as f64
    }
    /// The standard type; negative lengths become zero.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0.max(0) as u64)
    }
}

impl From<std::time::Duration> for Dur {
    fn from(d: std::time::Duration) -> Dur {
        Dur(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDurError {
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit { unit: String, text: String },
}

impl FromStr for Dur {
    type Err = ParseDurError;

    fn from_str(text: &str) -> Result<Dur, ParseDurError> {
        let invalid = || ParseDurError::Invalid(text.to_owned());
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Dur(0));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total: i128 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, tail) = rest.split_at(digits);
            if number.is_empty() || number == "." || number.matches('.').count() > 1 {
                return Err(invalid());
            }
            let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, after) = tail.split_at(unit_len);
            if unit.is_empty() {
                return Err(ParseDurError::MissingUnit(text.to_owned()));
            }
            let scale = unit_nanos(unit)
                .ok_or_else(|| ParseDurError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() })?;
            total = total.checked_add(scaled(number, scale).ok_or_else(invalid)?).ok_or_else(invalid)?;
            rest = after;
        }
        let signed = if negative { -total } else { total };
        i64::try_from(signed).map(Dur).map_err(|_| invalid())
    }
}

fn unit_nanos(unit: &str) -> Option<i128> {
    Some(i128::from(match unit {
        "ns" => NANOSECOND,
        "us" | "µs" | "μs" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    }))
}

/// `number` (digits with at most one point) times `scale`, the fraction cut after nanoseconds.
fn scaled(number: &str, scale: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(scale)?;
    let mut unit = scale;
    for digit in fraction.bytes() {
        unit /= 10;
        nanos = nanos.checked_add(unit * i128::from(digit - b'0'))?;
    }
    Some(nanos)
}

impl fmt::Display for Dur {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        if nanos == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let (us, ms, s) = (MICROSECOND as u64, MILLISECOND as u64, SECOND as u64);
        if nanos < s {
            let (unit, name) = match nanos {
                n if n < us => (1, "ns"),
                n if n < ms => (us, "µs"),
                _ => (ms, "ms"),
            };
            return write!(f, "{}{name}", decimal(nanos, unit));
        }
        let (hours, minutes) = (nanos / HOUR as u64, nanos / MINUTE as u64 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        write!(f, "{}s", decimal(nanos % MINUTE as u64, s))
    }
}

/// `value / unit` with as many decimals as needed.
fn decimal(value: u64, unit: u64) -> String {
    let (whole, mut rest) = (value / unit, value % unit);
    let mut text = whole.to_string();
    if rest > 0 {
        text.push('.');
        let mut step = unit;
        while rest > 0 {
            step /= 10;
            text.push(char::from(b'0' + (rest / step) as u8));
            rest %= step;
        }
    }
    text
}

impl Serialize for Dur {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for Dur {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Dur, D::Error> {
        struct V;
        impl serde::de::Visitor<'_> for V {
            type Value = Dur;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration: integer nanoseconds or a text such as \"30s\"")
            }
            fn visit_i64<E>(self, v: i64) -> Result<Dur, E> {
                Ok(Dur(v))
            }
            fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Dur, E> {
                i64::try_from(v).map(Dur).map_err(E::custom)
            }
            fn visit_f64<E>(self, v: f64) -> Result<Dur, E> {
                Ok(Dur(v as i64))
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Dur, E> {
                v.parse().map_err(E::custom)
            }
        }
        d.deserialize_any(V)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_both_ways() {
        for (text, nanos, shown) in [
            ("0", 0, "0s"),
            ("30s", 30 * SECOND, "30s"),
            ("1h", HOUR, "1h0m0s"),
            ("1m30s", 90 * SECOND, "1m30s"),
            ("1.5h", 90 * MINUTE, "1h30m0s"),
            ("250ms", 250 * MILLISECOND, "250ms"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("-2m", -2 * MINUTE, "-2m0s"),
            ("10us", 10_000, "10µs"),
            ("7ns", 7, "7ns"),
        ] {
            let dur: Dur = text.parse().expect(text);
            assert_eq!((dur.0, dur.to_string().as_str()), (nanos, shown), "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!("5".parse::<Dur>().unwrap_err().to_string(), "time: missing unit in duration \"5\"");
        assert_eq!("5d".parse::<Dur>().unwrap_err().to_string(), "time: unknown unit \"d\" in duration \"5d\"");
        assert_eq!("abc".parse::<Dur>().unwrap_err().to_string(), "time: invalid duration \"abc\"");
        assert!("99999999999h".parse::<Dur>().is_err());
    }
}
