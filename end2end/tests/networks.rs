//! A server and two clients in namespaces of their own, and a group in bridge mode on each client: its mapped port is reached from other hosts,
//! its service is found by template and by name, over a cut link and a killed agent, and nothing of it is left in the hosts' tables.
//!
//! Needs root for namespaces and mounts, `ip`, `iptables`, `nsenter`: skipped without, a failure in CI.

#![allow(clippy::disallowed_methods, reason = "nothing here is async")]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tarpan_api::wire::Allocation;
use tarpan_api::{Query, calls};
use tarpan_end2end::lab::PATIENCE;
use tarpan_end2end::net::{Net, Room, apart, enter};
use tarpan_end2end::{Agent, Lab, eventually};

/// How long one question may take.
const SHORT: Duration = Duration::from_secs(2);
/// The port inside of the allocations' networks.
const INSIDE: u16 = 8080;

fn skip(what: &str, why: &str) -> Result<()> {
    let ci = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    ensure!(!ci, "{what}: {why}");
    println!("skipped: {what}: {why}");
    Ok(())
}

#[test]
fn groups_in_bridge_networks_are_reached_and_found_from_other_hosts() -> Result<()> {
    let lab = Lab::new()?;
    apart(lab.path(), |net| play(&lab, net))?.or_else(|why| skip("bridge networks on several hosts", &why))
}

/// A host with its agent. What is declared first ends first.
struct Host {
    agent: Agent,
    data: PathBuf,
    room: Room,
}

impl Host {
    fn start(lab: &Lab, room: Room, name: &str, role: &str) -> Result<Host> {
        let data = lab.path().join(name);
        let text =
            format!("name = \"{name}\"\ndata_dir = \"{}\"\nbind_addr = \"{}\"\n{role}", data.display(), room.addr);
        let config = lab.file(&format!("{name}.hcl"), &text)?.display().to_string();
        let http = format!("{}:4646", room.addr);
        let agent = Agent::launch(lab, name, room.place(), &http, &["-config", &config])?;
        Ok(Host { agent, data, room })
    }

    /// What the host's own tables show: rules, links, addresses.
    fn tables(&self) -> Result<String> {
        self.room.enter(|| {
            let lines = ["iptables -w -t filter -S", "iptables -w -t nat -S", "ip -o link show", "ip -o -4 addr show"];
            let one = |line: &str| -> Result<String> {
                let mut words = line.split(' ');
                let out =
                    Command::new(words.next().context("a program")?).args(words).output().context(line.to_owned())?;
                Ok(String::from_utf8_lossy(&out.stdout).into_owned())
            };
            Ok(lines.into_iter().map(one).collect::<Result<Vec<_>>>()?.concat())
        })
    }

    fn namespace(&self, alloc: &str) -> Result<File> {
        let path = self.data.join("client/netns").join(alloc);
        File::open(&path).with_context(|| format!("opening {}", path.display()))
    }
}

