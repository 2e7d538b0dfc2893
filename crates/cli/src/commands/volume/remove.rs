//! `volume delete` and `volume deregister`.

use super::{Kind, csi, host};
use crate::client::ClientFlags;
use crate::command::{Command, Fail, Outcome};

fn one(args: &[String]) -> Result<&str, Fail> {
    match args {
        [id] => Ok(id),
        _ => Err(Fail::usage("This command takes one argument: <vol id>")),
    }
}

#[derive(Debug, clap::Args)]
pub struct Delete {
    #[command(flatten)]
    client: ClientFlags,
    /// A secret of a CSI plugin, as key=value; may be given several times.
    #[arg(long, value_name = "key=value")]
    secret: Vec<String>,
    /// The type of the volume: host or csi.
    #[arg(long = "type", value_name = "type", default_value = "csi")]
    kind: String,
    /// Forget a host volume whose client can't be asked any more.
    #[arg(long)]
    force: bool,
    args: Vec<String>,
}

impl Command for Delete {
    const PATH: &'static str = "volume delete";
    const USAGE: &'static str = "<vol id>";
    const ABOUT: &'static str = "Has a plugin delete a volume, with all that is in it.";

    async fn run(self) -> Outcome {
        let (kind, id) = (Kind::parse(&self.kind)?, one(&self.args)?);
        let client = self.client.client()?;
        match kind {
            Kind::Host => host::delete(&client, id, self.force).await,
            Kind::Csi => csi::delete(&client, id, &self.secret).await,
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct Deregister {
    #[command(flatten)]
    client: ClientFlags,
    /// Forget the volume although allocations that are over still claim it.
    #[arg(long)]
    force: bool,
    args: Vec<String>,
}

impl Command for Deregister {
    const PATH: &'static str = "volume deregister";
    const USAGE: &'static str = "<id>";
    const ABOUT: &'static str = "Forgets a CSI volume, and leaves it where it is.";

    async fn run(self) -> Outcome {
        let id = one(&self.args)?;
        csi::deregister(&self.client.client()?, id, self.force).await
    }
}
