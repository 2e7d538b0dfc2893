//! Running commands: shown as they are typed, timed, and named when they fail.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Error, Result, bail};
use xtask_start::Step;

/// Shows a heading of the work that follows.
pub fn heading(text: &str) {
    println!("\n==> {text}");
}

/// Runs a command in the repository's root with its output shown; errors when it fails.
pub fn run(words: &[&str]) -> Result<()> {
    run_with(words, &[])
}

/// The same with environment variables.
pub fn run_with(words: &[&str], env: &[(&str, &str)]) -> Result<()> {
    println!("  $ {}", words.join(" "));
    let start = Instant::now();
    let mut command = command(words);
    command.envs(env.iter().copied());
    let status = command.status().with_context(|| format!("running {}", words[0]))?;
    if !status.success() {
        bail!("`{}` ended with {status}", words.join(" "));
    }
    let seconds = start.elapsed().as_secs();
    if seconds >= 10 {
        println!("    ({} min {:02} s)", seconds / 60, seconds % 60);
    }
    Ok(())
}

/// `tarpan`, `tarpan-agent` and the program of the sample jobs; from `cargo tree -p tarpan-cli -p ptc`.
const PROGRAM: Step<'static> = Step { what: "the programs", minutes: 12, crates: Some(463) };

/// Builds the program for every day.
pub fn program() -> Result<()> {
    let words = ["build", "--locked", "-p", "tarpan-cli", "-p", "tarpan-light", "-p", "ptc"];
    build(&PROGRAM, xtask_start::command("cargo").args(words))
}

/// A long build, told in a line; what it says is shown when it fails.
pub fn build(step: &Step<'_>, command: &mut Command) -> Result<()> {
    xtask_start::build(step, command).map_err(Error::msg)
}

/// What a command prints; `None` when it can't be run or fails.
pub fn output(words: &[&str]) -> Option<String> {
    let out = command(words).stderr(Stdio::null()).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// Is there such a program on the PATH?
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A command in the repository's root.
pub fn command(words: &[&str]) -> Command {
    let mut command = xtask_start::command(words[0]);
    command.args(&words[1..]);
    command
}
