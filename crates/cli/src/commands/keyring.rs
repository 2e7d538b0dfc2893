//! `operator gossip keyring list|install|use|remove`: the keys that gossip is encrypted with, on every server at once.

use tarpan_api::wire::KeyringResponse;

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::output::Table;

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    client: ClientFlags,
    args: Vec<String>,
}

impl Command for List {
    const PATH: &'static str = "operator gossip keyring list";
    const ABOUT: &'static str = "Lists the keys of gossip, and how many servers have each.";

    async fn run(self) -> Outcome {
        if !self.args.is_empty() {
            return Err(Fail::usage("This command takes no arguments"));
        }
        println!("Gathering installed encryption keys...");
        let answer = self.client.client()?.gossip_keys().await.doing("error")?.value;
        let mut table = Table::new(["Key"]);
        for (key, servers) in &answer.keys {
            // Where all have it there is nothing to say.
            match *servers == answer.num_nodes {
                true => table.row([key.as_str()]),
                false => table.row([format!("{key} ({servers} of {} servers)", answer.num_nodes)]),
            }
        }
        println!("{}", table.render());
        told(&answer)
    }
}

#[derive(Debug, clap::Args)]
pub struct Install {
    #[command(flatten)]
    client: ClientFlags,
    args: Vec<String>,
}

impl Command for Install {
    const PATH: &'static str = "operator gossip keyring install";
    const USAGE: &'static str = "<key>";
    const ABOUT: &'static str = "Has every server take what is encrypted with another key.";

    async fn run(self) -> Outcome {
        change(&self.client, &self.args, "install", "Installing new gossip encryption key...").await
    }
}

#[derive(Debug, clap::Args)]
pub struct Use {
    #[command(flatten)]
    client: ClientFlags,
    args: Vec<String>,
}

impl Command for Use {
    const PATH: &'static str = "operator gossip keyring use";
    const USAGE: &'static str = "<key>";
    const ABOUT: &'static str = "Has every server encrypt with an installed key.";

    async fn run(self) -> Outcome {
        change(&self.client, &self.args, "use", "Changing primary gossip encryption key...").await
    }
}

#[derive(Debug, clap::Args)]
pub struct Remove {
    #[command(flatten)]
    client: ClientFlags,
    args: Vec<String>,
}

impl Command for Remove {
    const PATH: &'static str = "operator gossip keyring remove";
    const USAGE: &'static str = "<key>";
    const ABOUT: &'static str = "Has every server refuse what is encrypted with a key.";

    async fn run(self) -> Outcome {
        change(&self.client, &self.args, "remove", "Removing gossip encryption key...").await
    }
}

async fn change(flags: &ClientFlags, args: &[String], change: &str, said: &str) -> Outcome {
    let [key] = args else { return Err(Fail::usage("This command takes one argument: <key>")) };
    println!("{said}");
    let answer = flags.client()?.change_gossip_key(change, key).await.doing("error")?.value;
    told(&answer)
}

/// Servers that did not do it are named: they lose touch with the others once the old key goes.
fn told(answer: &KeyringResponse) -> Outcome {
    if answer.messages.is_empty() {
        return Ok(0);
    }
    let lines: Vec<String> = answer.messages.iter().map(|(server, why)| format!("{server}: {why}")).collect();
    Err(Fail::new(format!(
        "error: {} of {} servers did not do it\n{}",
        lines.len(),
        answer.num_nodes,
        lines.join("\n")
    )))
}
