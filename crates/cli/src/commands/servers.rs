//! Servers that come and go: `server join`, `server force-leave`, `operator raft remove-peer`, `operator raft transfer-leadership`.

use tarpan_api::wire::{JoinResponse, LeadershipTransferResponse};

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};

#[derive(Debug, clap::Args)]
pub struct Join {
    #[command(flatten)]
    client: ClientFlags,
    /// Where servers gossip: "host[:port]", several.
    args: Vec<String>,
}

impl Command for Join {
    const PATH: &'static str = "server join";
    const ALIASES: &'static [&'static str] = &["server-join"];
    const ABOUT: &'static str = "Has the server that is asked join others.";

    async fn run(self) -> Outcome {
        if self.args.is_empty() {
            return Err(Fail::usage("One or more node addresses must be given as arguments"));
        }
        let client = self.client.client()?;
        let answer: JoinResponse = client.join(&self.args).await.doing("Error joining")?.value;
        if !answer.error.is_empty() {
            return Err(Fail::new(format!("Error joining: {}", answer.error)));
        }
        println!("Joined {} servers successfully", answer.num_joined);
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct ForceLeave {
    #[command(flatten)]
    client: ClientFlags,
    /// Forget it altogether: lists show it no more.
    #[arg(long)]
    prune: bool,
    /// The server's name, with or without its region.
    args: Vec<String>,
}

impl Command for ForceLeave {
    const PATH: &'static str = "server force-leave";
    const ALIASES: &'static [&'static str] = &["server-force-leave"];
    const ABOUT: &'static str = "Counts a server that does not answer as one that left.";

    async fn run(self) -> Outcome {
        let [name] = &self.args[..] else {
            return Err(Fail::usage("This command takes one argument: <node>"));
        };
        self.client.client()?.force_leave(name, self.prune).await.doing("Error force-leaving server")?;
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct RemovePeer {
    #[command(flatten)]
    client: ClientFlags,
    /// The peer's id, as `operator raft list-peers` shows it.
    #[arg(long, value_name = "id")]
    peer_id: Option<String>,
    args: Vec<String>,
}

impl Command for RemovePeer {
    const PATH: &'static str = "operator raft remove-peer";
    const ABOUT: &'static str = "Takes a server that is gone for good out of raft.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let Some(id) = self.peer_id.filter(|id| !id.is_empty()) else {
            return Err(Fail::usage("-peer-id is needed"));
        };
        self.client.client()?.raft_remove_peer(&id).await.doing("Error removing peer")?;
        println!("Removed peer with id {id:?}");
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct TransferLeadership {
    #[command(flatten)]
    client: ClientFlags,
    /// The id of the peer that is to lead.
    #[arg(long, value_name = "id")]
    peer_id: Option<String>,
    /// Its RPC address, instead.
    #[arg(long, value_name = "host:port")]
    peer_address: Option<String>,
    args: Vec<String>,
}

impl Command for TransferLeadership {
    const PATH: &'static str = "operator raft transfer-leadership";
    const ABOUT: &'static str = "Has another server lead, at once.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        let (id, address) = (self.peer_id.unwrap_or_default(), self.peer_address.unwrap_or_default());
        if id.is_empty() == address.is_empty() {
            return Err(Fail::usage("One of -peer-id and -peer-address is needed"));
        }
        let client = self.client.client()?;
        let done: LeadershipTransferResponse =
            client.raft_transfer_leadership(&id, &address).await.doing("Error transferring leadership to peer")?.value;
        match id.is_empty() {
            true => println!("Transferred leadership to peer with address {:?}", done.to.address),
            false => println!("Transferred leadership to peer with id {:?}", done.to.id),
        }
        Ok(0)
    }
}
