//! What is wrong with a text, where, in sentences.

use std::fmt;

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The job cannot be used.
    Error,
    /// The job can be used; its author should look at this.
    Warning,
}

/// One point of a text. Lines and columns count from 1, columns in characters; `byte` counts from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    pub line: u32,
    pub column: u32,
    pub byte: u32,
}

/// A stretch of one file; `end` is the first place after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Range {
    pub file: String,
    pub start: Place,
    pub end: Place,
}

/// A finding. `Display` gives the one-line form `file:3,5-13: Summary; Detail`, `<nil>` standing for a finding
/// that belongs to no place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub severity: Severity,
    /// A few words, the same for every finding of its kind.
    pub summary: String,
    /// One or more sentences about this very finding.
    pub detail: String,
    /// `None` where no stretch of text is to blame, as for a variable that was not set.
    pub range: Option<Range>,
    /// A second place that explains the first, with what it says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<(Range, String)>,
}

impl Diagnostic {
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// What to write instead of the text at the range, where the finding says what was probably meant.
    pub fn suggestion(&self) -> Option<&str> {
        let (_, meant) = self.detail.split_once("Did you mean \"")?;
        meant.strip_suffix("\"?").filter(|name| !name.contains('"'))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{},{}-", self.file, self.start.line, self.start.column)?;
        if self.start.line != self.end.line {
            write!(f, "{},", self.end.line)?;
        }
        write!(f, "{}", self.end.column)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.range {
            Some(range) => write!(f, "{range}: {}; {}", self.summary, self.detail),
            None => write!(f, "<nil>: {}; {}", self.summary, self.detail),
        }
    }
}
