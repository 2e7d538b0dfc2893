//! `format` and `formatlist`.

use super::json::{json, json_str};
use super::{Call, Outcome, Problem, bad, failed, functions, str_at};
use crate::budget::{Budget, Over};
use crate::number::Number;
use crate::value::{SeqKind, Value};

functions! {
    format(format: Str .. args: Nullable) "Text with values in it: %s, %d, %05.1f, %q, %t, %v, %x." = |a, c| {
        Ok(Value::str(format(str_at(a, 0), &a[1..], c)?))
    };
    formatlist(format: Str .. args: Nullable) "format for each element of the lists among its arguments." = formatlist;
}

fn formatlist(args: &[Value], call: &mut Call<'_>) -> Outcome {
    let mut length = None;
    for (index, arg) in args.iter().enumerate().skip(1) {
        if let Value::Seq(_, items) = arg {
            match length {
                Some(n) if n != items.len() => return Err(bad(index, "the lists have different lengths")),
                _ => length = Some(items.len()),
            }
        }
    }
    let mut results = Vec::new();
    for row in 0..length.unwrap_or(1) {
        let row: Vec<Value> = args[1..]
            .iter()
            .map(|arg| match arg {
                Value::Seq(SeqKind::Tuple | SeqKind::List | SeqKind::Set, items) => items[row].clone(),
                single => single.clone(),
            })
            .collect();
        results.push(Value::str(format(str_at(args, 0), &row, call)?));
    }
    Ok(Value::list(results))
}

/// `%[flags][width][.precision][[argument]]verb`.
#[derive(Default)]
struct Verb {
    plus: bool,
    minus: bool,
    zero: bool,
    space: bool,
    sharp: bool,
    width: Option<usize>,
    precision: Option<usize>,
    argument: Option<usize>,
    letter: char,
}

/// Wider fields are refused.
const MAX_WIDTH: usize = 1024;

fn format(template: &str, args: &[Value], call: &mut Call<'_>) -> Result<String, Problem> {
    call.budget.hold(template.len() as u64)?;
    let mut text = String::new();
    let mut rest = template;
    let mut next = 0;
    let mut most = 0;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            text.push('%');
            rest = after;
            continue;
        }
        let (verb, after) = read_verb(rest)?;
        rest = after;
        let index = verb.argument.unwrap_or(next);
        next = index + 1;
        most = most.max(next);
        let value = args.get(index).ok_or_else(|| {
            bad(
                0,
                format!(
                    "not enough arguments for \"%{}\": need index {} but have {} total",
                    verb.letter,
                    index + 1,
                    args.len()
                ),
            )
        })?;
        // Looked at before it is written: a short verb may ask for a long text.
        let fields = verb.width.unwrap_or(0).max(verb.precision.unwrap_or(0)) as u64;
        call.budget.hold(fields + value.own().min(value.size()))?;
        if let Value::Number(number) = value {
            call.budget.spend(number.text_steps())?;
        }
        let shown = shown(&verb, value, call.budget).map_err(|message| match message {
            Unshown::Over(over) => over.into(),
            Unshown::Wrong(message) => bad(index + 1, message),
        })?;
        text.push_str(&shown);
    }
    text.push_str(rest);
    if most < args.len() {
        return Err(failed(format!("too many arguments; only {most} used by format string")));
    }
    Ok(text)
}

fn read_verb(text: &str) -> Result<(Verb, &str), Problem> {
    let mut verb = Verb::default();
    let mut rest = text;
    loop {
        match rest.chars().next() {
            Some('+') => verb.plus = true,
            Some('-') => verb.minus = true,
            Some('0') => verb.zero = true,
            Some(' ') => verb.space = true,
            Some('#') => verb.sharp = true,
            _ => break,
        }
        rest = &rest[1..];
    }
    (verb.width, rest) = digits(rest)?;
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, after) = digits(after)?;
        verb.precision = Some(precision.unwrap_or(0));
        rest = after;
    }
    if let Some(after) = rest.strip_prefix('[') {
        let (number, after) = digits(after)?;
        let after = after.strip_prefix(']').ok_or_else(|| bad(0, "an argument number has to end with ]"))?;
        verb.argument = Some(number.unwrap_or(0).checked_sub(1).ok_or_else(|| bad(0, "arguments are counted from 1"))?);
        rest = after;
    }
    let letter = rest.chars().next().ok_or_else(|| bad(0, "the text ends within a %"))?;
    verb.letter = letter;
    Ok((verb, &rest[letter.len_utf8()..]))
}

