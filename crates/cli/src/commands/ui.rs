//! `ui`: opens the page of a thing in a browser.

use tarpan_api::{Client, Query};

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Ui {
    #[command(flatten)]
    client: ClientFlags,
    /// Print the address and open nothing.
    #[arg(long)]
    show_url: bool,
    /// Sign in by a token that counts once. There is no access control in this version to sign in to.
    #[arg(long, hide = true)]
    authenticate: bool,
    args: Vec<String>,
}

impl Command for Ui {
    const PATH: &'static str = "ui";
    const USAGE: &'static str = "<identifier>";
    const ABOUT: &'static str = "Opens the web UI, or the page of what an id or its beginning means.";

    async fn run(self) -> Outcome {
        if self.authenticate {
            return Err(Fail::new("-authenticate needs access control, which this version does not have"));
        }
        let path = match self.args.as_slice() {
            [] => "/ui/".to_owned(),
            [word] => page(&self.client.client()?, word).await?,
            _ => return Err(Fail::usage("This command takes no arguments or one: <identifier>")),
        };
        let url = format!("{}{path}", self.client.address());
        match self.show_url {
            true => println!("URL for web UI: {url}"),
            false => output::browser::show(&url),
        }
        Ok(0)
    }
}

/// The page of what `word` means; a job of exactly this name before anything that begins so.
async fn page(client: &Client, word: &str) -> Result<String, Fail> {
    let found = client.search(&Query::new(), word, "all").await.doing("Error querying search with id")?.value.matches;
    if found.get("jobs").is_some_and(|ids| ids.iter().any(|id| id == word)) {
        return Ok(of("jobs", word));
    }
    let all: Vec<(&str, &String)> =
        found.iter().flat_map(|(kind, ids)| ids.iter().map(move |id| (kind.as_str(), id))).collect();
    match all.as_slice() {
        [] => Err(Fail::new(format!("Unable to resolve ID: {word:?}"))),
        [(kind, id)] => Ok(of(kind, id)),
        many => {
            let names: Vec<String> = many.iter().map(|(kind, id)| format!("{kind}: {id}")).collect();
            Err(Fail::new(format!("Multiple matches found for id {word:?}\n\n{}", names.join("\n"))))
        }
    }
}

fn of(kind: &str, id: &str) -> String {
    let id = tarpan_api::client::escape(id);
    match kind {
        "jobs" => format!("/ui/jobs/{id}"),
        "allocs" => format!("/ui/allocations/{id}"),
        "evals" => format!("/ui/evaluations/{id}"),
        "nodes" => format!("/ui/clients/{id}"),
        _ => "/ui/".to_owned(),
    }
}
