//! Networks of allocations: a namespace of its own for each that asks for one, joined to a bridge of the node, to what an
//! operator configured for plugins ([`cni`]), or to nothing.
//!
//! [`Networks`] is what an agent has of it. What it makes is named after the allocation and says whose it is (the alias of its
//! link, the comments of its rules), so that the machine itself tells what is there, which addresses are taken, and what is
//! nobody's any more. Nothing is asked of programs but the packet filter's (docs/decisions/0031-bridge-networks.md).
//!
//! Calls block, and run on threads that may wait.

mod cni;
pub mod hosts;
mod kernel;
pub mod namespace;
mod netlink;
mod pool;
pub(crate) mod program;
mod rules;
mod tables;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};
use tarpan_model::alloc::NetworkStatus;
use tarpan_model::resources::{NodeNetwork, PortMapping};
use tarpan_model::subnet::Subnet;
use tarpan_model::{AllocId, Allocation, Node};

use self::cni::Cni;
pub use self::cni::args;
use self::namespace::{Namespaces, apart};
use self::netlink::{Link, Netlink};
use self::rules::Rule;
use self::tables::Tables;
use crate::options::{BridgeOptions, CniOptions};

/// The interface of an allocation, in its namespace.
const INTERFACE: &str = "eth0";
/// What the alias of a bridge that we made says: one that somebody else made is never removed.
const MADE: &str = "tarpan-bridge";
/// Why this node has no bridge networks; not there when it has.
const MISSING_ATTRIBUTE: &str = "unique.agent.bridge_network_missing";
/// What jobs ask of a node that is to run them in a bridge network, as plugins of these names would do it. All of it is built in.
const BUILT_IN: [&str; 5] = ["bridge", "firewall", "host-local", "loopback", "portmap"];
/// The version of the plugins' interface whose behaviour it has.
const BUILT_IN_VERSION: &str = "1.1.0";

/// What an allocation's namespace is joined to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Bridge,
    None,
    /// The name of a network of CNI.
    Cni(String),
}

/// `None`: the allocation has no network of its own.
pub fn mode(alloc: &Allocation) -> Option<Mode> {
    match &*alloc.resources.network_mode {
        "bridge" => Some(Mode::Bridge),
        "none" => Some(Mode::None),
        mode => mode.strip_prefix("cni/").map(|name| Mode::Cni(name.to_owned())),
    }
}

/// What an allocation asks for.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub id: AllocId,
    pub mode: Mode,
    /// What plugins are told beside their configuration: `CNI_ARGS`.
    pub args: String,
    pub ports: Vec<PortMapping>,
    /// The addresses it had before, where it had some: it gets them again if nobody has them.
    pub before: Option<NetworkStatus>,
}

/// The networks of one agent.
pub struct Networks {
    bridge: BridgeOptions,
    cni: Cni,
    /// Versions of the plugins that are there, by name.
    plugins: BTreeMap<String, String>,
    /// Sentences on files of CNI that are no networks, as last told.
    told: Mutex<Vec<String>>,
    /// In everything that is made: whose it is. Agents of one machine may share a bridge.
    owner: String,
    namespaces: Namespaces,
    /// Held by who makes or removes: what is free must stay so until it is taken.
    turn: Mutex<()>,
    /// Where the next free address is looked for.
    place: AtomicU64,
    /// Why there can be none, in a sentence.
    missing: Option<String>,
    /// What stands on the bridge by this agent: its rules are put back where others take them away.
    mapped: Mutex<BTreeMap<AllocId, (Vec<PortMapping>, NetworkStatus)>>,
}

impl Networks {
    /// Tries what it needs, in a namespace that goes at once. Called in a runtime, on a thread that may wait.
    pub fn look(bridge: BridgeOptions, cni: CniOptions, state_dir: &Path) -> Networks {
        let (missing, cni) = (rehearse(&bridge).err(), Cni::new(cni));
        Networks {
            plugins: cni.versions(),
            cni,
            told: Mutex::default(),
            owner: owner(state_dir),
            namespaces: Namespaces::new(state_dir),
            turn: Mutex::default(),
            place: AtomicU64::new(u64::from(rand::random::<u32>())),
            missing,
            bridge,
            mapped: Mutex::default(),
        }
    }

