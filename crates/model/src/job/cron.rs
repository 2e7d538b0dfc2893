//! Cron expressions: 5 to 7 fields, or a word such as `@daily`. The one reading of them: validation asks whether there is one,
//! the leader (`tarpan-control`) when it comes next.
//!
//! Five fields are minute, hour, day, month, weekday; a sixth is the year; with seven the first is the second. What follows is
//! ignored. A part is `*`, `?`, `5`, `1-5`, any of them but `?` with `/step` behind it, and for days `L`, `LW`, `15W`, `5L`,
//! `5#2`. Months and days have names, short and whole.
//! Source: `reference/semantics.md` §9; what the field's parser makes of odd ranges was observed.

use std::collections::BTreeSet;

/// A cron expression as sets of what each field lets through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cron {
    pub seconds: u64,
    pub minutes: u64,
    pub hours: u64,
    pub months: u64,
    /// `None`: every year.
    pub years: Option<BTreeSet<u32>>,
    /// `None`: any day, as far as this field is concerned.
    pub days: Option<Days>,
    pub weekdays: Option<Weekdays>,
}

/// Days of a month; bit 1 is the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Days {
    pub plain: u64,
    /// `15W`: the working day that is nearest, in the same month.
    pub near: u64,
    pub last: bool,
    /// `LW`: the last working day.
    pub last_working: bool,
}

/// Days of a week; bit 0 is Sunday.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weekdays {
    pub plain: u64,
    /// `5L`: the last one of its kind in the month.
    pub last: u64,
    /// `5#2`: by which one of its kind in the month, from the first.
    pub nth: [u64; 5],
}

impl Cron {
    /// The expression, or why it is none.
    pub fn parse(spec: &str) -> Result<Cron, String> {
        let spec = spec.trim();
        let whole = match spec.strip_prefix('@') {
            Some(word) => of_word(word)?,
            None => spec,
        };
        let fields: Vec<&str> = whole.split_whitespace().collect();
        let (seconds, rest, year) = match fields.as_slice() {
            [rest @ .., year] if fields.len() == 6 => ("0", rest, *year),
            [second, rest @ .., year] if fields.len() == 7 => (*second, rest, *year),
            [second, minute, hour, day, month, weekday, year, ..] => {
                return Cron::of_fields(second, &[*minute, *hour, *day, *month, *weekday], year);
            }
            rest if rest.len() == 5 => ("0", rest, "*"),
            few => return Err(format!("5 to 7 fields are needed, not {}", few.len())),
        };
        Cron::of_fields(seconds, rest, year)
    }

    fn of_fields(second: &str, rest: &[&str], year: &str) -> Result<Cron, String> {
        Ok(Cron {
            seconds: bits(&SECOND, second)?,
            minutes: bits(&MINUTE, rest[0])?,
            hours: bits(&HOUR, rest[1])?,
            days: days(rest[2])?,
            months: bits(&MONTH, rest[3])?,
            weekdays: weekdays(rest[4])?,
            years: years(year)?,
        })
    }
}

fn of_word(word: &str) -> Result<&'static str, String> {
    match word {
        "yearly" | "annually" => Ok("0 0 1 1 *"),
        "monthly" => Ok("0 0 1 * *"),
        "weekly" => Ok("0 0 * * 0"),
        "daily" => Ok("0 0 * * *"),
        "hourly" => Ok("0 * * * *"),
        _ => Err(format!("unknown word @{word}")),
    }
}

struct Part {
    name: &'static str,
    least: u32,
    most: u32,
    /// Whole names; their first three letters are names too.
    words: &'static [&'static str],
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const DAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

const SECOND: Part = Part { name: "second", least: 0, most: 59, words: &[] };
const MINUTE: Part = Part { name: "minute", least: 0, most: 59, words: &[] };
const HOUR: Part = Part { name: "hour", least: 0, most: 23, words: &[] };
const DAY: Part = Part { name: "day of the month", least: 1, most: 31, words: &[] };
const MONTH: Part = Part { name: "month", least: 1, most: 12, words: &MONTHS };
const WEEKDAY: Part = Part { name: "day of the week", least: 0, most: 6, words: &DAYS };
const YEAR: Part = Part { name: "year", least: 1970, most: 2099, words: &[] };

/// What one item of a field, between commas, says.
enum Item {
    All,
    One(u32),
    Range { from: u32, to: u32, step: u32 },
}

impl Part {
    fn refuse(&self, item: &str) -> String {
        format!("{item:?} is no {} from {} to {}", self.name, self.least, self.most)
    }

    fn value(&self, text: &str) -> Option<u32> {
        let lower = text.to_ascii_lowercase();
        let named = |word: &&str| lower == **word || lower == word[..3];
        if let Some(index) = self.words.iter().position(&named) {
            return Some(index as u32 + self.least);
        }
        if text.len() > 4 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number: u32 = text.parse().ok()?;
        // Sunday has two numbers.
        let number = if self.words.len() == 7 && number == 7 { 0 } else { number };
        (self.least..=self.most).contains(&number).then_some(number)
    }

    fn item(&self, item: &str) -> Option<Item> {
        if matches!(item, "*" | "?") {
            return Some(Item::All);
        }
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let step: Option<u32> = match step {
            Some(text) => Some(text.parse().ok().filter(|n| (1..=self.most).contains(n))?),
            None => None,
        };
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (self.value(from)?, self.last_value(to)?),
            None if range == "*" => (self.least, self.most),
            None => match step {
                Some(_) => (self.value(range)?, self.most),
                None => return self.value(range).map(Item::One),
            },
        };
        (from <= to).then_some(Item::Range { from, to, step: step.unwrap_or(1) })
    }

    /// The end of a range. One that ends with Sunday ends before it: so the field reads it.
    fn last_value(&self, text: &str) -> Option<u32> {
        let value = self.value(text)?;
        Some(if self.words.len() == 7 && value == 0 { 6 } else { value })
    }
}

