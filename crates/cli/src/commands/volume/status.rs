//! `volume status`: the volumes of every type, and the way to one of them.

use super::{Kind, Shown, csi, host};
use crate::client::ClientFlags;
use crate::command::{Command, Fail, Outcome};
use crate::lookup;
use crate::output::{Format, paint};

#[derive(Debug, clap::Args)]
pub struct Status {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    format: Format,
    /// Only volumes of this type: host or csi.
    #[arg(long = "type", value_name = "type")]
    kind: Option<String>,
    /// Only the first block.
    #[arg(long)]
    short: bool,
    /// Show ids in full.
    #[arg(long)]
    verbose: bool,
    /// Only host volumes of this node.
    #[arg(long, value_name = "node")]
    node: Option<String>,
    /// Only host volumes of this node pool.
    #[arg(long, value_name = "pool")]
    node_pool: Option<String>,
    args: Vec<String>,
}

impl Command for Status {
    const PATH: &'static str = "volume status";
    const USAGE: &'static str = "<id>";
    const ABOUT: &'static str = "Lists volumes, or shows one of them.";

    async fn run(self) -> Outcome {
        let kind = self.kind.as_deref().filter(|kind| !kind.is_empty()).map(Kind::parse).transpose()?;
        let client = self.client.client()?;
        let shown = Shown { short: self.short, verbose: self.verbose };
        match self.args.as_slice() {
            [] => self.list(&client, kind, shown).await,
            [word] => match kind {
                Some(Kind::Host) => host::show(&client, word, &self.format, shown).await,
                Some(Kind::Csi) => csi::show(&client, word, &self.format, shown).await,
                // Whichever type has it.
                None if host::knows(&client, word).await? => host::show(&client, word, &self.format, shown).await,
                None => csi::show(&client, word, &self.format, shown).await,
            },
            _ => Err(Fail::usage("This command takes either no arguments or one: <id>")),
        }
    }
}

impl Status {
    async fn list(&self, client: &tarpan_api::Client, kind: Option<Kind>, shown: Shown) -> Outcome {
        let node = match &self.node {
            Some(word) => Some(lookup::node(client, word).await?.id),
            None => None,
        };
        let wanted = host::Wanted { node: node.as_deref(), pool: self.node_pool.as_deref() };
        if self.format.asked() {
            return match kind {
                Some(Kind::Csi) => csi::print_list(client, &self.format).await,
                Some(Kind::Host) => host::print_list(client, wanted, &self.format).await,
                None => Err(Fail::new("-json and -t show volumes of one type: say which by -type host or -type csi")),
            };
        }
        let mut sections = Vec::new();
        if kind != Some(Kind::Csi) {
            let section = host::section(client, wanted, shown).await?;
            sections.push(format!("{}\n{section}", paint("1", "Dynamic Host Volumes")));
        }
        if kind != Some(Kind::Host) {
            let section = csi::section(client, shown).await?;
            sections.push(format!("{}\n{section}", paint("1", "Container Storage Interface")));
        }
        println!("{}", sections.join("\n\n"));
        Ok(0)
    }
}
