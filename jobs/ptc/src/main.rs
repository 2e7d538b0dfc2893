//! The demo's company in one program without dependencies: `ptc store|setup|employee|web`.
//!
//! It talks the Redis protocol, so the store may be Redis itself (on Docker) or `ptc store` (where there is no Docker).
//! Everything it is told comes from the environment, as a job's template writes it: `REDIS_HOST`, `REDIS_PORT`, `PTC_BUDGET`,
//! `PTC_EMPLOYEE_ID`, `PTC_WEB_PORT`, `PTC_STORE_PORT`, and `PTC_STORE_FILE`, where the store keeps what was written. Exit codes: 0 done, 1 what went wrong is on stderr, 2 wrong use.

mod client;
mod company;
mod store;
mod web;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.first().map(String::as_str) {
        Some("store") => store::serve(port("PTC_STORE_PORT", port("NOMAD_PORT_redis", 6379))),
        Some("setup") => company::set_up(),
        Some("employee") => company::work(&args[1..]),
        Some("web") => web::serve(port("PTC_WEB_PORT", 5000)),
        other => {
            eprintln!("ptc: {} is not a part; use store, setup, employee or web", other.unwrap_or("nothing"));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ptc: {error}");
            ExitCode::FAILURE
        }
    }
}

fn port(variable: &str, default: u16) -> u16 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
