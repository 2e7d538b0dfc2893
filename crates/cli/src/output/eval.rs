//! Evaluations in tables.

use tarpan_api::wire::Evaluation;

/// Whether something could not be placed; unknown while the evaluation goes on.
pub fn failures(e: &Evaluation) -> String {
    match e.status.as_str() {
        "pending" | "blocked" => "N/A - In Progress".to_owned(),
        _ => (!e.failed_tg_allocs.is_empty()).to_string(),
    }
}
