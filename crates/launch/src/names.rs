//! What this agent is known as: the hosts that requests to it may name.

use tarpan_config::AgentConfig;
use tarpan_config::sockaddr::Interfaces;
use tarpan_front::names::Names;

use crate::plan::{self, Addresses};

/// The agent's and the machine's names, what is advertised and listened on, and what the configuration adds.
///
/// Names that only DNS knows of this machine are not asked for: on a strange network, DNS says what its owner likes.
pub fn of_agent(config: &AgentConfig, addresses: &Addresses, machine: &Interfaces) -> Result<Names, String> {
    let mut own = vec![plan::name(config), host_of(&addresses.http_advertise), host_of(&addresses.rpc_advertise)];
    for all in [&config.advertise, &config.addresses] {
        for text in [&all.http, &all.rpc].into_iter().flatten() {
            let filled = machine.fill(text).map_err(|e| e.to_string())?;
            own.extend(filled.split_whitespace().map(host_of));
        }
    }
    if let Some(host) = nix::unistd::gethostname().ok().and_then(|n| n.into_string().ok()) {
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        own.extend(aliases(&hosts, &host));
        own.push(host);
    }
    Names::new(own.into_iter().filter(|n| !n.is_empty()), &config.http_allowed_hosts)
}

/// `host` of `host:port`.
fn host_of(text: &str) -> String {
    text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(text, |(host, _)| host).to_owned()
}

/// Other names of `host` in the text of a hosts file: where machines say their full names. Lines without it are about others,
/// even those with an address of ours: lists of unwanted sites look so.
fn aliases(hosts: &str, host: &str) -> Vec<String> {
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let names = lines.map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>());
    names.filter(|names| names.contains(&host)).flatten().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_has_the_names_that_it_tells_others() {
        let machine = Interfaces { addresses: Vec::new(), default: None };
        let mut config = AgentConfig { name: Some("Node-7".to_owned()), ..AgentConfig::default() };
        config.advertise.http = Some("tarpan.lan:80".to_owned());
        config.http_allowed_hosts = vec!["*.corp.example".to_owned()];
        let addresses = plan::addresses(&config, &machine).expect("addresses");
        let names = of_agent(&config, &addresses, &machine).expect("names");
        for name in ["node-7", "tarpan.lan", "a.corp.example", "127.0.0.1"] {
            assert!(names.know(name), "{name}");
        }
        assert!(!names.know("lan") && !names.know("evil.example"));
        config.http_allowed_hosts = vec!["https://a".to_owned()];
        let refused = of_agent(&config, &addresses, &machine).expect_err("no name");
        assert!(refused.starts_with("\"http_allowed_hosts\": \"https://a\" is no host name"), "{refused}");
    }

    #[test]
    fn hosts_files_know_full_names() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1 box.lan box # this\n127.0.0.1 ads.example\n#10.0.0.1 box.old box\n";
        assert_eq!(aliases(hosts, "box"), ["box.lan", "box"]);
        assert_eq!(host_of("[::1]:4646"), "[::1]");
        assert_eq!(host_of("a.b"), "a.b");
    }
}
