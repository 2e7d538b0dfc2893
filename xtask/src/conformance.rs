//! The field's behaviour as it was recorded, case by case, against this build.
//!
//! Needs: `../shared/conformance` (or `TARPAN_CONFORMANCE`, a folder with `run.py` and its suites), and python3. Cases that do not
//! pass yet stand in [`OPEN`]. That list only gets shorter: a case that fails and is not in it is a mistake, and so is one that
//! passes and still is. Whoever makes cases pass takes them out with `cargo xtask conformance -shrink`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::shell::{has, heading, run as sh};

/// What does not pass yet, a case a line; lines that begin with `#` say why. A case behind `?` passes on some machines.
const OPEN: &str = "end2end/conformance-open.txt";

/// Each has an agent of its own, so that they run side by side.
const SUITES: [&str; 4] = ["cli", "http", "jobspec", "jobspec-errors"];

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
    let cases = record(&corpus, &named_as_recorded(&root.join(target))?)?;
    let path = root.join(OPEN);
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {OPEN}"))?;
    let passed = cases.values().filter(|problems| problems.is_empty()).count();
    println!("    {passed} of {} cases pass", cases.len());
    if shrink {
        std::fs::write(&path, shorter(&text, &cases)).with_context(|| format!("writing {OPEN}"))?;
        return Ok(());
    }
    let wrong = judge(&text, &cases);
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n")) }
}

fn missing(corpus: &Path) -> Option<String> {
    let script = corpus.join("run.py");
    if !script.is_file() {
        return Some(format!("{} is not there (TARPAN_CONFORMANCE says where they are)", script.display()));
    }
    (!has("python3")).then(|| "python3 is not on the PATH".to_owned())
}

/// The program under the name that the recorded texts call it by.
fn named_as_recorded(target: &Path) -> Result<PathBuf> {
    let folder = target.join("conformance");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let link = folder.join("nomad");
    let _ = std::fs::remove_file(&link);
    let program = std::path::absolute(target.join("debug/tarpan"))?;
    std::os::unix::fs::symlink(program, &link).with_context(|| format!("making {}", link.display()))?;
    Ok(link)
}

/// What is wrong with each case, by `suite/name`.
type Cases = BTreeMap<String, Vec<String>>;

fn record(corpus: &Path, binary: &Path) -> Result<Cases> {
    let one = |suite| {
        let mut command = Command::new("python3");
        command.arg(corpus.join("run.py")).arg("--bin").arg(binary).args(["--json", "--suite", suite]);
        command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null()).stderr(Stdio::inherit());
        let out = command.output().with_context(|| format!("running the suite {suite}"))?;
        let answer: Value =
            serde_json::from_slice(&out.stdout).with_context(|| format!("reading the suite {suite}"))?;
        read(&answer).with_context(|| format!("the suite {suite} has no cases"))
    };
    std::thread::scope(|scope| {
        let runs = SUITES.map(|suite| scope.spawn(move || one(suite)));
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

fn named(text: &str) -> BTreeSet<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '?'])).collect()
}

/// Cases whose outcome is the machine's.
fn of_the_machine(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(|line| line.strip_prefix('?')).map(str::trim).collect()
}

/// How many lines of what is wrong with a case are shown.
const SHOWN: usize = 12;

fn judge(text: &str, cases: &Cases) -> Vec<String> {
    let (open, either) = (named(text), of_the_machine(text));
    let mut wrong = Vec::new();
    for (name, problems) in cases.iter().filter(|(name, _)| !either.contains(name.as_str())) {
        match (problems.is_empty(), open.contains(name.as_str())) {
            (false, false) => {
                let shown: Vec<String> = problems.iter().take(SHOWN).map(|line| format!("\n    {line}")).collect();
                wrong.push(format!("{name} fails:{}", shown.concat()));
            }
            (true, true) => {
                wrong.push(format!("{name} passes: take it out of {OPEN} (cargo xtask conformance -shrink)"))
            }
            _ => {}
        }
    }
    let gone = open.into_iter().filter(|name| !cases.contains_key(*name));
    wrong.extend(gone.map(|name| format!("{name} is in {OPEN}, and there is no such case")));
    wrong
}

/// The list without what passes; reasons with nothing left below them go too.
fn shorter(text: &str, cases: &Cases) -> String {
    let fails = |name: &str| cases.get(name).is_some_and(|problems| !problems.is_empty());
    let (mut out, mut reasons, mut in_reasons) = (String::new(), Vec::new(), false);
    for line in text.lines() {
        let is_reason = line.starts_with('#');
        if is_reason {
            if !in_reasons {
                reasons.clear();
            }
            reasons.push(line);
        } else if line.trim().is_empty() || line.starts_with('?') || fails(line.trim()) {
            reasons.drain(..).chain([line]).for_each(|line| out.extend([line, "\n"]));
        }
        in_reasons = is_reason;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# What is open.\n\n# variables\ncli/vars#01\ncli/vars#02\n# volumes\nhttp/volumes#01\n";

    fn cases(failing: &[&str]) -> Cases {
        let all = ["cli/vars#01", "cli/vars#02", "http/volumes#01", "http/new#01"];
        all.map(|name| (name.to_owned(), failing.contains(&name).then(|| "text".to_owned()).into_iter().collect()))
            .into()
    }

    #[test]
    fn the_list_only_gets_shorter() {
        let all = ["cli/vars#01", "cli/vars#02", "http/volumes#01"];
        assert_eq!(judge(LIST, &cases(&all)), [""; 0]);
        let passes = judge(LIST, &cases(&all[..2]));
        assert!(passes.len() == 1 && passes[0].starts_with("http/volumes#01 passes: take it out of"), "{passes:?}");
        let fails = judge(LIST, &cases(&[&all[..], &["http/new#01"]].concat()));
        assert_eq!(fails, ["http/new#01 fails:\n    text"]);
        let gone = judge(&format!("{LIST}cli/old#09\n"), &cases(&all));
        assert!(gone.len() == 1 && gone[0].starts_with("cli/old#09 is in"), "{gone:?}");
        let either = format!("{LIST}? http/new#01\n");
        for failing in [&all[..], &[&all[..], &["http/new#01"]].concat()] {
            assert_eq!(judge(&either, &cases(failing)), [""; 0]);
        }
    }

    #[test]
    fn what_passes_is_taken_out_with_its_reason() {
        assert_eq!(
            shorter(LIST, &cases(&["cli/vars#02", "http/new#01"])),
            "# What is open.\n\n# variables\ncli/vars#02\n"
        );
    }

    #[test]
    fn cases_are_read() {
        let answer = serde_json::json!({"cases": [
            {"suite": "cli", "case": "a#01", "pass": true, "problems": []},
            {"suite": "cli", "case": "a#02", "pass": false, "problems": []},
        ]});
        let cases = read(&answer).expect("two");
        assert_eq!((cases["cli/a#01"].len(), cases["cli/a#02"].len()), (0, 1));
        assert!(read(&serde_json::json!({"cases": []})).is_none(), "a suite that ran nothing shows nothing");
        assert!(missing(Path::new("/no/such")).is_some_and(|text| text.contains("/no/such/run.py is not there")));
    }
}
