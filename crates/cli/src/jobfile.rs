//! Job files: reading them, parsing them here, and showing what is wrong with them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use tarpan_api::wire::JobSubmission;
use tarpan_jobspec::{Diagnostic, FileError, Files, Input, Parsed, VarFile, Variables};
use tarpan_model::Job;
use tarpan_model::job::finding;

use crate::command::Fail;
use crate::output;

/// Flags of commands that read a job.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct JobFlags {
    /// The file is the API's JSON form of a job.
    #[arg(long)]
    pub json: bool,
    /// Refuse values for variables that the job does not declare.
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    pub hcl2_strict: bool,
    /// A value for a variable of the job, "name=value"; may be repeated.
    #[arg(long, value_name = "key=value")]
    pub var: Vec<String>,
    /// A file with values for variables; may be repeated.
    #[arg(long, value_name = "path")]
    pub var_file: Vec<PathBuf>,
    /// Accepted for the sake of existing scripts.
    #[arg(long, hide = true)]
    pub vault_namespace: Option<String>,
    #[arg(long, hide = true)]
    pub consul_namespace: Option<String>,
}

/// A job and the text it came from.
pub struct JobFile {
    pub job: Job,
    pub submission: JobSubmission,
    /// Sentences that the text gave rise to, though it is valid.
    pub warnings: Vec<String>,
}

/// How much is asked of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// It reads as a job.
    Parse,
    /// It is a job that a server will take.
    Check,
    /// The same; broken rules are told as the field's command line tells them.
    Validate,
}

/// Reads a job from a path, an address (`http://…`) or standard input (`-`). Errors are ready to print.
pub async fn read(path: &str, flags: &JobFlags, depth: Depth) -> Result<JobFile, Fail> {
    let (name, text) = source(path).await.map_err(|e| Fail::new(format!("Error getting job struct: {e}")))?;
    if flags.json {
        return from_json(text);
    }
    let variables = variables(flags)?;
    let folder = FolderFiles::of(path);
    let input = Input {
        variables: &variables,
        files: Some(&folder),
        strict: flags.hcl2_strict,
        seed: u64::try_from(output::time::now().0).unwrap_or_default(),
        ..Input::new(&name, &text)
    };
    let parsed = match depth {
        Depth::Parse => tarpan_jobspec::parse(&input),
        Depth::Check | Depth::Validate => check(&input),
    };
    if depth == Depth::Validate && parsed.job.is_some() && !parsed.broken.is_empty() {
        return Err(Fail::new(format!("Job validation errors:\n{}", finding::text(&parsed.broken).trim_end())));
    }
    let warnings = parsed.diagnostics.iter().filter(|d| !d.is_error()).map(|d| d.detail.clone()).collect();
    let Some(job) = parsed.job.filter(|_| !parsed.diagnostics.iter().any(Diagnostic::is_error)) else {
        return Err(Fail::new(refusal(&name, &text, &parsed.diagnostics)));
    };
    let submission = submission(text, &variables);
    Ok(JobFile { job, submission, warnings })
}

/// The job as it was written, with the findings of every rule beside it.
fn check(input: &Input<'_>) -> Parsed {
    let parsed = tarpan_jobspec::parse(input);
    if parsed.has_errors() {
        return parsed;
    }
    let checked = tarpan_jobspec::check(input);
    Parsed { job: parsed.job, ..checked }
}

fn from_json(text: String) -> Result<JobFile, Fail> {
    let job = tarpan_jobspec::parse_json(&text)
        .map_err(|e| Fail::new(format!("Error getting job struct: Error parsing job file: {e}")))?;
    let submission = JobSubmission { source: text, format: "json".to_owned(), ..JobSubmission::default() };
    Ok(JobFile { job, submission, warnings: Vec::new() })
}

/// The file's name for positions, and its text.
async fn source(path: &str) -> Result<(String, String), String> {
    let failed = |e: &dyn std::fmt::Display| format!("Error getting jobfile from {path:?}: {e}");
    if path == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|e| failed(&e))?;
        return Ok(("stdin".to_owned(), text));
    }
    if path.starts_with("http://") || path.starts_with("https://") {
        let answer = reqwest::get(path).await.and_then(reqwest::Response::error_for_status).map_err(|e| failed(&e))?;
        return Ok((path.to_owned(), answer.text().await.map_err(|e| failed(&e))?));
    }
    let full = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    match std::fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8(bytes).map_err(|_| failed(&"the file is not UTF-8 text"))?;
            Ok((path.to_owned(), text))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(failed(&format!("source path error: stat {}: no such file or directory", full.display())))
        }
        Err(e) => Err(failed(&format!("{}: {e}", full.display()))),
    }
}

fn variables(flags: &JobFlags) -> Result<Variables, Fail> {
    let env = std::env::vars()
        .filter_map(|(name, value)| Some((name.strip_prefix("NOMAD_VAR_")?.to_owned(), value)))
        .collect();
    let mut files = Vec::new();
    for path in &flags.var_file {
        let text = std::fs::read_to_string(path).map_err(|e| {
            Fail::new(format!("Error getting job struct: Failed to read var-file {}: {e}", path.display()))
        })?;
        files.push(VarFile { name: path.display().to_string(), text });
    }
    let mut args = Vec::new();
    for pair in &flags.var {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            Fail::new(format!("Error getting job struct: invalid variable {pair:?}: it needs the form name=value"))
        })?;
        args.push((name.to_owned(), value.to_owned()));
    }
    Ok(Variables { env, files, args })
}

