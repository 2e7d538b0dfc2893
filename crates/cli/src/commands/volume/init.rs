//! `volume init`: writes a first volume file.

use std::io::Write as _;

use super::{Kind, csi, host};
use crate::command::{Command, Fail, Outcome};

#[derive(Debug, clap::Args)]
pub struct Init {
    /// Write JSON instead of HCL.
    #[arg(long)]
    json: bool,
    /// The type of the volume: host or csi.
    #[arg(long = "type", value_name = "type", default_value = "csi")]
    kind: String,
    args: Vec<String>,
}

impl Command for Init {
    const PATH: &'static str = "volume init";
    const USAGE: &'static str = "<filename>";
    const ABOUT: &'static str = "Writes an example of a volume's specification to start from.";

    async fn run(self) -> Outcome {
        let name = match self.args.as_slice() {
            [] if self.json => "volume.json",
            [] => "volume.hcl",
            [name] => name,
            _ => return Err(Fail::usage("This command takes no arguments or one: <filename>")),
        };
        let text = match Kind::parse(&self.kind)? {
            Kind::Host => host::example(self.json),
            Kind::Csi => csi::example(self.json),
        };
        let file = std::fs::File::create_new(name);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => Fail::new(format!("File {name:?} already exists")),
            _ => Fail::new(format!("Failed to write {name:?}: {e}")),
        })?;
        println!("Example volume specification written to {name}");
        Ok(0)
    }
}
