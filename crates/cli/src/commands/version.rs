//! `version`.

use crate::command::{Command, Outcome};

#[derive(Debug, clap::Args)]
pub struct Version {}

/// What the program calls itself.
pub fn text() -> String {
    format!("Tarpan v{}", env!("CARGO_PKG_VERSION"))
}

impl Command for Version {
    const PATH: &'static str = "version";
    const ABOUT: &'static str = "Prints the version of this program.";

    async fn run(self) -> Outcome {
        println!("{}", text());
        Ok(0)
    }
}
