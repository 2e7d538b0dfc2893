//! Points in time as numbers: whoever needs "now" is given it.

use serde::{Deserialize, Serialize};

use crate::duration::Dur;

/// Nanoseconds since the Unix epoch; zero means "never" or "not set".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixNanos(pub i64);

impl UnixNanos {
    pub const ZERO: UnixNanos = UnixNanos(0);
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
    /// Whole seconds since the epoch.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(crate::duration::SECOND)
    }
    /// Times beyond the years 1677 and 2262 become the last that there is.
    pub const fn from_secs(secs: i64) -> Self {
        UnixNanos(secs.saturating_mul(crate::duration::SECOND))
    }
    /// How long `earlier` was before this; negative when it was later.
    pub const fn since(self, earlier: UnixNanos) -> Dur {
        Dur(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Dur> for UnixNanos {
    type Output = UnixNanos;
    fn add(self, d: Dur) -> UnixNanos {
        UnixNanos(self.0.saturating_add(d.0))
    }
}

impl std::ops::Sub<Dur> for UnixNanos {
    type Output = UnixNanos;
    fn sub(self, d: Dur) -> UnixNanos {
        UnixNanos(self.0.saturating_sub(d.0))
    }
}

/// RFC 3339 in UTC, as the wire writes times: `2026-11-21T10:00:00.5Z`; the zero time is year 1, as Go prints it.
pub fn rfc3339(t: UnixNanos) -> String {
    if t.is_zero() {
        return "0001-01-01T00:00:00Z".to_owned();
    }
    let (secs, nanos) = (t.secs(), t.0.rem_euclid(crate::duration::SECOND));
    let (days, day_secs) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (h, m, s) = (day_secs / 3600, day_secs / 60 % 60, day_secs % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}");
    if nanos > 0 {
        let digits = format!("{nanos:09}");
        text.push('.');
        text.push_str(digits.trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// Year, month and day of a day number since 1970-01-01, in the proleptic Gregorian calendar.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text() {
        for (nanos, text) in [
            (0, "0001-01-01T00:00:00Z"),
            (1_767_225_600_000_000_000, "2026-01-01T00:00:00Z"),
            (1_709_164_799_500_000_000, "2024-02-28T23:59:59.5Z"),
            (1_709_208_000_000_000_001, "2024-02-29T12:00:00.000000001Z"),
        ] {
            assert_eq!(rfc3339(UnixNanos(nanos)), text);
        }
    }
}
