//! What the packet filter is told for bridge networks. Pure: texts of `iptables -S` in, texts for `iptables-restore` out.
//!
//! All of it stands in chains of our own, to which the kernel's lead; `NOMAD-ADMIN` is the operator's, who may refuse there
//! what we let through. Who a rule is for stands in its comment: that of a bridge begins with [`bridge_tag`], that of an
//! allocation with [`alloc_tag`] (docs/decisions/0031-bridge-networks.md).

use std::collections::BTreeMap;
use std::net::IpAddr;

use sha2::{Digest, Sha256};
use tarpan_model::AllocId;
use tarpan_model::resources::PortMapping;
use tarpan_model::subnet::Subnet;

use crate::options::BridgeOptions;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    Filter,
    Nat,
}

impl Table {
    pub const ALL: [Table; 2] = [Table::Filter, Table::Nat];

    pub fn name(self) -> &'static str {
        match self {
            Table::Filter => "filter",
            Table::Nat => "nat",
        }
    }
}

/// Rules as `iptables -S` lists them, by table.
pub type Present = BTreeMap<Table, Vec<String>>;

/// A chain of ours: where it is entered from, and for which packets.
struct Chain {
    table: Table,
    name: &'static str,
    from: &'static [&'static str],
    only: &'static str,
}

const FORWARD: &str = "TARPAN-FORWARD";
const INPUT: &str = "TARPAN-INPUT";
const PORTS: &str = "TARPAN-PORTS";
const LEAVING: &str = "TARPAN-LEAVING";
/// The operator's own: made where it is missing, never emptied. The field's name for it.
const ADMIN: &str = "NOMAD-ADMIN";

const CHAINS: [Chain; 5] = [
    Chain { table: Table::Filter, name: ADMIN, from: &[], only: "" },
    Chain { table: Table::Filter, name: FORWARD, from: &["FORWARD"], only: "" },
    Chain { table: Table::Filter, name: INPUT, from: &["INPUT"], only: "" },
    Chain { table: Table::Nat, name: PORTS, from: &["PREROUTING", "OUTPUT"], only: "-m addrtype --dst-type LOCAL " },
    Chain { table: Table::Nat, name: LEAVING, from: &["POSTROUTING"], only: "" },
];

/// A rule at the end of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    table: Table,
    chain: &'static str,
    matches: String,
    target: String,
}

fn rule(table: Table, chain: &'static str, matches: String, target: impl Into<String>) -> Rule {
    Rule { table, chain, matches, target: target.into() }
}

pub fn bridge_tag(bridge: &str) -> String {
    format!("tarpan-bridge:{bridge}:")
}

pub fn alloc_tag(owner: &str, id: AllocId) -> String {
    format!("{}{id}:", owner_tag(owner))
}

/// What the comments of all allocations of one agent begin with.
pub fn owner_tag(owner: &str) -> String {
    format!("tarpan:{owner}:")
}

/// The allocation that a listed rule is for.
pub fn alloc_of(line: &str, owner: &str) -> Option<AllocId> {
    let tag = owner_tag(owner);
    let rest = &line[line.find(&tag)? + tag.len()..];
    uuid::Uuid::parse_str(rest.get(..36)?).ok().map(AllocId)
}

