//! `cargo xtask …`: builds `xtask`, which has a hundred crates below it, and becomes it.

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use xtask_start::{LINTED, Step, build, command, has_clippy, target};

/// From `cargo tree -p xtask`.
const XTASK: Step<'static> = Step { what: "the tools", minutes: 4, crates: Some(115) };

fn main() -> ExitCode {
    // Of the tests the tools are a part: they are linted like the rest, in the one build.
    let tests = std::env::args().nth(1).is_some_and(|verb| matches!(verb.as_str(), "ci" | "test"));
    let linted = if tests && has_clippy() { &LINTED[..] } else { &[] };
    let mut cargo = command("cargo");
    cargo.args(["build", "--locked", "--package", "xtask"]).envs(linted.iter().copied());
    if let Err(why) = build(&XTASK, &mut cargo) {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    let program = target().join("debug/xtask");
    let why = command(&program.display().to_string())
        .stdin(std::process::Stdio::inherit())
        .args(std::env::args_os().skip(1))
        .envs(linted.iter().copied())
        .exec();
    eprintln!("starting {}: {why}", program.display());
    ExitCode::FAILURE
}
