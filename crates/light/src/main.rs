//! `tarpan-agent`: runs tasks on a node, and nothing else. It takes the flags and files of `tarpan agent` as a client.

use std::process::ExitCode;

use clap::{Args as _, FromArgMatches as _};
use tarpan_launch::spelling::{FlagError, normalise};
use tarpan_launch::{AgentFlags, Program};

/// Threads for everything but files and processes, which have threads of their own: a node mostly waits.
const WORKERS: usize = 2;

fn main() -> ExitCode {
    // A task's supervisor is this same binary; it has to branch off before any thread exists.
    tarpan_agent::run_if_supervisor();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// Errors are sentences.
fn run() -> Result<(), String> {
    let command =
        AgentFlags::augment_args(clap::Command::new("tarpan-agent").arg(clap::Arg::new("words").num_args(0..)))
            .about("Runs the client role of Tarpan: it takes its orders from servers and runs tasks.")
            .override_usage("tarpan-agent [-config <path>] [-servers <host:port,...>] [-data-dir <path>] ...")
            .disable_help_flag(true)
            .disable_version_flag(true);
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(|word| word.trim_start_matches('-')) {
        Some("v" | "version") => {
            println!("tarpan-agent v{}", env!("CARGO_PKG_VERSION"));
            return Ok(());
        }
        // What the full program is called with.
        Some("agent") if !words[0].starts_with('-') => drop(words.remove(0)),
        _ => {}
    }
    let flags = match normalise(&command, &words, false) {
        Ok(flags) => flags,
        Err(FlagError::Help) => {
            println!("{}", command.clone().render_help().to_string().replace("    --", "    -").replace("  --", "  -"));
            return Ok(());
        }
        Err(unknown) => return Err(format!("{unknown}\nFor what it takes try 'tarpan-agent -help'")),
    };
    let argv = std::iter::once("tarpan-agent".to_owned()).chain(flags);
    let found = command.try_get_matches_from(argv).map_err(|e| e.to_string())?;
    if let Some(word) = found.get_many::<String>("words").into_iter().flatten().next() {
        return Err(format!("This program takes no arguments, and {word:?} is one"));
    }
    let mut flags = AgentFlags::from_arg_matches(&found).map_err(|e| e.to_string())?;
    flags.client = true;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(|e| format!("Error starting the runtime: {e}"))?;
    let program = Program { called: "Tarpan", version: env!("CARGO_PKG_VERSION").to_owned(), server: None };
    let ended = runtime.block_on(tarpan_launch::run(flags, program));
    // What still runs in the background has had its chance.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    ended
}
