//! Help texts, drawn from the command table and clap's view of the flags.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::ArgAction;

use crate::command::Entry;
use crate::output::wrap;

/// Flags that every command of the API has; shown in a block of their own.
const GENERAL: [&str; 12] = [
    "address",
    "region",
    "namespace",
    "no-color",
    "force-color",
    "ca-cert",
    "ca-path",
    "client-cert",
    "client-key",
    "tls-server-name",
    "tls-skip-verify",
    "token",
];

/// The help of one command.
pub fn command(program: &str, entry: &Entry) -> String {
    let mut text = format!("Usage: {program} {} [options] {}", entry.path, entry.usage).trim_end().to_owned();
    let _ = write!(text, "\n\n{}\n", wrap(entry.about, 2, 78));
    for paragraph in entry.details.split("\n\n").filter(|p| !p.is_empty()) {
        let _ = write!(text, "\n{}\n", wrap(paragraph, 2, 78));
    }
    let flags = (entry.flags)();
    let (general, own): (Vec<_>, Vec<_>) = flags
        .get_arguments()
        .filter(|a| a.get_long().is_some() && !a.is_hide_set())
        .partition(|a| a.get_long().is_some_and(|name| GENERAL.contains(&name)));
    for (title, args) in [("General Options", general), ("Options", own)] {
        if !args.is_empty() {
            let _ = write!(text, "\n{title}:\n");
        }
        for arg in args {
            let name = arg.get_long().unwrap_or_default();
            let value = value_of(arg);
            let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let _ = write!(text, "\n  -{name}{value}\n{}\n", wrap(&about, 4, 78));
        }
    }
    text
}

/// The help of the program, or of a group of commands such as `job`.
pub fn group(program: &str, prefix: &str, entries: &[Entry]) -> String {
    let mut text = if prefix.is_empty() {
        format!("Usage: {program} [-version] [-help] <command> [args]\n")
    } else {
        format!("Usage: {program} {prefix} <subcommand> [options] [args]\n")
    };
    let mut names: BTreeSet<(&str, &str)> = BTreeSet::new();
    for entry in entries.iter().filter(|e| !e.hidden) {
        let rest = match prefix {
            "" => entry.path,
            _ => match entry.path.strip_prefix(prefix).and_then(|p| p.strip_prefix(' ')) {
                Some(rest) => rest,
                None => continue,
            },
        };
        match rest.split_once(' ') {
            None => names.insert((rest, entry.about)),
            Some((first, _)) => names.insert((first, about_group(first))),
        };
    }
    text.push_str(if prefix.is_empty() { "\nCommands:\n" } else { "\nSubcommands:\n" });
    let width = names.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, about) in names {
        let _ = writeln!(text, "    {name:width$}    {about}");
    }
    text
}

/// What stands behind a flag's name: nothing behind a switch, else the word for its value.
fn value_of(arg: &clap::Arg) -> String {
    match (arg.get_action(), arg.is_require_equals_set(), arg.get_value_names()) {
        (ArgAction::SetTrue, ..) => String::new(),
        // On unless it is switched off.
        (_, true, _) => "=<true|false>".to_owned(),
        (_, false, Some([name, ..])) => format!("=<{name}>"),
        (_, false, _) => "=<value>".to_owned(),
    }
}

fn about_group(name: &str) -> &'static str {
    match name {
        "job" => "Run, look at and stop jobs",
        "alloc" => "Look at and act on allocations",
        "node" => "Look at and act on nodes",
        "deployment" => "Follow and steer deployments",
        "eval" => "Look at evaluations",
        "service" => "Look at registered services",
        "server" => "Look at servers",
        "system" => "Housekeeping of the whole cluster",
        "operator" => "Tools for operators",
        "namespace" => "Look at and change namespaces",
        "config" => "Check agent configuration",
        "periodic" => "Act on periodic jobs",
        "tag" => "Name job versions",
        "pool" => "Look at node pools",
        "scheduler" => "Look at and change the scheduler's configuration",
        "autopilot" => "Look at how servers look after each other",
        "gossip" | "keyring" => "Keys for what servers tell each other",
        "policy" | "scaling" => "Look at scaling policies",
        "reconcile" => "Count again",
        "snapshot" => "Save and restore the state of a region",
        "raft" => "Look at the consensus of the servers",
        "tls" => "Make and look at what agents encrypt with",
        "ca" => "Certificate authorities",
        "cert" => "Certificates",
        "volume" => "Make, look at and delete volumes",
        "plugin" => "Look at the plugins that volumes come from",
        "claim" => "Look at and end what groups hold of volumes",
        "meta" => "Look at and change node metadata",
        _ => "More commands",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands;

    /// Every flag that is shown says what it is for, and its value has a word that is meant for readers: clap gives those that have
    /// none the name of the field in our source.
    #[test]
    fn help_is_in_words() {
        for entry in commands::table() {
            let flags = (entry.flags)();
            for arg in flags.get_arguments().filter(|a| a.get_long().is_some() && !a.is_hide_set()) {
                let (name, value) = (arg.get_long().unwrap_or_default(), value_of(arg));
                let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!about.is_empty(), "{} -{name}", entry.path);
                let raw = value.chars().any(|c| c.is_ascii_uppercase() || c == '_') && !value.contains("MBit");
                assert!(!raw && value != "=<value>" || name == "tls-server-name", "{} -{name}{value}", entry.path);
            }
        }
    }

    /// Groups and commands say what they do.
    #[test]
    fn no_group_is_without_words() {
        for entry in commands::table() {
            assert!(entry.about.ends_with('.'), "{}", entry.path);
            for group in entry.path.split(' ').rev().skip(1) {
                assert_ne!(about_group(group), "More commands", "{group}");
            }
        }
    }
}
