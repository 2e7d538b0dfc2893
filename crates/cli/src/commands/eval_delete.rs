//! `eval delete`: one evaluation, or all that a filter finds.

use tarpan_api::wire::EvalDeleteRequest;
use tarpan_api::{Query, calls};

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::confirm::confirm;
use crate::lookup;

#[derive(Debug, clap::Args)]
pub struct EvalDelete {
    #[command(flatten)]
    client: ClientFlags,
    /// Delete all evaluations that this expression finds and that are over.
    #[arg(long, value_name = "expression")]
    filter: Option<String>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    args: Vec<String>,
}

impl Command for EvalDelete {
    const PATH: &'static str = "eval delete";
    const USAGE: &'static str = "<evaluation>";
    const ABOUT: &'static str = "Deletes evaluations that are over, while the broker of evaluations is paused.";

    async fn run(self) -> Outcome {
        let client = self.client.client()?;
        let (request, question) = match (self.args.as_slice(), &self.filter) {
            ([word], None) => {
                let id = lookup::evaluation(&client, word).await?.id;
                let question =
                    (id != *word).then(|| format!("Are you sure you want to delete evaluation {id:?}? [y/N]"));
                (EvalDeleteRequest { eval_ids: vec![id], ..Default::default() }, question)
            }
            ([], Some(filter)) => {
                let wanted = calls::evaluations(&Query::in_namespace("*").filter(filter)).page(1, "");
                if client.call(&wanted).await.doing("Error querying evaluations")?.value.is_empty() {
                    return Err(Fail::new("No evaluations match the filter"));
                }
                let question = format!("Are you sure you want to delete all evaluations with {filter:?}? [y/N]");
                (EvalDeleteRequest { filter: filter.clone(), ..Default::default() }, Some(question))
            }
            _ => return Err(Fail::usage("This command takes one argument, or the -filter flag")),
        };
        if let Some(question) = question.filter(|_| !self.yes)
            && !confirm(&question)?
        {
            println!("Cancelling eval deletion");
            return Ok(0);
        }
        let count = client.delete_evaluations(&request).await.doing("Error deleting evaluations")?.value.count;
        println!("Successfully deleted {count} evaluation{}", if count == 1 { "" } else { "s" });
        Ok(0)
    }
}
