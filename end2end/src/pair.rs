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
    let (server, mut clients) = several(lab, &["client"], client, more)?;
    Ok((server, clients.remove(0)))
}

/// The same with a client of each of these names; the node of the first is called `client-1`, and so on.
pub fn server_and_clients(lab: &Lab, names: &[&str]) -> Result<(Agent, Vec<Agent>)> {
    several(lab, names, "", "")
}

fn several(lab: &Lab, names: &[&str], inside: &str, beside: &str) -> Result<(Agent, Vec<Agent>)> {
    let p = free_ports(3 + 3 * names.len())?;
    let dir = lab.path().display();
    let server = format!(
        "name = \"server-1\"\ndata_dir = \"{dir}/server\"\nbind_addr = \"127.0.0.1\"\nports {{\n  http = {}\n  rpc = {}\n  serf = {}\n}}\nserver {{\n  enabled = true\n  bootstrap_expect = 1\n}}\n",
        p[0], p[1], p[2]
    );
    let server = lab.file("server.hcl", &server)?.display().to_string();
    let server = Agent::start(lab, "server", p[0], &["-config", &server])?;
    let mut clients = Vec::new();
    for (index, (name, own)) in names.iter().zip(p[3..].chunks(3)).enumerate() {
        let client = format!(
            "name = \"client-{}\"\ndata_dir = \"{dir}/{name}\"\nbind_addr = \"127.0.0.1\"\nports {{\n  http = {}\n  rpc = {}\n  serf = {}\n}}\nclient {{\n  enabled = true\n  servers = [\"127.0.0.1:{}\"]\n{inside}}}\nplugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n{beside}",
            index + 1,
            own[0],
            own[1],
            own[2],
            p[1]
        );
        let file = lab.file(&format!("{name}.hcl"), &client)?.display().to_string();
        clients.push(Agent::start(lab, name, own[0], &["-config", &file])?);
    }
    let log = || clients.iter().map(Agent::log_tail).collect::<Vec<_>>().join("\n");
    server.wait_nodes(names.len()).with_context(log)?;
    Ok((server, clients))
}
