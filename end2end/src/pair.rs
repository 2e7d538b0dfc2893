//! A server and a client as two processes, so that each can be killed alone.

use anyhow::{Context, Result};

use crate::agent::Agent;
use crate::lab::{Lab, free_ports};

/// Both on data directories of the lab: `server` and `client`.
pub fn server_and_client(lab: &Lab) -> Result<(Agent, Agent)> {
    server_and_client_with(lab, "", "")
}

/// The same with more in the client's configuration: `client` in the block of that name, `more` beside it.
pub fn server_and_client_with(lab: &Lab, client: &str, more: &str) -> Result<(Agent, Agent)> {
    let (inside, beside) = (client, more);
    let p = free_ports(6)?;
    let dir = lab.path().display();
    let server = format!(
        "name = \"server-1\"\ndata_dir = \"{dir}/server\"\nbind_addr = \"127.0.0.1\"\nports {{\n  http = {}\n  rpc = {}\n  serf = {}\n}}\nserver {{\n  enabled = true\n  bootstrap_expect = 1\n}}\n",
        p[0], p[1], p[2]
    );
    let client = format!(
        "name = \"client-1\"\ndata_dir = \"{dir}/client\"\nbind_addr = \"127.0.0.1\"\nports {{\n  http = {}\n  rpc = {}\n  serf = {}\n}}\nclient {{\n  enabled = true\n  servers = [\"127.0.0.1:{}\"]\n{inside}}}\nplugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n{beside}",
        p[3], p[4], p[5], p[1]
    );
    let server = lab.file("server.hcl", &server)?.display().to_string();
    let client = lab.file("client.hcl", &client)?.display().to_string();
    let server = Agent::start(lab, "server", p[0], &["-config", &server])?;
    let client = Agent::start(lab, "client", p[3], &["-config", &client])?;
    server.wait_nodes(1).with_context(|| client.log_tail())?;
    Ok((server, client))
}
