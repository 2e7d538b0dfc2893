//! The shape of cron expressions: 5 to 7 fields, or a word such as `@daily`.
//!
//! Five fields are minute, hour, day, month, weekday; a sixth is the year; with seven the first is the second.
//! Only the shape is checked here: launch times are computed where they are needed.

/// Why `spec` is not a cron expression.
pub(super) fn check(spec: &str) -> Result<(), String> {
    let spec = spec.trim();
    if let Some(word) = spec.strip_prefix('@') {
        return match word {
            "yearly" | "annually" | "monthly" | "weekly" | "daily" | "hourly" => Ok(()),
            _ => Err(format!("unknown word @{word}")),
        };
    }
    let fields: Vec<&str> = spec.split_whitespace().collect();
    let kinds: &[Part] = match fields.len() {
        5 => &ALL[1..6],
        6 => &ALL[1..7],
        7 => &ALL,
        n => return Err(format!("5 to 7 fields are needed, not {n}")),
    };
    for (field, kind) in fields.iter().zip(kinds) {
        for item in field.split(',') {
            kind.item(item)
                .map_err(|()| format!("{item:?} is no {} from {} to {}", kind.name, kind.least, kind.most))?;
        }
    }
    Ok(())
}

struct Part {
    name: &'static str,
    least: u32,
    most: u32,
    words: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const ALL: [Part; 7] = [
    Part { name: "second", least: 0, most: 59, words: &[] },
    Part { name: "minute", least: 0, most: 59, words: &[] },
    Part { name: "hour", least: 0, most: 23, words: &[] },
    Part { name: "day of the month", least: 1, most: 31, words: &[] },
    Part { name: "month", least: 1, most: 12, words: &MONTHS },
    Part { name: "day of the week", least: 0, most: 7, words: &DAYS },
    Part { name: "year", least: 1970, most: 2099, words: &[] },
];

impl Part {
    /// `*`, `5`, `1-5`, any of these with `/step`; `L`, `W` and `#` for days.
    fn item(&self, item: &str) -> Result<(), ()> {
        let (range, step) = item.split_once('/').map_or((item, None), |(r, s)| (r, Some(s)));
        if step.is_some_and(|s| !s.parse::<u32>().is_ok_and(|n| n > 0)) {
            return Err(());
        }
        if matches!(range, "*" | "?") {
            return Ok(());
        }
        if self.name.starts_with("day") {
            let of = range.trim_end_matches(['L', 'W', 'l', 'w']);
            if of.is_empty() {
                return Ok(());
            }
            if of.len() < range.len() {
                return self.value(of).map(drop);
            }
            if let Some((day, nth)) = range.split_once('#') {
                return if matches!(nth, "1" | "2" | "3" | "4" | "5") { self.value(day).map(drop) } else { Err(()) };
            }
        }
        match range.split_once('-') {
            Some((from, to)) => {
                let (from, to) = (self.value(from)?, self.value(to)?);
                if from <= to { Ok(()) } else { Err(()) }
            }
            None => self.value(range).map(drop),
        }
    }

    fn value(&self, text: &str) -> Result<u32, ()> {
        let lower = text.to_lowercase();
        if let Some(index) = self.words.iter().position(|w| lower.starts_with(w)) {
            return Ok(index as u32 + self.least);
        }
        let number: u32 = text.parse().map_err(|_| ())?;
        if (self.least..=self.most).contains(&number) { Ok(number) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn shapes() {
        for good in [
            "*/5 * * * *",
            "0/3 * * * * * *",
            "0 0 1 jan,JUL mon-fri",
            "@daily",
            "0 12 L * ?",
            "0 0 * * 5#2 2030",
            "0 0 15W * *",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "* * * *",
            "61 * * * *",
            "* 25 * * *",
            "a * * * *",
            "*/0 * * * *",
            "5-1 * * * *",
            "@sometimes",
            "* * * * * * * *",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