/// What the server keeps to show the text again.
fn submission(text: String, variables: &Variables) -> JobSubmission {
    let mut flags: BTreeMap<String, String> = variables.env.clone();
    flags.extend(variables.args.iter().cloned());
    let files: Vec<&str> = variables.files.iter().map(|f| f.text.as_str()).collect();
    JobSubmission {
        source: text,
        format: "hcl2".to_owned(),
        variable_flags: (!flags.is_empty()).then_some(flags),
        variables: files.join("\n"),
        printed: false,
    }
}

/// The flags to give again for the same job, as `job plan` prints them.
pub fn repeat(flags: &JobFlags) -> String {
    let mut text = String::new();
    for var in &flags.var {
        text.push_str(&format!("-var={} ", quoted(var)));
    }
    for file in &flags.var_file {
        text.push_str(&format!("-var-file={} ", quoted(&file.display().to_string())));
    }
    if flags.json {
        text.push_str("-json ");
    }
    text
}

/// As a shell wants it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Every error with its place and the lines it is about.
pub fn refusal(name: &str, text: &str, diagnostics: &[Diagnostic]) -> String {
    let mut out = format!("Error getting job struct: Error parsing job file from {name}:");
    let errors: Vec<&Diagnostic> = diagnostics.iter().filter(|d| d.is_error()).collect();
    for d in &errors {
        out.push_str(&format!("\n{d}"));
        if let Some(excerpt) = excerpt(text, d) {
            out.push_str(&format!("\n\n{excerpt}\n"));
        }
    }
    if errors.is_empty() {
        out.push_str("\nthe text holds no job");
    }
    out.trim_end().to_owned()
}

/// The first line of a finding's place with a row of marks below it.
fn excerpt(text: &str, d: &Diagnostic) -> Option<String> {
    let range = d.range.as_ref()?;
    let line = text.lines().nth(usize::try_from(range.start.line).ok()?.checked_sub(1)?)?;
    let shown = line.replace('\t', " ");
    let start = usize::try_from(range.start.column).ok()?.saturating_sub(1);
    let length = shown.chars().count();
    let end = if range.end.line == range.start.line { range.end.column.saturating_sub(1) as usize } else { length };
    let marks = end.saturating_sub(start).clamp(1, length.saturating_sub(start).max(1));
    let number = range.start.line.to_string();
    let gutter = " ".repeat(number.len());
    Some(format!(
        "  {gutter} |\n  {number} | {shown}\n  {gutter} | {}{}",
        " ".repeat(start),
        output::paint("31", &"^".repeat(marks))
    ))
}

/// Files beside the jobspec, for the file functions.
struct FolderFiles(PathBuf);

impl FolderFiles {
    fn of(path: &str) -> FolderFiles {
        let here = || std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        let folder = Path::new(path).parent().filter(|p| !p.as_os_str().is_empty() && path != "-");
        let folder = folder.map_or_else(here, |p| std::path::absolute(p).unwrap_or_else(|_| p.to_owned()));
        FolderFiles(folder)
    }

    fn resolve(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }
}

impl Files for FolderFiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        std::fs::read(self.resolve(path)).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => FileError::Missing(path.to_owned()),
            _ => FileError::Other { path: path.to_owned(), reason: e.to_string() },
        })
    }

    fn exists(&self, path: &str) -> Result<bool, FileError> {
        match std::fs::metadata(self.resolve(path)) {
            Ok(meta) if meta.is_file() => Ok(true),
            Ok(_) => Err(FileError::Other { path: path.to_owned(), reason: "is not a regular file".to_owned() }),
            Err(_) => Ok(false),
        }
    }

    fn absolute(&self, path: &str) -> Result<String, FileError> {
        let mut clean = PathBuf::new();
        for part in self.resolve(path).components() {
            match part {
                std::path::Component::ParentDir => {
                    clean.pop();
                }
                std::path::Component::CurDir => {}
                other => clean.push(other),
            }
        }
        Ok(clean.display().to_string())
    }

    fn home(&self) -> Option<String> {
        std::env::var("HOME").ok()
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, FileError> {
        let root = self.resolve(folder);
        let mut out = Vec::new();
        let mut waiting = vec![root.clone()];
        while let Some(dir) = waiting.pop() {
            let other = |e: std::io::Error| FileError::Other { path: folder.to_owned(), reason: e.to_string() };
            for entry in std::fs::read_dir(&dir).map_err(other)?.filter_map(Result::ok) {
                let path = entry.path();
                if path.is_dir() {
                    waiting.push(path);
                } else if let Ok(inner) = path.strip_prefix(&root) {
                    out.push(inner.display().to_string());
                }
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use tarpan_jobspec::{Place, Range, Severity};

    use super::*;

    #[test]
    fn mistakes_show_their_line() {
        let text = "job \"x\" {\n  count = \"a\".b\n}\n";
        let place = |column| Place { line: 2, column, byte: 0 };
        let mistake = Diagnostic {
            severity: Severity::Error,
            summary: "Unsupported attribute".to_owned(),
            detail: "A text has no attributes.".to_owned(),
            range: Some(Range { file: "x.hcl".to_owned(), start: place(11), end: place(16) }),
            related: Vec::new(),
        };
        insta::assert_snapshot!(refusal("x.hcl", text, &[mistake]), @r#"
        Error getting job struct: Error parsing job file from x.hcl:
        x.hcl:2,11-16: Unsupported attribute; A text has no attributes.

            |
          2 |   count = "a".b
            |           ^^^^^
        "#);
    }

    #[test]
    fn flags_are_repeated_for_a_shell() {
        let flags = JobFlags {
            var: vec!["a=1".to_owned(), "b=x y".to_owned()],
            var_file: vec![PathBuf::from("v.hcl")],
            ..JobFlags::default()
        };
        assert_eq!(repeat(&flags), "-var=a=1 -var='b=x y' -var-file=v.hcl ");
    }
}
