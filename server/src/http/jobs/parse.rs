//! Jobs that are looked at but not taken in: parsing and validation.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tarpan_api::wire::{JobValidateRequest, JobsParseRequest};
use tarpan_control::jobs::admission::examine;
use tarpan_jobspec::{Input, Limits, VarFile, Variables};
use tarpan_model::Job;
use tarpan_model::job::finding;

use super::admission::{rules, warnings_text};
use crate::http::context::Context;
use crate::http::error::ApiError;
use crate::http::reply::Outcome;

/// Texts up to this many bytes are tried within [`QUICK`] first.
const QUICK_TEXT: usize = 32 << 10;
/// What may be read between two other requests: a millisecond, twenty times what an ordinary job takes.
const QUICK: Limits = Limits { steps: 20_000, bytes: 4 << 20, ..Limits::DEFAULT };

/// `PUT /v1/jobs/parse`: HCL to the Job tree. File functions are refused.
pub async fn parse(cx: Context) -> Outcome {
    let request: JobsParseRequest = cx.decode()?;
    if request.job_hcl.is_empty() {
        return Err(ApiError::bad_request("Job spec is empty"));
    }
    let canonicalize = request.canonicalize;
    let mut job = read(&cx, request).await.map_err(|text| match text {
        Unread::Text(text) => ApiError::bad_request(format!("Failed to parse job: {text}")),
        Unread::Busy(error) => error,
    })?;
    if canonicalize {
        job.canonicalise();
    }
    cx.plain(&job)
}

enum Unread {
    Text(String),
    Busy(ApiError),
}

/// Nearly every text is read in less time than it takes to wake another thread. What is long, or not done in that time, or
/// has a mistake (which may be that), is read whole on a thread for such work.
async fn read(cx: &Context, request: JobsParseRequest) -> Result<Job, Unread> {
    let mut variables = Variables::default();
    if !request.variables.is_empty() {
        variables.files.push(VarFile { name: "input.hcl".to_owned(), text: request.variables });
    }
    let length = request.job_hcl.len() + variables.files.iter().map(|f| f.text.len()).sum::<usize>();
    let (text, gone) = (request.job_hcl, cx.gone.clone());
    let Some(heavy) = &cx.heavy else {
        return read_within(Limits::DEFAULT, &text, &variables, &gone).map_err(Unread::Text);
    };
    if length <= QUICK_TEXT
        && let Ok(job) = read_within(QUICK, &text, &variables, &gone)
    {
        return Ok(job);
    }
    let whole = move || read_within(Limits::DEFAULT, &text, &variables, &gone);
    heavy.read(cx.gone.clone(), whole).await.map_err(Unread::Busy)?.map_err(Unread::Text)
}

fn read_within(limits: Limits, text: &str, variables: &Variables, gone: &Arc<AtomicBool>) -> Result<Job, String> {
    let parsed = tarpan_jobspec::parse(&Input { variables, limits, stop: Some(gone), ..Input::new("input.hcl", text) });
    let errors: Vec<String> = parsed.diagnostics.iter().filter(|d| d.is_error()).map(ToString::to_string).collect();
    parsed.job.filter(|_| errors.is_empty()).ok_or_else(|| match errors.as_slice() {
        [] => "the text holds no job".to_owned(),
        [only] => only.clone(),
        [first, rest @ ..] => format!("{first}, and {} other diagnostic(s)", rest.len()),
    })
}

/// `PUT /v1/validate/job`: all that registration would find.
pub async fn validate(cx: Context) -> Outcome {
    let request: JobValidateRequest = cx.decode()?;
    let job = request.job.ok_or_else(|| ApiError::bad_request("Job must be specified"))?;
    cx.object(job.namespace())?;
    let (admitted, findings) = examine(&cx.server.state(), &rules(cx.server.options()), job);
    let error = if findings.is_empty() { String::new() } else { finding::text(&findings) };
    cx.plain(&Response {
        validated: true,
        errors: (!findings.is_empty()).then(|| finding::top_level(&findings)),
        error,
        warnings: warnings_text(&admitted.warnings),
    })
}

/// `JobValidateResponse` with `null` for no errors.
#[derive(serde::Serialize)]
struct Response {
    #[serde(rename = "DriverConfigValidated")]
    validated: bool,
    #[serde(rename = "ValidationErrors")]
    errors: Option<Vec<String>>,
    #[serde(rename = "Error")]
    error: String,
    #[serde(rename = "Warnings")]
    warnings: String,
}
