//! Text.

use super::{Call, Outcome, bad, functions, int_at, seq_at, str_at};
use crate::value::Value;

functions! {
    chomp(str: Str) "The text without line breaks at its end." = |a, _| ok(str_at(a, 0).trim_end_matches(['\n', '\r']));
    indent(spaces: Num, str: Str) "Every line but the first moved right by that many spaces." = |a, _| {
        let spaces = int_at(a, 0)?;
        if !(0..=1000).contains(&spaces) {
            return Err(bad(0, "between 0 and 1000 spaces can be added"));
        }
        ok(str_at(a, 1).replace('\n', &format!("\n{}", " ".repeat(spaces as usize))))
    };
    join(separator: Str .. lists: Strs) "All texts of the lists with the separator between them." = join;
    lower(str: Str) "The text in lower case." = |a, _| ok(str_at(a, 0).to_lowercase());
    regex_replace(str: Str, pattern: Str, replacement: Str)
        "Every match of a regular expression replaced; $1 is the first group." = regex_replace;
    replace(str: Str, substr: Str, replacement: Str) "Every occurrence of a text replaced." = |a, c| {
        let text = str_at(a, 0);
        bounded(text.len() as u64 + text.matches(str_at(a, 1)).count() as u64 * str_at(a, 2).len() as u64, c)?;
        ok(text.replace(str_at(a, 1), str_at(a, 2)))
    };
    split(separator: Str, str: Str) "The parts of a text between separators." = |a, _| {
        let (separator, text) = (str_at(a, 0), str_at(a, 1));
        Ok(Value::list(match (text, separator) {
            ("", _) => Vec::new(),
            (_, "") => text.chars().map(|c| Value::str(c.to_string())).collect(),
            _ => text.split(separator).map(Value::str).collect(),
        }))
    };
    strlen(str: Str) "How many characters the text has." = |a, _| Ok(Value::int(str_at(a, 0).chars().count() as i64));
    strrev(str: Str) "The characters of the text in reverse." = |a, _| ok(str_at(a, 0).chars().rev().collect::<String>());
    substr(str: Str, offset: Num, length: Num)
        "Part of a text by characters; an offset below 0 counts from the end, a length of -1 goes to the end." = substr;
    title(str: Str) "The text with every word's first letter in upper case." = |a, _| ok(title(str_at(a, 0)));
    trim(str: Str, cutset: Str) "The text without these characters at both ends." = |a, _| {
        ok(str_at(a, 0).trim_matches(|c| str_at(a, 1).contains(c)))
    };
    trimprefix(str: Str, prefix: Str) "The text without that beginning, if it has it." = |a, _| {
        ok(str_at(a, 0).strip_prefix(str_at(a, 1)).unwrap_or(str_at(a, 0)))
    };
    trimspace(str: Str) "The text without blanks and line breaks at both ends." = |a, _| ok(str_at(a, 0).trim());
    trimsuffix(str: Str, suffix: Str) "The text without that end, if it has it." = |a, _| {
        ok(str_at(a, 0).strip_suffix(str_at(a, 1)).unwrap_or(str_at(a, 0)))
    };
    upper(str: Str) "The text in upper case." = |a, _| ok(str_at(a, 0).to_uppercase());
}

fn ok(text: impl AsRef<str>) -> Outcome {
    Ok(Value::str(text.as_ref()))
}

/// Refuses a result that the work left would not pay for.
fn bounded(length: u64, call: &Call<'_>) -> Result<(), super::Problem> {
    if length / 8 > call.work { Err(super::failed("the result would be too long")) } else { Ok(()) }
}

fn join(args: &[Value], call: &mut Call<'_>) -> Outcome {
    let texts: Vec<&str> = (1..args.len())
        .flat_map(|i| seq_at(args, i))
        .map(|v| if let Value::Str(text) = v { &**text } else { "" })
        .collect();
    let length = texts.iter().map(|t| t.len() + str_at(args, 0).len()).sum::<usize>();
    bounded(length as u64, call)?;
    ok(texts.join(str_at(args, 0)))
}

fn regex_replace(args: &[Value], call: &mut Call<'_>) -> Outcome {
    let regex = regex::RegexBuilder::new(str_at(args, 1)).size_limit(1 << 20).build();
    let regex = regex.map_err(|e| bad(1, format!("invalid regexp pattern: {e}")))?;
    let (text, replacement) = (str_at(args, 0), str_at(args, 2));
    let matches = regex.find_iter(text).count() as u64;
    bounded(text.len() as u64 + matches * (replacement.len() + text.len()) as u64, call)?;
    ok(regex.replace_all(text, replacement))
}

fn substr(args: &[Value], _: &mut Call<'_>) -> Outcome {
    let chars: Vec<char> = str_at(args, 0).chars().collect();
    let (mut offset, length) = (int_at(args, 1)?, int_at(args, 2)?);
    if offset < 0 {
        offset += chars.len() as i64;
        if offset < 0 {
            return Err(bad(1, "the offset lies before the start of the text"));
        }
    }
    let start = (offset as usize).min(chars.len());
    let end = match usize::try_from(length) {
        Ok(length) => start.saturating_add(length).min(chars.len()),
        Err(_) => chars.len(),
    };
    ok(chars[start..end].iter().collect::<String>())
}

fn title(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        if in_word {
            result.push(c);
        } else {
            result.extend(c.to_uppercase());
        }
        in_word = c.is_alphanumeric() || c == '_' || c == '\'';
    }
    result
}
