//! `volume create` and `volume register`: from a file to a volume.

use super::spec::Specification;
use super::{Kind, csi, host};
use crate::client::ClientFlags;
use crate::command::{Command, Fail, Outcome};

fn input(args: &[String]) -> Result<Specification, Fail> {
    match args {
        [file] => Specification::read(file),
        _ => Err(Fail::usage("This command takes one argument: <input>")),
    }
}

fn warn_of_policies(asked: bool) {
    if asked {
        eprintln!("Warning: -policy-override has no effect, because this version has no such policies");
    }
}

#[derive(Debug, clap::Args)]
pub struct Create {
    #[command(flatten)]
    client: ClientFlags,
    /// Return at once, before the volume is ready.
    #[arg(long)]
    detach: bool,
    /// Show ids in full.
    #[arg(long)]
    verbose: bool,
    /// Override policies of an edition that is sold. There are none in this version.
    #[arg(long, hide = true)]
    policy_override: bool,
    /// Change the host volume of this id.
    #[arg(long, value_name = "id")]
    id: Option<String>,
    args: Vec<String>,
}

impl Command for Create {
    const PATH: &'static str = "volume create";
    const USAGE: &'static str = "<input>";
    const ABOUT: &'static str = "Has a plugin make a volume, as a file or standard input (\"-\") says.";
    const DETAILS: &'static str = "The file is HCL or JSON, and its type says what is made: \"host\" for a directory of a \
        client. \"volume init -type host\" writes one to start from. With -id, or an id in the file, the volume of that id \
        is changed.";

    async fn run(self) -> Outcome {
        let spec = input(&self.args)?;
        warn_of_policies(self.policy_override);
        let client = self.client.client()?;
        match spec.kind {
            Kind::Csi => csi::create(&client, &spec).await,
            Kind::Host => {
                let following = host::Following { detach: self.detach, verbose: self.verbose };
                host::create(&client, &spec, self.id.as_deref(), following).await
            }
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct Register {
    #[command(flatten)]
    client: ClientFlags,
    /// Override policies of an edition that is sold. There are none in this version.
    #[arg(long, hide = true)]
    policy_override: bool,
    /// Change the host volume of this id.
    #[arg(long, value_name = "id")]
    id: Option<String>,
    args: Vec<String>,
}

impl Command for Register {
    const PATH: &'static str = "volume register";
    const USAGE: &'static str = "<input>";
    const ABOUT: &'static str = "Takes in a volume that is there already, as a file or standard input (\"-\") says.";
    const DETAILS: &'static str =
        "For a host volume the file names the client (node_id) and the directory (host_path).";

    async fn run(self) -> Outcome {
        let spec = input(&self.args)?;
        warn_of_policies(self.policy_override);
        let client = self.client.client()?;
        match spec.kind {
            Kind::Csi => csi::register(&client, &spec).await,
            Kind::Host => host::register(&client, &spec, self.id.as_deref()).await,
        }
    }
}