fn play(lab: &Lab, mut net: Net) -> Result<()> {
    let rooms = (0..3).map(|_| net.room()).collect::<Result<Vec<_>>>()?;
    let mut rooms = rooms.into_iter();
    let mut room = || rooms.next().context("three rooms");
    let server = Host::start(lab, room()?, "server", "server {\n  enabled = true\n  bootstrap_expect = 1\n}\n")?;
    let client = format!(
        "client {{\n  enabled = true\n  servers = [\"{}:4647\"]\n}}\nplugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n",
        server.room.addr
    );
    let mut clients =
        [Host::start(lab, room()?, "client-1", &client)?, Host::start(lab, room()?, "client-2", &client)?];
    server.agent.wait_nodes(2)?;
    let before = clients.iter().map(Host::tables).collect::<Result<Vec<_>>>()?;

    let api = &server.agent;
    let allocs = run_web(api)?;
    let served: Vec<Served> = clients.iter().zip(&allocs).map(|(c, a)| Served::begin(c, a)).collect::<Result<_>>()?;
    reached(&server, &clients, &served).context("at first")?;
    found(api, &clients, &served).context("at first")?;

    // The link of a client to its server is cut: what runs, and what is known, stays.
    clients[0].room.hears_not([&server.room])?;
    eventually("the server to miss the client", PATIENCE * 2, || {
        let nodes = api.ask(&calls::nodes(&Query::new()))?;
        Ok(nodes.iter().any(|node| node.name == "client-1" && node.status != "ready").then_some(()))
    })?;
    answered(&clients[0], &served[0], &served[0].host)?;
    reached(&clients[1], &clients, &served).context("cut off")?;
    clients[0].room.hears_all()?;
    api.wait_nodes(2)?;
    let mended = wait_web(api)?;

    // An agent is killed and comes back: its allocations and their networks are what they were.
    let served: Vec<Served> = clients.iter().zip(&mended).map(|(c, a)| Served::begin(c, a)).collect::<Result<_>>()?;
    clients[1].agent.kill9()?;
    reached(&server, &clients, &served).context("killed")?;
    clients[1].agent.start_again()?;
    server.agent.wait_nodes(2)?;
    let back = wait_web(&server.agent)?;
    ensure!(back[1].id == mended[1].id && address(&back[1])? == address(&mended[1])?, "it is another one");
    reached(&server, &clients, &served).context("killed and back")?;
    found(&server.agent, &clients, &served).context("killed and back")?;

    for job in ["web", "reader"] {
        server.agent.ok(&["job", "stop", "-purge", "-detach", job])?;
    }
    for (host, before) in clients.iter_mut().zip(&before) {
        eventually("nothing to be left of the allocations", PATIENCE, || {
            let tables = host.tables()?;
            Ok((!tables.contains("tarpan:") && !tables.contains(" tp")).then_some(()))
        })
        .with_context(|| host.tables().unwrap_or_default())?;
        host.agent.stop()?;
        let after = host.tables()?;
        ensure!(after == *before, "before:\n{before}\nafter:\n{after}");
    }
    Ok(())
}

/// One allocation a host, by the names of the hosts.
fn run_web(api: &Agent) -> Result<Vec<Allocation>> {
    let group = |tasks: serde_json::Value| {
        json!({
            "Name": "g", "EphemeralDisk": {"SizeMB": 150},
            "Networks": [{"Mode": "bridge", "DynamicPorts": [{"Label": "http", "To": INSIDE}]}],
            "Services": [{"Name": "web", "Provider": "nomad", "PortLabel": "http"}],
            "Tasks": [tasks]
        })
    };
    let sleep = json!({"command": "/bin/sleep", "args": ["100000"]});
    let task = json!({"Name": "t", "Driver": "raw_exec", "Config": sleep, "Resources": {"CPU": 20, "MemoryMB": 10}});
    let web = json!({"ID": "web", "Name": "web", "Type": "system", "Datacenters": ["*"], "TaskGroups": [group(task.clone())]});
    let mut reading = task;
    reading["Templates"] = json!([{
        "EmbeddedTmpl": "{{ range nomadService \"web\" }}{{ .Address }}:{{ .Port }}\n{{ end }}", "DestPath": "local/found", "ChangeMode": "noop"
    }]);
    let mut group = group(reading);
    group["Services"] = json!([]);
    let reader =
        json!({"ID": "reader", "Name": "reader", "Type": "system", "Datacenters": ["*"], "TaskGroups": [group]});
    for job in [web, reader] {
        api.ask(&calls::register_json(&Query::new(), &job, None))?;
    }
    running(api, "reader")?;
    wait_web(api)
}

fn wait_web(api: &Agent) -> Result<Vec<Allocation>> {
    running(api, "web")
}

/// The running allocations of a job on both hosts, by the names of the hosts, once the servers know their networks.
fn running(api: &Agent, job: &str) -> Result<Vec<Allocation>> {
    eventually(&format!("{job} to run on both hosts"), PATIENCE, || {
        let all = api.allocs(job)?.into_iter().filter(|a| a.client_status == "running" && a.desired_status == "run");
        let read = |id: &str| api.ask(&calls::allocation(&Query::new(), id));
        let mut all = all.map(|a| read(&a.id)).collect::<Result<Vec<_>>>()?;
        all.sort_by(|a, b| a.node_name.cmp(&b.node_name));
        Ok((all.len() == 2 && all.iter().all(|a| address(a).is_ok_and(|ip| !ip.is_empty()))).then_some(all))
    })
    .with_context(|| format!("{}\n{}", api.tasks_tail(), api.log_tail()))
}

