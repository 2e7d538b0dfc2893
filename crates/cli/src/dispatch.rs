//! From the words of the command line to a command, and from its outcome to an exit code.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use crate::command::{Entry, Fail};
use crate::{commands, field, help, output};
use tarpan_launch::spelling::{self, FlagError};

/// Exit code of a command that does not exist.
const UNKNOWN_COMMAND: i32 = 127;
/// Exit code of a command of the field's that is not built yet.
const NOT_BUILT: i32 = 1;

/// Finds the command that `argv` names and runs it.
pub fn main(argv: Vec<String>) -> ExitCode {
    output::set_program(argv.first().map_or("tarpan", String::as_str));
    output::set_color(wants_color(&argv));
    let code = run(argv.get(1..).unwrap_or_default());
    ExitCode::from(u8::try_from(code.rem_euclid(256)).unwrap_or(1))
}

fn run(words: &[String]) -> i32 {
    let table = commands::table();
    let program = output::program();
    if let Some(first) = words.first() {
        match first.as_str() {
            "-v" | "-version" | "--version" => return run(&["version".to_owned()]),
            "-h" | "-help" | "--help" => {
                print!("{}", help::group(&program, "", &table));
                return 0;
            }
            _ => {}
        }
    }
    match find(&table, words) {
        Found::Command(entry, used) => run_command(entry, &words[used..]),
        Found::NotBuilt(sentence) => {
            output::error(&sentence);
            NOT_BUILT
        }
        Found::Group(prefix, asked) => {
            let text = help::group(&program, &prefix, &table);
            if asked {
                print!("{text}");
                return 0;
            }
            eprint!("{text}");
            if prefix.is_empty() { UNKNOWN_COMMAND } else { 1 }
        }
    }
}

enum Found<'a> {
    /// The command and how many words name it.
    Command(&'a Entry, usize),
    /// What is said of a command of the field's that is not here.
    NotBuilt(String),
    /// The longest group that the words name, and whether its help was asked for.
    Group(String, bool),
}

/// The command with the longest name that `words` begin with.
fn find<'a>(table: &'a [Entry], words: &[String]) -> Found<'a> {
    let names = words.iter().take_while(|w| !w.starts_with('-')).take(4).cloned().collect::<Vec<_>>();
    for used in (1..=names.len()).rev() {
        let name = names[..used].join(" ");
        if let Some(entry) = table.iter().find(|e| e.path == name || e.aliases.contains(&name.as_str())) {
            return Found::Command(entry, used);
        }
    }
    if let Some(sentence) = field::not_built(&output::program(), table, words) {
        return Found::NotBuilt(sentence);
    }
    for used in (1..=names.len()).rev() {
        let name = names[..used].join(" ");
        if table.iter().any(|e| e.path.starts_with(&format!("{name} "))) {
            let asked = words.get(used).is_some_and(|w| matches!(w.as_str(), "-h" | "-help" | "--help"));
            return Found::Group(name, asked);
        }
    }
    Found::Group(String::new(), false)
}

fn run_command(entry: &Entry, words: &[String]) -> i32 {
    if entry.path != "agent" {
        // Output into a closed pipe (`| head`) ends the program quietly.
        reset_sigpipe();
    }
    let program = output::program();
    let outcome = match spelling::normalise(&(entry.flags)(), words, entry.stops_at_first_word) {
        Ok(argv) => (entry.execute)(argv),
        Err(FlagError::Help) => {
            print!("{}", help::command(&program, entry));
            return 0;
        }
        Err(unknown) => {
            eprintln!("{unknown}\n{}", help::command(&program, entry));
            return 1;
        }
    };
    match outcome {
        Ok(code) => code,
        Err(Fail::Usage(text)) => {
            output::error(&text);
            eprintln!("For additional help try '{program} {} -help'", entry.path);
            1
        }
        Err(Fail::Message { text, code }) => {
            output::error(&text);
            code
        }
    }
}

fn reset_sigpipe() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: the default action is installed before any other thread exists.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
}

fn wants_color(argv: &[String]) -> bool {
    let has = |flag: &str| argv.iter().any(|w| w.strip_prefix("--").or(w.strip_prefix('-')) == Some(flag));
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    if has("no-color") || set("NOMAD_CLI_NO_COLOR") || set("NO_COLOR") {
        return false;
    }
    has("force-color") || set("NOMAD_CLI_FORCE_COLOR") || std::io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(words: &str) -> String {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        match find(&commands::table(), &words) {
            Found::Command(entry, used) => format!("{} +{}", entry.path, words.len() - used),
            Found::NotBuilt(sentence) => sentence,
            Found::Group(prefix, asked) => format!("group {prefix:?} {asked}"),
        }
    }

    #[test]
    fn words_find_commands() {
        assert_eq!(name("job run x.hcl"), "job run +1");
        assert_eq!(name("run -detach x.hcl"), "job run +2");
        assert_eq!(name("status"), "status +0");
        assert_eq!(name("job"), "group \"job\" false");
        assert_eq!(name("job -h"), "group \"job\" true");
        assert_eq!(name("job nosuch"), "group \"job\" false");
        assert_eq!(name("nosuch"), "group \"\" false");
        assert!(name("acl token self").contains("is not built yet"));
    }

    #[test]
    fn no_name_is_given_twice() {
        let table = commands::table();
        let mut names: Vec<&str> = table.iter().flat_map(|e| e.aliases.iter().copied().chain([e.path])).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
