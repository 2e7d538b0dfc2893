//! The test suite of the field's Go SDK, against this build under the field's name.
//!
//! Needs: Go. The SDK's source is taken from the Go module proxy into Go's own cache, by version and checksum, or from the folder
//! that `TARPAN_SDK` names; none of it is kept here. Each test is a process of its own with a temporary folder of its own, so that
//! what a test leaves behind is found and ended. Tests that do not pass yet stand in [`OPEN`].

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tarpan_end2end::lab::{self, Lab};

use crate::conformance::named_as_the_field;
use crate::open::{Cases, List};
use crate::shell::{has, heading, run as sh};

const OPEN: List = List { path: "end2end/sdk-open.txt", shrink: "cargo xtask sdk -shrink" };

const MODULE: &str = "github.com/hashicorp/nomad/api@v0.0.0-20260907080526-08ef8f3d26da";
/// Go's checksum of the module's files.
const SUM: &str = "h1:5EVD5vuGBqAKSrcR1+hD8XTIHcDgu0jLfwjNqnI4ExU=";

/// A test starts a server, looks at it again a second later, and asks it a few things.
const PATIENCE: Duration = Duration::from_secs(90);
/// Tests at a time for each processor: most of the time they wait.
const AT_A_TIME: usize = 3;
/// More failures than this that are not listed are not tried again: something larger is wrong.
const SECOND_CHANCES: usize = 20;

/// `cargo xtask sdk [-shrink]`: alone, on a build of its own.
pub fn run(flags: &[&str]) -> Result<()> {
    let shrink = match flags {
        [] => false,
        ["shrink"] => true,
        _ => bail!("sdk knows -shrink only"),
    };
    sh(&["cargo", "build", "--locked", "-p", "tarpan-cli", "-p", "ptc"])?;
    check(shrink)
}

/// Runs the suite where there is Go.
pub fn check(shrink: bool) -> Result<()> {
    heading("The field's Go SDK");
    let Some(source) = source()? else { return Ok(()) };
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let target = std::path::absolute(lab::root().join(target))?;
    let folder = named_as_the_field(&target)?.parent().context("a link lies in a folder")?.to_owned();
    let suite = Suite { program: compile(&source, &target)?, source, folder };
    let tests = suite.tests()?;
    ensure!(!tests.is_empty(), "the SDK has no tests");
    let workers = AT_A_TIME * std::thread::available_parallelism().map_or(1, usize::from);
    let mut cases = suite.run_all(&tests, workers)?;
    // A machine that is busy with something else makes tests wait too long.
    let listed = OPEN.names()?;
    let unexpected = |(name, problems): (&String, &Vec<String>)| {
        (!problems.is_empty() && !listed.contains(name)).then(|| name.clone())
    };
    let again: Vec<String> = cases.iter().filter_map(unexpected).collect();
    if (1..=SECOND_CHANCES).contains(&again.len()) && !shrink {
        println!("    once more, one at a time: {}", again.join(" "));
        cases.extend(suite.run_all(&again, 1)?);
    }
    OPEN.settle(&cases, shrink)
}

/// Where the SDK's files are; `None` where they can't be had, which is said.
fn source() -> Result<Option<PathBuf>> {
    if let Some(folder) = std::env::var_os("TARPAN_SDK") {
        let folder = PathBuf::from(folder);
        ensure!(folder.join("go.mod").is_file(), "TARPAN_SDK: {} has no go.mod", folder.display());
        return Ok(Some(folder));
    }
    if !has("go") {
        println!("skipped: the tests of the field's Go SDK: go is not on the PATH");
        return Ok(None);
    }
    let mut command = go();
    // What it is to be is known here: no other server has to say so.
    command.args(["mod", "download", "-json", MODULE]).env("GOFLAGS", "-mod=mod").env("GOSUMDB", "off");
    let scratch = tempfile::tempdir().context("making a temporary directory")?;
    let out = command.current_dir(scratch.path()).output().context("running go")?;
    let answer: Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
    match (answer["Dir"].as_str(), answer["Sum"].as_str()) {
        (Some(folder), Some(SUM)) => Ok(Some(PathBuf::from(folder))),
        (_, Some(other)) => bail!("{MODULE} has the checksum {other}, and should have {SUM}"),
        _ => {
            let why = answer["Error"].as_str().map(str::to_owned);
            let why = why.unwrap_or_else(|| String::from_utf8_lossy(&out.stderr).trim().to_owned());
            println!("skipped: the tests of the field's Go SDK: {MODULE} can't be had: {why}");
            Ok(None)
        }
    }
}

/// Go as it is on this machine, which fetches no other release of itself.
fn go() -> Command {
    let mut command = Command::new("go");
    command.env("GOTOOLCHAIN", "local").stdin(Stdio::null());
    command
}

