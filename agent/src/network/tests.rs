//! Real namespaces, links and rules, in a namespace that a test has for itself; a machine beside it is one more.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::rules::Present;
use super::*;
use crate::network::namespace::{own, within};

/// How long a packet that should arrive is waited for, on a busy machine; one that should not is waited for [`NEVER`].
const SOON: Duration = Duration::from_secs(20);
const NEVER: Duration = Duration::from_millis(1500);

/// The node's own address on the line to the other machine, and that one's.
const NODE: &str = "10.98.0.1";
const OTHER: &str = "10.98.0.2";
const NODE_V6: &str = "fd00:98::1";
const OTHER_V6: &str = "fd00:98::2";

/// Plays a test as the node of a network of its own. A machine that has none to give skips it with a sentence.
pub(crate) fn alone(test: impl FnOnce(&Machines) + Send) {
    let played = std::thread::scope(|scope| {
        let play = || -> Result<(), String> {
            let flags = nix::sched::CloneFlags::CLONE_NEWNET | nix::sched::CloneFlags::CLONE_NEWNS;
            nix::sched::unshare(flags).map_err(|e| format!("this process may not make namespaces: {e}"))?;
            let flags = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
            nix::mount::mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).map_err(|e| e.to_string())?;
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let runtime = runtime.map_err(|e| e.to_string())?;
            let _runtime = runtime.enter();
            let machines = Machines::new();
            rehearse(&BridgeOptions { subnet_v6: six(), ..BridgeOptions::default() })?;
            test(&machines);
            Ok(())
        };
        scope.spawn(play).join()
    });
    match played {
        Ok(Ok(())) => {}
        Ok(Err(why)) if std::env::var_os("CI").is_none_or(|ci| ci != "true") => eprintln!("skipped: {why}"),
        Ok(Err(why)) => panic!("{why}"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn six() -> Option<Subnet> {
    "fd00:a::/64".parse().ok()
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The node that the test is, and another machine on a line to it.
pub(crate) struct Machines {
    pub(crate) other: File,
}

impl Machines {
    fn new() -> Machines {
        let unshared = apart(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
            own()
        });
        let other = unshared.expect("a namespace");
        let mut netlink = Netlink::open().expect("opened");
        netlink.add_pair("line", ("line", mac(&[ip(OTHER)])), other.as_fd()).expect("made");
        up(&["lo", "line"], &[NODE, NODE_V6]);
        within(&other, || {
            up(&["lo", "line"], &[OTHER, OTHER_V6]);
            Ok(())
        })
        .expect("set up");
        Machines { other }
    }
}

fn up(links: &[&str], addresses: &[&str]) {
    let mut netlink = Netlink::open().expect("opened");
    for name in links {
        let link = netlink.link(name).expect("listed").expect("there");
        for address in addresses.iter().filter(|_| *name == "line") {
            let bits = if address.contains(':') { 64 } else { 24 };
            netlink.add_address(link.index, ip(address), bits).expect("given");
        }
        netlink.set_up(link.index).expect("up");
    }
}

fn bridged(id: AllocId) -> Wanted {
    Wanted { id, mode: Mode::Bridge, args: String::new(), ports: Vec::new(), before: None }
}

struct Node {
    networks: Networks,
    _dir: tempfile::TempDir,
}

impl Node {
    fn new(bridge: BridgeOptions) -> Node {
        let dir = tempfile::tempdir().expect("a directory");
        let networks = Networks::look(bridge, CniOptions::default(), dir.path());
        assert_eq!(networks.missing, None);
        Node { networks, _dir: dir }
    }

    fn make(&self, ports: &[PortMapping]) -> (AllocId, NetworkStatus) {
        let id = AllocId(uuid::Uuid::new_v4());
        let wanted = Wanted { ports: ports.to_vec(), ..bridged(id) };
        (id, self.networks.make(&wanted).expect("made"))
    }

    fn file(&self, id: AllocId) -> File {
        self.networks.namespaces.open(id).expect("there")
    }
}

fn port(value: u16, to: u16) -> PortMapping {
    PortMapping {
        label: Arc::from("http"),
        value,
        to,
        host_ip: Arc::from(NODE),
        host_network: Arc::from("default"),
        ..PortMapping::default()
    }
}

/// Answers everybody who comes with the address that he comes from.
fn serve(at: Option<&File>, port: u16) {
    let open = || TcpListener::bind((ip("::"), port));
    let listener = at.map_or_else(open, |namespace| within(namespace, open)).expect("listens");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let from = stream.peer_addr().expect("known").ip().to_canonical();
            let _ = (&stream).write_all(from.to_string().as_bytes());
        }
    });
}

