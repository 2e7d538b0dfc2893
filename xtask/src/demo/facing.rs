//! Where a demo can be reached: on this machine, unless somebody asks for more.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use tarpan_end2end::demo::Flavour;

/// The bridge of a Docker daemon on this machine: what has an address there is reached by containers and by this machine.
const BRIDGE: &str = "docker0";

/// Which addresses the agent and its jobs listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facing {
    /// All of it on loopback.
    Loopback,
    /// The agent on loopback; ports of containers where containers find them.
    Bridge,
    /// The agent on loopback; ports of containers on the default interface, because the bridge is not here.
    Ports,
    /// Everything on every interface.
    All,
}

impl Facing {
    pub fn of(flavour: Flavour, exposed: bool) -> Facing {
        let bridge = || Path::new("/sys/class/net").join(BRIDGE).exists();
        match (exposed, flavour) {
            (true, _) => Facing::All,
            (false, Flavour::RawExec) => Facing::Loopback,
            (false, Flavour::Docker) if bridge() => Facing::Bridge,
            (false, Flavour::Docker) => Facing::Ports,
        }
    }

    /// For the agent, behind `-dev`.
    pub fn arguments(self) -> Vec<String> {
        let bind = |address: &str| ["-bind".to_owned(), address.to_owned()];
        let default = "-network-interface={{ GetDefaultInterfaces | attr \"name\" }}".to_owned();
        match self {
            Facing::Loopback => bind("127.0.0.1").into(),
            Facing::Bridge => bind("127.0.0.1").into_iter().chain([format!("-network-interface={BRIDGE}")]).collect(),
            Facing::Ports => bind("127.0.0.1").into_iter().chain([default]).collect(),
            Facing::All => bind("0.0.0.0").into_iter().chain([default]).collect(),
        }
    }

    /// The agent's own.
    pub fn address(self) -> IpAddr {
        match self {
            Facing::All => Ipv4Addr::UNSPECIFIED.into(),
            _ => Ipv4Addr::LOCALHOST.into(),
        }
    }

    pub fn sentence(self) -> &'static str {
        match self {
            Facing::Loopback => "to nobody beyond this machine (-expose listens on every interface)",
            Facing::Bridge => "to this machine and its containers (-expose listens on every interface)",
            Facing::Ports => "the agent to this machine, ports of containers to your network",
            Facing::All => {
                "to everybody who reaches this machine: there is no access control, and who reaches port 4646 runs programs here"
            }
        }
    }

    /// What nobody should miss.
    pub fn notes(self) -> Vec<String> {
        match self {
            Facing::All => vec!["the agent listens on every interface, without access control".to_owned()],
            Facing::Ports => vec![format!("there is no interface {BRIDGE}: the jobs' ports are open to your network")],
            Facing::Loopback | Facing::Bridge => {
                vec![
                    "whoever has an account on this machine can start programs as you: there is no access control yet"
                        .to_owned(),
                ]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_exposed_unasked() {
        assert_eq!(Facing::of(Flavour::RawExec, false), Facing::Loopback);
        assert_eq!(Facing::of(Flavour::RawExec, true), Facing::All);
        assert_ne!(Facing::of(Flavour::Docker, false), Facing::All);
        for facing in [Facing::Loopback, Facing::Bridge, Facing::Ports] {
            assert!(facing.address().is_loopback() && facing.arguments()[1] == "127.0.0.1", "{facing:?}");
        }
        assert_eq!(Facing::Loopback.arguments(), ["-bind", "127.0.0.1"]);
    }
}
