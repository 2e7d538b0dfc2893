//! Jobs in files are printed as texts that read back as the same job. (Generated jobs: `src/print/tests.rs`.)

use std::path::{Path, PathBuf};

use tarpan_jobspec::{Input, parse, parse_json, print};
use tarpan_model::Job;
use tarpan_model::job::Admission;

fn admitted(job: &Job) -> Job {
    let mut job = job.clone();
    job.admit(&Admission::default());
    job
}

fn read(name: &str, text: &str) -> Job {
    let parsed = parse(&Input::new(name, text));
    let said: Vec<String> = parsed.diagnostics.iter().map(ToString::to_string).collect();
    parsed.job.unwrap_or_else(|| panic!("{name}: {}\n{text}", said.join("\n")))
}

/// A driver's object is read as a list of one, which is written as a block: apart from that and from layout, what is said.
fn said(text: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ").replace(" = {", " {");
    text.lines().map(words).filter(|line| !line.is_empty()).collect()
}

/// The text says the job, for our parser and the other one, and says it again once it was read or kept by a server.
#[track_caller]
fn round(name: &str, job: &Job) {
    let text = print(job);
    let back = read(name, &text);
    assert_eq!(said(&print(&back)), said(&text), "{name}");
    assert_eq!(print(&admitted(job)), text, "{name}: as a server keeps it");
    if let Err(error) = hcl::parse(&text) {
        panic!("{name}: the other parser: {error}\n{text}");
    }
}

/// Files of `folder` whose names `wanted` takes, with their texts.
fn files(folder: &Path, wanted: fn(&str) -> bool) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let named = paths.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)));
    let texts = named.filter(|(name, _)| wanted(name));
    texts.map(|(name, path)| (name, std::fs::read_to_string(path).expect("a text"))).collect()
}

#[test]
fn samples_read_back() {
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../jobs");
    let folders = [jobs.clone(), jobs.join("raw_exec"), jobs.join("second")];
    let samples: Vec<_> = folders.iter().flat_map(|f| files(f, |name| name.ends_with(".nomad.hcl"))).collect();
    assert!(samples.len() >= 10, "{}", samples.len());
    for (name, text) in &samples {
        round(name, &read(name, text));
    }
}

/// Every job of a conformance corpus (`TARPAN_CONFORMANCE` names it).
#[test]
fn the_corpus_reads_back() {
    let Some(corpus) = std::env::var_os("TARPAN_CONFORMANCE") else {
        println!("TARPAN_CONFORMANCE is not set: nothing printed");
        return;
    };
    let recorded = |name: &str| name.strip_suffix(".json").is_some_and(|stem| !stem.contains('.'));
    let files = files(&PathBuf::from(corpus).join("jobspec"), recorded);
    let jobs: Vec<_> = files.iter().filter_map(|(name, text)| Some((name, parse_json(text).ok()?))).collect();
    assert!(jobs.len() > 50, "{}", jobs.len());
    for (name, job) in &jobs {
        round(name, job);
    }
}
