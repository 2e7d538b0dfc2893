//! `job tag apply`, `job tag unset`: names for versions.

use super::one;
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::lookup;

#[derive(Debug, clap::Args)]
pub struct TagApply {
    #[command(flatten)]
    client: ClientFlags,
    /// The tag's name.
    #[arg(long, value_name = "name")]
    name: Option<String>,
    /// What it says.
    #[arg(long, value_name = "text")]
    description: Option<String>,
    /// The version; the newest when not given.
    #[arg(long, value_name = "version")]
    version: Option<String>,
    args: Vec<String>,
}

impl Command for TagApply {
    const PATH: &'static str = "job tag apply";
    const USAGE: &'static str = "-name <tag> <job>";
    const ABOUT: &'static str = "Names a version of a job; named versions are kept.";

    async fn run(self) -> Outcome {
        let word = one(&self.args, "<job>")?;
        let name =
            self.name.as_deref().ok_or_else(|| Fail::usage("A version tag name is required using the -name flag"))?;
        let version = match &self.version {
            Some(text) => {
                Some(text.parse::<u64>().map_err(|_| Fail::new(format!("Error parsing version value {text:?}")))?)
            }
            None => None,
        };
        let client = self.client.client()?;
        let job = lookup::job(&client, word, "Error listing jobs").await?;
        let version = match version {
            Some(version) => version,
            None => client.job(&job.query(), &job.id).await.doing("Error querying job")?.value.version(),
        };
        let description = self.description.as_deref().unwrap_or_default();
        client
            .tag_version(&job.query(), &job.id, Some(version), name, description)
            .await
            .doing("Error tagging job version")?;
        println!("Job version {version} tagged with name {name:?}");
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct TagUnset {
    #[command(flatten)]
    client: ClientFlags,
    /// The tag's name.
    #[arg(long, value_name = "name")]
    name: Option<String>,
    args: Vec<String>,
}

impl Command for TagUnset {
    const PATH: &'static str = "job tag unset";
    const USAGE: &'static str = "-name <tag> <job>";
    const ABOUT: &'static str = "Takes a name from a version of a job.";

    async fn run(self) -> Outcome {
        let word = one(&self.args, "<job>")?;
        let name =
            self.name.as_deref().ok_or_else(|| Fail::usage("A version tag name is required using the -name flag"))?;
        let client = self.client.client()?;
        let job = lookup::job(&client, word, "Error listing jobs").await?;
        client.untag_version(&job.query(), &job.id, name).await.doing("Error tagging job version")?;
        println!("Tag {name:?} removed from job {:?}", job.id);
        Ok(0)
    }
}
