//! `operator metrics`, `operator gossip keyring generate`.

use std::io::Read as _;

use base64::Engine as _;
use tarpan_api::calls;

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::output::Format;

#[derive(Debug, clap::Args)]
pub struct Metrics {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    /// Print JSON with indents; the answer as it came has none.
    #[arg(long)]
    pretty: bool,
    /// "json" (without this flag, too) or "prometheus".
    #[arg(long = "format", value_name = "format")]
    kind: Option<String>,
    args: Vec<String>,
}

impl Command for Metrics {
    const PATH: &'static str = "operator metrics";
    const ABOUT: &'static str = "Prints the figures of the agent that is asked.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let doing = "Error getting metrics";
        if self.format.asked() {
            return self.format.print_answer(&self.client.client()?, calls::metrics(), doing).await;
        }
        let call = match self.kind.as_deref() {
            Some("prometheus") => calls::metrics_prometheus(),
            None | Some("json") => calls::metrics_json(self.pretty),
            Some(other) => {
                return Err(Fail::usage(format!(
                    "Invalid -format value {other:?}: \"json\" or \"prometheus\" is needed"
                )));
            }
        };
        println!("{}", self.client.client()?.text(&call).await.doing(doing)?.trim_end());
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct GossipKey {
    args: Vec<String>,
}

impl Command for GossipKey {
    const PATH: &'static str = "operator gossip keyring generate";
    const ABOUT: &'static str = "Prints a fresh key for gossip.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let mut key = [0; 32];
        let source = "/dev/urandom";
        std::fs::File::open(source)
            .and_then(|mut file| file.read_exact(&mut key))
            .map_err(|e| Fail::new(format!("Error generating a key: reading {source}: {e}")))?;
        println!("{}", base64::engine::general_purpose::STANDARD.encode(key));
        Ok(0)
    }
}
