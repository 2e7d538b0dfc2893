//! Jobs as requests bring them. The rules are `tarpan_control::jobs::admission`.

use tarpan_control::jobs::admission::Rules;
use tarpan_model::Job;

use crate::http::context::Context;
use crate::http::error::ApiError;
use crate::options::Options;

/// What this server's configuration says of jobs.
pub fn rules(options: &Options) -> Rules {
    Rules { region: options.region.clone(), max_count: options.job_max_count, max_source: options.job_max_source_size }
}

/// Settles the namespace and region of a job that came with a request, and whether there is one at all.
///
/// A namespace of the query goes before the job's own.
pub fn address(cx: &Context, job: Option<Job>) -> Result<Job, ApiError> {
    let mut job = job.ok_or_else(|| ApiError::bad_request("Job must be specified"))?;
    if job.id().is_empty() {
        return Err(ApiError::bad_request("Job ID hasn't been provided"));
    }
    let own = job.namespace.clone().filter(|ns| !ns.is_empty());
    let asked = cx.query.get("namespace").filter(|ns| !ns.is_empty() && *ns != "*").map(str::to_owned);
    job.namespace = Some(asked.or(own).unwrap_or_else(|| "default".to_owned()));
    cx.object(job.namespace())?;
    let region = job.region.as_deref().unwrap_or_default();
    if !matches!(region, "" | "global") && region != cx.server.options().region {
        return Err(ApiError::internal("No path to region"));
    }
    Ok(job)
}

/// The warnings as one text, the way the field writes several; empty without any.
pub fn warnings_text(warnings: &[String]) -> String {
    if warnings.is_empty() {
        return String::new();
    }
    let plural = if warnings.len() == 1 { "" } else { "s" };
    let points: String = warnings.iter().map(|w| format!("\n* {}", w.trim())).collect();
    format!("{} warning{plural}:\n{points}", warnings.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings() {
        assert_eq!(warnings_text(&[]), "");
        assert_eq!(warnings_text(&["a".to_owned()]), "1 warning:\n\n* a");
        assert_eq!(warnings_text(&["a".to_owned(), "b".to_owned()]), "2 warnings:\n\n* a\n* b");
    }
}