/// What holds for everybody on the bridge, in one family.
///
/// Who reaches whom is as in the field: the bridge's allocations each other, everybody who is led here by a route or a mapped
/// port them, and they everybody. The node's loopback they do not reach, though mapped ports are reached from there.
pub fn of_bridge(options: &BridgeOptions, subnet: Subnet) -> Vec<Rule> {
    use Table::{Filter, Nat};
    let bridge = &options.name;
    let mut rules = vec![
        rule(Filter, FORWARD, String::new(), ADMIN),
        rule(Filter, FORWARD, format!("-o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED"), "ACCEPT"),
        rule(Filter, FORWARD, format!("-d {subnet} -o {bridge}"), "ACCEPT"),
        rule(Filter, FORWARD, format!("-s {subnet} -i {bridge}"), "ACCEPT"),
        // An allocation that asks for a mapped port of its bridge must be answered by way of the node: it waits for its address.
        rule(Nat, LEAVING, format!("-s {subnet} -o {bridge} -m conntrack --ctstate DNAT"), "MASQUERADE"),
        rule(Nat, LEAVING, format!("-s {subnet} -d {subnet}"), "RETURN"),
    ];
    let (everybody, loopback) = if subnet.is_ipv4() { ("224.0.0.0/4", "127.0.0.0/8") } else { ("ff00::/8", "::1/128") };
    rules.push(rule(Nat, LEAVING, format!("-s {subnet} -d {everybody}"), "RETURN"));
    rules.push(rule(Nat, LEAVING, format!("-s {subnet} ! -o {bridge}"), "MASQUERADE"));
    if subnet.is_ipv4() {
        rules.push(rule(Nat, LEAVING, format!("-s {loopback} -o {bridge}"), "MASQUERADE"));
        // Answers to who asked a mapped port from there come this way, too.
        let asked = "-m conntrack ! --ctstate RELATED,ESTABLISHED";
        rules.push(rule(Filter, INPUT, format!("-d {loopback} -i {bridge} {asked}"), "DROP"));
    }
    rules
}

/// The ports of an allocation, of the node to those at `address`. Errors are sentences.
pub fn of_ports(options: &BridgeOptions, ports: &[PortMapping], address: IpAddr) -> Vec<Rule> {
    let mut rules = Vec::new();
    for port in ports {
        let anywhere = options.wildcard && &*port.host_network == "default";
        let at = match port.host_ip.parse::<IpAddr>() {
            _ if anywhere => String::new(),
            Ok(ip) if ip.is_ipv4() == address.is_ipv4() => format!("-d {ip} "),
            // The port is of the other family.
            _ => continue,
        };
        let inside = if port.to == 0 { port.value } else { port.to };
        let to = if address.is_ipv4() { format!("{address}:{inside}") } else { format!("[{address}]:{inside}") };
        for protocol in ["tcp", "udp"] {
            let matches = format!("{at}-p {protocol} -m {protocol} --dport {}", port.value);
            rules.push(rule(Table::Nat, PORTS, matches, format!("DNAT --to-destination {to}")));
        }
    }
    rules
}

/// The first port whose address no rule of [`of_ports`] can be for, where an allocation has no address of that family.
pub fn unreachable<'a>(options: &BridgeOptions, ports: &'a [PortMapping], v6: bool) -> Option<&'a PortMapping> {
    ports.iter().find(|port| {
        let anywhere = options.wildcard && &*port.host_network == "default";
        !anywhere && !v6 && port.host_ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6())
    })
}