fn digits(text: &str) -> Result<(Option<usize>, &str), Problem> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(length);
    if number.is_empty() {
        return Ok((None, rest));
    }
    match number.parse() {
        Ok(n) if n <= MAX_WIDTH => Ok((Some(n), rest)),
        _ => Err(bad(0, format!("a width or precision may be {MAX_WIDTH} at most"))),
    }
}

/// Why a value can't be shown.
enum Unshown {
    Over(Over),
    Wrong(String),
}

impl From<Over> for Unshown {
    fn from(over: Over) -> Unshown {
        Unshown::Over(over)
    }
}

impl From<String> for Unshown {
    fn from(message: String) -> Unshown {
        Unshown::Wrong(message)
    }
}

fn shown(verb: &Verb, value: &Value, budget: &mut Budget) -> Result<String, Unshown> {
    let text = || match (value, value.to_text()) {
        (Value::Null, _) => Err("a null value cannot be formatted".to_owned()),
        (_, Some(text)) => Ok(text.to_string()),
        _ => Err("string required".to_owned()),
    };
    let number = || value.to_number().ok_or_else(|| "number required".to_owned());
    Ok(match verb.letter {
        'v' => match value {
            Value::Str(s) if !verb.sharp => pad(verb, cut(verb, s)),
            Value::Number(n) => pad_number(verb, n, n.to_string()),
            other => {
                let mut json_text = String::new();
                json(other, &mut json_text, budget)?;
                pad(verb, json_text)
            }
        },
        's' => pad(verb, cut(verb, &text()?)),
        'q' => {
            let mut quoted = String::new();
            json_str(&cut(verb, &text()?), &mut quoted, budget)?;
            pad(verb, quoted)
        }
        't' => match value.to_bool() {
            Some(b) => pad(verb, b.to_string()),
            None => return Err("bool required".to_owned().into()),
        },
        'd' => {
            let n = number()?.truncate();
            pad_number(verb, &n, n.to_string())
        }
        'b' | 'o' | 'x' | 'X' => match value {
            Value::Str(s) if verb.letter == 'x' => pad(verb, s.bytes().map(|b| format!("{b:02x}")).collect()),
            Value::Str(s) if verb.letter == 'X' => pad(verb, s.bytes().map(|b| format!("{b:02X}")).collect()),
            _ => {
                let n = number()?.truncate();
                let big = n.to_big().unwrap_or_default();
                let radix = match verb.letter {
                    'b' => 2,
                    'o' => 8,
                    _ => 16,
                };
                let digits = big.to_str_radix(radix);
                pad_number(verb, &n, if verb.letter == 'X' { digits.to_uppercase() } else { digits })
            }
        },
        'f' | 'F' => {
            let n = number()?;
            let digits = n.fixed(verb.precision.unwrap_or(6));
            pad_number(verb, &n, digits)
        }
        'e' | 'E' | 'g' | 'G' => {
            let n = number()?;
            let digits = exponent(verb, n.to_f64());
            pad_number(verb, &n, if verb.letter.is_uppercase() { digits.to_uppercase() } else { digits })
        }
        other => return Err(format!("unsupported format verb {other:?}").into()),
    })
}

fn cut(verb: &Verb, text: &str) -> String {
    match verb.precision {
        Some(most) => text.chars().take(most).collect(),
        None => text.to_owned(),
    }
}

/// `1.5e+03`, or the plain form for `%g` while the exponent is small.
fn exponent(verb: &Verb, value: f64) -> String {
    let general = verb.letter.eq_ignore_ascii_case(&'g');
    let text = match verb.precision {
        Some(p) => format!("{value:.*e}", if general { p.saturating_sub(1) } else { p }),
        None if general => format!("{value:e}"),
        None => format!("{value:.6e}"),
    };
    let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    if general && (-4..21).contains(&power) {
        return format!("{value}");
    }
    format!("{mantissa}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
}

fn pad(verb: &Verb, text: String) -> String {
    let missing = verb.width.unwrap_or(0).saturating_sub(text.chars().count());
    if verb.minus { text + &" ".repeat(missing) } else { " ".repeat(missing) + &text }
}

/// Signs and leading zeros go before the digits.
fn pad_number(verb: &Verb, number: &Number, text: String) -> String {
    let digits = text.strip_prefix('-').unwrap_or(&text);
    let sign = match (number.is_negative() && text.starts_with('-'), verb.plus, verb.space) {
        (true, _, _) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    let missing = verb.width.unwrap_or(0).saturating_sub(digits.len() + sign.len());
    if verb.zero && !verb.minus {
        return format!("{sign}{}{digits}", "0".repeat(missing));
    }
    pad(verb, format!("{sign}{digits}"))
}
