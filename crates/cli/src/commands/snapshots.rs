//! `operator snapshot save|restore|inspect|state|redact`: the whole state of a region as a file.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::HeaderValue;
use serde_json::json;
use tarpan_api::{Query, calls};
use tarpan_server::archive::{self, Archive};
use tarpan_server::dump::Wanted;

use super::raft::print_state;
use crate::client::{ClientFlags, Http};
use crate::command::{Command, Doing as _, Fail, Outcome};
use crate::output::{self, Table, block};

#[derive(Debug, clap::Args)]
pub struct Save {
    #[command(flatten)]
    client: ClientFlags,
    /// Take what any server knows, even where there is no leader.
    #[arg(long)]
    stale: bool,
    /// Leave keys out of the file: who restores it gets new ones.
    #[arg(long)]
    redact: bool,
    args: Vec<String>,
}

impl Command for Save {
    const PATH: &'static str = "operator snapshot save";
    const USAGE: &'static str = "[file]";
    const ABOUT: &'static str = "Saves the state of the region to a file.";
    const DETAILS: &'static str = "The file holds everything that the servers agree on: jobs, allocations, nodes, keys. It is written whole, or not \
at all, and only its owner can read it.";

    async fn run(self) -> Outcome {
        let path = match &self.args[..] {
            [] => PathBuf::from(format!("nomad-state-{}.snap", stamp())),
            [path] => PathBuf::from(path),
            _ => return Err(Fail::usage("This command takes up to one argument: [file]")),
        };
        let mut draft = Draft::beside(&path)?;
        let Fetched { file, archive } = fetch(&self.client.transport()?, self.stale).await?;
        let redacted = self.redact.then(|| archive::redacted(&archive)).transpose().map_err(Fail::new)?;
        draft.keep(redacted.as_deref().unwrap_or(&file))?;
        println!("State file written to {}", path.display());
        Ok(0)
    }
}

/// A snapshot that came whole.
pub struct Fetched {
    pub file: Bytes,
    pub archive: Archive,
}

/// Asks for the region's state. What can't be restored is not given back.
pub async fn fetch(http: &Http, stale: bool) -> Result<Fetched, Fail> {
    let failed = |why: &dyn std::fmt::Display| Fail::new(format!("Error saving snapshot: {why}"));
    let asked = calls::snapshot(&Query { stale, ..Query::new() });
    let request = http::Request::get(asked.path()).body(Bytes::new()).map_err(Fail::new)?;
    let answer = http.open(request).await.doing("Error saving snapshot")?;
    let (status, digest) = (answer.status(), answer.headers().get("digest").cloned());
    let file = answer.bytes().await.map_err(|e| failed(&e))?;
    if !status.is_success() {
        let why = String::from_utf8_lossy(&file);
        return Err(failed(&format!("Unexpected response code: {} ({})", status.as_u16(), why.trim())));
    }
    if digest != Some(digest_of(&file)) {
        return Err(failed(&"it was changed on its way, or is cut off"));
    }
    let archive = archive::read(&file).map_err(|e| failed(&e))?;
    Ok(Fetched { file, archive })
}

#[derive(Debug, clap::Args)]
pub struct Restore {
    #[command(flatten)]
    client: ClientFlags,
    args: Vec<String>,
}

impl Command for Restore {
    const PATH: &'static str = "operator snapshot restore";
    const USAGE: &'static str = "<file>";
    const ABOUT: &'static str = "Puts the state that a file holds in place of the region's.";
    const DETAILS: &'static str = "Everything that is there now is replaced: jobs that the file does not have end, and so do their allocations. The file \
is checked before anything changes.";

    async fn run(self) -> Outcome {
        let [path] = &self.args[..] else { return Err(Fail::usage("This command takes one argument: <file>")) };
        let file = read(Path::new(path))?;
        archive::read(&file).map_err(|e| Fail::new(format!("Error restoring snapshot: {path}: {e}")))?;
        let request = http::Request::put(calls::restore_snapshot(Bytes::new()).path())
            .body(Bytes::from(file))
            .map_err(Fail::new)?;
        let answer = self.client.transport()?.open(request).await.doing("Error restoring snapshot")?;
        let status = answer.status();
        if !status.is_success() {
            let why = answer.text().await.unwrap_or_default();
            return Err(Fail::new(format!(
                "Error restoring snapshot: Unexpected response code: {} ({})",
                status.as_u16(),
                why.trim()
            )));
        }
        println!("Snapshot Restored");
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// Print what is shown as JSON.
    #[arg(long)]
    json: bool,
    args: Vec<String>,
}

impl Command for Inspect {
    const PATH: &'static str = "operator snapshot inspect";
    const USAGE: &'static str = "<file>";
    const ABOUT: &'static str = "Shows what a snapshot holds, once it was checked.";

