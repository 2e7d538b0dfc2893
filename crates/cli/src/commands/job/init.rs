//! `job init`: writes a first job file, for what the clients here can run.

use std::path::Path;
use std::time::Duration;

use tarpan_api::Query;
use tarpan_api::wire::NodeListStub;

use crate::client::ClientFlags;
use crate::command::{Command, Fail, Outcome};

const DEFAULT_NAME: &str = "example.nomad.hcl";

/// How long an agent may take to say what runs here; without an answer the job is for Docker.
const PATIENCE: Duration = Duration::from_secs(3);

/// An example, long and short, for each driver that there is one for; the most wanted first.
const EXAMPLES: [Example; 2] = [
    Example {
        driver: "docker",
        long: include_str!("examples/docker.nomad.hcl"),
        short: include_str!("examples/docker-short.nomad.hcl"),
    },
    Example {
        driver: "raw_exec",
        long: include_str!("examples/raw_exec.nomad.hcl"),
        short: include_str!("examples/raw_exec-short.nomad.hcl"),
    },
];

struct Example {
    driver: &'static str,
    long: &'static str,
    short: &'static str,
}

macro_rules! templates {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../../../jobs/", $name, ".nomad.hcl")))),+]
    };
}

/// The samples of the repository, by the names that the UI gives them, too.
const TEMPLATES: [(&str, &str); 10] = templates![
    "pytechco-redis",
    "pytechco-web",
    "pytechco-setup",
    "pytechco-employee",
    "raw_exec/pytechco-redis",
    "raw_exec/pytechco-web",
    "raw_exec/pytechco-setup",
    "raw_exec/pytechco-employee",
    "second/bvc",
    "second/tetris",
];

#[derive(Debug, clap::Args)]
pub struct Init {
    #[command(flatten)]
    client: ClientFlags,
    /// Without explanations.
    #[arg(long)]
    short: bool,
    /// A job for a service mesh. There is none in this version.
    #[arg(long, hide = true)]
    connect: bool,
    /// Write this template; -list-templates names them.
    #[arg(long, value_name = "template")]
    template: Option<String>,
    /// Name the templates that there are.
    #[arg(long)]
    list_templates: bool,
    args: Vec<String>,
}

impl Command for Init {
    const PATH: &'static str = "job init";
    const ALIASES: &'static [&'static str] = &["init"];
    const USAGE: &'static str = "<filename>";
    const ABOUT: &'static str = "Writes an example job file to start from.";
    const DETAILS: &'static str = "The job is for a driver that a client here has, where an agent answers; else for Docker. \
        Templates are those of this program: there are no variables yet to keep others in.";

    async fn run(self) -> Outcome {
        let name = match self.args.as_slice() {
            [] => DEFAULT_NAME,
            [name] => name,
            _ => return Err(Fail::usage("This command takes no arguments or one: <filename>")),
        };
        if self.list_templates {
            TEMPLATES.iter().for_each(|(name, _)| println!("{name}"));
            return Ok(0);
        }
        if self.connect {
            return Err(Fail::new("-connect writes a job for Consul's service mesh, which this version does not have"));
        }
        if Path::new(name).exists() {
            return Err(Fail::new(format!("Job '{name}' already exists")));
        }
        let text = match &self.template {
            Some(wanted) => template(wanted)?,
            None => {
                let example = example_for(&self.nodes().await);
                if self.short { example.short } else { example.long }
            }
        };
        std::fs::write(name, text).map_err(|e| Fail::new(format!("Failed to write {name:?}: {e}")))?;
        println!("Example job file written to {name}");
        Ok(0)
    }
}

impl Init {
    /// The clients, where an agent answers soon.
    async fn nodes(&self) -> Vec<NodeListStub> {
        let Ok(client) = self.client.client() else { return Vec::new() };
        let query = Query::new();
        let asked = tokio::time::timeout(PATIENCE, client.nodes(&query)).await;
        asked.ok().and_then(Result::ok).map(|answer| answer.value).unwrap_or_default()
    }
}

fn template(wanted: &str) -> Result<&'static str, Fail> {
    let found = TEMPLATES.iter().find(|(name, _)| *name == wanted);
    found.map(|(_, text)| *text).ok_or_else(|| {
        Fail::new(format!(
            "There is no job template {wanted:?}: \"job init -list-templates\" names those that there are"
        ))
    })
}

/// For the first driver that a client has in working order; for the most wanted one where no client has any.
fn example_for(nodes: &[NodeListStub]) -> &'static Example {
    let works = |driver: &str| nodes.iter().any(|n| n.drivers.get(driver).is_some_and(|d| d.detected && d.healthy));
    EXAMPLES.iter().find(|example| works(example.driver)).unwrap_or(&EXAMPLES[0])
}

#[cfg(test)]
mod tests {
    use tarpan_api::wire::DriverInfo;
    use tarpan_jobspec::Input;

    use super::*;

    fn node(driver: &str, healthy: bool) -> NodeListStub {
        let info = DriverInfo { detected: true, healthy, ..DriverInfo::default() };
        NodeListStub { drivers: [(driver.to_owned(), info)].into(), ..NodeListStub::default() }
    }

    #[test]
    fn the_example_is_for_what_runs_here() {
        let for_nodes = |nodes: &[NodeListStub]| example_for(nodes).driver;
        assert_eq!(for_nodes(&[]), "docker");
        assert_eq!(for_nodes(&[node("raw_exec", true), node("docker", true)]), "docker");
        assert_eq!(for_nodes(&[node("raw_exec", true), node("docker", false)]), "raw_exec");
        assert_eq!(for_nodes(&[node("exec", true)]), "docker");
    }

    /// What a newcomer is handed gives no warnings.
    #[test]
    fn examples_and_samples_do_not_warn() {
        let examples = EXAMPLES.iter().flat_map(|e| [(e.driver, e.long), (e.driver, e.short)]);
        for (name, text) in examples.chain(TEMPLATES) {
            let parsed = tarpan_jobspec::check(&Input::new(name, text));
            assert!(parsed.diagnostics.is_empty(), "{name}: {:?}", parsed.diagnostics);
            let job = parsed.job.unwrap_or_else(|| panic!("{name} is a job"));
            assert_eq!(job.warnings(), [""; 0], "{name}");
        }
    }

    /// Every sample is a template.
    #[test]
    fn no_sample_is_left_out() {
        let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../jobs");
        let mut found = Vec::new();
        for folder in ["", "raw_exec", "second"] {
            for entry in std::fs::read_dir(jobs.join(folder)).expect("a folder of samples") {
                let file = entry.expect("an entry").file_name().into_string().expect("text");
                let name =
                    file.strip_suffix(".nomad.hcl").map(|name| Path::new(folder).join(name).display().to_string());
                found.extend(name);
            }
        }
        found.sort();
        let mut known = TEMPLATES.map(|(name, _)| name.to_owned());
        known.sort();
        assert_eq!(found, known);
    }
}
