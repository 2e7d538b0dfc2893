//! What goes into reading a jobspec and what comes out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tarpan_model::Job;
use tarpan_model::job::Finding;

use crate::diagnostic::Diagnostic;

/// A jobspec to read.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// File name for positions.
    pub name: &'a str,
    /// HCL2, or HCL in its JSON form when the first character is `{`.
    pub text: &'a str,
    pub variables: &'a Variables,
    /// Serves the file functions; `None` refuses them, as the HTTP API does.
    pub files: Option<&'a dyn Files>,
    /// Whether a variable given by file or argument has to be declared in the text.
    pub strict: bool,
    /// Where `uuidv4` and `bcrypt` draw from: the same seed gives the same job.
    pub seed: u64,
    pub limits: Limits,
    /// Set by whoever no longer waits for the result: reading then ends at its next step.
    pub stop: Option<&'a Arc<AtomicBool>>,
}

impl<'a> Input<'a> {
    /// Text without variables, files or randomness; strict.
    pub fn new(name: &'a str, text: &'a str) -> Input<'a> {
        static NONE: Variables = Variables { env: BTreeMap::new(), files: Vec::new(), args: Vec::new() };
        Input { name, text, variables: &NONE, files: None, strict: true, seed: 0, limits: Limits::DEFAULT, stop: None }
    }
}

/// Values of input variables, lowest precedence first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    /// `NOMAD_VAR_<name>` by name, without the prefix. Names that the text does not declare are ignored.
    pub env: BTreeMap<String, String>,
    /// `-var-file`s in order.
    pub files: Vec<VarFile>,
    /// `-var name=value` in order; the last one of a name counts.
    pub args: Vec<(String, String)>,
}

/// A file of `name = value` lines (HCL, or JSON when its first character is `{`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VarFile {
    pub name: String,
    pub text: String,
}

/// Why a file function has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    #[error("no file exists at {0}")]
    Missing(String),
    #[error("{path}: {reason}")]
    Other { path: String, reason: String },
}

/// What the file functions see. Paths are as written in the text: relative ones start at the jobspec's folder.
pub trait Files: Sync {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError>;
    /// Whether a regular file is there.
    fn exists(&self, path: &str) -> Result<bool, FileError>;
    /// The path from the root, without `.` and `..`.
    fn absolute(&self, path: &str) -> Result<String, FileError>;
    /// The home directory, for `~/…` in `pathexpand`.
    fn home(&self) -> Option<String>;
    /// Files below `folder`, `/`-separated and relative to it, in any order.
    fn list(&self, folder: &str) -> Result<Vec<String>, FileError>;
}

/// Bounds on what one text may cost, its variables included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of evaluation, about 50 ns each: a 500-line job takes about 1,000, one of 5,000 groups about 500,000.
    pub steps: u64,
    /// Bytes made while reading, none given back: the tree of the text, values, the job. Honest texts make 20 to 30 times
    /// their own size.
    pub bytes: u64,
    /// Bytes of text.
    pub text: usize,
}

impl Limits {
    /// A second of work, and memory that a server can spare for several readers at once.
    pub const DEFAULT: Limits = Limits { steps: 20_000_000, bytes: 128 << 20, text: 4 << 20 };
}

/// An input variable that the text declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeclaredVariable {
    pub name: String,
    /// `string`, `number`, `list of string`, …; of the default where no type is written.
    pub kind: String,
    /// As one would write it to set it: a text without quotes, else an expression. `None`: a value must be given.
    pub default: Option<String>,
    pub description: String,
    pub sensitive: bool,
}

/// What reading gave.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The job, uncanonicalised; `None` when there is an error.
    pub job: Option<Job>,
    /// What could be made of a text with errors; for editors, never for registering.
    pub partial: Option<Job>,
    /// Errors and warnings in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// In the order of the names.
    pub variables: Vec<DeclaredVariable>,
    /// The job's broken rules, each with its place behind its message; among the diagnostics, too.
    pub broken: Vec<Finding>,
}

impl Parsed {
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}