/// Whom the server at `to` sees; `None`: nobody answers in time.
fn ask(from: Option<&File>, to: &str, patience: Duration) -> Option<String> {
    let to: SocketAddr = to.parse().expect("an address");
    let call = || {
        let mut stream = TcpStream::connect_timeout(&to, patience)?;
        stream.set_read_timeout(Some(patience))?;
        let mut seen = String::new();
        stream.read_to_string(&mut seen)?;
        Ok(seen)
    };
    from.map_or_else(call, |namespace| within(namespace, call)).ok()
}

pub(crate) fn run(line: &str) -> String {
    let mut words = line.split(' ');
    let out = std::process::Command::new(words.next().expect("a program")).args(words).output().expect("runs");
    assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// What the node's own tables show: rules, links, addresses.
fn tables() -> (Vec<Present>, Vec<String>) {
    let present = [Tables::V4, Tables::V6].map(|tables| tables.present().expect("listed"));
    let links = Netlink::open().expect("opened").links().expect("listed");
    (present.to_vec(), links.into_iter().map(|link| link.name).collect())
}

#[test]
fn ports_are_mapped_allocations_reach_everybody_and_nothing_is_left() {
    alone(|machines| {
        let other = Some(&machines.other);
        // As a container engine has it, and other careful machines.
        run("iptables -w -P FORWARD DROP");
        run("ip6tables -w -P FORWARD DROP");
        let before = tables();
        // With hairpin mode: the kernel may pass bridged frames through its tables, as container engines ask it to.
        let node = Node::new(BridgeOptions { subnet_v6: six(), hairpin: true, ..BridgeOptions::default() });
        assert_eq!(tables(), before, "looking changes nothing");
        let (web, at) = node.make(&[port(20_000, 80)]);
        let (client, of_client) = node.make(&[]);
        assert_eq!(at.interface_name, "eth0");
        assert!(
            node.networks.bridge.subnet.contains(ip(&at.address))
                && six().expect("it is").contains(ip(&at.address_ipv6))
        );
        assert_ne!(at.address, of_client.address);
        serve(Some(&node.file(web)), 80);
        serve(other, 81);
        serve(None, 82);
        let gateway = node.networks.bridge.subnet.gateway().to_string();
        let (web_ns, client_ns) = (node.file(web), node.file(client));
        for (what, from, to, seen) in [
            ("another machine by the mapped port", other, format!("{NODE}:20000"), OTHER),
            ("the same by IPv6", other, format!("[{NODE_V6}]:20000"), OTHER_V6),
            ("the node by its address", None, format!("{NODE}:20000"), NODE),
            ("the node by its loopback", None, "127.0.0.1:20000".to_owned(), &*gateway),
            ("the node by the allocation's own address", None, format!("{}:80", at.address), &*gateway),
            ("an allocation of the same bridge", Some(&client_ns), format!("{}:80", at.address), &*of_client.address),
            ("the same by IPv6", Some(&client_ns), format!("[{}]:80", at.address_ipv6), &*of_client.address_ipv6),
            (
                "an allocation of the same bridge by the mapped port",
                Some(&client_ns),
                format!("{NODE}:20000"),
                &*gateway,
            ),
            ("the allocation itself by its mapped port", Some(&web_ns), format!("{NODE}:20000"), &*gateway),
            ("an allocation asks another machine", Some(&client_ns), format!("{OTHER}:81"), NODE),
            ("the same by IPv6", Some(&client_ns), format!("[{OTHER_V6}]:81"), NODE_V6),
            ("an allocation asks the node", Some(&client_ns), format!("{NODE}:82"), &*of_client.address),
        ] {
            assert_eq!(ask(from, &to, SOON).as_deref(), Some(seen), "{what}: {to}");
        }
        for (what, from, to) in [
            ("a port that is not mapped", other, format!("{NODE}:80")),
            ("what has no ports", other, format!("{NODE}:20001")),
        ] {
            assert_eq!(ask(from, &to, NEVER), None, "{what}");
        }
        for id in [web, client] {
            node.networks.remove(id).expect("removed");
            assert!(!node.networks.namespace(id).exists());
            node.networks.remove(id).expect("twice is once");
        }
        assert_eq!(ask(other, &format!("{NODE}:20000"), NEVER), None, "the port is free again");
        node.networks.leave().expect("left");
        assert_eq!(tables(), before);
    });
}

/// A task may be root of its namespace: it sends what it likes to the bridge.
#[test]
fn the_nodes_loopback_is_out_of_reach() {
    alone(|_| {
        let node = Node::new(BridgeOptions::default());
        let (hostile, _) = node.make(&[]);
        let namespace = node.file(hostile);
        let gateway = node.networks.bridge.subnet.gateway();
        let inside = |line: &'static str| within(&namespace, move || Ok(run(line))).expect("entered");
        // 127.0.0.1 leads to the node there.
        inside("ip link set lo down");
        inside("ip route flush table local dev lo");
        inside("ip addr flush dev lo");
        std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "0").expect("the node's own is off");
        within(&namespace, || std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1")).expect("set");
        within(&namespace, || Ok(run(&format!("ip route add 127.0.0.1/32 via {gateway}")))).expect("added");
        serve(None, 8500);
        assert_eq!(ask(Some(&namespace), "127.0.0.1:8500", NEVER), None);
        // It was our rule that held it.
        run("iptables -w -F TARPAN-INPUT");
        assert!(ask(Some(&namespace), "127.0.0.1:8500", SOON).is_some(), "the way there is whole but for the rule");
    });
}

#[test]
fn what_is_there_is_taken_up_and_what_is_missing_is_made_again() {
    alone(|machines| {
        let other = Some(&machines.other);
        let dir = tempfile::tempdir().expect("a directory");
        let agent = || Networks::look(BridgeOptions::default(), CniOptions::default(), dir.path());
        let id = AllocId(uuid::Uuid::new_v4());
        let wanted = |before| Wanted { ports: vec![port(20_000, 80)], before, ..bridged(id) };
        let first = agent().make(&wanted(None)).expect("made");
        let listening = agent();
        serve(Some(&listening.namespaces.open(id).expect("there")), 80);
        let asked = || ask(other, &format!("{NODE}:20000"), SOON).is_some();
        assert!(asked());
        let (rules, links) = tables();
        assert_eq!(agent().make(&wanted(None)).as_ref(), Ok(&first), "a later agent");
        assert_eq!(tables(), (rules, links), "nothing was made anew");
        for harm in [
            "iptables -w -t nat -F TARPAN-PORTS",
            "iptables -w -F FORWARD",
            "iptables -w -t nat -F",
            &format!("ip link del {}", link_name(id)),
            &format!("ip link set {} nomaster", link_name(id)),
            "ip link del nomad",
            &format!("ip link set {} alias other", link_name(id)),
        ] {
            run(harm);
            assert_eq!(agent().make(&wanted(Some(first.clone()))).as_ref(), Ok(&first), "{harm}");
            assert!(asked(), "{harm}");
        }
        // The agent that made it notices by itself.
        let living = agent();
        living.make(&wanted(Some(first.clone()))).expect("taken up");
        assert_eq!(living.mend(), Ok(0), "all is there");
        for (harm, mended) in [
            ("iptables -w -t nat -F TARPAN-PORTS", 1),
            ("iptables -w -F TARPAN-FORWARD", 1),
            // What leads to our chains is nobody's in particular: whoever is looked at first misses it.
            ("iptables -w -t nat -F", 2),
            ("iptables -w -F", 2),
        ] {
            run(harm);
            assert_eq!(living.mend(), Ok(mended), "{harm}");
            assert!(asked(), "{harm}");
            assert_eq!(living.mend(), Ok(0), "{harm}: once is enough");
        }
        living.remove(id).expect("removed");
        run("iptables -w -t nat -F");
        assert_eq!(living.mend(), Ok(0), "nothing is wanted");
        agent().make(&wanted(Some(first.clone()))).expect("made");
        // As after a restart of the machine: files and records alone.
        agent().remove(id).expect("removed");
        std::fs::write(dir.path().join("netns").join(id.to_string()), "").expect("written");
        assert_eq!(agent().traces().expect("looked"), BTreeSet::from([id]));
        assert_eq!(agent().make(&wanted(Some(first.clone()))).as_ref(), Ok(&first));
        agent().remove(id).expect("removed");
        assert_eq!(agent().traces().expect("looked"), BTreeSet::new());
    });
}

#[test]
fn agents_of_one_machine_share_a_bridge_and_nothing_else() {
    alone(|_| {
        let small = BridgeOptions { subnet: "10.77.0.0/29".parse().expect("a range"), ..BridgeOptions::default() };
        let (one, two) = (Node::new(small.clone()), Node::new(small));
        let mut given: Vec<(AllocId, String)> = (0..3).map(|_| one.make(&[])).map(|(id, s)| (id, s.address)).collect();
        let theirs: Vec<(AllocId, String)> = (0..2).map(|_| two.make(&[])).map(|(id, s)| (id, s.address)).collect();
        let all: BTreeSet<&String> = given.iter().chain(&theirs).map(|(_, address)| address).collect();
        assert_eq!(all.len(), 5, "{all:?}");
        let wanted = bridged(AllocId(uuid::Uuid::new_v4()));
        let full = one.networks.make(&wanted).expect_err("none is left");
        assert!(full.contains("10.77.0.0/29 is taken"), "{full}");
        one.networks.remove(wanted.id).expect("removed");
        assert_eq!(one.networks.traces().expect("looked"), given.iter().map(|(id, _)| *id).collect());
        let (freed, address) = given.pop().expect("three");
        one.networks.remove(freed).expect("removed");
        assert_eq!(two.make(&[]).1.address, address, "the only free one");
        for (id, _) in given {
            one.networks.remove(id).expect("removed");
        }
        one.networks.leave().expect("left");
        assert!(Netlink::open().expect("opened").link("nomad").expect("listed").is_some(), "the other is still on it");
        assert_eq!(two.networks.traces().expect("looked").len(), 3);
    });
}

#[test]
fn what_the_configuration_says_is_so() {
    alone(|machines| {
        let other = Some(&machines.other);
        let bridge = BridgeOptions {
            name: "tasks0".to_owned(),
            subnet: "10.78.0.0/24".parse().expect("a range"),
            hairpin: true,
            wildcard: false,
            ..BridgeOptions::default()
        };
        let node = Node::new(bridge);
        let elsewhere = PortMapping { host_ip: Arc::from("127.0.0.1"), ..port(20_001, 80) };
        let (id, status) = node.make(&[port(20_000, 80), elsewhere]);
        assert!(status.address.starts_with("10.78.0.") && status.address_ipv6.is_empty(), "{status:?}");
        let shown = run(&format!("bridge -d link show dev {}", link_name(id)));
        assert!(shown.contains("master tasks0") && shown.contains("hairpin on"), "{shown}");
        serve(Some(&node.file(id)), 80);
        assert!(ask(other, &format!("{NODE}:20000"), SOON).is_some());
        assert!(ask(None, "127.0.0.1:20001", SOON).is_some());
        assert_eq!(ask(other, &format!("{NODE}:20001"), NEVER), None, "it is the loopback's");
        let six = PortMapping { host_ip: Arc::from(NODE_V6), ..port(20_002, 80) };
        let wanted = Wanted { ports: vec![six], ..bridged(AllocId(uuid::Uuid::new_v4())) };
        let refused = node.networks.make(&wanted).expect_err("there is no IPv6");
        assert!(refused.contains("client.bridge_network_subnet_ipv6"), "{refused}");

        let dir = tempfile::tempdir().expect("a directory");
        let networks = Networks::look(
            BridgeOptions { name: "line".to_owned(), ..BridgeOptions::default() },
            CniOptions::default(),
            dir.path(),
        );
        let wanted = bridged(id);
        let refused = networks.make(&wanted).expect_err("it is a line");
        assert!(refused.contains("\"line\" is no bridge but veth"), "{refused}");
    });
}

#[test]
fn a_node_says_what_it_has_and_what_it_lacks() {
    alone(|_| {
        let node = |networks: &Networks| {
            let mut node = tarpan_model::Node::new(tarpan_model::NodeId::NIL, "n", "dc1");
            networks.describe(&mut node);
            node
        };
        let whole = Node::new(BridgeOptions::default());
        let described = node(&whole.networks);
        assert_eq!(
            described.resources.networks.iter().map(|n| (&*n.mode, &*n.device)).collect::<Vec<_>>(),
            [("bridge", "nomad")]
        );
        assert_eq!(described.attributes.get("plugins.cni.version.bridge").map(|v| &**v), Some("1.1.0"));
        assert_eq!(described.attributes.get("nomad.bridge.hairpin_mode").map(|v| &**v), Some("false"));
        let missing = Some("there is no program \"iptables\" on this machine".to_owned());
        let less = Networks { missing, ..Node::new(BridgeOptions::default()).networks };
        let described = node(&less);
        assert!(
            described.resources.networks.is_empty() && !described.attributes.contains_key("plugins.cni.version.bridge")
        );
        assert!(described.attributes[MISSING_ATTRIBUTE].contains("iptables"));
        let wanted = bridged(AllocId(uuid::Uuid::new_v4()));
        let refused = less.make(&wanted).expect_err("it has none");
        assert!(refused.contains("this node has no bridge networks: there is no program"), "{refused}");
    });
}

#[test]
fn an_alias_says_whose_a_link_is() {
    let id = AllocId(uuid::Uuid::from_u128(7));
    let alias = Alias { owner: "0a".to_owned(), id, addresses: vec![ip("10.0.0.2"), ip("fd00::2")] };
    assert_eq!(Alias::read(&alias.text()), Some(alias));
    for other in ["", "tarpan-bridge", "tarpan:0a:x 10.0.0.2", "eth0 of somebody"] {
        assert_eq!(Alias::read(other), None, "{other}");
    }
}

/// Where this machine has plugins of CNI; `None` skips a test with a sentence.
fn plugins() -> Option<PathBuf> {
    let dirs = ["/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni"].map(PathBuf::from);
    let found = dirs.into_iter().find(|dir| ["bridge", "host-local", "portmap"].iter().all(|p| dir.join(p).is_file()));
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "the plugins of CNI are missing");
        eprintln!("skipped: this machine has no plugins of CNI (containernetworking-plugins)");
    }
    found
}

