//! `fmt`: lays HCL files out in the canonical way.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::command::{Command, Fail, Outcome};
use tarpan_jobspec::layout;

#[derive(Debug, clap::Args)]
pub struct Fmt {
    /// Change nothing; exit with 1 when a file is not laid out canonically.
    #[arg(long)]
    check: bool,
    /// Print the names of files that are not laid out canonically.
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    list: bool,
    /// Write the files; otherwise the new text is printed.
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    write: bool,
    /// Go into directories.
    #[arg(long)]
    recursive: bool,
    args: Vec<String>,
}

impl Command for Fmt {
    const PATH: &'static str = "fmt";
    const USAGE: &'static str = "paths ...";
    const ABOUT: &'static str = "Lays job files and other HCL files out in the canonical way.";

    async fn run(self) -> Outcome {
        if self.args.as_slice() == ["-"] {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(Fail::new)?;
            readable("stdin", &text)?;
            let formatted = layout::format(&text);
            if self.check {
                return Ok(i32::from(formatted != text));
            }
            print!("{formatted}");
            return Ok(0);
        }
        let roots = if self.args.is_empty() { vec![".".to_owned()] } else { self.args.clone() };
        let mut files = Vec::new();
        for root in &roots {
            collect(Path::new(root), self.recursive, true, &mut files)?;
        }
        let mut differs = false;
        for file in &files {
            differs |= self.one(file)?;
        }
        Ok(i32::from(self.check && differs))
    }
}

impl Fmt {
    /// Whether the file was laid out otherwise.
    fn one(&self, file: &Path) -> Result<bool, Fail> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|e| Fail::new(format!("Error: reading {name}: {e}")))?;
        readable(&name, &text)?;
        let formatted = layout::format(&text);
        if formatted == text {
            return Ok(false);
        }
        if self.list {
            println!("{name}");
        }
        if self.write && !self.check {
            std::fs::write(file, formatted).map_err(|e| Fail::new(format!("Error: writing {name}: {e}")))?;
        } else if !self.check {
            print!("{formatted}");
        }
        Ok(true)
    }
}

/// Refuses what does not parse: laying it out could spoil it.
fn readable(name: &str, text: &str) -> Result<(), Fail> {
    let (_, errors) = tarpan_jobspec::syntax::parse(text);
    let Some(first) = errors.first() else { return Ok(()) };
    let line = text[..(first.span.start as usize).min(text.len())].matches('\n').count();
    let shown = text.lines().nth(line).unwrap_or_default();
    Err(Fail::new(format!(
        "Error: {}\n\n  on {name} line {}:\n   {}: {shown}\n\n{}",
        first.summary,
        line + 1,
        line + 1,
        first.detail
    )))
}

/// Files to lay out: what was named itself, and of directories what looks like HCL of ours.
fn collect(path: &Path, recursive: bool, named: bool, out: &mut Vec<PathBuf>) -> Result<(), Fail> {
    let meta = std::fs::metadata(path)
        .map_err(|e| Fail::new(format!("Error: No file or directory at {}: {e}", path.display())))?;
    if !meta.is_dir() {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if named || name.ends_with(".nomad") || name.ends_with(".hcl") {
            out.push(path.to_owned());
        }
        return Ok(());
    }
    if !named && !recursive {
        return Ok(());
    }
    let entries = std::fs::read_dir(path).map_err(|e| Fail::new(format!("Error: {}: {e}", path.display())))?;
    let mut entries: Vec<PathBuf> = entries.filter_map(Result::ok).map(|e| e.path()).collect();
    entries.sort();
    for entry in entries {
        collect(&entry, recursive, false, out)?;
    }
    Ok(())
}
