//! `operator snapshot agent`: saves the region's state to a folder again and again, and keeps the newest files.
//!
//! Files are numbered, and the numbers say which are the newest: the time of day, which may jump, only stands in their names. What
//! does not look like a file of this agent is never touched.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tarpan_config::hcl1::{self, Item, Value};
use tarpan_model::Dur;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::snapshots::{Draft, Fetched, fetch, stamp};
use crate::client::{ClientFlags, Http};
use crate::command::{Command, Fail, Outcome};
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Agent {
    #[command(flatten)]
    client: ClientFlags,
    args: Vec<String>,
}

impl Command for Agent {
    const PATH: &'static str = "operator snapshot agent";
    const USAGE: &'static str = "<config file>";
    const ABOUT: &'static str = "Saves the state of the region to a folder at intervals, and keeps the newest files.";
    const DETAILS: &'static str = "The file says how often and where to:\n\n    snapshot {\n      interval = \"1h\"       # 0: save once, and end\n      retain   = 30         # files that are kept\n      \
stale    = false      # take what any server knows\n      max_failures = 3      # in a row, after which this ends; 0: never\n      prefix   = \"nomad\"    # of the files' names\n    }\n    \
local_storage {\n      path = \"/var/backups/tarpan\"\n    }\n\nEach file is checked before it counts. The agent to ask is named by the flags or the environment. It runs until it is interrupted.";

    async fn run(self) -> Outcome {
        let [path] = &self.args[..] else { return Err(Fail::usage("This command takes one argument: <config file>")) };
        let text = std::fs::read_to_string(path).map_err(|e| Fail::new(format!("Error reading {path}: {e}")))?;
        let plan = plan(&text).map_err(|why| Fail::new(format!("Error parsing {path}:{why}")))?;
        let folder = Folder::open(&plan.path, &plan.prefix)?;
        let http = self.client.transport()?;
        let failed = |e: io::Error| Fail::new(format!("Error listening for signals: {e}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        tokio::select! {
            done = run(&plan, &folder, &http) => done,
            _ = interrupt.recv() => ended("interrupted"),
            _ = terminate.recv() => ended("asked to end"),
        }
    }
}

fn ended(why: &str) -> Outcome {
    println!("{} ended: {why}", stamp());
    Ok(0)
}

async fn run(plan: &Plan, folder: &Folder, http: &Http) -> Outcome {
    let mut failures = 0;
    loop {
        let begun = Instant::now();
        match save(plan, folder, http).await {
            Ok(line) => {
                failures = 0;
                println!("{} {line}", stamp());
            }
            Err(why) => {
                failures += 1;
                eprintln!("{} {why}", stamp());
                if plan.interval.is_zero() || (plan.max_failures > 0 && failures >= plan.max_failures) {
                    let times = output::count(failures, "time");
                    return Err(Fail::new(format!(
                        "The state could not be saved to {} {times} in a row: {why}",
                        plan.path.display()
                    )));
                }
            }
        }
        if plan.interval.is_zero() {
            return Ok(0);
        }
        sleep_until(begun + plan.interval).await;
    }
}

/// Saves the state once; a line about it. What is too old goes only once the new file is there.
async fn save(plan: &Plan, folder: &Folder, http: &Http) -> Result<String, String> {
    let Fetched { file, archive } = fetch(http, plan.stale).await.map_err(|fail| fail.text())?;
    let place = folder.next()?;
    Draft::beside(&place).and_then(|mut draft| draft.keep(&file)).map_err(|fail| fail.text())?;
    let gone = folder.keep(plan.retain)?;
    let gone = if gone == 0 { String::new() } else { format!(", {} removed", output::count(gone, "older file")) };
    let size = output::bytes(file.len() as u64);
    Ok(format!("saved {} (index {}, {size}){gone}", place.display(), archive.meta.index))
}

/// What the file asks for.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// Zero: once.
    interval: Duration,
    retain: usize,
    stale: bool,
    /// Zero: however many.
    max_failures: u64,
    prefix: String,
    path: PathBuf,
}

/// What a shape of the field's has and nothing here would heed, with what to do instead.
const ELSEWHERE: &[(&str, &str)] = &[
    ("nomad", "the agent to ask is named by the flags or the environment (-address, NOMAD_ADDR, …)"),
    ("service", "nothing is registered with Consul"),
    ("deregister_after", "nothing is registered with Consul"),
    ("lock_key", "run one agent a folder: a second one is refused there"),
    ("consul", "nothing is registered with Consul"),
    ("aws_storage", "files are kept in a local folder only"),
    ("azure_blob_storage", "files are kept in a local folder only"),
    ("google_storage", "files are kept in a local folder only"),
    ("log", "a line is printed for each file"),
];

