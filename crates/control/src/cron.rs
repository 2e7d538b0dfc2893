//! When a cron expression comes next.
//!
//! An instant is meant when the clock on the wall of the time zone shows what the expression says. A time that the clock leaps
//! over does not come that day, and one that it shows twice comes twice.

use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Timelike, Weekday};
use chrono_tz::Tz;
use tarpan_model::job::cron::{Cron, Days, Weekdays};

/// No expression speaks of a later year.
const LAST_YEAR: i32 = 2099;

/// Offsets from UTC change at most once in so many seconds.
const STRETCH: i64 = 900;

/// The first time after `after`; `None` when there is none.
pub fn next(cron: &Cron, zone: Tz, after: i64) -> Option<i64> {
    let mut at = after.checked_add(1)?;
    loop {
        let local = wall(zone, at)?;
        let date = next_date(cron, local.date())?;
        if date > local.date().succ_opt()? {
            // Noon of the day before: it comes in every zone but for the day that one leaps over.
            let noon = date.pred_opt()?.and_time(NaiveTime::MIN) + Duration::hours(12);
            at = zone.from_local_datetime(&noon).earliest().map_or(at, |t| t.timestamp()).max(at);
        }
        let (local, offset) = (wall(zone, at)?, offset(zone, at)?);
        let midnight = local.date().succ_opt()?.and_time(NaiveTime::MIN);
        let mut until = midnight.and_utc().timestamp() - offset;
        if self::offset(zone, until - 1)? != offset {
            until = until.min(at + STRETCH);
        }
        if self::offset(zone, until - 1)? == offset {
            let found = first(cron, local, at_offset(until, offset)?);
            if let Some(found) = found {
                return Some(found.and_utc().timestamp() - offset);
            }
        } else if let Some(found) = (at..until).find(|t| wall(zone, *t).is_some_and(|local| shows(cron, local))) {
            return Some(found);
        }
        at = until;
    }
}

/// By how many seconds the clock of `zone` is ahead of UTC; `None` outside of the calendar.
pub fn offset(zone: Tz, at: i64) -> Option<i64> {
    let utc = DateTime::from_timestamp(at, 0)?.naive_utc();
    Some(i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()))
}

fn at_offset(at: i64, offset: i64) -> Option<NaiveDateTime> {
    Some(DateTime::from_timestamp(at.checked_add(offset)?, 0)?.naive_utc())
}

/// What the clock shows.
fn wall(zone: Tz, at: i64) -> Option<NaiveDateTime> {
    at_offset(at, offset(zone, at)?)
}

fn shows(cron: &Cron, local: NaiveDateTime) -> bool {
    has(cron.seconds, local.second())
        && has(cron.minutes, local.minute())
        && has(cron.hours, local.hour())
        && is_day(cron, local.date())
}

fn has(bits: u64, n: u32) -> bool {
    bits & 1 << n != 0
}

/// The first time shown in `from..until`, on a clock that only goes on.
fn first(cron: &Cron, from: NaiveDateTime, until: NaiveDateTime) -> Option<NaiveDateTime> {
    let mut date = from.date();
    while date <= until.date() {
        let earliest = if date == from.date() { from.time() } else { NaiveTime::MIN };
        if let Some(time) = first_time(cron, earliest).filter(|_| is_day(cron, date)) {
            return Some(date.and_time(time)).filter(|found| *found < until);
        }
        date = date.succ_opt()?;
    }
    None
}

fn first_time(cron: &Cron, from: NaiveTime) -> Option<NaiveTime> {
    let later = |bits: u64, from: u32| (from < 64).then(|| bits >> from << from).filter(|b| *b != 0);
    let lowest = |bits: u64| bits.trailing_zeros();
    let mut hour = lowest(later(cron.hours, from.hour())?);
    let (minutes, seconds) = (lowest(cron.minutes), lowest(cron.seconds));
    if hour == from.hour() {
        if has(cron.minutes, from.minute())
            && let Some(seconds) = later(cron.seconds, from.second())
        {
            return NaiveTime::from_hms_opt(hour, from.minute(), lowest(seconds));
        }
        if let Some(minutes) = later(cron.minutes, from.minute() + 1) {
            return NaiveTime::from_hms_opt(hour, lowest(minutes), seconds);
        }
        hour = lowest(later(cron.hours, hour + 1)?);
    }
    NaiveTime::from_hms_opt(hour, minutes, seconds)
}

/// The first day from `from` on.
fn next_date(cron: &Cron, from: NaiveDate) -> Option<NaiveDate> {
    let mut date = from;
    while date.year() <= LAST_YEAR {
        if !is_year(cron, date.year()) {
            date = NaiveDate::from_ymd_opt(date.year() + 1, 1, 1)?;
        } else if !has(cron.months, date.month()) {
            date = date.with_day(1)?.checked_add_months(chrono::Months::new(1))?;
        } else if is_day(cron, date) {
            return Some(date);
        } else {
            date = date.succ_opt()?;
        }
    }
    None
}

fn is_year(cron: &Cron, year: i32) -> bool {
    cron.years.as_ref().is_none_or(|years| u32::try_from(year).is_ok_and(|year| years.contains(&year)))
}

/// When days of the month and of the week are both given, either will do.
fn is_day(cron: &Cron, date: NaiveDate) -> bool {
    let by_day = match (&cron.days, &cron.weekdays) {
        (None, None) => true,
        (days, weekdays) => {
            days.is_some_and(|days| in_month(&days, date)) || weekdays.is_some_and(|days| in_week(&days, date))
        }
    };
    by_day && has(cron.months, date.month()) && is_year(cron, date.year())
}

