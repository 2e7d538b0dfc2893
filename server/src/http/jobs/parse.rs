//! Jobs that are looked at but not taken in: parsing and validation.

use tarpan_api::wire::{JobValidateRequest, JobsParseRequest};
use tarpan_jobspec::{Input, VarFile, Variables};
use tarpan_model::job::finding;

use super::admission::{self, warnings_text};
use crate::http::context::Context;
use crate::http::error::ApiError;
use crate::http::reply::Outcome;

/// `PUT /v1/jobs/parse`: HCL to the Job tree. File functions are refused.
pub async fn parse(cx: Context) -> Outcome {
    let request: JobsParseRequest = cx.decode()?;
    if request.job_hcl.is_empty() {
        return Err(ApiError::bad_request("Job spec is empty"));
    }
    let mut variables = Variables::default();
    if !request.variables.is_empty() {
        variables.files.push(VarFile { name: "input.hcl".to_owned(), text: request.variables });
    }
    let input = Input { variables: &variables, stop: Some(&cx.gone), ..Input::new("input.hcl", &request.job_hcl) };
    let parsed = tarpan_jobspec::parse(&input);
    let errors: Vec<String> = parsed.diagnostics.iter().filter(|d| d.is_error()).map(ToString::to_string).collect();
    let Some(mut job) = parsed.job.filter(|_| errors.is_empty()) else {
        let text = match errors.as_slice() {
            [] => "the text holds no job".to_owned(),
            [only] => only.clone(),
            [first, rest @ ..] => format!("{first}, and {} other diagnostic(s)", rest.len()),
        };
        return Err(ApiError::bad_request(format!("Failed to parse job: {text}")));
    };
    if request.canonicalize {
        job.canonicalise();
    }
    cx.plain(&job)
}

/// `PUT /v1/validate/job`: all that registration would find.
pub async fn validate(cx: Context) -> Outcome {
    let request: JobValidateRequest = cx.decode()?;
    let job = request.job.ok_or_else(|| ApiError::bad_request("Job must be specified"))?;
    let (admitted, findings) = admission::examine(&cx, &cx.server.state(), job);
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