    /// Says what of it the node has now; whether that is something else than before.
    pub fn describe(&self, node: &mut Node) -> bool {
        let before = (node.attributes.clone(), node.resources.networks.clone());
        let mut set = |key: String, value: &str| drop(node.attributes.insert(Arc::from(key), Arc::from(value)));
        set("nomad.bridge.hairpin_mode".to_owned(), if self.bridge.hairpin { "true" } else { "false" });
        for plugin in BUILT_IN.iter().filter(|_| self.missing.is_none()) {
            set(format!("plugins.cni.version.{plugin}"), BUILT_IN_VERSION);
        }
        for (plugin, version) in &self.plugins {
            set(format!("plugins.cni.version.{plugin}"), version);
        }
        if let Some(missing) = &self.missing {
            set(MISSING_ATTRIBUTE.to_owned(), missing);
        }
        let networks = &mut node.resources.networks;
        networks.retain(|n| n.mode != "bridge" && !n.mode.starts_with("cni/"));
        if self.missing.is_none() {
            let (mode, device) = ("bridge".to_owned(), self.bridge.name.clone());
            networks.push(NodeNetwork { mode, device, ..NodeNetwork::default() });
        }
        for name in self.configured().into_keys() {
            networks.push(NodeNetwork { mode: format!("cni/{name}"), ..NodeNetwork::default() });
        }
        before != (node.attributes.clone(), node.resources.networks.clone())
    }

    /// Networks of CNI. What is wrong with the others is said once.
    fn configured(&self) -> BTreeMap<String, cni::config::Network> {
        let (networks, wrong) = self.cni.networks();
        let mut told = self.told.lock().expect("no panic while held");
        for sentence in wrong.iter().filter(|sentence| !told.contains(sentence)) {
            tracing::warn!("{sentence}");
        }
        *told = wrong;
        networks
    }

    /// The node's own addresses on the bridge, which tasks there reach; none where there are no bridge networks.
    pub fn gateways(&self) -> Vec<IpAddr> {
        self.subnets().filter(|_| self.missing.is_none()).map(|(_, subnet)| subnet.gateway()).collect()
    }

    /// Where the files are that lead to namespaces.
    pub fn dir(&self) -> &Path {
        self.namespaces.dir()
    }

    /// The file that leads to an allocation's namespace.
    pub fn namespace(&self, id: AllocId) -> PathBuf {
        self.namespaces.path(id)
    }

    /// Makes the network of an allocation, or takes up what is there of it. The error is a sentence.
    pub fn make(&self, wanted: &Wanted) -> Result<NetworkStatus, String> {
        match &wanted.mode {
            Mode::Bridge => self.make_bridged(wanted),
            Mode::None => self.alone(wanted.id).map(|()| NetworkStatus::default()),
            Mode::Cni(name) => self.make_configured(wanted, name),
        }
    }

    /// A namespace with its loopback.
    fn alone(&self, id: AllocId) -> Result<(), String> {
        let made = self.namespaces.make(id);
        made.map_err(|e| format!("making a network namespace: {e}"))?;
        let up = self.namespaces.within(id, || furnish(&[]).map_err(io::Error::other));
        up.map_err(|e| format!("setting up the network namespace: {}", crate::chain(&e)))
    }

    /// What there is of it and is not whole is taken back and made once more.
    fn make_configured(&self, wanted: &Wanted, name: &str) -> Result<NetworkStatus, String> {
        self.alone(wanted.id)?;
        let netns = self.namespaces.path(wanted.id);
        if let Some(call) = cni::Call::read(&netns) {
            match self.cni.check(&call) {
                Ok(status) => return Ok(status),
                Err(why) => tracing::warn!(alloc_id = %wanted.id, "the network is made anew: {why}"),
            }
            self.cni.delete(&call)?;
        }
        let network = self.configured().remove(name).ok_or_else(|| {
            let why = self.told.lock().expect("no panic while held").join("; ");
            let why = if why.is_empty() { why } else { format!(" ({why})") };
            format!("there is no network {name:?} of CNI in client.cni_config_dir{why}")
        })?;
        let wishes = cni::wishes(&wanted.ports, self.bridge.wildcard);
        let (id, args) = (wanted.id.to_string(), wanted.args.clone());
        self.cni.add(cni::Call { network, id, netns, args, wishes, result: None })
    }

