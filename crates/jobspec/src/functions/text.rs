//! Text.

use std::collections::{BTreeMap, BTreeSet};

use super::{Call, Outcome, Problem, bad, functions, int_at, seq_at, str_at};
use crate::budget::{Budget, Over};
use crate::value::Value;

functions! {
    chomp(str: Str) "The text without line breaks at its end." = |a, _| ok(str_at(a, 0).trim_end_matches(['\n', '\r']));
    indent(spaces: Num, str: Str) "Every line but the first moved right by that many spaces." = |a, c| {
        let spaces = int_at(a, 0)?;
        if !(0..=1000).contains(&spaces) {
            return Err(bad(0, "between 0 and 1000 spaces can be added"));
        }
        c.budget.hold(str_at(a, 1).bytes().filter(|b| *b == b'\n').count() as u64 * spaces as u64)?;
        ok(str_at(a, 1).replace('\n', &format!("\n{}", " ".repeat(spaces as usize))))
    };
    join(separator: Str .. lists: Strs) "All texts of the lists with the separator between them." = join;
    lower(str: Str) "The text in lower case." = |a, _| ok(str_at(a, 0).to_lowercase());
    regex_replace(str: Str, pattern: Str, replacement: Str)
        "Every match of a regular expression replaced; $1 is the first group." = regex_replace;
    replace(str: Str, substr: Str, replacement: Str) "Every occurrence of a text replaced." = |a, c| {
        let text = str_at(a, 0);
        c.budget.hold(text.len() as u64 + text.matches(str_at(a, 1)).count() as u64 * str_at(a, 2).len() as u64)?;
        ok(text.replace(str_at(a, 1), str_at(a, 2)))
    };
    split(separator: Str, str: Str) "The parts of a text between separators." = |a, c| {
        let (separator, text) = (str_at(a, 0), str_at(a, 1));
        let parts = text.matches(separator).count() as u64 + 1;
        c.budget.hold(parts * (size_of::<Value>() as u64 + 32) + text.len() as u64)?;
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
        let cut: BTreeSet<char> = str_at(a, 1).chars().collect();
        ok(str_at(a, 0).trim_matches(|c| cut.contains(&c)))
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

fn join(args: &[Value], call: &mut Call<'_>) -> Outcome {
    let texts: Vec<&str> = (1..args.len())
        .flat_map(|i| seq_at(args, i))
        .map(|v| if let Value::Str(text) = v { &**text } else { "" })
        .collect();
    let length = texts.iter().map(|t| (t.len() + str_at(args, 0).len()) as u64).sum::<u64>();
    call.budget.hold(length)?;
    ok(texts.join(str_at(args, 0)))
}

fn regex_replace(args: &[Value], call: &mut Call<'_>) -> Outcome {
    let (text, pattern, replacement) = (str_at(args, 0), str_at(args, 1), str_at(args, 2));
    let (regex, size) = call.regexes.find(pattern, call.budget)?;
    // Every search may go to the end of the text and through all of the pattern, though it rarely does.
    let cost = |rest: usize| (rest as u64).saturating_mul(size) >> 14;
    call.budget.spend(cost(text.len()))?;
    let mut length = text.len() as u64;
    for found in regex.find_iter(text) {
        call.budget.spend(cost(text.len() - found.start()) >> 4)?;
        // Each group may stand in the replacement several times, and is no longer than the match.
        let groups = replacement.bytes().filter(|b| *b == b'$').count() as u64;
        length += replacement.len() as u64 + groups * found.len() as u64;
        if length > call.budget.limits().bytes {
            return Err(call.budget.refuse(Over::Bytes).into());
        }
    }
    call.budget.hold(length)?;
    ok(regex.replace_all(text, replacement))
}

/// Patterns already compiled: a loop uses the same again and again.
#[derive(Default)]
pub(crate) struct Regexes(BTreeMap<String, (regex::Regex, u64)>);

impl Regexes {
    /// Sizes of compiled patterns: the first holds most that people write.
    const SIZES: [usize; 4] = [1 << 13, 1 << 15, 1 << 17, 1 << 20];
    /// More are compiled again each time, and paid for again.
    const MOST: usize = 64;

    /// The compiled pattern and about how large it is.
    fn find(&mut self, pattern: &str, budget: &mut Budget) -> Result<(regex::Regex, u64), Problem> {
        if let Some(known) = self.0.get(pattern) {
            return Ok(known.clone());
        }
        let mut refused = None;
        for size in Self::SIZES {
            // A megabyte takes some 10 ms to compile.
            budget.spend(size as u64 / 8 + pattern.len() as u64)?;
            match regex::RegexBuilder::new(pattern).size_limit(size).dfa_size_limit(1 << 20).build() {
                Ok(regex) => {
                    let known = (regex, size as u64);
                    if self.0.len() < Self::MOST {
                        self.0.insert(pattern.to_owned(), known.clone());
                    }
                    return Ok(known);
                }
                Err(e @ regex::Error::CompiledTooBig(_)) => refused = Some(e),
                Err(e) => return Err(bad(1, format!("invalid regexp pattern: {e}"))),
            }
        }
        Err(bad(1, format!("invalid regexp pattern: {}", refused.expect("every size was tried"))))
    }
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
