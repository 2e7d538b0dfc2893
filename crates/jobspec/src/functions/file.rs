//! Files beside the jobspec, seen only through [`crate::Files`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Call, Outcome, Problem, bad, failed, functions, str_at};
use crate::input::Files;
use crate::value::Value;

functions! {
    abspath(path: Str) "The path from the root." = |a, c| {
        let path = files(c)?.absolute(str_at(a, 0)).map_err(|e| failed(e.to_string()))?;
        Ok(Value::str(path))
    };
    basename(path: Str) "The last part of a path." = |a, c| {
        files(c)?;
        let path = str_at(a, 0).trim_end_matches('/');
        Ok(Value::str(match path.rsplit('/').next() {
            _ if str_at(a, 0).is_empty() => ".",
            _ if path.is_empty() => "/",
            last => last.unwrap_or_default(),
        }))
    };
    dirname(path: Str) "A path without its last part." = |a, c| {
        files(c)?;
        Ok(Value::str(match str_at(a, 0).rsplit_once('/') {
            None => ".",
            Some(("", _)) => "/",
            Some((folder, _)) => folder.trim_end_matches('/'),
        }))
    };
    file(path: Str) "The text of a file." = |a, c| {
        String::from_utf8(read(a, c)?).map(Value::str).map_err(|_| failed(format!("contents of {} are not valid UTF-8", str_at(a, 0))))
    };
    filebase64(path: Str) "The bytes of a file in base64." = |a, c| Ok(Value::str(STANDARD.encode(read(a, c)?)));
    fileexists(path: Str) "Whether a file is there." = |a, c| {
        files(c)?.exists(str_at(a, 0)).map(Value::Bool).map_err(|e| failed(e.to_string()))
    };
    fileset(path: Str, pattern: Str) "The files below a folder that match a pattern of *, **, ? and [abc]." = fileset;
    pathexpand(path: Str) "The path with a leading ~ replaced by the home directory." = |a, c| {
        let path = str_at(a, 0);
        let home = files(c)?.home().unwrap_or_default();
        Ok(Value::str(match path.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{home}{rest}"),
            _ => path.to_owned(),
        }))
    };
}

fn files<'c>(call: &Call<'c>) -> Result<&'c dyn Files, Problem> {
    call.files.ok_or_else(|| failed("filesystem function disabled"))
}

fn read(args: &[Value], call: &mut Call<'_>) -> Result<Vec<u8>, Problem> {
    let bytes = files(call)?.read(str_at(args, 0)).map_err(|e| failed(e.to_string()))?;
    call.budget.hold(bytes.len() as u64)?;
    Ok(bytes)
}

fn fileset(args: &[Value], call: &mut Call<'_>) -> Outcome {
    let pattern = str_at(args, 1);
    if pattern.len() > 512 {
        return Err(bad(1, "the pattern is too long"));
    }
    let names = files(call)?.list(str_at(args, 0)).map_err(|e| failed(e.to_string()))?;
    let wanted: Vec<&str> = pattern.split('/').collect();
    let found = names.iter().filter(|name| matches(&wanted, &name.split('/').collect::<Vec<_>>()));
    Ok(Value::set(found.map(|n| Value::str(n.as_str())).collect()))
}

/// Matches folder by folder; `**` stands for any number of folders.
fn matches(pattern: &[&str], path: &[&str]) -> bool {
    let one = |pattern: &[&str], name: &&str| {
        let (pattern, name): (Vec<char>, Vec<char>) = (pattern.first()?.chars().collect(), name.chars().collect());
        part(&pattern, &name).then_some(1)
    };
    wildcard(pattern, path, |p| *p == "**", one)
}

/// Matches one name.
fn part(pattern: &[char], name: &[char]) -> bool {
    wildcard(pattern, name, |c| *c == '*', |pattern, c| one(pattern, *c))
}

/// Whether all of `text` is matched. `one` says how many items of the pattern match one of the text, if they do.
/// Greedy with one place to come back to, so no pattern is slow.
fn wildcard<P, T>(
    pattern: &[P],
    text: &[T],
    is_star: impl Fn(&P) -> bool,
    one: impl Fn(&[P], &T) -> Option<usize>,
) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < text.len() {
        if pattern.get(p).is_some_and(&is_star) {
            star = Some((p, n));
            p += 1;
            continue;
        }
        match (one(&pattern[p.min(pattern.len())..], &text[n]), star) {
            (Some(width), _) => {
                p += width;
                n += 1;
            }
            (None, Some((at, from))) => {
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(is_star)
}

/// How many characters of the pattern match `c`, if its first item does.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '*' => None,
        '?' => Some(1),
        '[' => {
            let end = pattern.iter().position(|p| *p == ']')?;
            let class = &pattern[1..end];
            let (negated, class) = match class.first() {
                Some('^' | '!') => (true, &class[1..]),
                _ => (false, class),
            };
            let mut inside = class.contains(&c);
            for window in class.windows(3) {
                inside |= window[1] == '-' && (window[0]..=window[2]).contains(&c);
            }
            (inside != negated).then_some(end + 1)
        }
        exact => (*exact == c).then_some(1),
    }
}
