//! `node eligibility`.

use tarpan_api::Query;

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::lookup;

#[derive(Debug, clap::Args)]
pub struct Eligibility {
    #[command(flatten)]
    client: ClientFlags,
    /// New work may be placed on the node.
    #[arg(long)]
    enable: bool,
    /// No new work is placed on the node.
    #[arg(long)]
    disable: bool,
    /// The node of the agent that is asked.
    #[arg(long = "self")]
    own: bool,
    args: Vec<String>,
}

impl Command for Eligibility {
    const PATH: &'static str = "node eligibility";
    const USAGE: &'static str = "<node>";
    const ABOUT: &'static str = "Says whether new work may be placed on a node.";

    async fn run(self) -> Outcome {
        if self.enable == self.disable {
            return Err(Fail::usage("Either the '-enable' or '-disable' flag must be set"));
        }
        let client = self.client.client()?;
        let id = match (self.args.as_slice(), self.own) {
            ([], true) => lookup::own_node(&client).await?,
            ([word], false) => lookup::node(&client, word).await?.id,
            ([], false) => return Err(Fail::usage("Node ID must be specified if -self isn't being used")),
            _ => return Err(Fail::usage("Node ID can't be specified if -self is being used")),
        };
        client
            .set_node_eligibility(&Query::new(), &id, self.enable)
            .await
            .doing("Error updating scheduling eligibility")?;
        let word = if self.enable { "eligible" } else { "ineligible" };
        println!("Node {id:?} scheduling eligibility set: {word} for scheduling");
        Ok(0)
    }
}
