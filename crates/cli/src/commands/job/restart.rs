//! `job restart`: restarts or replaces the allocations of a job, batch by batch.

use std::io::{BufRead, Write as _};
use std::time::Duration;

use tarpan_api::wire::AllocListStub;
use tarpan_api::{Client, Query};
use tarpan_model::duration::Dur;

use super::one;
use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::confirm::confirm;
use crate::{lookup, monitor, output};

#[derive(Debug, clap::Args)]
pub struct Restart {
    #[command(flatten)]
    client: ClientFlags,
    /// Restart tasks that have ended too.
    #[arg(long)]
    all_tasks: bool,
    /// How many allocations at a time, as a number or "25%".
    #[arg(long, value_name = "n|n%", default_value = "1")]
    batch_size: String,
    /// How long to wait between batches; "ask" asks, and a duration for an answer holds for all that follow.
    #[arg(long, value_name = "dur|ask", default_value = "0s")]
    batch_wait: String,
    /// Only this group; may be repeated.
    #[arg(long, value_name = "group")]
    group: Vec<String>,
    /// Only this task; may be repeated.
    #[arg(long, value_name = "task")]
    task: Vec<String>,
    /// Do not wait for shutdown delays.
    #[arg(long)]
    no_shutdown_delay: bool,
    /// What to do after an error: "ask" (without this flag, too) or "fail".
    #[arg(long, value_name = "ask|fail")]
    on_error: Option<String>,
    /// Stop allocations, so that new ones are placed, instead of restarting their tasks.
    #[arg(long)]
    reschedule: bool,
    /// Ask nothing: go on after errors and between batches, unless -on-error or -batch-wait say otherwise.
    #[arg(long)]
    yes: bool,
    /// Print whole ids.
    #[arg(long)]
    verbose: bool,
    args: Vec<String>,
}

impl Command for Restart {
    const PATH: &'static str = "job restart";
    const ALIASES: &'static [&'static str] = &["restart"];
    const USAGE: &'static str = "<job>";
    const ABOUT: &'static str = "Restarts the allocations of a job, batch by batch.";

    async fn run(self) -> Outcome {
        let word = one(&self.args, "<job>")?;
        if !self.task.is_empty() && (self.all_tasks || self.reschedule) {
            return Err(Fail::usage("The -task option cannot be used with -all-tasks or -reschedule"));
        }
        let pace = Pace::read(&self)?;
        let client = self.client.client()?;
        let job = lookup::job(&client, word, "Error querying job").await?;
        if job.id != word
            && !self.yes
            && !confirm(&format!("Are you sure you want to restart job {:?}? [y/N]", job.id))?
        {
            println!("Cancelling job restart");
            return Ok(0);
        }
        let all =
            client.job_allocations(&job.query(), &job.id, false).await.doing("Error retrieving allocations")?.value;
        let wanted: Vec<AllocListStub> = all
            .into_iter()
            .filter(|a| a.desired_status == "run" && (a.client_status == "running" || self.all_tasks))
            .filter(|a| self.group.is_empty() || self.group.contains(&a.task_group))
            .collect();
        if wanted.is_empty() {
            println!("No allocations to restart");
            return Ok(0);
        }
        self.restart(&client, &job.query(), &wanted, pace).await
    }
}

impl Restart {
    async fn restart(&self, client: &Client, query: &Query, allocs: &[AllocListStub], mut pace: Pace) -> Outcome {
        let size = batch_size(&self.batch_size, allocs.len()).ok_or_else(|| {
            Fail::usage(format!("Invalid -batch-size value {:?}: a number or a percentage is needed", self.batch_size))
        })?;
        monitor::head(&format!("Restarting {}", output::count(allocs.len() as u64, "allocation")));
        let batches: Vec<&[AllocListStub]> = allocs.chunks(size).collect();
        let mut failed = false;
        for (at, batch) in batches.iter().enumerate() {
            if at > 0 {
                if !pace.go_on_to_the_next(&mut std::io::stdin().lock()).await? {
                    monitor::head("Job restart canceled");
                    return Ok(1);
                }
                monitor::head(&format!(
                    "Restarting {} batch of {}",
                    ordinal(at + 1),
                    output::count(batch.len() as u64, "allocation")
                ));
            }
            for alloc in *batch {
                if let Err(Fail::Message { text, .. }) = self.one(client, query, alloc).await {
                    failed = true;
                    monitor::line(&text);
                    if !pace.go_on_after_an_error(&mut std::io::stdin().lock())? {
                        monitor::head("Job restart finished with errors");
                        return Ok(1);
                    }
                }
            }
        }
        monitor::head(if failed { "Job restart finished with errors" } else { "Job restart finished" });
        if !failed {
            println!("\nJob restarted successfully!");
        }
        Ok(i32::from(failed))
    }

