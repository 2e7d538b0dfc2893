//! Simulated nodes, in a process of their own.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::Lab;

/// Ends with this.
pub struct Nodes {
    process: Child,
}

impl Nodes {
    /// So many nodes that report to the server at this port of the machine; all are ready when it returns.
    pub fn start(lab: &Lab, nodes: usize, rpc: u16) -> Result<Nodes> {
        let log = File::create(lab.path().join("nodes.log"))?;
        let mut command = Command::new(&lab.bin);
        command.args(["agent", "-simulate", &nodes.to_string(), "-servers", &format!("127.0.0.1:{rpc}")]);
        let process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn();
        let mut nodes = Nodes { process: process.context("starting nodes")? };
        let mut lines = BufReader::new(nodes.process.stdout.take().context("an output")?).lines();
        while !lines.next().context("the simulated nodes ended")??.starts_with("READY") {}
        Ok(nodes)
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