    fn make_bridged(&self, wanted: &Wanted) -> Result<NetworkStatus, String> {
        if let Some(missing) = &self.missing {
            return Err(format!("this node has no bridge networks: {missing}"));
        }
        let v6 = self.bridge.subnet_v6.is_some();
        if let Some(port) = rules::unreachable(&self.bridge, &wanted.ports, v6) {
            let (label, ip) = (&port.label, &port.host_ip);
            return Err(format!(
                "port {label:?} is to answer at {ip}, and the node's bridge network has no IPv6: client.bridge_network_subnet_ipv6 gives it some"
            ));
        }
        let _turn = self.turn.lock().expect("no panic while held");
        let mut netlink = Netlink::open().map_err(said)?;
        let bridge = self.ensure_bridge(&mut netlink)?;
        let namespace = self.namespaces.make(wanted.id);
        namespace.map_err(|e| format!("making a network namespace: {e}"))?;
        let status = match self.standing(&mut netlink, bridge, wanted.id)? {
            Some(status) => status,
            None => self.connect(&mut netlink, bridge, wanted)?,
        };
        self.map_ports(wanted.id, &wanted.ports, &status)?;
        let mut mapped = self.mapped.lock().expect("no panic while held");
        mapped.insert(wanted.id, (wanted.ports.clone(), status.clone()));
        Ok(status)
    }

    /// Puts back the rules that somebody took away, as loading a firewall anew does: for how many that was necessary, the bridge
    /// counted as one. The error is a sentence.
    pub fn mend(&self) -> Result<usize, String> {
        let _turn = self.turn.lock().expect("no panic while held");
        let mapped = self.mapped.lock().expect("no panic while held").clone();
        if mapped.is_empty() {
            return Ok(0);
        }
        kernel::forward(&self.bridge.name, self.bridge.subnet_v6.is_some())?;
        let mut mended = BTreeSet::new();
        for (tables, subnet) in self.subnets() {
            let present = tables.present()?;
            let bridge = (rules::bridge_tag(&self.bridge.name), rules::of_bridge(&self.bridge, subnet));
            let of_allocs = mapped.iter().map(|(id, (ports, status))| {
                (rules::alloc_tag(&self.owner, *id), self.rules_of(ports, status, subnet))
            });
            for (tag, rules) in std::iter::once(bridge).chain(of_allocs) {
                if rules::put(&present, &tag, &rules).is_some() {
                    put(tables, &tag, &rules)?;
                    mended.insert(tag);
                }
            }
        }
        Ok(mended.len())
    }

    /// Removes everything of an allocation's network, however much of it there is. The error is a sentence.
    pub fn remove(&self, id: AllocId) -> Result<(), String> {
        // What plugins hold they give back while the namespace is there; if they can't, it is tried again later.
        if let Some(call) = cni::Call::read(&self.namespaces.path(id)) {
            self.cni.delete(&call)?;
        }
        let _turn = self.turn.lock().expect("no panic while held");
        self.mapped.lock().expect("no panic while held").remove(&id);
        let tag = rules::alloc_tag(&self.owner, id);
        let mut wrong = Vec::new();
        for tables in self.families() {
            let text = tables.present().map(|present| rules::take(&present, |line| line.contains(&tag)));
            wrong.extend(text.and_then(|text| text.map_or(Ok(()), |text| tables.change(text))).err());
        }
        let link = Netlink::open().and_then(|mut netlink| netlink.remove(&link_name(id)));
        wrong.extend(link.map_err(said).err());
        let namespace = self.namespaces.remove(id);
        wrong.extend(namespace.map_err(|e| format!("removing the network namespace: {e}")).err());
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }

    /// Allocations that the machine shows something of, by this agent or an earlier one: known or not.
    pub fn traces(&self) -> Result<BTreeSet<AllocId>, String> {
        let _turn = self.turn.lock().expect("no panic while held");
        let mut found: BTreeSet<AllocId> = self.namespaces.all().into_iter().collect();
        if self.missing.is_none() {
            let links = Netlink::open().and_then(|mut netlink| netlink.links()).map_err(said)?;
            let aliases = links.iter().filter_map(|link| Alias::read(&link.alias));
            found.extend(aliases.filter(|alias| alias.owner == self.owner).map(|alias| alias.id));
            for tables in self.families() {
                let present = tables.present()?;
                found.extend(present.values().flatten().filter_map(|line| rules::alloc_of(line, &self.owner)));
            }
        }
        Ok(found)
    }

