//! `config validate`: reads and merges configuration files as an agent would.

use std::path::PathBuf;

use tarpan_config::Sources;
use tarpan_config::load::problems;
use tarpan_launch::{load_error, tls};
use tarpan_tls::Tls;

use crate::command::{Command, Fail, Outcome};

#[derive(Debug, clap::Args)]
pub struct ConfigValidate {
    args: Vec<PathBuf>,
}

impl Command for ConfigValidate {
    const PATH: &'static str = "config validate";
    const USAGE: &'static str = "<config_path> [<config_path...>]";
    const ABOUT: &'static str = "Checks agent configuration files and directories.";

    async fn run(self) -> Outcome {
        if self.args.is_empty() {
            return Err(Fail::usage("Must specify at least one config file or directory"));
        }
        let sources = Sources { paths: self.args, ..Sources::default() };
        let loaded = match tarpan_config::load(&sources) {
            Ok(loaded) => loaded,
            Err(error) => {
                println!("Configuration is invalid");
                return Err(Fail::new(load_error(error)));
            }
        };
        // The files that it names may lie elsewhere: an agent looks at them when it starts.
        let tls = Tls::check(&tls(&loaded.config)).err().map(|e| e.to_string());
        let wrong = [problems(&loaded.config), loaded.refused, tls.into_iter().collect()].concat();
        if !wrong.is_empty() {
            println!("Configuration is invalid");
            return Err(Fail::new(wrong.join("\n")));
        }
        loaded.idle.iter().for_each(|warning| println!("WARNING: {warning}"));
        println!("Configuration is valid!");
        Ok(0)
    }
}