fn in_month(days: &Days, date: NaiveDate) -> bool {
    let (day, last) = (date.day(), u32::from(date.num_days_in_month()));
    let near = (1..=last).filter(|d| has(days.near, *d)).any(|d| working_day(date, d, last) == Some(day));
    has(days.plain, day)
        || (days.last && day == last)
        || (days.last_working && working_day(date, last, last) == Some(day))
        || near
}

/// The working day that is nearest to `day`, in the month of `date`.
fn working_day(date: NaiveDate, day: u32, last: u32) -> Option<u32> {
    Some(match date.with_day(day)?.weekday() {
        Weekday::Sat if day > 1 => day - 1,
        Weekday::Sat => day + 2,
        Weekday::Sun if day < last => day + 1,
        Weekday::Sun => day - 2,
        _ => day,
    })
}

fn in_week(days: &Weekdays, date: NaiveDate) -> bool {
    let weekday = date.weekday().num_days_from_sunday();
    has(days.plain, weekday)
        || has(days.nth[date.day0() as usize / 7], weekday)
        || (has(days.last, weekday) && date.day() + 7 > u32::from(date.num_days_in_month()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times after `after`, as they show in `zone`.
    fn times(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let (cron, zone): (Cron, Tz) = (Cron::parse(cron).expect(cron), zone.parse().expect("a zone"));
        let mut at = DateTime::parse_from_rfc3339(after).expect("a time").timestamp();
        let mut times = Vec::new();
        while times.len() < count {
            let Some(next) = next(&cron, zone, at) else {
                times.push("never".to_owned());
                break;
            };
            assert!(next > at, "time goes on");
            at = next;
            times.push(zone.timestamp_opt(at, 0).single().expect("a time").to_rfc3339());
        }
        times
    }

    #[track_caller]
    fn check(cron: &str, zone: &str, after: &str, expected: &[&str]) {
        assert_eq!(times(cron, zone, after, expected.len()), expected, "{cron} in {zone}");
    }

    #[test]
    fn an_hour_that_is_left_out_has_no_times() {
        let zone = "America/New_York";
        check("30 2 * * *", zone, "2027-03-13T12:00:00Z", &["2027-03-15T02:30:00-04:00"]);
        check("30 2 14 3 * 2027", zone, "2027-01-01T00:00:00Z", &["never"]);
        check(
            "*/30 * * * *",
            zone,
            "2027-03-14T06:00:00Z",
            &["2027-03-14T01:30:00-05:00", "2027-03-14T03:00:00-04:00", "2027-03-14T03:30:00-04:00"],
        );
        check("0 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z", &["2027-03-29T02:00:00+02:00"]);
        // Half an hour is left out here.
        check(
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-02T15:00:00Z",
            &["2026-10-03T02:15:00+10:30", "2026-10-05T02:15:00+11:00"],
        );
    }

    #[test]
    fn an_hour_that_comes_twice_has_its_times_twice() {
        let zone = "America/New_York";
        check(
            "30 1 * * *",
            zone,
            "2027-11-06T12:00:00Z",
            &["2027-11-07T01:30:00-04:00", "2027-11-07T01:30:00-05:00", "2027-11-08T01:30:00-05:00"],
        );
        check(
            "0,40 0-2 7 11 *",
            zone,
            "2027-11-07T04:50:00Z",
            &[
                "2027-11-07T01:00:00-04:00",
                "2027-11-07T01:40:00-04:00",
                "2027-11-07T01:00:00-05:00",
                "2027-11-07T01:40:00-05:00",
                "2027-11-07T02:00:00-05:00",
            ],
        );
    }

    #[test]
    fn days_and_names() {
        let after = "2026-11-28T00:00:00Z";
        check("0 22 * * MONDAY", "UTC", after, &["2026-11-30T22:00:00+00:00", "2026-12-07T22:00:00+00:00"]);
        check("0 0 1 JANUARY *", "UTC", after, &["2027-01-01T00:00:00+00:00"]);
        check("0 0 * * MON-FRIDAY", "UTC", after, &["2026-11-30T00:00:00+00:00"]);
        check("0 0 * * 5-7", "UTC", "2026-11-28T01:00:00Z", &["2026-12-04T00:00:00+00:00"]);
        check("0 0 L * *", "UTC", after, &["2026-11-30T00:00:00+00:00", "2026-12-31T00:00:00+00:00"]);
        check("0 0 LW 1,2 *", "UTC", after, &["2027-01-29T00:00:00+00:00", "2027-02-26T00:00:00+00:00"]);
        check("0 0 1W 5 *", "UTC", after, &["2027-05-03T00:00:00+00:00"]);
        check("0 0 * * 5L", "UTC", after, &["2026-12-25T00:00:00+00:00", "2027-01-29T00:00:00+00:00"]);
        check("0 0 * * 2#5", "UTC", after, &["2026-12-29T00:00:00+00:00", "2027-03-30T00:00:00+00:00"]);
        check("0 0 * * * */5", "UTC", after, &["2030-01-01T00:00:00+00:00"]);
        check("0 0 29 2 *", "UTC", after, &["2028-02-29T00:00:00+00:00", "2032-02-29T00:00:00+00:00"]);
        check("0 0 30 2 *", "UTC", after, &["never"]);
        check("59 59 23 31 12 * 2099", "UTC", after, &["2099-12-31T23:59:59+00:00", "never"]);
        // A day that a whole country left out.
        check(
            "0 8 * * *",
            "Pacific/Apia",
            "2011-12-29T09:00:00Z",
            &["2011-12-29T08:00:00-10:00", "2011-12-31T08:00:00+14:00"],
        );
    }
}
