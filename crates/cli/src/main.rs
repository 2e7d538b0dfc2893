//! `tarpan`: the agent in any role, and the command line of `/v1`.
//!
//! Start at [`dispatch::main`]; a command is one file in [`commands`], what it prints is made by [`output`].

mod client;
mod command;
mod commands;
mod confirm;
mod dispatch;
mod field;
mod help;
mod jobfile;
mod lookup;
mod monitor;
mod output;

fn main() -> std::process::ExitCode {
    // A task's supervisor is this same binary; it has to branch off before any thread exists.
    tarpan_agent::run_if_supervisor();
    dispatch::main(std::env::args().collect())
}