/// The SDK's tests as a program.
fn compile(source: &Path, target: &Path) -> Result<PathBuf> {
    let program = target.join("conformance/sdk.test");
    let mut command = go();
    command.args(["test", "-c", "-o"]).arg(&program).arg(".").current_dir(source).env("GOFLAGS", "-mod=readonly");
    println!("  $ go test -c {MODULE}");
    let start = Instant::now();
    let status = command.status().context("running go")?;
    ensure!(status.success(), "the SDK's tests do not compile: {status}");
    println!("    ({} s)", start.elapsed().as_secs());
    Ok(program)
}

struct Suite {
    program: PathBuf,
    /// Tests run where their files are.
    source: PathBuf,
    /// Has this build under the field's name.
    folder: PathBuf,
}

impl Suite {
    fn tests(&self) -> Result<Vec<String>> {
        let out = Command::new(&self.program).args(["-test.list", "."]).current_dir(&self.source).output();
        let out = out.context("listing the SDK's tests")?;
        Ok(String::from_utf8_lossy(&out.stdout).lines().filter(|l| l.starts_with("Test")).map(str::to_owned).collect())
    }

    fn run_all(&self, tests: &[String], workers: usize) -> Result<Cases> {
        let (next, cases) = (AtomicUsize::new(0), Mutex::new(Cases::new()));
        let start = Instant::now();
        let work = || -> Result<()> {
            while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let problems = self.run_one(test).with_context(|| format!("running {test}"))?;
                cases.lock().expect("no panic while held").insert(test.clone(), problems);
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("no panic in a worker"))
        })?;
        println!("    {} tests in {} s", tests.len(), start.elapsed().as_secs());
        Ok(cases.into_inner().expect("no panic while held"))
    }

    /// What is wrong with one test.
    fn run_one(&self, test: &str) -> Result<Vec<String>> {
        // Ends what still runs below it when it is dropped.
        let lab = Lab::new()?;
        let output = lab.path().join("output.txt");
        let file = File::create(&output)?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(self.folder.clone()).chain(std::env::split_paths(&path)))?;
        let mut command = Command::new(&self.program);
        command.args(["-test.v", "-test.run", &format!("^{test}$")]);
        command.arg(format!("-test.timeout={}s", PATIENCE.as_secs()));
        command.current_dir(&self.source).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let ours = std::env::vars_os().map(|(name, _)| name);
        ours.filter(|name| name.to_string_lossy().starts_with("NOMAD_")).for_each(|name| {
            command.env_remove(name);
        });
        command.env("PATH", path).env("TMPDIR", lab.path());
        let mut child = command.spawn()?;
        let start = Instant::now();
        let ended = loop {
            match child.try_wait()? {
                Some(status) => break Some(status),
                None if start.elapsed() > PATIENCE + Duration::from_secs(10) => break None,
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        if ended.is_none() {
            child.kill()?;
            child.wait()?;
        }
        let text = String::from_utf8_lossy(&std::fs::read(&output)?).into_owned();
        Ok(problems(test, &text))
    }
}

/// What `go test -v` says of a test that did not pass, the lines that matter first.
fn problems(test: &str, output: &str) -> Vec<String> {
    let lines: BTreeSet<&str> = output.lines().collect();
    let verdict = |word: &str| lines.iter().any(|line| line.starts_with(&format!("--- {word}: {test} (")));
    if verdict("PASS") {
        return Vec::new();
    }
    let what = if verdict("SKIP") { "was skipped" } else { "did not pass" };
    let told = output.lines().filter(|line| !line.starts_with("=== ") && !line.trim().is_empty());
    // What servers log stands between.
    let told = told.filter(|line| !line.contains(" INFO ") && !line.contains(" WARN "));
    std::iter::once(what.to_owned()).chain(told.map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read() {
        let passed = "=== RUN   TestA\n=== PAUSE TestA\n--- PASS: TestA (1.09s)\n    --- PASS: TestA/x (0.00s)\nPASS\n";
        assert_eq!(problems("TestA", passed), [""; 0]);
        let failed = "=== RUN   TestA\n    a_test.go:7: expected 1\n--- FAIL: TestA (1.09s)\nFAIL\n";
        assert_eq!(problems("TestA", failed)[..2], ["did not pass", "    a_test.go:7: expected 1"]);
        assert_eq!(problems("TestA", "--- PASS: TestAB (0.10s)\n")[0], "did not pass");
        assert_eq!(problems("TestA", "--- SKIP: TestA (0.00s)\nPASS\n")[0], "was skipped");
        assert_eq!(problems("TestA", "panic: x\n"), ["did not pass", "panic: x"]);
    }
}
