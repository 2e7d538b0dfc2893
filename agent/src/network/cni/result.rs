//! What plugins of CNI answer. Pure.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;
use tarpan_model::alloc::NetworkStatus;

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Answer {
    interfaces: Vec<Interface>,
    ips: Vec<Ip>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Interface {
    name: String,
    /// Empty: it is one of the node.
    sandbox: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ip {
    /// With its bits, such as `10.0.0.2/24`.
    address: String,
    interface: Option<usize>,
}

/// The first interface of the namespace, by name, that has an address. What is not understood gives none.
pub fn status(result: &Value) -> NetworkStatus {
    let Answer { interfaces, ips } = Answer::deserialize(result).unwrap_or_default();
    let mut inside: Vec<(usize, &Interface)> =
        interfaces.iter().enumerate().filter(|(_, interface)| !interface.sandbox.is_empty()).collect();
    inside.sort_by(|a, b| a.1.name.cmp(&b.1.name));
    let of = |index: usize| {
        let own = ips.iter().filter(move |ip| ip.interface.is_none_or(|i| i == index));
        own.filter_map(|ip| ip.address.split('/').next()?.parse::<IpAddr>().ok()).collect::<Vec<_>>()
    };
    let found = inside.into_iter().map(|(index, interface)| (interface, of(index))).find(|(_, ips)| !ips.is_empty());
    let Some((interface, ips)) = found else { return NetworkStatus::default() };
    let first = |v4: bool| ips.iter().find(|ip| ip.is_ipv4() == v4).map(IpAddr::to_string);
    let (v4, v6) = (first(true), first(false));
    NetworkStatus {
        interface_name: interface.name.clone(),
        // In the field the address is the IPv6 one where there is no other.
        address: v4.or_else(|| v6.clone()).unwrap_or_default(),
        address_ipv6: v6.unwrap_or_default(),
    }
}

/// What went wrong, in a plugin's own words where it has some.
pub fn failure(out: &str, err: &str) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Failure {
        msg: String,
        details: String,
    }
    let told: Failure = serde_json::from_str(out).unwrap_or_default();
    let words = [told.msg, told.details].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(": ");
    let plain =
        || [out, err].into_iter().map(str::trim).find(|t| !t.is_empty()).unwrap_or("it says nothing").to_owned();
    if words.is_empty() { plain() } else { words }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_interface_with_an_address_counts() {
        let interfaces = json!([
            {"name": "cni0"}, {"name": "veth1"}, {"name": "net1", "sandbox": "/n"}, {"name": "eth0", "sandbox": "/n"}
        ]);
        for (ips, interface, address, v6) in [
            (
                json!([{"address": "10.0.0.9/24", "interface": 3}, {"address": "10.1.0.9/24", "interface": 2}]),
                "eth0",
                "10.0.0.9",
                "",
            ),
            (json!([{"address": "10.1.0.9/24", "interface": 2}]), "net1", "10.1.0.9", ""),
            (json!([{"address": "fd00::9/64", "interface": 3}]), "eth0", "fd00::9", "fd00::9"),
            (json!([{"address": "10.0.0.9/24"}, {"address": "fd00::9/64"}]), "eth0", "10.0.0.9", "fd00::9"),
            (json!([{"address": "10.0.0.9/24", "interface": 0}]), "", "", ""),
            (json!("nonsense"), "", "", ""),
        ] {
            let status = status(&json!({"interfaces": interfaces, "ips": ips}));
            assert_eq!(
                (&*status.interface_name, &*status.address, &*status.address_ipv6),
                (interface, address, v6),
                "{ips}"
            );
        }
    }

    #[test]
    fn what_a_plugin_says_of_its_failure() {
        let told = r#"{"code": 7, "msg": "no room", "details": "in 10.0.0.0/30"}"#;
        assert_eq!(failure(told, "log"), "no room: in 10.0.0.0/30");
        assert_eq!(failure("", "panic at line 1\n"), "panic at line 1");
        assert_eq!(failure("", ""), "it says nothing");
    }
}
