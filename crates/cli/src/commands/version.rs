//! `version`.

use tarpan_api::API_VERSION;

use crate::command::{Command, Outcome};
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Version {}

pub fn number() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

impl Command for Version {
    const PATH: &'static str = "version";
    const ABOUT: &'static str = "Prints the version of this program.";

    async fn run(self) -> Outcome {
        println!("{}", line(&output::program()));
        Ok(0)
    }
}

/// Whoever calls it by the field's name reads the release that it speaks.
fn line(program: &str) -> String {
    match program {
        "nomad" => format!("Nomad v{API_VERSION}"),
        _ => format!("Tarpan v{}", number()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_name_by_which_it_is_called_decides() {
        assert!(super::line("tarpan").starts_with("Tarpan v"));
        assert_eq!(super::line("nomad"), format!("Nomad v{}", super::API_VERSION));
    }
}