fn plan(text: &str) -> Result<Plan, String> {
    let body = hcl1::parse(text).map_err(|e| e.to_string())?;
    let mut plan = Plan {
        interval: Duration::from_secs(3600),
        retain: 30,
        stale: false,
        max_failures: 3,
        prefix: "nomad".to_owned(),
        path: PathBuf::new(),
    };
    for block in &body {
        let Value::Object(items) = &block.value else { return Err(unknown(block)) };
        for item in items {
            match (block.key.as_str(), item.key.as_str()) {
                ("snapshot", "interval") => plan.interval = duration(item)?,
                ("snapshot", "retain") => plan.retain = number(item)? as usize,
                ("snapshot", "stale") => plan.stale = boolean(item)?,
                ("snapshot", "max_failures") => plan.max_failures = number(item)?,
                ("snapshot", "prefix") => plan.prefix = word(item)?,
                ("local_storage", "path") => plan.path = PathBuf::from(word(item)?),
                ("snapshot" | "local_storage", _) => return Err(unknown(item)),
                _ => return Err(unknown(block)),
            }
        }
        if !matches!(block.key.as_str(), "snapshot" | "local_storage") {
            return Err(unknown(block));
        }
    }
    if plan.path.as_os_str().is_empty() {
        return Err(" local_storage.path is missing: the folder for the files".to_owned());
    }
    if plan.retain == 0 {
        return Err(" snapshot.retain is 0: at least one file has to be kept".to_owned());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if plan.prefix.is_empty() || plan.prefix.starts_with('.') || !plan.prefix.chars().all(plain) {
        return Err(format!(
            " snapshot.prefix is {:?}: letters, digits, dashes, dots and underscores make a name",
            plan.prefix
        ));
    }
    Ok(plan)
}

fn unknown(item: &Item) -> String {
    match ELSEWHERE.iter().find(|(key, _)| *key == item.key) {
        Some((key, instead)) => format!("{}: {key:?} has no effect here: {instead}", item.at),
        None => format!("{}: unknown key {:?}", item.at, item.key),
    }
}

fn duration(item: &Item) -> Result<Duration, String> {
    match &item.value {
        Value::Text(text) => match text.parse::<Dur>() {
            Ok(length) if length.0 >= 0 => Ok(length.to_std()),
            _ => Err(wrong(item, "a duration such as \"1h\"")),
        },
        Value::Number(n) if n == "0" => Ok(Duration::ZERO),
        _ => Err(wrong(item, "a duration such as \"1h\"")),
    }
}

fn number(item: &Item) -> Result<u64, String> {
    match &item.value {
        Value::Number(n) => n.parse::<u32>().map(u64::from).map_err(|_| wrong(item, "a whole number")),
        _ => Err(wrong(item, "a whole number")),
    }
}

fn boolean(item: &Item) -> Result<bool, String> {
    match &item.value {
        Value::Bool(value) => Ok(*value),
        _ => Err(wrong(item, "true or false")),
    }
}

fn word(item: &Item) -> Result<String, String> {
    match &item.value {
        Value::Text(text) => Ok(text.clone()),
        _ => Err(wrong(item, "a text")),
    }
}

fn wrong(item: &Item, wanted: &str) -> String {
    format!("{}: {} has to be {wanted}", item.value_at, item.key)
}

/// Where the files go, and nobody else's at the same time.
struct Folder {
    path: PathBuf,
    prefix: String,
    /// Held as long as this runs.
    _lock: File,
}

impl Folder {
    fn open(path: &Path, prefix: &str) -> Result<Folder, Fail> {
        let at = |place: &Path, e: io::Error| Fail::new(format!("Error opening {}: {e}", place.display()));
        std::fs::create_dir_all(path).map_err(|e| at(path, e))?;
        let place = path.join(format!(".{prefix}.lock"));
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).open(&place).map_err(|e| at(&place, e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(Fail::new(format!("Another agent saves to {} under {prefix:?} already", path.display())));
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(at(&place, error)),
        }
        let folder = Folder { path: path.to_owned(), prefix: prefix.to_owned(), _lock: lock };
        // What an agent that was killed had not finished.
        for name in folder.names().map_err(|e| at(path, e))? {
            if name.ends_with(".unfinished")
                && name.split_once(".snap.").is_some_and(|(name, _)| folder.number(name).is_some())
            {
                let left = path.join(name);
                std::fs::remove_file(&left).map_err(|e| at(&left, e))?;
            }
        }
        Ok(folder)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.path)?.collect::<Result<Vec<_>, _>>()?;
        Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    /// Of a file of this agent, by its name without `.snap`.
    fn number(&self, name: &str) -> Option<u64> {
        let (number, time) = name.strip_prefix(&self.prefix)?.strip_prefix('-')?.split_once('-')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let (day, clock) = time.strip_suffix('Z')?.split_once('-')?;
        (number.len() >= 6 && digits(number) && digits(day) && digits(clock)).then(|| number.parse().ok())?
    }

    /// The files that are there, by their numbers.
    fn files(&self) -> Result<Vec<(u64, PathBuf)>, String> {
        let names = self.names().map_err(|e| format!("reading {}: {e}", self.path.display()))?;
        let one = |name: &String| Some((self.number(name.strip_suffix(".snap")?)?, self.path.join(name)));
        let mut files: Vec<_> = names.iter().filter_map(one).collect();
        files.sort_unstable();
        Ok(files)
    }

    /// Where the next file goes.
    fn next(&self) -> Result<PathBuf, String> {
        let number = self.files()?.last().map_or(1, |(number, _)| number + 1);
        Ok(self.path.join(format!("{}-{number:06}-{}.snap", self.prefix, stamp())))
    }

    /// Removes all but the newest `retain`; how many.
    fn keep(&self, retain: usize) -> Result<u64, String> {
        let files = self.files()?;
        let old = &files[..files.len().saturating_sub(retain)];
        for (_, path) in old {
            std::fs::remove_file(path).map_err(|e| format!("removing {}: {e}", path.display()))?;
        }
        Ok(old.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_is_wanted() {
        let text = "snapshot {\n interval = \"90m\"\n retain = 2\n stale = true\n max_failures = 0\n prefix = \"east\"\n}\n\
                    local_storage {\n path = \"/backups\"\n}\n";
        let expected = Plan {
            interval: Duration::from_secs(5400),
            retain: 2,
            stale: true,
            max_failures: 0,
            prefix: "east".into(),
            path: "/backups".into(),
        };
        assert_eq!(plan(text), Ok(expected));
        let least = plan("local_storage { path = \"x\" }").expect("defaults");
        assert_eq!((least.interval, least.retain, least.max_failures), (Duration::from_secs(3600), 30, 3));
    }

    #[test]
    fn what_has_no_effect_is_refused_by_name() {
        for (text, why) in [
            ("snapshot {}", "local_storage.path is missing"),
            ("snapshot { service = \"x\" }", "\"service\" has no effect here: nothing is registered with Consul"),
            ("snapshot { lock_key = \"x\" }", "\"lock_key\" has no effect here"),
            ("nomad { address = \"x\" }", "\"nomad\" has no effect here: the agent to ask is named by the flags"),
            ("aws_storage {}", "\"aws_storage\" has no effect here"),
            ("snapshot { intervall = \"1h\" }", "1:12: unknown key \"intervall\""),
            ("local_storage { path = \"x\" }\nretain = 3", "2:1: unknown key \"retain\""),
            ("snapshot { interval = \"soon\" }", "interval has to be a duration such as \"1h\""),
            ("snapshot { interval = \"-1h\" }", "interval has to be a duration"),
            ("snapshot { retain = \"3\" }", "retain has to be a whole number"),
            ("snapshot { retain = 0 }\nlocal_storage { path = \"x\" }", "snapshot.retain is 0"),
            ("snapshot { stale = 1 }", "stale has to be true or false"),
            ("snapshot { prefix = \"../x\" }\nlocal_storage { path = \"x\" }", "snapshot.prefix is \"../x\""),
        ] {
            let refused = plan(text).expect_err(text);
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }

    #[test]
    fn the_newest_by_number_are_kept_and_nothing_else_is_touched() {
        let dir = tempfile::tempdir().expect("a folder");
        let others = [
            "nomad.snap",
            "nomad-state-20261128-170500Z.snap",
            "east-000001-20261128-170500Z.snap",
            "nomad-7-x.snap",
            "notes",
        ];
        let ours = [
            "nomad-000009-20301128-170500Z.snap",
            "nomad-000010-20261128-170500Z.snap",
            "nomad-000011-20011128-170500Z.snap",
        ];
        let left = "nomad-000012-20261128-170500Z.snap.77.unfinished";
        for name in others.iter().chain(&ours).chain([&left]) {
            std::fs::write(dir.path().join(name), name).expect("written");
        }
        let folder = Folder::open(dir.path(), "nomad").expect("opens");
        assert!(!dir.path().join(left).exists());
        assert!(folder.next().expect("a name").display().to_string().contains("nomad-000012-"));
        assert_eq!(folder.keep(2), Ok(1));
        let there: Vec<bool> = ours.iter().map(|name| dir.path().join(name).exists()).collect();
        assert_eq!(there, [false, true, true]);
        assert!(others.iter().all(|name| dir.path().join(name).exists()));
        assert!(Folder::open(dir.path(), "nomad").is_err(), "one at a time");
        assert!(Folder::open(dir.path(), "east").is_ok());
    }
}
