//! Whatever a cron expression says, asking for its next times ends soon, with an error in place of a panic.

use std::time::Duration;

use tarpan_control::periodic::{next_launch, parse_cron};
use tarpan_model::job::PeriodicConfig;
use tarpan_model::{Job, UnixNanos};
use tarpan_testkit::fuzz::Fuzz;

const WORDS: [&str; 30] = [
    "*",
    "0",
    "59",
    "60",
    "-1",
    "1-5",
    "5-1",
    "*/7",
    "0/3",
    "*/0",
    "1,2,3",
    "L",
    "W",
    "15W",
    "LW",
    "#",
    "5#5",
    "MON",
    "mon-sun",
    "JAN",
    "31",
    "?",
    "@daily",
    "@hourly",
    "2099",
    "2026",
    "99999999999999999999",
    " ",
    "\t",
    "/4294967296",
];

/// What is wrong with a job that is launched by `spec`, where the cron expression is concerned.
fn refused(spec: &PeriodicConfig) -> bool {
    let mut job = Job { periodic: Some(spec.clone()), ..Job::default() };
    job.admit(&Default::default());
    job.validate().iter().any(|f| f.path.starts_with("Periodic"))
}

#[test]
fn cron() {
    let seeds = [
        "*/15 * * * *",
        "0 0 31 2 *",
        "0 0 30 2 * 2099",
        "0 0 0 29 2 * 2023",
        "0 0 31 2,4,6,9,11 *",
        "0 0 29 2 1#5",
        "@daily",
        "30 2 * * sun",
        "0 0 0 1 1 * 2099",
        "0 12 L * *",
        "0-59/5 1,2 15W jan-mar ?",
    ];
    let fuzz = Fuzz::new(env!("CARGO_MANIFEST_DIR"), "cron").words(&WORDS).seeds(seeds).longest(400);
    fuzz.limit(Duration::from_secs(5)).texts(|text| {
        let (first, after) = text.split_once('|').unwrap_or((text, ""));
        let zone = (!after.is_empty()).then(|| "America/New_York".to_owned());
        let config = PeriodicConfig { spec: Some(first.to_owned()), time_zone: zone, ..PeriodicConfig::default() };
        if let Err(error) = parse_cron(first) {
            assert!(refused(&config), "{first:?} is taken in, and can't be launched: {error}");
            return error.to_string();
        }
        let mut shape = format!("refused: {}", refused(&config));
        for after in [0, 1_774_749_600, 4_000_000_000_i64] {
            let after = UnixNanos::from_secs(after);
            let next = next_launch(&config, after).expect("it was parsed");
            assert!(next.is_none_or(|next| next > after), "{first:?}: {next:?} is not after {after:?}");
            shape.push_str(if next.is_some() { " some" } else { " none" });
        }
        shape
    });
}