    /// The agent ends: where nothing is on the bridge any more, it goes with everything that was made for it.
    pub fn leave(&self) -> Result<(), String> {
        let _turn = self.turn.lock().expect("no panic while held");
        if self.missing.is_some() {
            return Ok(());
        }
        let mut netlink = Netlink::open().map_err(said)?;
        let links = netlink.links().map_err(said)?;
        let Some(bridge) = links.iter().find(|l| l.name == self.bridge.name && l.alias == MADE) else { return Ok(()) };
        if links.iter().any(|l| l.master == bridge.index) {
            return Ok(());
        }
        let tag = rules::bridge_tag(&self.bridge.name);
        for tables in self.families() {
            if let Some(text) = rules::take(&tables.present()?, |line| line.contains(&tag)) {
                tables.change(text)?;
            }
            if let Some(text) = rules::take_empty_chains(&tables.present()?) {
                tables.change(text)?;
            }
        }
        netlink.remove(&self.bridge.name).map_err(said)
    }

    /// The subnets of the bridge with the tables of their family.
    fn subnets(&self) -> impl Iterator<Item = (Tables, Subnet)> {
        let v6 = self.bridge.subnet_v6.map(|subnet| (Tables::V6, subnet));
        std::iter::once((Tables::V4, self.bridge.subnet)).chain(v6)
    }

    fn families(&self) -> impl Iterator<Item = Tables> {
        self.subnets().map(|(tables, _)| tables).filter(|_| self.missing.is_none())
    }

    /// The bridge with its addresses, settings and rules; gives its index.
    fn ensure_bridge(&self, netlink: &mut Netlink) -> Result<u32, String> {
        let index = bridge(netlink, &self.bridge)?;
        kernel::forward(&self.bridge.name, self.bridge.subnet_v6.is_some())?;
        for (tables, subnet) in self.subnets() {
            put(tables, &rules::bridge_tag(&self.bridge.name), &rules::of_bridge(&self.bridge, subnet))?;
        }
        Ok(index)
    }

    /// What an allocation has, where its link is whole: on the bridge here, up and with its addresses there.
    fn standing(&self, netlink: &mut Netlink, bridge: u32, id: AllocId) -> Result<Option<NetworkStatus>, String> {
        let Some(link) = netlink.link(&link_name(id)).map_err(said)? else { return Ok(None) };
        let alias = Alias::read(&link.alias).filter(|a| a.id == id && a.owner == self.owner);
        let Some(alias) = alias.filter(|_| link.master == bridge && link.up) else { return Ok(None) };
        let inside = self.namespaces.within(id, || {
            let mut netlink = Netlink::open().map_err(io::Error::other)?;
            let Some(own) = netlink.link(INTERFACE).map_err(io::Error::other)? else { return Ok(Vec::new()) };
            netlink.addresses(own.index).map_err(io::Error::other)
        });
        let inside = inside.map_err(|e| format!("looking into the network namespace: {}", crate::chain(&e)))?;
        let whole =
            self.suits(&alias.addresses) && alias.addresses.iter().all(|ip| inside.iter().any(|(own, _)| own == ip));
        Ok(whole.then(|| status(&alias.addresses)))
    }

    /// One address of each of the bridge's ranges.
    fn suits(&self, addresses: &[IpAddr]) -> bool {
        let ranges = || self.subnets().map(|(_, subnet)| subnet);
        addresses.len() == ranges().count() && ranges().all(|range| addresses.iter().any(|ip| range.contains(*ip)))
    }

    /// Links the namespace to the bridge.
    fn connect(&self, netlink: &mut Netlink, bridge: u32, wanted: &Wanted) -> Result<NetworkStatus, String> {
        let name = link_name(wanted.id);
        netlink.remove(&name).map_err(said)?;
        let addresses = self.choose(&netlink.links().map_err(said)?, wanted.before.as_ref())?;
        let namespace = self.namespaces.open(wanted.id).map_err(|e| format!("opening the network namespace: {e}"))?;
        netlink.add_pair(&name, (INTERFACE, mac(&addresses)), namespace.as_fd()).map_err(said)?;
        crate::crash::point("network-linked");
        let index = netlink.link(&name).map_err(said)?.ok_or("a link that was just made is gone")?.index;
        let alias = Alias { owner: self.owner.clone(), id: wanted.id, addresses: addresses.clone() };
        netlink.set_alias(index, &alias.text()).map_err(said)?;
        netlink.set_master(index, bridge).map_err(said)?;
        netlink.set_hairpin(index, self.bridge.hairpin).map_err(said)?;
        netlink.set_up(index).map_err(said)?;
        let ranges: Vec<(IpAddr, Subnet)> = addresses.iter().copied().zip(self.subnets().map(|(_, s)| s)).collect();
        let inside = self.namespaces.within(wanted.id, || furnish(&ranges).map_err(io::Error::other));
        inside.map_err(|e| format!("setting up the network namespace: {}", crate::chain(&e)))?;
        Ok(status(&addresses))
    }

