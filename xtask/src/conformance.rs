//! The field's behaviour as it was recorded, case by case, against this build.
//!
//! Needs: `../shared/conformance` (or `TARPAN_CONFORMANCE`, a folder with `run.py` and its suites), and python3. Cases that do not
//! pass yet stand in [`OPEN`]; whoever makes some pass takes them out with `cargo xtask conformance -shrink`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::open::{Cases, List};
use crate::shell::{has, heading, run as sh};

const OPEN: List = List { path: "end2end/conformance-open.txt", shrink: "cargo xtask conformance -shrink" };

/// Each has an agent of its own, so that they run side by side.
const SUITES: [&str; 4] = ["cli", "http", "jobspec", "jobspec-errors"];
/// More failures than this that are not listed are not tried again: something larger is wrong.
const SECOND_CHANCES: usize = 5;

/// `cargo xtask conformance [-shrink]`: alone, on a build of its own.
pub fn run(flags: &[&str]) -> Result<()> {
    let shrink = match flags {
        [] => false,
        ["shrink"] => true,
        _ => bail!("conformance knows -shrink only"),
    };
    sh(&["cargo", "build", "--locked", "-p", "tarpan-cli"])?;
    check(shrink)
}

/// Runs the corpus where there is one.
pub fn check(shrink: bool) -> Result<()> {
    heading("Recorded cases");
    let root = tarpan_end2end::lab::root();
    let corpus = std::env::var_os("TARPAN_CONFORMANCE").map(PathBuf::from);
    let corpus = corpus.unwrap_or_else(|| root.join("../shared/conformance"));
    if let Some(missing) = missing(&corpus) {
        println!("skipped: the recorded cases: {missing}");
        return Ok(());
    }
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let program = named_as_the_field(&root.join(target))?;
    let runs: Vec<Run> = SUITES.iter().map(|suite| Run { suite: (*suite).to_owned(), file: None }).collect();
    let mut cases = record(&corpus, &program, &runs)?;
    let again = second_chances(&cases, &OPEN.names()?);
    if (1..=SECOND_CHANCES).contains(&again.len()) && !shrink {
        let named: Vec<String> =
            again.iter().map(|run| format!("{}/{}", run.suite, run.file.as_deref().unwrap_or("*"))).collect();
        println!("    once more: {}", named.join(" "));
        cases.extend(record(&corpus, &program, &again)?);
    }
    OPEN.settle(&cases, shrink)
}

fn missing(corpus: &Path) -> Option<String> {
    let script = corpus.join("run.py");
    if !script.is_file() {
        return Some(format!("{} is not there (TARPAN_CONFORMANCE says where they are)", script.display()));
    }
    (!has("python3")).then(|| "python3 is not on the PATH".to_owned())
}

/// The program under the name that foreign cases call it by.
pub fn named_as_the_field(target: &Path) -> Result<PathBuf> {
    let folder = target.join("conformance");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let link = folder.join("nomad");
    let _ = std::fs::remove_file(&link);
    let program = std::path::absolute(target.join("debug/tarpan"))?;
    std::os::unix::fs::symlink(program, &link).with_context(|| format!("making {}", link.display()))?;
    Ok(link)
}

/// A suite, or one file of it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    suite: String,
    file: Option<String>,
}

/// Files with cases that fail and should not: some ask for what has to change within a moment, and not before.
fn second_chances(cases: &Cases, listed: &BTreeSet<String>) -> Vec<Run> {
    let failed = cases.iter().filter(|(name, problems)| !problems.is_empty() && !listed.contains(*name));
    let file = |name: &String| {
        let (suite, case) = name.split_once('/')?;
        let file = case.split_once('#').map_or(case, |(file, _)| file);
        Some(Run { suite: suite.to_owned(), file: Some(file.to_owned()) })
    };
    failed.filter_map(|(name, _)| file(name)).collect::<BTreeSet<Run>>().into_iter().collect()
}

fn record(corpus: &Path, binary: &Path, runs: &[Run]) -> Result<Cases> {
    let one = |Run { suite, file }: &Run| {
        let mut command = Command::new("python3");
        command.arg(corpus.join("run.py")).arg("--bin").arg(binary).args(["--json", "--suite", suite]);
        command.args(file.iter().flat_map(|file| ["--case", file]));
        command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null()).stderr(Stdio::inherit());
        let out = command.output().with_context(|| format!("running the suite {suite}"))?;
        let answer: Value =
            serde_json::from_slice(&out.stdout).with_context(|| format!("reading the suite {suite}"))?;
        read(&answer).with_context(|| format!("the suite {suite} has no cases"))
    };
    std::thread::scope(|scope| {
        let runs: Vec<_> = runs.iter().map(|run| scope.spawn(move || one(run))).collect();
        let mut cases = Cases::new();
        for run in runs {
            cases.extend(run.join().expect("no panic in a suite")?);
        }
        Ok(cases)
    })
}

fn read(answer: &Value) -> Option<Cases> {
    let cases = answer["cases"].as_array().filter(|cases| !cases.is_empty())?;
    let one = |case: &Value| {
        let name = format!("{}/{}", case["suite"].as_str()?, case["case"].as_str()?);
        let mut problems: Vec<String> =
            case["problems"].as_array()?.iter().filter_map(|p| p.as_str().map(str::to_owned)).collect();
        if case["pass"] == false && problems.is_empty() {
            problems.push("did not pass".to_owned());
        }
        Some((name, problems))
    };
    cases.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_read() {
        let answer = serde_json::json!({"cases": [
            {"suite": "cli", "case": "a#01", "pass": true, "problems": []},
            {"suite": "cli", "case": "a#02", "pass": false, "problems": []},
        ]});
        let cases = read(&answer).expect("two");
        assert_eq!((cases["cli/a#01"].len(), cases["cli/a#02"].len()), (0, 1));
        let again = second_chances(&cases, &BTreeSet::new());
        assert_eq!(again, [Run { suite: "cli".to_owned(), file: Some("a".to_owned()) }]);
        assert!(second_chances(&cases, &BTreeSet::from(["cli/a#02".to_owned()])).is_empty());
        assert!(read(&serde_json::json!({"cases": []})).is_none(), "a suite that ran nothing shows nothing");
        assert!(missing(Path::new("/no/such")).is_some_and(|text| text.contains("/no/such/run.py is not there")));
    }
}
