//! `volume detach`: gives back what a node has of a volume.

use tarpan_api::Query;

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::lookup;

#[derive(Debug, clap::Args)]
pub struct Detach {
    #[command(flatten)]
    client: ClientFlags,
    args: Vec<String>,
}

impl Command for Detach {
    const PATH: &'static str = "volume detach";
    const USAGE: &'static str = "<vol id> <node id>";
    const ABOUT: &'static str = "Gives back what allocations that have ended on a client claim of a CSI volume.";
    const DETAILS: &'static str = "Claims are given back by themselves when their allocations end; \"volume status\" says what stands in \
        the way where they are not. This is for a client whose plugin will not unmount the volume any more: look there first.";

    async fn run(self) -> Outcome {
        let [volume, node] = self.args.as_slice() else {
            return Err(Fail::usage("This command takes two arguments: <vol id> <node id>"));
        };
        let client = self.client.client()?;
        // A client that is gone has no row that its id could be found by.
        let node = match node.len() {
            36 => node.clone(),
            _ => lookup::node(&client, node).await?.id,
        };
        client.detach_csi_volume(&Query::new(), volume, &node).await.doing("Error detaching volume")?;
        Ok(0)
    }
}