#[test]
fn plugins_of_cni_are_run_asked_and_give_back() {
    let Some(path) = plugins() else { return };
    alone(|machines| {
        let other = Some(&machines.other);
        let dir = tempfile::tempdir().expect("a directory");
        let (config, leases) = (dir.path().join("config"), dir.path().join("leases"));
        std::fs::create_dir(&config).expect("made");
        let list = serde_json::json!({"cniVersion": "0.4.0", "name": "lan", "plugins": [
            {"type": "bridge", "bridge": "lan0", "isGateway": true, "ipMasq": true, "ipam":
                {"type": "host-local", "dataDir": leases, "ranges": [[{"subnet": "10.79.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ]});
        std::fs::write(config.join("10-lan.conflist"), list.to_string()).expect("written");
        std::fs::write(config.join("20-broken.conf"), "{").expect("written");
        std::fs::write(config.join("notes.txt"), "{").expect("written");
        let agent = || {
            let cni = CniOptions { path: vec![dir.path().join("none"), path.clone()], config_dir: config.clone() };
            Networks::look(BridgeOptions::default(), cni, dir.path())
        };
        let networks = agent();
        let mut node = tarpan_model::Node::new(tarpan_model::NodeId::NIL, "n", "dc1");
        assert!(networks.describe(&mut node) && !networks.describe(&mut node));
        let modes: Vec<&str> = node.resources.networks.iter().map(|n| &*n.mode).collect();
        assert_eq!(modes, ["bridge", "cni/lan"]);
        assert!(node.attributes.contains_key("plugins.cni.version.host-device"), "{:?}", node.attributes);
        kernel::forward("lo", false).expect("packets are forwarded");

        let id = AllocId(uuid::Uuid::new_v4());
        let wanted = Wanted { mode: Mode::Cni("lan".to_owned()), ports: vec![port(20_000, 80)], ..bridged(id) };
        let status = networks.make(&wanted).expect("made");
        assert!(status.address.starts_with("10.79.0.") && status.interface_name == "eth0", "{status:?}");
        serve(Some(&networks.namespaces.open(id).expect("there")), 80);
        let asked = || ask(other, &format!("{NODE}:20000"), SOON).is_some();
        assert!(asked());
        // Bridge plugins before 1.3.0 take their own work for broken: the address may be another one then.
        agent().make(&wanted).expect("a later agent");
        assert!(asked());
        networks.namespaces.within(id, || Ok(run("ip link del eth0"))).expect("removed");
        let again = agent().make(&wanted).expect("made anew");
        assert!(again.address.starts_with("10.79.0.") && asked(), "{again:?}");
        assert_eq!(agent().traces().expect("looked"), BTreeSet::from([id]));
        assert!(leases.join("lan").join(&again.address).exists());
        agent().remove(id).expect("removed");
        assert!(!leases.join("lan").join(&again.address).exists(), "the address is given back");
        assert_eq!(agent().traces().expect("looked"), BTreeSet::new());

        let unknown = Wanted { mode: Mode::Cni("wan".to_owned()), ..bridged(id) };
        let refused = networks.make(&unknown).expect_err("there is none");
        assert!(refused.contains("no network \"wan\"") && refused.contains("20-broken.conf"), "{refused}");
        let lacking = r#"{"cniVersion": "1.0.0", "name": "wan", "type": "made-up"}"#;
        std::fs::write(config.join("30-wan.conf"), lacking).expect("written");
        let refused = networks.make(&unknown).expect_err("there is no such plugin");
        assert!(refused.contains("no plugin \"made-up\"") && refused.contains("client.cni_path"), "{refused}");
        assert!(networks.describe(&mut node), "a file that was added is seen");
    });
}

#[test]
fn a_group_without_a_network_has_its_loopback() {
    alone(|_| {
        let node = Node::new(BridgeOptions::default());
        let wanted = Wanted { mode: Mode::None, ..bridged(AllocId(uuid::Uuid::new_v4())) };
        assert_eq!(node.networks.make(&wanted).as_ref(), Ok(&NetworkStatus::default()));
        let namespace = node.file(wanted.id);
        serve(Some(&namespace), 80);
        assert_eq!(ask(Some(&namespace), "127.0.0.1:80", SOON).as_deref(), Some("127.0.0.1"));
        assert_eq!(ask(Some(&namespace), &format!("{NODE}:80"), NEVER), None);
        node.networks.remove(wanted.id).expect("removed");
    });
}
