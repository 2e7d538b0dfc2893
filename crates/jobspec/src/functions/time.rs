//! Timestamps in RFC 3339.

use chrono::{DateTime, Datelike, FixedOffset, Timelike};
use tarpan_model::Dur;

use super::{Call, Outcome, Problem, bad, failed, functions, str_at};
use crate::value::Value;

functions! {
    formatdate(format: Str, time: Str)
        "A timestamp in another form: YYYY, MM, MMM, DD, EEE, hh, HH, mm, ss, AA, Z, ZZZ; text in single quotes." = formatdate;
    timeadd(timestamp: Str, duration: Str) "A timestamp moved by a duration such as \"10m\" or \"-1h\"." = |a, _| {
        let time = timestamp(a, 0)?;
        let by: Dur = str_at(a, 1).parse().map_err(|e: tarpan_model::duration::ParseDurError| bad(1, e.to_string()))?;
        let moved = time.checked_add_signed(chrono::TimeDelta::nanoseconds(by.nanos()));
        moved.map(|t| Value::str(shown(&t))).ok_or_else(|| failed("the time is out of range"))
    };
}

fn timestamp(args: &[Value], index: usize) -> Result<DateTime<FixedOffset>, Problem> {
    let text = str_at(args, index);
    DateTime::parse_from_rfc3339(text).map_err(|e| bad(index, format!("not a valid RFC3339 timestamp: {e}")))
}

fn shown(time: &DateTime<FixedOffset>) -> String {
    let text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    );
    text + &zone(time, true, true)
}

fn formatdate(args: &[Value], _: &mut Call<'_>) -> Outcome {
    let time = timestamp(args, 1)?;
    let format = str_at(args, 0);
    let mut text = String::new();
    let mut rest = format;
    while let Some(c) = rest.chars().next() {
        if c == '\'' {
            rest = quoted(&rest[1..], &mut text).ok_or_else(|| bad(0, "unterminated literal '"))?;
            continue;
        }
        let length = rest.chars().take_while(|o| *o == c).count() * c.len_utf8();
        let (verb, after) = rest.split_at(length);
        if c.is_ascii_alphabetic() {
            let part = field(verb, &time).ok_or_else(|| bad(0, format!("invalid date format verb {verb:?}")))?;
            text.push_str(&part);
        } else {
            text.push_str(verb);
        }
        rest = after;
    }
    Ok(Value::str(text))
}

/// Copies up to the closing quote, two quotes giving one; the rest after it.
fn quoted<'t>(mut rest: &'t str, text: &mut String) -> Option<&'t str> {
    loop {
        let end = rest.find('\'')?;
        text.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('\'') {
            Some(after) => {
                text.push('\'');
                rest = after;
            }
            None => return Some(rest),
        }
    }
}

fn field(verb: &str, t: &DateTime<FixedOffset>) -> Option<String> {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    let month = MONTHS[t.month0() as usize];
    let day = DAYS[t.weekday().num_days_from_sunday() as usize];
    let (_, hour12) = t.hour12();
    let half = if t.hour() < 12 { "AM" } else { "PM" };
    Some(match verb {
        "YYYY" => format!("{:04}", t.year()),
        "YY" => format!("{:02}", t.year() % 100),
        "MMMM" => month.to_owned(),
        "MMM" => month[..3].to_owned(),
        "MM" => format!("{:02}", t.month()),
        "M" => t.month().to_string(),
        "DD" => format!("{:02}", t.day()),
        "D" => t.day().to_string(),
        "EEEE" => day.to_owned(),
        "EEE" => day[..3].to_owned(),
        "hh" => format!("{:02}", t.hour()),
        "h" => t.hour().to_string(),
        "HH" => format!("{hour12:02}"),
        "H" => hour12.to_string(),
        "AA" => half.to_owned(),
        "aa" => half.to_lowercase(),
        "mm" => format!("{:02}", t.minute()),
        "m" => t.minute().to_string(),
        "ss" => format!("{:02}", t.second()),
        "s" => t.second().to_string(),
        "ZZZZZ" => zone(t, true, false),
        "ZZZZ" => zone(t, false, false),
        "ZZZ" if t.offset().local_minus_utc() == 0 => "UTC".to_owned(),
        "ZZZ" => zone(t, false, false),
        "Z" => zone(t, true, true),
        _ => return None,
    })
}

/// `+02:00` or `+0200`; `Z` for UTC when `short`.
fn zone(time: &DateTime<FixedOffset>, colon: bool, short: bool) -> String {
    let minutes = time.offset().local_minus_utc() / 60;
    if minutes == 0 && short {
        return "Z".to_owned();
    }
    let sign = if minutes < 0 { '-' } else { '+' };
    let separator = if colon { ":" } else { "" };
    format!("{sign}{:02}{separator}{:02}", minutes.abs() / 60, minutes.abs() % 60)
}
