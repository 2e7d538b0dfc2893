//! `operator raft info|logs|state`: what a server that does not run keeps of its log and its state.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use tarpan_server::dump::{self, DumpError, Wanted};
use tarpan_server::offline::{Kept, OfflineError};

use crate::client::chain;
use crate::command::{Command, Fail, Outcome};

const USAGE: &str = "<path to data dir>";
const READS: &str = "Reads the files of a server that does not run, and changes nothing. The path is the server's data directory, or server/raft in it.";

#[derive(Debug, clap::Args)]
pub struct Info {
    args: Vec<String>,
}

impl Command for Info {
    const PATH: &'static str = "operator raft info";
    const USAGE: &'static str = USAGE;
    const ABOUT: &'static str = "Shows which entries the log of a stopped server holds, and the server's id.";
    const DETAILS: &'static str = READS;

    async fn run(self) -> Outcome {
        let kept = open(&self.args)?;
        let info = kept.info();
        let (path, length) = (info.path.display().to_string(), info.length.to_string());
        let (first, last) = (info.first.to_string(), info.last.to_string());
        let server = info.server.unwrap_or_else(|| "none".to_owned());
        let rows = [
            ("path:", path.as_str()),
            ("length:", &length),
            ("first index:", &first),
            ("last index:", &last),
            ("server id:", &server),
        ];
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
        for (name, value) in rows {
            println!("{name:width$}{value}");
        }
        note(&kept.notes());
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct Logs {
    /// Print each entry over several lines.
    #[arg(long)]
    pretty: bool,
    args: Vec<String>,
}

impl Command for Logs {
    const PATH: &'static str = "operator raft logs";
    const USAGE: &'static str = USAGE;
    const ABOUT: &'static str = "Prints the entries of a stopped server's log as JSON, one a line.";
    const DETAILS: &'static str = READS;

    async fn run(self) -> Outcome {
        let kept = open(&self.args)?;
        note(&kept.notes());
        let mut out = BufWriter::new(io::stdout().lock());
        let printed = kept.logs(|entry| {
            match self.pretty {
                true => serde_json::to_writer_pretty(&mut out, &entry),
                false => serde_json::to_writer(&mut out, &entry),
            }
            .map_err(io::Error::from)?;
            Ok::<_, Ended>(writeln!(out)?)
        });
        ended(printed.and_then(|()| Ok(out.flush()?)))
    }
}

#[derive(Debug, clap::Args)]
pub struct State {
    /// Show the state as this entry made it; 0 or less counts back from the last one. Default = 0
    #[arg(long, default_value_t = 0, allow_hyphen_values = true, value_name = "index")]
    last_index: i64,
    args: Vec<String>,
}

impl Command for State {
    const PATH: &'static str = "operator raft state";
    const USAGE: &'static str = USAGE;
    const ABOUT: &'static str = "Prints the state that a stopped server's snapshots and log make, as JSON.";
    const DETAILS: &'static str = READS;

    async fn run(self) -> Outcome {
        let kept = open(&self.args)?;
        note(&kept.notes());
        let (state, notes) = kept.state(self.last_index).map_err(|e| Fail::new(chain(&e)))?;
        note(&notes);
        print_state(&state, &Wanted::default())
    }
}

/// Prints a state as JSON.
pub fn print_state(state: &tarpan_server::State, wanted: &Wanted) -> Outcome {
    let mut out = BufWriter::new(io::stdout().lock());
    let printed = dump::write(state, wanted, &mut out).map_err(|error| match error {
        DumpError::Write(error) => Ended::Write(error),
        other => Ended::Refused(other.to_string()),
    });
    ended(printed.and_then(|()| Ok(out.flush()?)))
}

/// Why printing ended early.
enum Ended {
    Refused(String),
    Write(io::Error),
}

impl From<OfflineError> for Ended {
    fn from(error: OfflineError) -> Ended {
        Ended::Refused(chain(&error))
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Ended {
        Ended::Write(error)
    }
}

fn ended(printed: Result<(), Ended>) -> Outcome {
    match printed {
        Ok(()) => Ok(0),
        Err(Ended::Write(error)) => Err(Fail::new(format!("Error writing: {error}"))),
        Err(Ended::Refused(why)) => Err(Fail::new(why)),
    }
}

fn open(args: &[String]) -> Result<Kept, Fail> {
    let [path] = args else { return Err(Fail::usage(format!("This command takes one argument: {USAGE}"))) };
    Kept::open(Path::new(path)).map_err(|error| Fail::new(chain(&error)))
}

/// To stderr, so that what is printed stays JSON.
fn note(notes: &[String]) {
    for note in notes {
        eprintln!("Note: {note}");
    }
}