fn address(alloc: &Allocation) -> Result<String> {
    Ok(alloc.network_status.as_ref().context("the network's status")?.address.clone())
}

/// An allocation in whose network somebody answers with the host's name.
struct Served {
    alloc: String,
    host: String,
    mapped: SocketAddr,
}

impl Served {
    fn begin(host: &Host, alloc: &Allocation) -> Result<Served> {
        let ports = &alloc.allocated_resources.as_ref().context("what it was given")?.shared.ports;
        let port = ports.iter().find(|p| p.label == "http").context("the port")?;
        let mapped = SocketAddr::new(port.host_ip.parse()?, u16::try_from(port.value)?);
        let name = alloc.node_name.clone();
        // From an earlier call it may be there.
        if let Ok(listener) = enter(&host.namespace(&alloc.id)?, || Ok(TcpListener::bind(("0.0.0.0", INSIDE))?)) {
            let name = name.clone();
            std::thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let _ = stream.write_all(name.as_bytes());
                }
            });
        }
        Ok(Served { alloc: alloc.id.clone(), host: name, mapped })
    }
}

fn answered(from: &Host, served: &Served, by: &str) -> Result<()> {
    let said = from.room.enter(|| {
        let mut stream = TcpStream::connect_timeout(&served.mapped, SHORT)?;
        stream.set_read_timeout(Some(SHORT))?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok(said)
    });
    let said = said.with_context(|| format!("asking {} for {}", served.mapped, served.host))?;
    ensure!(said == by, "{} is answered by {said:?}", served.mapped);
    Ok(())
}

/// Every mapped port answers a host that is not its own, and its own.
fn reached(from: &Host, clients: &[Host], served: &[Served]) -> Result<()> {
    for one in served {
        answered(from, one, &one.host)?;
        for client in clients {
            answered(client, one, &one.host)?;
        }
    }
    Ok(())
}

/// The service's instances of both hosts are found by template and by name, in the network of each host's reader.
fn found(api: &Agent, clients: &[Host], served: &[Served]) -> Result<()> {
    let wanted: BTreeSet<String> = served.iter().map(|s| s.mapped.to_string()).collect();
    let addresses: BTreeSet<String> = served.iter().map(|s| s.mapped.ip().to_string()).collect();
    for (client, reader) in clients.iter().zip(running(api, "reader")?) {
        let file = client.data.join("alloc").join(&reader.id).join("t/local/found");
        eventually("the template to have both", PATIENCE, || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            Ok((text.lines().map(str::to_owned).collect::<BTreeSet<_>>() == wanted).then_some(()))
        })?;
        let namespace = client.namespace(&reader.id)?;
        eventually("the name to have both", PATIENCE, || {
            let said = enter(&namespace, || names("web.service.nomad")).unwrap_or_default();
            Ok((said == addresses).then_some(()))
        })?;
    }
    ensure!(served.iter().all(|s| !s.alloc.is_empty()), "each has an id");
    Ok(())
}

/// Addresses (A) of a name, asked of the node's resolver in its bridge network.
fn names(name: &str) -> Result<BTreeSet<String>> {
    let mut question = b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    for label in name.split('.') {
        question.push(u8::try_from(label.len())?);
        question.extend(label.as_bytes());
    }
    question.extend(b"\x00\x00\x01\x00\x01");
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(SHORT))?;
    socket.send_to(&question, "172.26.64.1:53")?;
    let mut answer = [0; 1500];
    let len = socket.recv(&mut answer)?;
    let (count, mut rest) = (u16::from_be_bytes([answer[6], answer[7]]), &answer[question.len()..len]);
    let mut found = BTreeSet::new();
    for _ in 0..count {
        // A pointer to the name, type, class, time to live, and a length: twelve bytes, then an address of four.
        let (record, after) = rest.split_at_checked(16).context("an answer that is whole")?;
        found.insert(Ipv4Addr::new(record[12], record[13], record[14], record[15]).to_string());
        rest = after;
    }
    Ok(found)
}
