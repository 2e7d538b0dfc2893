//! `alloc logs`: what a task wrote.

use std::io::Write as _;
use std::time::Duration;

use futures::StreamExt as _;
use tarpan_api::client::{LogRequest, LogSearch};
use tarpan_api::{ByteStream, Client, Query};
use tokio::time::Instant;

use super::{of_job, query_of, task_of};
use crate::client::ClientFlags;
use crate::command::{Command, Fail, Outcome};
use crate::{lookup, output};

/// Bytes that are read back from the end to find the last lines, for each line asked.
const BYTES_A_LINE: u64 = 120;
/// Lines of `-tail` without `-n`.
const DEFAULT_LINES: u64 = 10;

#[derive(Debug, clap::Args)]
pub struct Logs {
    #[command(flatten)]
    client: ClientFlags,
    /// Go on as the task writes.
    #[arg(long = "f")]
    follow: bool,
    /// Standard output; the default.
    #[arg(long)]
    stdout: bool,
    /// Standard error.
    #[arg(long)]
    stderr: bool,
    /// The last lines.
    #[arg(long)]
    tail: bool,
    /// How many lines from the end.
    #[arg(long = "n", value_name = "lines")]
    lines: Option<u64>,
    /// How many bytes from the end.
    #[arg(long = "c", value_name = "bytes")]
    bytes: Option<u64>,
    /// Only lines that hold this text, of all that is kept (ours).
    #[arg(long, value_name = "text")]
    search: Option<String>,
    /// With -search: in any case of letters (ours).
    #[arg(long)]
    ignore_case: bool,
    /// Only what was written then or later: a duration before now, such as 10m, or a time, such as 2026-01-02T15:04:05Z (ours).
    #[arg(long, value_name = "time")]
    since: Option<String>,
    /// Only what was written up to then; written as -since (ours).
    #[arg(long, value_name = "time")]
    until: Option<String>,
    /// The argument is a job: take one of its running allocations.
    #[arg(long)]
    job: bool,
    /// With -job: only of this group.
    #[arg(long, value_name = "group")]
    group: Option<String>,
    /// The task; needed when there are several.
    #[arg(long, value_name = "task")]
    task: Option<String>,
    #[arg(long, hide = true)]
    verbose: bool,
    args: Vec<String>,
}

impl Command for Logs {
    const PATH: &'static str = "alloc logs";
    const ALIASES: &'static [&'static str] = &["logs"];
    const USAGE: &'static str = "<allocation> <task>";
    const ABOUT: &'static str = "Prints what a task wrote to standard output or standard error.";
    const DETAILS: &'static str = "With -f and no other choice, both streams are followed.";

    async fn run(self) -> Outcome {
        let (word, task) = match self.args.as_slice() {
            [word] => (word, self.task.clone()),
            [word, task] => (word, Some(self.task.clone().unwrap_or_else(|| task.clone()))),
            [] if self.job => return Err(Fail::usage("A job ID is required")),
            [] => return Err(Fail::usage("An allocation ID is required")),
            _ => return Err(Fail::usage("This command takes one or two arguments: <alloc-id> <task>")),
        };
        if self.stderr && self.stdout {
            return Err(Fail::usage("Unable to support both stdout and stderr"));
        }
        if self.search.is_some() && (self.follow || self.tail || self.lines.is_some() || self.bytes.is_some()) {
            return Err(Fail::usage("-search looks through all that is kept: -f, -tail, -n and -c don't go with it"));
        }
        if self.since.is_some() && (self.tail || self.lines.is_some() || self.bytes.is_some()) {
            return Err(Fail::usage("-since says where the output begins: -tail, -n and -c don't go with it"));
        }
        if self.until.is_some() && self.follow {
            return Err(Fail::usage("-until says where the output ends: -f doesn't go with it"));
        }
        let client = self.client.client()?;
        let alloc = match self.job {
            true => of_job(&client, word, self.group.as_deref()).await?,
            false => lookup::alloc(&client, word).await?,
        };
        let task = task_of(&alloc, task.as_deref())?;
        let query = query_of(&alloc);
        if let Some(text) = &self.search {
            self.search(&client, &query, &alloc.id, task, text).await?;
            return Ok(0);
        }
        let plain = self.follow && !self.stdout && !self.stderr && !self.tail;
        if plain && self.lines.is_none() && self.bytes.is_none() {
            let (out, err) = tokio::join!(
                self.stream(&client, &query, &alloc.id, &task, false),
                self.stream(&client, &query, &alloc.id, &task, true),
            );
            let (mut first, mut second) = (out?, err?);
            let (a, b) = tokio::join!(copy(&mut first, false, None), copy(&mut second, true, None));
            a.and(b)?;
            return Ok(0);
        }
        let mut stream = self.stream(&client, &query, &alloc.id, &task, self.stderr).await?;
        copy(&mut stream, false, self.lines_wanted()).await?;
        Ok(0)
    }
}

impl Logs {
    /// From when and up to when, as the node reads it.
    fn stretch(&self) -> (String, String) {
        let text = |time: &Option<String>| time.clone().unwrap_or_default();
        (text(&self.since), text(&self.until))
    }

