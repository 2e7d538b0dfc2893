//! What a command is: flags that clap reads, words about itself, and what it does.

use std::fmt::Display;
use std::pin::Pin;

use crate::output;

/// Exit code on success, or why there is none.
pub type Outcome = Result<i32, Fail>;

/// Why a command ends without its result.
#[derive(Debug)]
pub enum Fail {
    /// The arguments make no sense; the pointer to the help follows the text.
    Usage(String),
    /// Something went wrong; the text is printed as it is.
    Message { text: String, code: i32 },
}

impl Fail {
    pub fn usage(text: impl Into<String>) -> Fail {
        Fail::Usage(text.into())
    }

    pub fn new(text: impl Display) -> Fail {
        Fail::Message { text: text.to_string(), code: 1 }
    }

    /// What is printed of it.
    pub fn text(self) -> String {
        match self {
            Fail::Usage(text) | Fail::Message { text, .. } => text,
        }
    }

    /// The same trouble under another exit code: `job plan` says 255 where others say 1.
    pub fn with_code(self, code: i32) -> Fail {
        match self {
            Fail::Message { text, .. } => Fail::Message { text, code },
            other => other,
        }
    }
}

/// Puts "what we were doing" before an error, as the field prints it: `Error querying jobs: …`.
pub trait Doing<T> {
    fn doing(self, what: impl Display) -> Result<T, Fail>;
}

impl<T> Doing<T> for Result<T, tarpan_api::Error> {
    fn doing(self, what: impl Display) -> Result<T, Fail> {
        self.map_err(|e| Fail::new(format!("{what}: {}", output::api_error(&e))))
    }
}

/// One command of the tree.
///
/// Its fields are the flags; a field `args: Vec<String>` takes what is not a flag.
pub trait Command: clap::Args + Sized {
    /// Words after the program's name: `job run`.
    const PATH: &'static str;
    /// Shorter or older names.
    const ALIASES: &'static [&'static str] = &[];
    /// What stands after the options in the usage line: `<path>`.
    const USAGE: &'static str = "";
    /// One sentence for lists, first paragraph of the help.
    const ABOUT: &'static str;
    /// More paragraphs of the help.
    const DETAILS: &'static str = "";
    /// Not shown in lists.
    const HIDDEN: bool = false;
    /// The first word that is not a flag ends the flags: what follows is somebody else's command line.
    const STOPS_AT_FIRST_WORD: bool = false;

    fn run(self) -> impl Future<Output = Outcome>;

    /// Runs the command on a single thread; the agent has its own way.
    fn execute(self) -> Outcome {
        wait_for(Box::pin(self.run()))
    }
}

/// Boxed: what waits is compiled once, and not for each of a hundred commands.
fn wait_for(run: Pin<Box<dyn Future<Output = Outcome> + '_>>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Fail::new(format!("Error starting the runtime: {e}")))?;
    runtime.block_on(run)
}

/// A command as the tree keeps it.
pub struct Entry {
    pub path: &'static str,
    pub aliases: &'static [&'static str],
    pub usage: &'static str,
    pub about: &'static str,
    pub details: &'static str,
    pub hidden: bool,
    pub stops_at_first_word: bool,
    /// clap's view of the flags.
    pub flags: fn() -> clap::Command,
    /// Runs it on arguments that went through [`tarpan_launch::spelling::normalise`].
    pub execute: fn(Vec<String>) -> Outcome,
}

impl Entry {
    pub fn of<C: Command>() -> Entry {
        Entry {
            path: C::PATH,
            aliases: C::ALIASES,
            usage: C::USAGE,
            about: C::ABOUT,
            details: C::DETAILS,
            hidden: C::HIDDEN,
            stops_at_first_word: C::STOPS_AT_FIRST_WORD,
            flags: flags::<C>,
            execute: execute::<C>,
        }
    }
}

fn flags<C: Command>() -> clap::Command {
    let bare = clap::Command::new(C::PATH)
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true);
    C::augment_args(bare)
}

fn execute<C: Command>(argv: Vec<String>) -> Outcome {
    let matches = matches(flags::<C>(), argv)?;
    let command = C::from_arg_matches(&matches).map_err(|e| Fail::usage(first_line(&e)))?;
    command.execute()
}

fn matches(flags: clap::Command, argv: Vec<String>) -> Result<clap::ArgMatches, Fail> {
    flags.try_get_matches_from(argv).map_err(|e| Fail::usage(first_line(&e)))
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    format!("Error parsing flags: {}", line.trim_start_matches("error: "))
}