/// What makes the rules whose comment begins with `tag` exactly these; `None`: they are. Chains that are missing are made.
pub fn put(present: &Present, tag: &str, rules: &[Rule]) -> Option<String> {
    let mut change = Change::default();
    for chain in &CHAINS {
        change.enter(present, chain);
    }
    let digest = Sha256::digest(format!("{rules:?}"));
    let tag_of_these: String = tag.chars().chain(digest[..4].iter().flat_map(|b| hex(*b))).collect();
    for table in Table::ALL {
        let lines = || present.get(&table).into_iter().flatten().filter(|line| line.contains(tag));
        let wanted = || rules.iter().filter(move |r| r.table == table);
        if lines().count() == wanted().count() && lines().all(|line| line.contains(&tag_of_these)) {
            continue;
        }
        lines().for_each(|line| change.remove(table, line));
        for rule in wanted() {
            let comment = format!("-m comment --comment {tag_of_these}");
            let parts = ["-A", rule.chain, &rule.matches, &comment, "-j", &rule.target];
            change.say(table, parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "));
        }
    }
    change.text()
}

fn hex(byte: u8) -> [char; 2] {
    [byte >> 4, byte & 15].map(|half| char::from_digit(u32::from(half), 16).expect("below 16"))
}

/// What removes every rule that `which` is true for; `None`: there is none.
pub fn take(present: &Present, which: impl Fn(&str) -> bool) -> Option<String> {
    let mut change = Change::default();
    for (table, lines) in present {
        lines.iter().filter(|line| which(line)).for_each(|line| change.remove(*table, line));
    }
    change.text()
}

/// What removes those of our chains that hold nothing any more, and what leads to them; `None`: there are none.
pub fn take_empty_chains(present: &Present) -> Option<String> {
    let mut change = Change::default();
    for chain in &CHAINS {
        let lines = || present.get(&chain.table).into_iter().flatten();
        let begins = format!("-A {} ", chain.name);
        let leads = |line: &&String| line.ends_with(&format!("-j {}", chain.name));
        if !lines().any(|line| *line == format!("-N {}", chain.name)) || lines().any(|line| line.starts_with(&begins)) {
            continue;
        }
        let ours = |line: &&String| chain.from.iter().any(|from| line.starts_with(&format!("-A {from} ")));
        // Somebody else's rule leads to it.
        if lines().filter(leads).any(|line| !ours(&line)) {
            continue;
        }
        lines().filter(leads).for_each(|line| change.remove(chain.table, line));
        change.say(chain.table, format!("-X {}", chain.name));
    }
    change.text()
}

/// Lines for `iptables-restore --noflush`, by table: chains first.
#[derive(Default)]
struct Change {
    chains: BTreeMap<Table, Vec<String>>,
    rules: BTreeMap<Table, Vec<String>>,
}

impl Change {
    fn say(&mut self, table: Table, line: String) {
        self.rules.entry(table).or_default().push(line);
    }

    fn remove(&mut self, table: Table, line: &str) {
        let rule = line.strip_prefix("-A ").unwrap_or(line);
        self.say(table, format!("-D {rule}"));
    }

    /// Makes the chain and what leads to it. A chain that is there is not named: that would empty it.
    fn enter(&mut self, present: &Present, chain: &Chain) {
        let lines = || present.get(&chain.table).into_iter().flatten();
        if !lines().any(|line| *line == format!("-N {}", chain.name)) {
            self.chains.entry(chain.table).or_default().push(format!(":{} - [0:0]", chain.name));
        }
        for from in chain.from {
            let leads = |line: &String| {
                line.starts_with(&format!("-A {from} ")) && line.ends_with(&format!("-j {}", chain.name))
            };
            if !lines().any(leads) {
                self.say(
                    chain.table,
                    format!("-I {from} 1 {}-m comment --comment tarpan -j {}", chain.only, chain.name),
                );
            }
        }
    }

    fn text(self) -> Option<String> {
        let mut text = String::new();
        for table in Table::ALL {
            let (chains, rules) = (self.chains.get(&table), self.rules.get(&table));
            if chains.is_none() && rules.is_none() {
                continue;
            }
            text.push_str(&format!("*{}\n", table.name()));
            chains.into_iter().chain(rules).flatten().for_each(|line| {
                text.push_str(line);
                text.push('\n');
            });
            text.push_str("COMMIT\n");
        }
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn port(value: u16, to: u16, ip: &str, network: &str) -> PortMapping {
        let (host_ip, host_network) = (Arc::from(ip), Arc::from(network));
        PortMapping { label: Arc::from("p"), value, to, host_ip, host_network, ..PortMapping::default() }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// Matches and targets, without the words that all have.
    fn shown(rules: &[Rule]) -> Vec<String> {
        let one = |r: &Rule| format!("{} {}", r.matches, r.target.replace("DNAT --to-destination ", "-> "));
        rules.iter().filter(|r| !r.matches.contains("udp")).map(one).collect()
    }

    #[test]
    fn a_port_answers_at_its_networks_address_or_at_every_one() {
        let ports = [
            port(20_000, 80, "10.0.0.1", "default"),
            port(53, 0, "10.9.0.1", "private"),
            port(443, 443, "fd00::1", "six"),
        ];
        let everywhere = BridgeOptions::default();
        let narrow = BridgeOptions { wildcard: false, ..BridgeOptions::default() };
        let own = ip("172.26.64.2");
        assert_eq!(
            shown(&of_ports(&everywhere, &ports, own)),
            ["-p tcp -m tcp --dport 20000 -> 172.26.64.2:80", "-d 10.9.0.1 -p tcp -m tcp --dport 53 -> 172.26.64.2:53"]
        );
        assert_eq!(
            shown(&of_ports(&narrow, &ports, own))[0],
            "-d 10.0.0.1 -p tcp -m tcp --dport 20000 -> 172.26.64.2:80"
        );
        assert_eq!(
            shown(&of_ports(&narrow, &ports, ip("fd00:a::2"))),
            ["-d fd00::1 -p tcp -m tcp --dport 443 -> [fd00:a::2]:443"]
        );
        assert_eq!(unreachable(&everywhere, &ports, false).map(|p| p.value), Some(443));
        assert_eq!(unreachable(&everywhere, &ports, true), None);
    }

    /// What a table holds after a change, as far as this module makes changes.
    fn apply(present: &mut Present, text: &str) {
        let mut table = Table::Filter;
        for line in text.lines() {
            let lines = present.entry(table).or_default();
            match line.split(' ').next().expect("a word") {
                "*nat" => table = Table::Nat,
                "*filter" => table = Table::Filter,
                "COMMIT" => {}
                "-A" => lines.push(line.to_owned()),
                "-I" => lines.push(line.replacen("-I", "-A", 1).replacen(" 1 ", " ", 1)),
                "-D" | "-X" => {
                    let gone = line.replacen("-D", "-A", 1).replacen("-X", "-N", 1);
                    let at = lines.iter().position(|l| *l == gone).expect("what is removed is there");
                    lines.remove(at);
                }
                chain => lines.push(format!("-N {}", chain.trim_start_matches(':'))),
            }
        }
    }

    #[test]
    fn what_is_put_once_stays_what_changes_is_replaced_and_all_of_it_goes() {
        let options = BridgeOptions::default();
        let (bridge, first) = (bridge_tag("nomad"), AllocId(uuid::Uuid::from_u128(1)));
        let (mine, other) = (alloc_tag("0a", first), alloc_tag("0b", first));
        let theirs = "-A FORWARD -j DOCKER-USER".to_owned();
        let mut present = Present::from([(Table::Filter, vec!["-P FORWARD DROP".to_owned(), theirs])]);
        let before = present.clone();
        let ports = |value| of_ports(&options, &[port(value, 80, "10.0.0.1", "default")], ip("172.26.64.2"));
        for (tag, rules) in [(&bridge, of_bridge(&options, options.subnet)), (&mine, ports(1)), (&other, ports(2))] {
            let change = put(&present, tag, &rules).expect("something to do");
            apply(&mut present, &change);
            assert_eq!(put(&present, tag, &rules), None, "done");
        }
        assert_eq!(present[&Table::Nat].iter().filter_map(|l| alloc_of(l, "0a")).collect::<Vec<_>>(), [first; 2]);
        let change = put(&present, &mine, &ports(3)).expect("another port");
        assert_eq!(change.matches("-D ").count(), 2, "{change}");
        apply(&mut present, &change);
        assert_eq!(take_empty_chains(&present), None, "all of them hold something");
        for tag in [&mine, &other, &bridge] {
            let change = take(&present, |line| line.contains(tag)).expect("something to do");
            apply(&mut present, &change);
        }
        let change = take_empty_chains(&present).expect("nothing in them");
        apply(&mut present, &change);
        present.retain(|_, lines| !lines.is_empty());
        assert_eq!(present, before);
    }

    #[test]
    fn what_an_operator_put_into_the_admin_chain_stays() {
        let line = |text: &str| text.to_owned();
        let filter = vec![line("-N NOMAD-ADMIN"), line("-A NOMAD-ADMIN -s 10.6.6.6/32 -j DROP")];
        assert_eq!(take_empty_chains(&Present::from([(Table::Filter, filter)])), None);
        let used = vec![line("-N NOMAD-ADMIN"), line("-A INPUT -j NOMAD-ADMIN")];
        assert_eq!(take_empty_chains(&Present::from([(Table::Filter, used)])), None);
    }
}
