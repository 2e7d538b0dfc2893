//! Reads every jobspec of a conformance corpus and compares the job with the recorded one, strictly as JSON.
//!
//! `TARPAN_CONFORMANCE` names the corpus folder (with `jobspec/NAME.nomad.hcl`, `NAME.json`, optional `NAME.args.json`);
//! without it there is nothing to compare, and the test says so.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tarpan_jobspec::{FileError, Files, Input, VarFile, Variables, parse, parse_json};

/// Cases where this project means to differ, or where the answer is not this crate's.
const DIFFERENT: [(&str, &str); 1] = [(
    "secrets-block",
    "a group's secrets are added to those of its tasks; the recorded tool doubles the task's own instead",
)];

fn differs(name: &str) -> bool {
    DIFFERENT.iter().any(|(n, _)| *n == name)
}

#[test]
fn the_corpus_reads_as_recorded() {
    let Some(corpus) = std::env::var_os("TARPAN_CONFORMANCE") else {
        println!("TARPAN_CONFORMANCE is not set: nothing compared");
        return;
    };
    let folder = PathBuf::from(corpus).join("jobspec");
    let mut failures = Vec::new();
    let mut passed = 0;
    for (name, file) in cases(&folder) {
        match compare(&folder, &name, &file) {
            Ok(()) => passed += 1,
            Err(_) if differs(&name) => println!("{name} differs on purpose"),
            Err(problem) => failures.push(format!("{name}: {problem}")),
        }
    }
    println!("{passed} passed, {} failed", failures.len());
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

/// The defaults, as recorded from a parse with `Canonicalize`; and the findings of every rule.
#[test]
fn the_corpus_has_the_recorded_defaults_and_findings() {
    let Some(corpus) = std::env::var_os("TARPAN_CONFORMANCE") else {
        println!("TARPAN_CONFORMANCE is not set: nothing compared");
        return;
    };
    let folder = PathBuf::from(corpus).join("jobspec");
    let mut failures = Vec::new();
    let mut passed = 0;
    for (name, file) in cases(&folder) {
        let recorded = std::fs::read_to_string(folder.join(format!("{name}.server.json"))).ok();
        let Some(recorded) = recorded.and_then(|text| serde_json::from_str::<Value>(&text).ok()) else { continue };
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let Ok((variables, json)) = options(&folder, &name) else { continue };
        let files = Folder(folder.clone());
        let job = match json {
            true => parse_json(&text).ok(),
            false => parse(&Input { variables: &variables, files: Some(&files), ..Input::new(&name, &text) }).job,
        };
        let Some(mut job) = job else {
            failures.push(format!("{name}: does not parse"));
            continue;
        };
        job.canonicalise();
        let mut differences = Vec::new();
        if recorded["api_parse"]["status"] == 200 {
            differ("defaults", &recorded["api_parse"]["body"], &json!(job), &mut differences);
        }
        let wanted = &recorded["api_validate"]["body"];
        job.admit(&tarpan_model::job::Admission::default());
        let findings = job.validate();
        let said = if findings.is_empty() { String::new() } else { tarpan_model::job::finding::text(&findings) };
        if wanted["Error"].as_str().unwrap_or_default() != said {
            differences.push(format!("findings: want {}, got {said:?}", wanted["Error"]));
        }
        // Recorded where memory oversubscription is off.
        let warned = tarpan_model::job::warnings_text(&[job.warnings(), job.memory_warnings()].concat());
        if wanted["Warnings"].as_str().unwrap_or_default() != warned {
            differences.push(format!("warnings: want {}, got {warned:?}", wanted["Warnings"]));
        }
        match differences.as_slice() {
            [] => passed += 1,
            _ if differs(&name) => println!("{name} differs on purpose"),
            _ => failures.push(format!("{name}: {}", differences.join("\n    "))),
        }
    }
    println!("{passed} passed, {} failed", failures.len());
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

/// Every text with a mistake that reading or the rules can see has it said, at its line.
#[test]
fn the_corpus_of_mistakes_is_refused() {
    let Some(corpus) = std::env::var_os("TARPAN_CONFORMANCE") else {
        println!("TARPAN_CONFORMANCE is not set: nothing compared");
        return;
    };
    let folder = PathBuf::from(corpus).join("jobspec-errors");
    let mut failures = Vec::new();
    for (name, file) in cases(&folder) {
        let recorded = std::fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap_or_default();
        let line = |key: &str| {
            recorded.lines().filter_map(|l| l.strip_prefix(key)).map(str::trim).map(str::to_owned).collect::<Vec<_>>()
        };
        let phase = line("phase:").concat();
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let Ok((variables, json)) = options(&folder, &name) else { continue };
        let files = Folder(folder.clone());
        let shown = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let input = Input { variables: &variables, files: Some(&files), ..Input::new(shown, &text) };
        let (parsed, said) = match json {
            true => {
                let result = parse_json(&text);
                (result.is_ok(), result.err().map(|e| e.to_string()).unwrap_or_default())
            }
            false => {
                let checked = tarpan_jobspec::check(&input);
                let said: Vec<String> =
                    checked.diagnostics.iter().filter(|d| d.is_error()).map(ToString::to_string).collect();
                (!parse(&input).has_errors(), said.join("\n"))
            }
        };
        let said = format!("{said} {shown}").to_lowercase();
        let got = match (parsed, said.trim() == shown) {
            (false, _) => "parse",
            (true, false) => "validate",
            (true, true) => "none",
        };
        let same_phase = got == phase || (got == "none" && phase == "plan");
        let has = |must: &str| must.split('|').any(|m| said.contains(&m.to_lowercase()));
        let missing: Vec<String> = line("must:").into_iter().filter(|m| phase != "plan" && !has(m)).collect();
        if !same_phase || !missing.is_empty() {
            failures.push(format!("{name}: want {phase}, got {got}; missing {missing:?}: {said}"));
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

fn cases(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut cases: Vec<_> = std::fs::read_dir(folder)
        .expect("the corpus has a folder jobspec")
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let file = path.file_name()?.to_str()?;
            let name = file.strip_suffix(".nomad.hcl").or_else(|| file.strip_suffix(".nomad.json"))?;
            Some((name.to_owned(), path.clone()))
        })
        .collect();
    cases.sort();
    cases
}

fn compare(folder: &Path, name: &str, file: &Path) -> Result<(), String> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
    let text = read(file)?;
    let wanted: Value =
        serde_json::from_str(&read(&folder.join(format!("{name}.json")))?).map_err(|e| e.to_string())?;
    let (variables, json) = options(folder, name)?;
    let job = if json {
        parse_json(&text).map_err(|e| e.to_string())?
    } else {
        let shown = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let files = Folder(folder.to_owned());
        let parsed = parse(&Input { variables: &variables, files: Some(&files), ..Input::new(shown, &text) });
        let said: Vec<String> = parsed.diagnostics.iter().map(ToString::to_string).collect();
        parsed.job.ok_or_else(|| said.join("\n    "))?
    };
    let got = json!({ "Job": job });
    let mut differences = Vec::new();
    differ("", &wanted, &got, &mut differences);
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n    ")) }
}

fn options(folder: &Path, name: &str) -> Result<(Variables, bool), String> {
    let mut variables = Variables::default();
    let Ok(text) = std::fs::read_to_string(folder.join(format!("{name}.args.json"))) else {
        return Ok((variables, false));
    };
    let options: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    for (key, value) in options["env"].as_object().into_iter().flatten() {
        if let (Some(name), Some(value)) = (key.strip_prefix("NOMAD_VAR_"), value.as_str()) {
            variables.env.insert(name.to_owned(), value.to_owned());
        }
    }
    let args: Vec<&str> = options["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for pair in args.windows(2) {
        match pair[0] {
            "-var" => {
                let (name, value) = pair[1].split_once('=').ok_or("a -var without =")?;
                variables.args.push((name.to_owned(), value.to_owned()));
            }
            "-var-file" => {
                let text = std::fs::read_to_string(folder.join(pair[1])).map_err(|e| e.to_string())?;
                variables.files.push(VarFile { name: pair[1].to_owned(), text });
            }
            _ => {}
        }
    }
    Ok((variables, args.contains(&"-json")))
}

fn differ(path: &str, wanted: &Value, got: &Value, differences: &mut Vec<String>) {
    match (wanted, got) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a {
                match b.get(key) {
                    Some(other) => differ(&format!("{path}/{key}"), value, other, differences),
                    None => differences.push(format!("{path}/{key}: missing, want {value}")),
                }
            }
            let extra = b.keys().filter(|k| !a.contains_key(*k));
            differences.extend(extra.map(|key| format!("{path}/{key}: not wanted")));
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differ(&format!("{path}/{index}"), a, b, differences);
            }
        }
        _ if wanted == got => {}
        _ => differences.push(format!("{path}: want {wanted}, got {got}")),
    }
}

struct Folder(PathBuf);

impl Files for Folder {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        std::fs::read(self.0.join(path)).map_err(|_| FileError::Missing(path.to_owned()))
    }
    fn exists(&self, path: &str) -> Result<bool, FileError> {
        Ok(self.0.join(path).is_file())
    }
    fn absolute(&self, path: &str) -> Result<String, FileError> {
        Ok(self.0.join(path).display().to_string())
    }
    fn home(&self) -> Option<String> {
        None
    }
    fn list(&self, folder: &str) -> Result<Vec<String>, FileError> {
        let entries = std::fs::read_dir(self.0.join(folder)).map_err(|_| FileError::Missing(folder.to_owned()))?;
        Ok(entries.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect())
    }
}