    async fn one(&self, client: &Client, query: &Query, alloc: &AllocListStub) -> Result<(), Fail> {
        let id = output::short(&alloc.id, self.verbose);
        let place = format!("allocation {id:?} for group {:?}", alloc.task_group);
        let doing = format!("Error restarting {place}");
        if self.reschedule {
            monitor::line(&format!("Rescheduling {place}"));
            client.stop_allocation(query, &alloc.id, self.no_shutdown_delay).await.doing(&doing)?;
            return replaced(client, query, &alloc.id).await;
        }
        if self.task.is_empty() {
            let what = if self.all_tasks { "all tasks" } else { "running tasks" };
            monitor::line(&format!("Restarting {what} in {place}"));
            client.restart_allocation(query, &alloc.id, None, self.all_tasks).await.doing(&doing)?;
        }
        for task in &self.task {
            monitor::line(&format!("Restarting task {task:?} in {place}"));
            client.restart_allocation(query, &alloc.id, Some(task), false).await.doing(&doing)?;
        }
        Ok(())
    }
}

/// When to go on. What is asked is read from standard input, whatever that is: a pipe may answer; where it ends, the answer is no.
#[derive(Debug)]
struct Pace {
    /// `None` asks.
    wait: Option<Dur>,
    on_error: OnError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnError {
    Ask,
    Stop,
    GoOn,
}

impl Pace {
    /// Errors: values that the flags do not have.
    fn read(flags: &Restart) -> Result<Pace, Fail> {
        let wait = match flags.batch_wait.as_str() {
            "ask" if flags.yes => Some(Dur::ZERO),
            "ask" => None,
            text => Some(text.parse::<Dur>().map_err(|e| Fail::usage(format!("Invalid -batch-wait value: {e}")))?),
        };
        let on_error = match flags.on_error.as_deref() {
            Some("fail") => OnError::Stop,
            Some("ask") | None if flags.yes => OnError::GoOn,
            Some("ask") | None => OnError::Ask,
            Some(other) => {
                return Err(Fail::usage(format!("Invalid -on-error value {other:?}: \"ask\" or \"fail\" is needed")));
            }
        };
        Ok(Pace { wait, on_error })
    }

    /// Waits, or asks; `false` ends the restart.
    async fn go_on_to_the_next(&mut self, answers: &mut impl BufRead) -> Result<bool, Fail> {
        if self.wait.is_none() {
            match answer("Proceed with the next batch? [y/n/<wait duration>]", answers)? {
                Answer::Yes => return Ok(true),
                Answer::No => return Ok(false),
                Answer::Wait(wait) => self.wait = Some(wait),
            }
        }
        let wait = self.wait.unwrap_or(Dur::ZERO);
        if wait != Dur::ZERO {
            monitor::head(&format!("Waiting {wait} before restarting the next batch"));
            tokio::time::sleep(wait.to_std()).await;
        }
        Ok(true)
    }

