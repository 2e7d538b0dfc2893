//! Reads jobspecs: HCL2 and JSON text to the Job tree, with a position in every diagnostic. Pure.
//!
//! Start at [`parse`] (text to job) and [`check`] (the same, and every rule of the job too): what the editor, `job validate`
//! and the server share. [`parse_json`] reads the API's form.

mod assist;
mod budget;
mod check;
mod decode;
mod diagnostic;
mod eval;
mod functions;
mod input;
pub mod layout;
mod lines;
mod number;
mod print;
mod read;
pub mod syntax;
mod types;
mod value;
mod variables;

pub use assist::{Completion, CompletionKind, Hover, complete, hover};
pub use diagnostic::{Diagnostic, Place, Range, Severity};
pub use input::{DeclaredVariable, FileError, Files, Input, Limits, Parsed, VarFile, Variables};
pub use print::print;

/// Reads a jobspec: every mistake of syntax, or else every mistake of names, types and values.
pub fn parse(input: &Input<'_>) -> Parsed {
    read::read(input).finish(input)
}

/// [`parse`], then the defaults and every rule of the job, findings mapped to places in the text.
pub fn check(input: &Input<'_>) -> Parsed {
    check::check(input)
}

/// Reads the API's form of a job: the object itself, or wrapped as `{"Job": …}`.
pub fn parse_json(text: &str) -> Result<tarpan_model::Job, JsonError> {
    let wrong = |e: serde_json::Error| JsonError(e.to_string());
    let whole: serde_json::Value = serde_json::from_str(text).map_err(wrong)?;
    let inner = whole.as_object().and_then(|o| o.iter().find(|(k, v)| k.eq_ignore_ascii_case("job") && v.is_object()));
    let job = inner.map_or(&whole, |(_, job)| job);
    serde_path_to_error::deserialize(job).map_err(|e| JsonError(format!("{}: {}", e.path(), e.inner())))
}

/// Why a text is not a job in JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);
