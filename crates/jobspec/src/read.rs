//! A whole jobspec: text to job and findings.

use std::collections::BTreeMap;

use tarpan_model::Job;

use crate::budget::Budget;
use crate::decode::{Decoder, Places, View};
use crate::diagnostic::{Diagnostic, Severity};
use crate::eval::{Evaluator, Found, Local, Scope};
use crate::input::{DeclaredVariable, Input, Parsed};
use crate::lines::Lines;
use crate::syntax::{Attribute, Body, Item, Span, SyntaxError};
use crate::variables::read_body;

/// What reading gave, places still in bytes.
pub(crate) struct Reading {
    pub job: Option<Job>,
    pub places: Places,
    /// The label of the job block, where there is one.
    pub header: Option<Span>,
    pub found: Vec<Found>,
    pub variables: Vec<DeclaredVariable>,
    /// The mistakes are of syntax: there may be more in what could not be read.
    pub broken: bool,
}

/// Reads the text; mistakes of syntax keep everything else from being looked at.
pub(crate) fn read(input: &Input<'_>) -> Reading {
    if input.text.len() > input.limits.text {
        let detail = format!("A jobspec may have {} bytes; this text has {}.", input.limits.text, input.text.len());
        let found = vec![Found {
            severity: Severity::Error,
            summary: "Too long a text".to_owned(),
            detail,
            span: None,
            related: None,
        }];
        return Reading { job: None, places: Places::new(), header: None, found, variables: Vec::new(), broken: true };
    }
    let mut budget = Budget::new(input.limits, input.stop.cloned());
    let (body, errors) = read_body(input.text, &mut budget);
    let eval = Evaluator::new(input.text, input.files, budget, input.seed);
    let mut decoder = Decoder { eval, places: Places::new(), declared: Vec::new() };
    let (job, header) = decoder.file(&body, input);
    decoder.eval.report_bound();
    let broken = !errors.is_empty();
    let found = if !broken { decoder.eval.found } else { errors.into_iter().map(from_syntax).collect() };
    Reading { job, places: decoder.places, header, found, variables: decoder.declared, broken }
}

fn from_syntax(error: SyntaxError) -> Found {
    Found {
        severity: Severity::Error,
        summary: error.summary.to_owned(),
        detail: error.detail,
        span: Some(error.span),
        related: None,
    }
}

impl Reading {
    /// Findings in the order of the text, with lines and columns.
    pub fn finish(mut self, input: &Input<'_>) -> Parsed {
        let lines = Lines::new(input.text);
        self.found.sort_by_key(|f| f.span.map_or((0, 0), |s| (s.start, s.end)));
        self.found.dedup();
        let diagnostics: Vec<Diagnostic> = self.found.into_iter().map(|f| place(f, input.name, &lines)).collect();
        let broken = diagnostics.iter().any(Diagnostic::is_error);
        let (job, partial) = if broken { (None, self.job) } else { (self.job, None) };
        Parsed { job, partial, diagnostics, variables: self.variables, broken: Vec::new() }
    }
}

fn place(found: Found, file: &str, lines: &Lines<'_>) -> Diagnostic {
    let related: Vec<_> = found.related.map(|(span, text)| (lines.range(file, span), text)).into_iter().collect();
    // A detail names the other place as {}.
    let detail = match related.first() {
        Some((range, _)) => found.detail.replace("{}", &range.to_string()),
        None => found.detail,
    };
    let range = found.span.map(|span| lines.range(file, span));
    Diagnostic { severity: found.severity, summary: found.summary, detail, range, related }
}

