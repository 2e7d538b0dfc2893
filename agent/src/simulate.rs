//! Many simulated nodes over the production session code, for measuring servers.

use std::time::Duration;

/// What to simulate.
#[derive(Clone, Debug)]
pub struct SimulateOptions {
    /// How many nodes.
    pub count: usize,
    /// `host:port` of RPC addresses; node `i` starts with server `i % len`.
    pub servers: Vec<String>,
    pub datacenter: String,
    pub node_pool: String,
    /// Reports of a node are collected for at most this long.
    pub report_every: Duration,
}

impl Default for SimulateOptions {
    fn default() -> SimulateOptions {
        SimulateOptions {
            count: 1,
            servers: vec!["127.0.0.1:4647".to_owned()],
            datacenter: "dc1".to_owned(),
            node_pool: "default".to_owned(),
            report_every: Duration::from_millis(100),
        }
    }
}

/// Runs the nodes until the process is told to end; prints `READY` when every one of them has been welcomed.
pub async fn simulate(options: SimulateOptions) -> anyhow::Result<()> {
    anyhow::ensure!(options.count > 0, "how many nodes should be simulated? At least one");
    anyhow::bail!("no session yet")
}
