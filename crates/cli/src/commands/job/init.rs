//! `job init`: writes a first job file.

use std::path::Path;

use crate::command::{Command, Fail, Outcome};

const DEFAULT_NAME: &str = "example.nomad.hcl";
const SHORT: &str = include_str!("example-short.nomad.hcl");
const LONG: &str = include_str!("example.nomad.hcl");

#[derive(Debug, clap::Args)]
pub struct Init {
    /// Without explanations.
    #[arg(long)]
    short: bool,
    #[arg(long, hide = true)]
    connect: bool,
    args: Vec<String>,
}

impl Command for Init {
    const PATH: &'static str = "job init";
    const ALIASES: &'static [&'static str] = &["init"];
    const USAGE: &'static str = "<filename>";
    const ABOUT: &'static str = "Writes an example job file to start from.";

    async fn run(self) -> Outcome {
        let name = match self.args.as_slice() {
            [] => DEFAULT_NAME,
            [name] => name,
            _ => return Err(Fail::usage("This command takes no arguments or one: <filename>")),
        };
        if Path::new(name).exists() {
            return Err(Fail::new(format!("Job '{name}' already exists")));
        }
        std::fs::write(name, if self.short { SHORT } else { LONG })
            .map_err(|e| Fail::new(format!("Failed to write {name:?}: {e}")))?;
        println!("Example job file written to {name}");
        Ok(0)
    }
}
