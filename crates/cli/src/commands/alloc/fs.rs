//! `alloc fs`: files of an allocation.

use std::io::Write as _;

use futures::StreamExt as _;
use tarpan_api::Query;
use tarpan_api::wire::AllocFileInfo;
use tarpan_api::{ByteStream, Client};

use super::{of_job, query_of};
use crate::client::ClientFlags;
use crate::command::{Command, Fail, Outcome};
use crate::lookup;
use crate::output::{self, Table, time};

/// Bytes that are read back from the end for each line of `-tail -n`.
const BYTES_A_LINE: u64 = 120;

#[derive(Debug, clap::Args)]
pub struct Fs {
    #[command(flatten)]
    client: ClientFlags,
    /// Show sizes in bytes.
    #[arg(long = "H")]
    machine: bool,
    /// The argument is a job: take one of its running allocations.
    #[arg(long)]
    job: bool,
    /// With -job: only of this group.
    #[arg(long, value_name = "group")]
    group: Option<String>,
    /// Show what a file is instead of what is in it.
    #[arg(long)]
    stat: bool,
    /// Go on as the file grows.
    #[arg(long = "f")]
    follow: bool,
    /// The end of the file.
    #[arg(long)]
    tail: bool,
    /// How many lines from the end.
    #[arg(long = "n", value_name = "lines")]
    lines: Option<u64>,
    /// How many bytes from the end.
    #[arg(long = "c", value_name = "bytes")]
    bytes: Option<u64>,
    #[arg(long, hide = true)]
    verbose: bool,
    args: Vec<String>,
}

impl Command for Fs {
    const PATH: &'static str = "alloc fs";
    const ALIASES: &'static [&'static str] = &["fs"];
    const USAGE: &'static str = "<allocation> <path>";
    const ABOUT: &'static str = "Lists a directory of an allocation, or prints a file of it.";

    async fn run(self) -> Outcome {
        let (word, path) = match self.args.as_slice() {
            [word] => (word, "/"),
            [word, path] => (word, path.as_str()),
            [] if self.job => return Err(Fail::usage("A job ID is required")),
            [] => return Err(Fail::usage("An allocation ID is required")),
            _ => return Err(Fail::usage("This command takes one or two arguments: <alloc-id> [<path>]")),
        };
        let client = self.client.client()?;
        let alloc = match self.job {
            true => of_job(&client, word, self.group.as_deref()).await?,
            false => lookup::alloc(&client, word).await?,
        };
        let query = query_of(&alloc);
        let api = |e: tarpan_api::Error| Fail::new(output::api_error(&e));
        let info = client.stat_file(&query, &alloc.id, path).await.map_err(api)?.value;
        if self.stat {
            println!("{}", self.table(&[info], true));
            return Ok(0);
        }
        if info.is_dir {
            let files = client.list_files(&query, &alloc.id, path).await.map_err(api)?.value;
            println!("{}", self.table(&files, false));
            return Ok(0);
        }
        let mut stream = self.open(&client, &query, &alloc.id, path, &info).await?;
        let mut out = std::io::stdout().lock();
        while let Some(part) = stream.next().await {
            let part = part.map_err(api)?;
            out.write_all(&part).and_then(|()| out.flush()).map_err(Fail::new)?;
        }
        Ok(0)
    }
}

impl Fs {
    fn table(&self, files: &[AllocFileInfo], whole: bool) -> String {
        let mut heading = vec!["Mode", "Size", "Modified Time"];
        if whole {
            heading.push("Content Type");
        }
        heading.push("Name");
        let mut table = Table::new(heading);
        for file in files {
            let size = match self.machine {
                true => file.size.to_string(),
                false => output::bytes(u64::try_from(file.size).unwrap_or(0)),
            };
            let mut row = vec![file.file_mode.clone(), size, time::stamp(file.mod_time.0)];
            if whole {
                row.push(file.content_type.clone());
            }
            row.push(if file.is_dir { format!("{}/", file.name) } else { file.name.clone() });
            table.row(row);
        }
        table.render()
    }

    async fn open(
        &self,
        client: &Client,
        query: &Query,
        alloc: &str,
        path: &str,
        info: &AllocFileInfo,
    ) -> Result<ByteStream, Fail> {
        let api = |e: tarpan_api::Error| Fail::new(output::api_error(&e));
        let back = match (self.bytes, self.lines, self.tail) {
            (Some(bytes), _, _) => Some(bytes),
            (None, Some(lines), _) => Some(lines * BYTES_A_LINE),
            (None, None, true) => Some(10 * BYTES_A_LINE),
            (None, None, false) => None,
        };
        if !self.follow {
            let size = u64::try_from(info.size).unwrap_or(0);
            let Some(back) = back else { return client.cat_file(query, alloc, path).await.map_err(api) };
            let offset = size.saturating_sub(back);
            return client.read_file(query, alloc, path, offset, size - offset).await.map_err(api);
        }
        let frames = client.follow_file(query, alloc, path, back.unwrap_or(0), back.is_some()).await.map_err(api)?;
        Ok(Box::pin(frames_to_bytes(frames)))
    }
}

/// The data of a stream of JSON frames, one after the other.
fn frames_to_bytes(
    mut frames: ByteStream,
) -> impl futures::Stream<Item = Result<bytes::Bytes, tarpan_api::Error>> + Send {
    use base64::Engine as _;
    let mut held: Vec<u8> = Vec::new();
    futures::stream::poll_fn(move |cx| {
        loop {
            let mut values = serde_json::Deserializer::from_slice(&held).into_iter::<serde_json::Value>();
            if let Some(Ok(frame)) = values.next() {
                let used = values.byte_offset();
                held.drain(..used);
                let data = frame.get("Data").and_then(serde_json::Value::as_str).unwrap_or_default();
                let bytes = base64::engine::general_purpose::STANDARD.decode(data).unwrap_or_default();
                if bytes.is_empty() {
                    continue;
                }
                return std::task::Poll::Ready(Some(Ok(bytes.into())));
            }
            match frames.poll_next_unpin(cx) {
                std::task::Poll::Ready(Some(Ok(part))) => held.extend_from_slice(&part),
                other => return other,
            }
        }
    })
}