    /// One free address of each range, those of before if they are free.
    fn choose(&self, links: &[Link], before: Option<&NetworkStatus>) -> Result<Vec<IpAddr>, String> {
        let taken: BTreeSet<IpAddr> =
            links.iter().filter_map(|l| Alias::read(&l.alias)).flat_map(|a| a.addresses).collect();
        let before: Vec<IpAddr> =
            before.iter().flat_map(|s| [&s.address, &s.address_ipv6]).filter_map(|ip| ip.parse().ok()).collect();
        let one = |(_, subnet): (Tables, Subnet)| {
            if let Some(own) = before.iter().find(|ip| subnet.contains(**ip) && !taken.contains(ip)) {
                return Ok(*own);
            }
            let from = u128::from(self.place.load(Ordering::Relaxed));
            let (address, next) = pool::choose(subnet, &taken, from).ok_or_else(|| {
                format!(
                    "every address of the bridge network {subnet} is taken: client.bridge_network_subnet gives it more"
                )
            })?;
            self.place.store(next as u64, Ordering::Relaxed);
            Ok(address)
        };
        self.subnets().map(one).collect()
    }

    fn map_ports(&self, id: AllocId, ports: &[PortMapping], status: &NetworkStatus) -> Result<(), String> {
        let tag = rules::alloc_tag(&self.owner, id);
        self.subnets().try_for_each(|(tables, subnet)| put(tables, &tag, &self.rules_of(ports, status, subnet)))
    }

    /// The rules of an allocation's ports, in the family of one of the bridge's ranges.
    fn rules_of(&self, ports: &[PortMapping], status: &NetworkStatus, subnet: Subnet) -> Vec<Rule> {
        let own = [&status.address, &status.address_ipv6].into_iter().filter_map(|ip| ip.parse::<IpAddr>().ok());
        own.filter(|ip| subnet.contains(*ip)).flat_map(|ip| rules::of_ports(&self.bridge, ports, ip)).collect()
    }

    /// Those of another agent, by its state directory: to remove what it left when it is no more.
    pub fn of_another(&self, state_dir: &Path) -> Networks {
        Networks {
            bridge: self.bridge.clone(),
            cni: self.cni.clone(),
            plugins: BTreeMap::new(),
            told: Mutex::default(),
            owner: owner(state_dir),
            namespaces: Namespaces::new(state_dir),
            turn: Mutex::default(),
            place: AtomicU64::new(0),
            missing: self.missing.clone(),
            mapped: Mutex::default(),
        }
    }
}