    fn go_on_after_an_error(&self, answers: &mut impl BufRead) -> Result<bool, Fail> {
        Ok(match self.on_error {
            OnError::GoOn => true,
            OnError::Stop => false,
            OnError::Ask => loop {
                match answer("Ignore the error and go on? [y/n]", answers)? {
                    Answer::Yes => break true,
                    Answer::No => break false,
                    Answer::Wait(_) => println!("Please answer \"y\" or \"n\"."),
                }
            },
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    Wait(Dur),
}

/// Asks until there is an answer that can be read. No more answers is a no.
fn answer(question: &str, answers: &mut impl BufRead) -> Result<Answer, Fail> {
    loop {
        print!("{question} ");
        std::io::stdout().flush().map_err(Fail::new)?;
        let mut line = String::new();
        if answers.read_line(&mut line).map_err(Fail::new)? == 0 {
            println!();
            return Ok(Answer::No);
        }
        match line.trim() {
            "y" | "Y" | "yes" => return Ok(Answer::Yes),
            "n" | "N" | "no" => return Ok(Answer::No),
            other => match other.parse::<Dur>() {
                Ok(wait) => return Ok(Answer::Wait(wait)),
                Err(_) => println!("{other:?} is no answer that can be understood."),
            },
        }
    }
}

/// Waits until a stopped allocation has a running one in its place.
async fn replaced(client: &Client, query: &Query, id: &str) -> Result<(), Fail> {
    let mut id = id.to_owned();
    loop {
        let alloc = client.allocation(query, &id).await.doing("Error reading allocation")?.value;
        if alloc.desired_status == "run" && alloc.client_status == "running" {
            return Ok(());
        }
        if alloc.desired_status == "run" && alloc.client_status == "failed" {
            return Err(Fail::new(format!("Replacement {:?} failed", output::short(&id, false))));
        }
        if !alloc.next_allocation.is_empty() {
            id = alloc.next_allocation;
            continue;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// `3`, or `25%` of `all`, rounded up.
fn batch_size(text: &str, all: usize) -> Option<usize> {
    let size = match text.strip_suffix('%') {
        Some(percent) => (all * percent.parse::<usize>().ok()?.min(100)).div_ceil(100),
        None => text.parse().ok()?,
    };
    (size > 0).then_some(size)
}

fn ordinal(n: usize) -> String {
    let ending = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;

    fn flags(words: &str) -> Restart {
        let words = std::iter::once("restart").chain(words.split_whitespace());
        let matches = Restart::augment_args(clap::Command::new("restart")).get_matches_from(words);
        <Restart as clap::FromArgMatches>::from_arg_matches(&matches).expect("flags")
    }

    #[tokio::test]
    async fn who_is_no_terminal_is_asked_too() {
        let mut asking = Pace::read(&flags("--batch-wait=ask job")).expect("a pace");
        // An answer that can't be read is asked for again.
        assert!(asking.go_on_to_the_next(&mut "maybe\ny\n".as_bytes()).await.expect("answered"));
        assert!(!asking.go_on_to_the_next(&mut "n\n".as_bytes()).await.expect("answered"));
        assert!(!asking.go_on_to_the_next(&mut "".as_bytes()).await.expect("nobody answers"));
        assert!(!asking.go_on_after_an_error(&mut "".as_bytes()).expect("nobody answers"));
        assert!(asking.go_on_after_an_error(&mut "3s\ny\n".as_bytes()).expect("answered"));
        // A duration holds for what follows.
        assert!(asking.go_on_to_the_next(&mut "1ms\n".as_bytes()).await.expect("answered"));
        assert!(asking.go_on_to_the_next(&mut "".as_bytes()).await.expect("nobody is asked"));
    }

    #[tokio::test]
    async fn yes_asks_nothing() {
        let mut pace = Pace::read(&flags("--yes --batch-wait=ask job")).expect("a pace");
        assert!(pace.go_on_to_the_next(&mut "".as_bytes()).await.expect("nobody is asked"));
        assert!(pace.go_on_after_an_error(&mut "".as_bytes()).expect("nobody is asked"));
        let strict = Pace::read(&flags("--yes --on-error=fail job")).expect("a pace");
        assert!(!strict.go_on_after_an_error(&mut "".as_bytes()).expect("nobody is asked"));
        assert!(Pace::read(&flags("--on-error=hope job")).is_err());
    }

    #[test]
    fn batches_and_ordinals() {
        assert_eq!(batch_size("2", 10), Some(2));
        assert_eq!(batch_size("25%", 10), Some(3));
        assert_eq!(batch_size("0", 10), None);
        assert_eq!(batch_size("x", 10), None);
        assert_eq!([1, 2, 3, 4, 11, 21].map(ordinal), ["1st", "2nd", "3rd", "4th", "11th", "21st"]);
    }
}
