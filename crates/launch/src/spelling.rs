//! The field's way of writing flags (`-json`, `-var=a=b`, `-n 5`, `-stats=false`) turned into clap's.
//!
//! Reads clap's description of one command and the words after its name. Gives words for clap: every flag as `--name` or
//! `--name=value`, then `--`, then the rest. Flags may stand after words that are none, unless the command forwards them.

use clap::{Arg, ArgAction};
use tarpan_model::go;

/// Why the words are not flags of this command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// `-h` or `-help` was among them.
    #[error("help requested")]
    Help,
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    #[error("flag needs an argument: -{0}")]
    NoValue(String),
    #[error("invalid boolean value {value:?} for -{name}: parse error")]
    NotBool { name: String, value: String },
}

/// Turns `argv` into what clap understands.
pub fn normalise(
    command: &clap::Command,
    argv: &[String],
    stops_at_first_word: bool,
) -> Result<Vec<String>, FlagError> {
    let mut flags = Vec::new();
    let mut words = Vec::new();
    let mut rest = argv.iter();
    while let Some(word) = rest.next() {
        if word == "--" {
            words.extend(rest.by_ref().cloned());
            break;
        }
        let Some(body) = flag_body(word) else {
            words.push(word.clone());
            if stops_at_first_word {
                words.extend(rest.by_ref().cloned());
            }
            continue;
        };
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (body, None),
        };
        let Some(arg) = find(command, name) else {
            return Err(if matches!(name, "h" | "help") {
                FlagError::Help
            } else {
                FlagError::Unknown(name.to_owned())
            });
        };
        flags.extend(one_flag(arg, name, value, &mut rest)?);
    }
    flags.push("--".to_owned());
    flags.append(&mut words);
    Ok(flags)
}

/// The text after the dashes; a lone dash is standard input, and a negative number is a word.
fn flag_body(word: &str) -> Option<&str> {
    let body = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    let first = body.chars().next()?;
    (first != '-' && first != '=' && !first.is_ascii_digit()).then_some(body)
}

fn find<'a>(command: &'a clap::Command, name: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| {
        arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
    })
}

fn one_flag<'a>(
    arg: &Arg,
    name: &str,
    value: Option<&str>,
    rest: &mut impl Iterator<Item = &'a String>,
) -> Result<Option<String>, FlagError> {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        let on = value.map_or(Ok(true), |v| boolean(name, v))?;
        return Ok(on.then(|| format!("--{name}")));
    }
    if arg.is_require_equals_set() {
        let on = value.map_or(Ok(true), |v| boolean(name, v))?;
        return Ok(Some(format!("--{name}={on}")));
    }
    let value = match value {
        Some(value) => value,
        None => rest.next().ok_or_else(|| FlagError::NoValue(name.to_owned()))?,
    };
    Ok(Some(format!("--{name}={value}")))
}

/// Booleans as Go's flag package reads them.
fn boolean(name: &str, value: &str) -> Result<bool, FlagError> {
    go::boolean(value).ok_or_else(|| FlagError::NotBool { name: name.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;

    #[derive(clap::Args)]
    struct Sample {
        #[arg(long)]
        detach: bool,
        #[arg(long)]
        var: Vec<String>,
        #[arg(long = "n")]
        n: Option<i64>,
        #[arg(long = "tls-skip-verify", alias = "insecure")]
        tls_skip_verify: bool,
        #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
        diff: bool,
        args: Vec<String>,
    }

    fn check(argv: &str, stops: bool, expected: Result<&str, FlagError>) {
        let command = Sample::augment_args(clap::Command::new("sample").disable_help_flag(true));
        let argv: Vec<String> = argv.split_whitespace().map(str::to_owned).collect();
        let got = normalise(&command, &argv, stops).map(|words| words.join(" "));
        assert_eq!(got, expected.map(str::to_owned), "{argv:?}");
    }

    #[test]
    fn flags_are_turned() {
        check("-detach a.hcl", false, Ok("--detach -- a.hcl"));
        check("--detach -detach=false a", false, Ok("--detach -- a"));
        check("-var a=b -var=c=d -n 5 -", false, Ok("--var=a=b --var=c=d --n=5 -- -"));
        check("a -detach", false, Ok("--detach -- a"));
        check("a -detach", true, Ok("-- a -detach"));
        check("-detach -- -x", false, Ok("--detach -- -x"));
        check("-diff=false -insecure", false, Ok("--diff=false --insecure --"));
        check("-diff job", false, Ok("--diff=true -- job"));
        check("-n -5 job -7", false, Ok("--n=-5 -- job -7"));
    }

    #[test]
    fn mistakes_are_named() {
        check("-nope x", false, Err(FlagError::Unknown("nope".to_owned())));
        check("-var", false, Err(FlagError::NoValue("var".to_owned())));
        check("-help", false, Err(FlagError::Help));
        check("-detach=maybe", false, Err(FlagError::NotBool { name: "detach".to_owned(), value: "maybe".to_owned() }));
    }
}
