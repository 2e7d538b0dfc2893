//! Hostile names in everything that people name, then every page in a real browser.

use anyhow::Result;
use tarpan_end2end::browser::Browser;
use tarpan_end2end::{Agent, Lab, lab};

/// As the spec's, in the agent's own configuration.
const HOSTILE: &str = "</title></script><img/src=/x/onerror=pwn()>\\\"'><!--";

#[test]
fn names_are_text_on_every_page() -> Result<()> {
    let Some(browser) = Browser::find()? else { return Ok(()) };
    let lab = Lab::new()?;
    let ports = lab::free_ports(3)?;
    let config = format!(
        "name = \"node-{HOSTILE}\"\nports {{\n  http = {}\n  rpc = {}\n  serf = {}\n}}\n\
         client {{\n  node_class = \"{HOSTILE}\"\n  meta {{\n    plain = \"{HOSTILE}\"\n  }}\n}}\n\
         plugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n",
        ports[0], ports[1], ports[2]
    );
    let config = lab.file("hostile.hcl", &config)?.display().to_string();
    let mut agent = Agent::start(&lab, "hostile", ports[0], &["-dev", "-config", &config])?;
    agent.wait_nodes(1)?;
    browser.play(&lab, &agent, "hostile.spec.ts", lab.path(), &[])?;
    agent.stop()
}