fn items(field: &str) -> impl Iterator<Item = &str> {
    field.split(',')
}

fn spread(from: u32, to: u32, step: u32) -> u64 {
    (from..=to).step_by(step as usize).fold(0, |bits, n| bits | 1 << n)
}

/// A field without peculiarities, as bits.
fn bits(part: &Part, field: &str) -> Result<u64, String> {
    items(field).try_fold(0, |bits, item| {
        let added = match part.item(item).ok_or_else(|| part.refuse(item))? {
            Item::All => spread(part.least, part.most, 1),
            Item::One(n) => 1 << n,
            Item::Range { from, to, step } => spread(from, to, step),
        };
        Ok(bits | added)
    })
}

fn years(field: &str) -> Result<Option<BTreeSet<u32>>, String> {
    let mut years = BTreeSet::new();
    for item in items(field) {
        match YEAR.item(item).ok_or_else(|| YEAR.refuse(item))? {
            Item::All => return Ok(None),
            Item::One(year) => drop(years.insert(year)),
            Item::Range { from, to, step } => years.extend((from..=to).step_by(step as usize)),
        }
    }
    Ok(Some(years))
}

fn days(field: &str) -> Result<Option<Days>, String> {
    let (mut days, mut any) = (Days::default(), false);
    for item in items(field) {
        match (DAY.item(item), item.to_ascii_uppercase().as_str()) {
            (Some(Item::All), _) => any = true,
            (Some(Item::One(day)), _) => days.plain |= 1 << day,
            (Some(Item::Range { from, to, step }), _) => days.plain |= spread(from, to, step),
            (None, "L") => days.last = true,
            (None, "LW") => days.last_working = true,
            (None, upper) => {
                let near = upper.strip_suffix('W').and_then(|day| DAY.value(day)).ok_or_else(|| DAY.refuse(item))?;
                days.near |= 1 << near;
            }
        }
    }
    Ok((!any).then_some(days))
}

fn weekdays(field: &str) -> Result<Option<Weekdays>, String> {
    let (mut weekdays, mut any) = (Weekdays::default(), false);
    for item in items(field) {
        match WEEKDAY.item(item) {
            Some(Item::All) => any = true,
            Some(Item::One(day)) => weekdays.plain |= 1 << day,
            Some(Item::Range { from, to, step }) => weekdays.plain |= spread(from, to, step),
            None => rare(&mut weekdays, item).ok_or_else(|| WEEKDAY.refuse(item))?,
        }
    }
    Ok((!any).then_some(weekdays))
}

/// `5L` and `5#2`.
fn rare(weekdays: &mut Weekdays, item: &str) -> Option<()> {
    if let Some(day) = item.strip_suffix(['L', 'l']) {
        weekdays.last |= 1 << WEEKDAY.value(day)?;
        return Some(());
    }
    let (day, nth) = item.split_once('#')?;
    let nth: usize = nth.parse().ok().filter(|n| (1..=5).contains(n))?;
    weekdays.nth[nth - 1] |= 1 << WEEKDAY.value(day)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        for good in [
            "*/5 * * * *",
            "0/3 * * * * * *",
            "0 0 1 jan,JUL mon-fri",
            "0 22 * * MONDAY",
            "0 0 1 JANUARY *",
            "0 0 * * MON-FRIDAY",
            "@daily",
            "0 12 L * ?",
            "0 0 * * 5#2 2030",
            "0 0 15W * *",
            "0 0 * * 1/2",
            "0 0 * * * */5",
            "0 * * * * * * what follows",
        ] {
            assert!(Cron::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "* * * *",
            "61 * * * *",
            "* 25 * * *",
            "a * * * *",
            "*/0 * * * *",
            "*/90 * * * *",
            "5-1 * * * *",
            "@sometimes",
            "0 0 W * *",
            "0 0 * * mondays",
            "0 0 * janu *",
            "0 0 * * 5#6",
            "0 0 * * 1,",
            "+5 * * * *",
        ] {
            assert!(Cron::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_of_weekdays() {
        for (field, days) in [
            ("5-7", "56"),
            ("6-7", "6"),
            ("MON-SUN", "123456"),
            ("SUN-TUE", "012"),
            ("7", "0"),
            ("1/2", "135"),
            ("MONDAY,friday", "15"),
        ] {
            let cron = Cron::parse(&format!("0 0 * * {field}")).expect(field);
            let bits = cron.weekdays.expect("some days").plain;
            let found: String = (0..7).filter(|n| bits & 1 << n != 0).map(|n: u8| char::from(b'0' + n)).collect();
            assert_eq!(found, days, "{field}");
        }
    }

    #[test]
    fn six_fields_end_with_the_year_and_seven_begin_with_the_second() {
        let cron = Cron::parse("0 12 * * * 2027").expect("six");
        assert_eq!((cron.seconds, cron.minutes, cron.years), (1, 1, Some([2027].into())));
        let cron = Cron::parse("0/30 5 * * * * *").expect("seven");
        assert_eq!((cron.seconds, cron.minutes, cron.years), (1 | 1 << 30, 1 << 5, None));
    }
}
