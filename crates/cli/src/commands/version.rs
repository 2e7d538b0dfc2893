//! `version`.

use crate::command::{Command, Outcome};

#[derive(Debug, clap::Args)]
pub struct Version {}

pub fn number() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

impl Command for Version {
    const PATH: &'static str = "version";
    const ABOUT: &'static str = "Prints the version of this program.";

    async fn run(self) -> Outcome {
        println!("Tarpan v{}", number());
        Ok(0)
    }
}
