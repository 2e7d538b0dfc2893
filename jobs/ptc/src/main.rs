//! The demo's company in one program without dependencies: `ptc store|setup|employee|web`.
//!
//! It talks the Redis protocol, so the store may be Redis itself (on Docker) or `ptc store` (where there is no Docker).
//! Everything it is told comes from the environment, as a job's template writes it: `REDIS_HOST`, `REDIS_PORT`, `PTC_BUDGET`,
//! `PTC_EMPLOYEE_ID`, `PTC_WEB_PORT`, `PTC_STORE_PORT`, and `PTC_STORE_FILE`, where the store keeps what was written. Exit codes: 0 done, 1 what went wrong is on stderr, 2 wrong use.

mod client;
mod company;
mod store;
mod web;

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.first().map(String::as_str) {
        Some("store") => store::serve(host("NOMAD_IP_redis"), port("PTC_STORE_PORT", port("NOMAD_PORT_redis", 6379))),
        Some("setup") => company::set_up(),
        Some("employee") => company::work(&args[1..]),
        Some("web") => web::serve(host("NOMAD_IP_web"), port("PTC_WEB_PORT", 5000)),
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

/// Where to listen: on loopback where the port was given there, else on every address, because a container knows that of its host only.
fn host(variable: &str) -> IpAddr {
    let given = std::env::var(variable).ok().and_then(|text| text.parse::<IpAddr>().ok());
    given.filter(IpAddr::is_loopback).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

fn port(variable: &str, default: u16) -> u16 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
