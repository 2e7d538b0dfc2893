//! Reading and every rule of the job, findings mapped to where their subject is written.

use crate::diagnostic::Severity;
use crate::eval::Found;
use crate::input::{Input, Parsed};
use crate::lines::Lines;
use crate::read::{Reading, read};
use crate::syntax::Span;
use tarpan_model::job::Finding;

/// See [`crate::check`].
pub(crate) fn check(input: &Input<'_>) -> Parsed {
    let mut reading = read(input);
    let mut broken = Vec::new();
    if !reading.broken {
        let found = rules(&reading, input, &mut broken);
        reading.found.extend(found);
    }
    Parsed { broken, ..reading.finish(input) }
}

fn rules(reading: &Reading, input: &Input<'_>, broken: &mut Vec<Finding>) -> Vec<Found> {
    let Some(mut job) = reading.job.clone() else {
        return Vec::new();
    };
    let (text, lines) = (input.text, Lines::new(input.text));
    job.canonicalise();
    let mistaken: Vec<Span> = reading.found.iter().filter_map(|f| f.span).collect();
    let mut found = Vec::new();
    for finding in job.validate() {
        let place = reading.place(&finding.path);
        // Where something could not be read, a rule may miss it only for that.
        let believable =
            mistaken.is_empty() || place.exact && !mistaken.iter().any(|m| same_line(text, *m, place.span));
        if believable {
            let message = format!("{} ({})", finding.message, lines.range(input.name, place.span));
            broken.push(Finding { message, ..finding.clone() });
            found.push(Found {
                severity: Severity::Error,
                summary: "Invalid job".to_owned(),
                detail: finding.message,
                span: Some(place.span),
                related: None,
            });
        }
    }
    for warning in job.warnings() {
        found.push(Found {
            severity: Severity::Warning,
            summary: "Job warning".to_owned(),
            detail: warning.trim_end().to_owned(),
            span: reading.header,
            related: None,
        });
    }
    found
}

fn same_line(text: &str, a: Span, b: Span) -> bool {
    let (first, second) = if a.start <= b.start { (a, b) } else { (b, a) };
    !text[first.start as usize..second.start as usize].contains('\n')
}

struct Written {
    span: Span,
    /// The very thing is written, not only a block around where it would be.
    exact: bool,
}

impl Reading {
    /// Where `path` is written, or else the nearest block around it.
    fn place(&self, path: &str) -> Written {
        let mut rest = path;
        loop {
            if let Some(span) = self.places.get(rest) {
                return Written { span: *span, exact: rest == path };
            }
            match rest.rfind(['.', '[']) {
                Some(cut) => rest = &rest[..cut],
                None => return Written { span: self.header.unwrap_or_default(), exact: false },
            }
        }
    }
}
