//! What a machine shows of agents and what they ran: looked at before and after, to see that nothing is left.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::docker::Engine;
use crate::lab::processes_of;

/// Lines by what they are of: processes, mounts, links, rules, control groups, containers, files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces(BTreeMap<&'static str, BTreeSet<String>>);

/// Where to look, beside the tables of the calling thread's namespaces.
pub struct Place<'a> {
    pub lab: &'a Path,
    /// Data directories of agents.
    pub data: &'a [PathBuf],
    /// A part of the names of the control groups that are the test's own.
    pub groups: &'a str,
    pub engine: Option<&'a Engine>,
    /// Processes that are the test's own.
    pub known: &'a [u32],
}

impl Traces {
    pub fn look(place: &Place<'_>) -> Result<Traces> {
        let lines = |text: String| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let mut found = BTreeMap::from([
            ("process", processes(place)),
            ("mount", lines(std::fs::read_to_string("/proc/thread-self/mounts").context("reading the mounts")?)),
            ("link", lines(run("ip -brief link show")?).iter().map(|line| first(line)).collect()),
            ("rule of filter", lines(run("iptables -w -t filter -S")?)),
            ("rule of nat", lines(run("iptables -w -t nat -S")?)),
            ("control group", groups(place.groups)),
            ("file", place.data.iter().flat_map(|data| files(data)).collect()),
        ]);
        if let Some(engine) = place.engine {
            found.insert("container", lines(engine.docker(&["ps", "-a", "--format", "{{.Names}}"])?));
        }
        Ok(Traces(found))
    }

    /// What is here and was not there before. What is gone is not told: mounts of others go with their folders, and whoever empties a
    /// packet filter takes the engine's rules, too.
    pub fn left(&self, before: &Traces) -> String {
        let mut text = String::new();
        for (kind, now) in &self.0 {
            let then = before.0.get(kind).cloned().unwrap_or_default();
            now.difference(&then).for_each(|line| text.push_str(&format!("left, a {kind}: {line}\n")));
        }
        text
    }
}

fn run(line: &str) -> Result<String> {
    let mut words = line.split(' ');
    let out = Command::new(words.next().context("a program")?).args(words).output().with_context(|| line.to_owned())?;
    ensure!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr).trim());
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// The name of a link, without what it is linked to.
fn first(line: &str) -> String {
    line.split(['@', ' ']).next().unwrap_or_default().to_owned()
}

/// Those that name the lab, by their command lines.
fn processes(place: &Place<'_>) -> BTreeSet<String> {
    let others = processes_of(place.lab).into_iter().filter(|pid| !place.known.contains(&pid.as_raw().cast_unsigned()));
    let line = |pid: nix::unistd::Pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        // A process that has ended and was not waited for has none.
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        (!line.is_empty()).then_some(line)
    };
    others.filter_map(line).collect()
}

/// Control groups, in every hierarchy, with a name that holds `part`, and all below them.
fn groups(part: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut todo = vec![(PathBuf::from("/sys/fs/cgroup"), false)];
    while let Some((dir, inside)) = todo.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let own = entry.file_name().to_string_lossy().contains(part);
            // The one that all of the test's are in may stay: it is empty.
            if inside {
                found.insert(entry.path().display().to_string());
            }
            todo.push((entry.path(), inside || own));
        }
    }
    found
}

/// What an agent keeps of allocations.
fn files(data: &Path) -> BTreeSet<String> {
    let dirs = ["alloc", "client/tasks", "client/netns"].map(|dir| data.join(dir));
    let inside = |dir: &PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = dirs.iter().flat_map(inside).map(|entry| entry.path().display().to_string());
    // Scratch of fetching begins with a dot, and is there as long as the agent is.
    paths.filter(|path| !path.contains("/.")).collect()
}