    async fn run(self) -> Outcome {
        let [path] = &self.args[..] else { return Err(Fail::usage("This command takes one argument: <file>")) };
        let file = read(Path::new(path))?;
        let Archive { meta, state, bytes } = whole(path, &file)?;
        let sizes: Vec<_> = state.table_sizes().into_iter().filter(|size| size.rows > 0).collect();
        if self.json {
            let tables: Vec<_> =
                sizes.iter().map(|s| json!({"Name": s.table, "Count": s.rows, "Size": s.bytes})).collect();
            let shown = json!({"Meta": meta, "Size": file.len(), "Stats": tables, "TotalSize": bytes.len()});
            println!("{}", serde_json::to_string_pretty(&shown).map_err(Fail::new)?);
            return Ok(0);
        }
        let (size, index, term, version) =
            (file.len().to_string(), meta.index.to_string(), meta.term.to_string(), meta.version.to_string());
        let rows = [
            ("Created", meta.created.as_str()),
            ("ID", &meta.id),
            ("Size", &size),
            ("Index", &index),
            ("Term", &term),
            ("Version", &version),
        ];
        println!("{}\n", block(&rows));
        let mut table = Table::new(["Type", "Count", "Size"]);
        for size in &sizes {
            table.row([size.table, &size.rows.to_string(), &output::bytes(size.bytes)]);
        }
        table.row(["Total", "-", &output::bytes(bytes.len() as u64)]);
        println!("{}", table.render());
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct State {
    /// Show only rows for which this expression holds, as the lists of the API take it; may be repeated, and then all have to hold.
    #[arg(long, value_name = "expression")]
    filter: Vec<String>,
    args: Vec<String>,
}

impl Command for State {
    const PATH: &'static str = "operator snapshot state";
    const USAGE: &'static str = "<file>";
    const ABOUT: &'static str = "Prints the state that a snapshot holds as JSON, once it was checked.";
    const DETAILS: &'static str =
        "One object with a list of rows a table, each row as the API shows it; keys and nodes' secrets are left out.";

    async fn run(self) -> Outcome {
        let [path] = &self.args[..] else { return Err(Fail::usage("This command takes one argument: <file>")) };
        let wanted = Wanted::by(&self.filter).map_err(Fail::new)?;
        let archive = whole(path, &read(Path::new(path))?)?;
        print_state(&archive.state, &wanted)
    }
}

#[derive(Debug, clap::Args)]
pub struct Redact {
    args: Vec<String>,
}

impl Command for Redact {
    const PATH: &'static str = "operator snapshot redact";
    const USAGE: &'static str = "<file>";
    const ABOUT: &'static str = "Takes the keys out of a snapshot, in place.";

    async fn run(self) -> Outcome {
        let [path] = &self.args[..] else { return Err(Fail::usage("This command takes one argument: <file>")) };
        let archive = whole(path, &read(Path::new(path))?)?;
        Draft::beside(Path::new(path))?.keep(&archive::redacted(&archive).map_err(Fail::new)?)?;
        println!("Snapshot redacted");
        Ok(0)
    }
}

fn whole(path: &str, file: &[u8]) -> Result<Archive, Fail> {
    archive::read(file).map_err(|e| Fail::new(format!("Error inspecting snapshot: {path}: {e}")))
}

fn read(path: &Path) -> Result<Vec<u8>, Fail> {
    std::fs::read(path).map_err(|e| Fail::new(format!("Error opening snapshot file: {}: {e}", path.display())))
}

/// As the API's `Digest` header has it.
fn digest_of(file: &[u8]) -> HeaderValue {
    HeaderValue::from_str(&archive::digest(file)).expect("base64")
}

/// The time in a file's name: `20261128-170500Z`.
pub fn stamp() -> String {
    chrono::DateTime::from_timestamp_nanos(output::time::now().0).format("%Y%m%d-%H%M%SZ").to_string()
}

/// A file on its way: beside its place until it is whole, gone when it does not get that far.
pub struct Draft {
    file: File,
    at: PathBuf,
    place: PathBuf,
    kept: bool,
}

impl Draft {
    pub fn beside(place: &Path) -> Result<Draft, Fail> {
        let mut name = place.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.unfinished", std::process::id()));
        let at = place.with_file_name(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&at);
        let file = file.map_err(|e| Fail::new(format!("Error opening output file: {}: {e}", at.display())))?;
        Ok(Draft { file, at, place: place.to_owned(), kept: false })
    }

    /// Writes all of it, sees that it can be read back, and puts it in its place for good.
    pub fn keep(&mut self, bytes: &[u8]) -> Result<(), Fail> {
        self.place(bytes)
            .map_err(|e| Fail::new(format!("Error writing snapshot file: {}: {e}", self.place.display())))?;
        self.kept = true;
        Ok(())
    }

    fn place(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync_all()?;
        if std::fs::read(&self.at)? != bytes {
            return Err(std::io::Error::other("what was written is not what is read back"));
        }
        std::fs::rename(&self.at, &self.place)?;
        let folder = self.place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.at);
        }
    }
}