impl Decoder<'_> {
    fn file<'b>(&mut self, body: &'b Body, input: &Input<'_>) -> (Option<Job>, Option<Span>) {
        for item in &body.items {
            self.top_level(item);
        }
        self.variables(body, input);
        self.locals(body);
        let job_block = |item: &'b Item| match item {
            Item::Block(block) if block.kind.text == "job" => Some(block),
            _ => None,
        };
        let jobs: Vec<_> = body.items.iter().filter_map(job_block).collect();
        let Some(first) = jobs.first() else {
            self.eval.found.push(Found {
                severity: Severity::Error,
                summary: "Missing job block".to_owned(),
                detail: "A job block is required.".to_owned(),
                span: None,
                related: None,
            });
            return (None, None);
        };
        for extra in &jobs[1..] {
            self.eval.report(Found {
                severity: Severity::Error,
                summary: "Duplicate job block".to_owned(),
                detail: "Only one block of type \"job\" is allowed. Previous definition was at {}.".to_owned(),
                span: Some(extra.header()),
                related: Some((first.header(), "The first job".to_owned())),
            });
        }
        let view = View { kind: &first.kind, labels: first.labels.clone(), body: &first.body };
        // Without a name, too, what is inside may have mistakes of its own.
        let _ = self.labels(&view, Some("name"));
        (Some(self.job(&view, &Scope::EMPTY)), Some(first.header()))
    }

    fn top_level(&mut self, item: &Item) {
        match item {
            Item::Attribute(attribute) => {
                let detail = format!("An argument named {:?} is not expected here.", attribute.name.text);
                self.eval.error(attribute.name.span, "Unsupported argument", detail);
            }
            Item::Block(block) => {
                let known = ["job", "variable", "variables", "locals"];
                if !known.contains(&block.kind.text.as_str()) {
                    let hint = crate::functions::suggestion(&block.kind.text, known.into_iter());
                    let detail = format!("Blocks of type {:?} are not expected here.{hint}", block.kind.text);
                    self.eval.error(block.kind.span, "Unsupported block type", detail);
                }
            }
        }
    }

    /// Computes every local value, each after those it uses.
    fn locals(&mut self, body: &Body) {
        let mut written: BTreeMap<String, &Attribute> = BTreeMap::new();
        for item in &body.items {
            let Item::Block(block) = item else { continue };
            if block.kind.text != "locals" {
                continue;
            }
            for item in &block.body.items {
                match item {
                    Item::Attribute(attribute) => {
                        if let Some(first) = written.insert(attribute.name.text.clone(), attribute) {
                            let found = Found {
                                severity: Severity::Error,
                                summary: "Duplicate value in locals".to_owned(),
                                detail: format!(
                                    "The local value {:?} was already defined at {{}}.",
                                    attribute.name.text
                                ),
                                span: Some(attribute.name.span),
                                related: Some((first.name.span, "The first definition".to_owned())),
                            };
                            self.eval.report(found);
                        }
                    }
                    Item::Block(inner) => {
                        let detail = "Blocks are not allowed in locals.";
                        self.eval.error(inner.kind.span, "Unexpected block", detail);
                    }
                }
            }
        }
        self.eval.locals = written.keys().map(|name| (name.clone(), Local::Waiting)).collect();
        for name in written.keys() {
            self.local(name, &written);
        }
    }

    /// Computes one local value; those it waits for come first, on a stack of our own.
    fn local(&mut self, name: &str, written: &BTreeMap<String, &Attribute>) {
        let mut stack = vec![name.to_owned()];
        while let Some(top) = stack.last() {
            if matches!(self.eval.locals.get(top), Some(Local::Ready(_)) | None) {
                stack.pop();
                continue;
            }
            let Some(attribute) = written.get(top) else { return };
            if !self.eval.spend(1 + stack.len() as u64 / 8, attribute.name.span) {
                return;
            }
            let before = self.eval.found.len();
            let value = self.eval.eval(&attribute.expr, &Scope::EMPTY);
            let value = match self.eval.waits_for.take() {
                None => value,
                Some(other) if stack.contains(&other) => {
                    self.eval.found.truncate(before);
                    let detail = format!("local.{top} needs local.{other}, which needs local.{top}.");
                    self.eval.error(attribute.expr.span, "Circular local values", detail)
                }
                Some(other) => {
                    self.eval.found.truncate(before);
                    stack.push(other);
                    continue;
                }
            };
            let top = top.clone();
            self.eval.locals.insert(top, Local::Ready(value));
        }
    }
}