    /// Lines from the end, when bytes from the end were not asked for.
    fn lines_wanted(&self) -> Option<usize> {
        if self.bytes.is_some() {
            return None;
        }
        let lines = self.lines.or(self.tail.then_some(DEFAULT_LINES))?;
        usize::try_from(lines).ok()
    }

    /// Prints the lines that hold `text`, answer by answer.
    async fn search(&self, client: &Client, query: &Query, alloc: &str, task: String, text: &str) -> Result<(), Fail> {
        let (text, ignore_case) = (text.to_owned(), self.ignore_case);
        let mut wanted = LogSearch { task, stderr: self.stderr, text, ignore_case, ..LogSearch::default() };
        (wanted.since, wanted.until) = self.stretch();
        loop {
            let found = client.search_logs(query, alloc, &wanted).await;
            let found = found.map_err(unread)?.value;
            for line in &found.lines {
                write(format!("{}\n", line.text).as_bytes(), false)?;
            }
            if found.next_token.is_empty() {
                return Ok(());
            }
            wanted.next_token = found.next_token;
        }
    }

    async fn stream(
        &self,
        client: &Client,
        query: &Query,
        alloc: &str,
        task: &str,
        stderr: bool,
    ) -> Result<ByteStream, Fail> {
        let back = match (self.bytes, self.lines_wanted()) {
            (Some(bytes), _) => Some(bytes),
            (None, Some(lines)) => Some(lines as u64 * BYTES_A_LINE),
            (None, None) => None,
        };
        let request = LogRequest {
            task: task.to_owned(),
            stderr,
            follow: self.follow,
            plain: true,
            offset: back.unwrap_or(0),
            from_end: back.is_some(),
            since: self.stretch().0,
            until: self.stretch().1,
        };
        client.logs(query, alloc, &request).await.map_err(unread)
    }
}

/// What comes without such a pause was there when the reading began, but no longer than [`BEGINNING`]: a task may never pause.
const PAUSE: Duration = Duration::from_millis(250);
const BEGINNING: Duration = Duration::from_secs(1);

/// Copies a stream to standard output (or standard error); with `lines`, of what is there at first only that many.
async fn copy(stream: &mut ByteStream, to_stderr: bool, lines: Option<usize>) -> Result<(), Fail> {
    if let Some(lines) = lines {
        let (held, goes_on) = at_first(stream).await?;
        write(&last_lines(&held, lines), to_stderr)?;
        if !goes_on {
            return Ok(());
        }
    }
    while let Some(part) = stream.next().await {
        write(&part.map_err(unread)?, to_stderr)?;
    }
    Ok(())
}

/// What is there at first, and whether more may come.
async fn at_first(stream: &mut ByteStream) -> Result<(Vec<u8>, bool), Fail> {
    let mut held = Vec::new();
    let until = Instant::now() + BEGINNING;
    loop {
        match tokio::time::timeout_at(until.min(Instant::now() + PAUSE), stream.next()).await {
            Ok(Some(part)) => held.extend_from_slice(&part.map_err(unread)?),
            Ok(None) => return Ok((held, false)),
            Err(_) => return Ok((held, true)),
        }
    }
}

fn unread(error: tarpan_api::Error) -> Fail {
    Fail::new(format!("Error reading file: {}", output::api_error(&error)))
}

fn last_lines(bytes: &[u8], lines: usize) -> Vec<u8> {
    let end = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let breaks: Vec<usize> = end.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i).collect();
    match (lines, breaks.len().checked_sub(lines)) {
        (0, _) => Vec::new(),
        (_, Some(at)) => bytes[breaks[at] + 1..].to_vec(),
        (_, None) => bytes.to_vec(),
    }
}

fn write(bytes: &[u8], to_stderr: bool) -> Result<(), Fail> {
    let written = match to_stderr {
        true => std::io::stderr().lock().write_all(bytes),
        false => {
            let mut out = std::io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        }
    };
    written.map_err(Fail::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task that writes more often than anybody waits.
    #[tokio::test]
    async fn a_task_that_never_pauses_is_followed() {
        let endless = futures::stream::unfold(0, |n| async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Some((Ok(bytes::Bytes::from(format!("{n}\n"))), n + 1))
        });
        let mut endless: ByteStream = Box::pin(endless);
        let (held, goes_on) = at_first(&mut endless).await.map_err(|_| "read").expect("read");
        assert!(goes_on && held.starts_with(b"0\n1\n") && held.len() < 20, "{held:?}");
        let mut there: ByteStream = Box::pin(futures::stream::iter([Ok(bytes::Bytes::from_static(b"a\nb\n"))]));
        assert_eq!(at_first(&mut there).await.map_err(|_| "read").expect("read"), (b"a\nb\n".to_vec(), false));
    }

    #[test]
    fn the_last_lines() {
        for (text, lines, expected) in
            [("a\nb\nc\n", 2, "b\nc\n"), ("a\nb\nc", 1, "c"), ("a\n", 5, "a\n"), ("", 3, ""), ("a\nb\n", 0, "")]
        {
            assert_eq!(last_lines(text.as_bytes(), lines), expected.as_bytes(), "{text:?} {lines}");
        }
    }
}