/// What tells one agent of a machine from others.
fn owner(state_dir: &Path) -> String {
    let digest = Sha256::digest(state_dir.as_os_str().as_encoded_bytes());
    digest[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn said(error: netlink::Error) -> String {
    crate::chain(&error)
}

fn put(tables: Tables, tag: &str, rules: &[Rule]) -> Result<(), String> {
    rules::put(&tables.present()?, tag, rules).map_or(Ok(()), |text| tables.change(text))
}

fn status(addresses: &[IpAddr]) -> NetworkStatus {
    let of = |v4: bool| addresses.iter().find(|ip| ip.is_ipv4() == v4).map(IpAddr::to_string).unwrap_or_default();
    NetworkStatus { interface_name: INTERFACE.to_owned(), address: of(true), address_ipv6: of(false) }
}

/// The node's end of an allocation's link. Interfaces have names of at most 15 bytes.
fn link_name(id: AllocId) -> String {
    let digits = id.0.simple().to_string();
    format!("tp{}", &digits[..12])
}

/// The hardware address of whoever has these on a bridge: the next one who has them is found by who remembers it.
fn mac(addresses: &[IpAddr]) -> [u8; 6] {
    let v4 = addresses.iter().find_map(|ip| if let IpAddr::V4(v4) = ip { Some(v4.octets()) } else { None });
    let [a, b, c, d] = v4.unwrap_or_default();
    // Of those that everybody may give himself.
    [0x02, 0x74, a, b, c, d]
}

/// Makes the bridge where it is missing, and gives it its addresses; gives its index.
fn bridge(netlink: &mut Netlink, options: &BridgeOptions) -> Result<u32, String> {
    let name = &options.name;
    let found = netlink.link(name).map_err(said)?;
    let link = match found {
        Some(link) if link.kind == "bridge" => link,
        Some(link) => {
            let kind = if link.kind.is_empty() { "an interface of the machine" } else { &link.kind };
            return Err(format!("{name:?} is no bridge but {kind}: client.bridge_network_name names another"));
        }
        None => {
            // Its own, not that of its first port, which changes when that goes.
            netlink.add_bridge(name, mac(&[options.subnet.gateway()])).map_err(said)?;
            let made = netlink.link(name).map_err(said)?.ok_or("a bridge that was just made is gone")?;
            netlink.set_alias(made.index, MADE).map_err(said)?;
            made
        }
    };
    for subnet in std::iter::once(options.subnet).chain(options.subnet_v6) {
        netlink.add_address(link.index, subnet.gateway(), subnet.bits()).map_err(said)?;
    }
    netlink.set_up(link.index).map_err(said)?;
    Ok(link.index)
}

/// Addresses and routes of a namespace, from within.
fn furnish(ranges: &[(IpAddr, Subnet)]) -> Result<(), netlink::Error> {
    let mut netlink = Netlink::open()?;
    for link in netlink.links()?.iter().filter(|l| l.name == "lo" || l.name == INTERFACE) {
        netlink.set_up(link.index)?;
        if link.name == INTERFACE {
            for (address, subnet) in ranges {
                netlink.add_address(link.index, *address, subnet.bits())?;
                netlink.add_default_route(link.index, subnet.gateway())?;
            }
        }
    }
    Ok(())
}

/// What the alias of an allocation's link says: the machine's own record of who has which address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Alias {
    owner: String,
    id: AllocId,
    addresses: Vec<IpAddr>,
}

impl Alias {
    fn text(&self) -> String {
        let addresses: Vec<String> = self.addresses.iter().map(IpAddr::to_string).collect();
        format!("{}{} {}", rules::owner_tag(&self.owner), self.id, addresses.join(" "))
    }

    fn read(text: &str) -> Option<Alias> {
        let (owner, rest) = text.strip_prefix("tarpan:")?.split_once(':')?;
        let mut words = rest.split(' ');
        let id = AllocId(uuid::Uuid::parse_str(words.next()?).ok()?);
        let addresses = words.map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Alias { owner: owner.to_owned(), id, addresses })
    }
}

/// Makes a bridge, a pair of links and every kind of rule where nobody sees it. The error says what the machine lacks.
fn rehearse(options: &BridgeOptions) -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("the agent does not run as root".to_owned());
    }
    kernel::can_forward()?;
    let runtime = tokio::runtime::Handle::current();
    let played = apart(|| {
        let _runtime = runtime.enter();
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
        Ok(play(options))
    });
    played.map_err(|error| format!("it can't make network namespaces: {error}"))?
}

fn play(options: &BridgeOptions) -> Result<(), String> {
    let mut netlink = Netlink::open().map_err(said)?;
    bridge(&mut netlink, options)?;
    let own = namespace::own().map_err(|e| format!("opening a namespace: {e}"))?;
    netlink.add_pair("tp", (INTERFACE, mac(&[options.subnet.gateway()])), own.as_fd()).map_err(said)?;
    let port = PortMapping { value: 1, host_network: Arc::from("default"), ..PortMapping::default() };
    for (tables, subnet) in [(Tables::V4, Some(options.subnet)), (Tables::V6, options.subnet_v6)] {
        let Some(subnet) = subnet else { continue };
        put(tables, "tarpan-bridge:", &rules::of_bridge(options, subnet))?;
        put(tables, "tarpan:", &rules::of_ports(options, std::slice::from_ref(&port), subnet.gateway()))?;
    }
    Ok(())
}
