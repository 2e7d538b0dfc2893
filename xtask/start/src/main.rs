//! `cargo xtask …`: builds `xtask`, which has a hundred crates below it, and becomes it.

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use xtask_start::{Step, build, command, target};

/// From `cargo tree -p xtask`.
const XTASK: Step<'static> = Step { what: "the tools", minutes: 4, crates: Some(115) };

fn main() -> ExitCode {
    if let Err(why) = build(&XTASK, command("cargo").args(["build", "--locked", "--package", "xtask"])) {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    let program = target().join("debug/xtask");
    let why = command(&program.display().to_string())
        .stdin(std::process::Stdio::inherit())
        .args(std::env::args_os().skip(1))
        .exec();
    eprintln!("starting {}: {why}", program.display());
    ExitCode::FAILURE
}
