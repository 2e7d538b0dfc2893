//! A whole agent that answers names, asked from the namespace of an allocation, from the node, and from another machine.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::Mutex;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, PacketFlag, QTYPE, Question, ResourceRecord, TYPE};
use tarpan_model::alloc::NetworkStatus;
use tarpan_model::resources::AllocatedResources;
use tarpan_model::service::ServiceRegistration;
use tarpan_model::{Allocation, ClientStatus};

use super::*;
use crate::Agent;
use crate::agent_tests::{Fake, Home, PATIENCE, alloc_of, options, script};
use crate::network::namespace::within;
use crate::network::tests::alone;
use crate::test_support::job;

const GATEWAY: &str = "172.26.64.1:53";
/// How long somebody waits who is not to be answered.
const NEVER: Duration = Duration::from_millis(500);

fn question(name: &str, kind: TYPE) -> Vec<u8> {
    let mut query = Packet::new_query(7);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    query.questions.push(Question::new(Name::new(name).expect("a name"), QTYPE::TYPE(kind), CLASS::IN.into(), false));
    query.build_bytes_vec().expect("packed")
}

/// The answer's code and addresses; `None`: there is none.
fn shown(answer: &[u8]) -> String {
    let packet = Packet::parse(answer).expect("whole");
    let one = |r: &ResourceRecord<'_>| match &r.rdata {
        RData::A(a) => std::net::Ipv4Addr::from(a.address).to_string(),
        RData::SRV(srv) => format!("{}:{}", srv.target, srv.port),
        other => format!("{other:?}"),
    };
    let mut answers: Vec<String> = packet.answers.iter().map(one).collect();
    answers.sort();
    format!("{:?} {}", packet.rcode(), answers.join(" "))
}

fn datagram(from: Option<&File>, question: &[u8], patience: Duration) -> Option<String> {
    let call = || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(patience))?;
        socket.send_to(question, GATEWAY)?;
        let mut answer = vec![0; 4096];
        let len = socket.recv(&mut answer)?;
        Ok(shown(&answer[..len]))
    };
    from.map_or_else(call, |namespace| within(namespace, call)).ok()
}

fn stream(from: &File, question: &[u8]) -> Option<String> {
    let call = || {
        let mut stream = TcpStream::connect(GATEWAY)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&[&(question.len() as u16).to_be_bytes(), question].concat())?;
        let mut len = [0; 2];
        stream.read_exact(&mut len)?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut answer)?;
        Ok(shown(&answer))
    };
    within(from, call).ok()
}

/// The node's resolver: whatever it is asked, it answers one address, by datagrams; what it was asked is kept.
fn resolver() -> Arc<Mutex<Vec<String>>> {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let socket = UdpSocket::bind("127.0.0.2:53").expect("bound");
    let heard = asked.clone();
    std::thread::spawn(move || {
        let mut question = vec![0; 4096];
        while let Ok((len, from)) = socket.recv_from(&mut question) {
            let query = Packet::parse(&question[..len]).expect("whole");
            let name = query.questions[0].qname.clone();
            heard.lock().expect("held").push(name.to_string());
            let mut reply = Packet::new_reply(query.id());
            reply.questions = query.questions.clone();
            let address = std::net::Ipv4Addr::new(192, 0, 2, 1);
            reply.answers.push(ResourceRecord::new(name, CLASS::IN, 60, RData::A(address.into())));
            let _ = socket.send_to(&reply.build_bytes_vec().expect("packed"), from);
        }
    });
    asked
}

/// In place of the machine's own, for this test's mounts alone.
fn resolv_conf(home: &Home) {
    let file = home.path().join("resolv.conf");
    std::fs::write(&file, "nameserver 172.26.64.1\nnameserver 127.0.0.2\n").expect("written");
    let flags = nix::mount::MsFlags::MS_BIND;
    nix::mount::mount(Some(&file), "/etc/resolv.conf", None::<&str>, flags, None::<&str>).expect("mounted");
}

fn instance(of: &Allocation, address: &str, tag: &str) -> ServiceRegistration {
    ServiceRegistration {
        id: Arc::from(address),
        service_name: Arc::from("web"),
        namespace: of.namespace.clone(),
        node_id: of.node_id,
        datacenter: Arc::from("dc1"),
        job_id: of.job_id.clone(),
        alloc_id: of.id,
        tags: vec![tag.to_owned()],
        address: Arc::from(address),
        port: 8080,
        create_index: 0,
        modify_index: 0,
    }
}

#[test]
fn tasks_find_services_by_name_and_everything_else_as_their_node_does() {
    alone(|machines| {
        let runtime = tokio::runtime::Handle::current();
        let (fake, home) = (runtime.block_on(Fake::start()), Home::new());
        resolv_conf(&home);
        let asked = resolver();
        let agent = runtime.block_on(Agent::start(options(&fake, home.path()))).expect("starts");
        let mut alloc =
            alloc_of(job("web", "service", vec![script("web", "cat /proc/sys/kernel/ostype; exec sleep 600")]));
        let resources = AllocatedResources { network_mode: Arc::from("bridge"), ..(*alloc.resources).clone() };
        alloc.resources = Arc::new(resources);
        fake.instances.send_replace(vec![instance(&alloc, "10.0.0.1", "v1"), instance(&alloc, "10.0.0.2", "v2")]);
        let update = runtime.block_on(async {
            fake.order(&alloc).await;
            fake.status(&alloc, ClientStatus::Running).await
        });
        assert!(update.network_status.is_some_and(|s: Arc<NetworkStatus>| !s.address.is_empty()));
        let inside = File::open(home.path().join("client/netns").join(alloc.id.to_string())).expect("there");
        let from = Some(&inside);
        let web = question("web.service.nomad", TYPE::A);
        for (question, answer) in [
            (&web, "NoError 10.0.0.1 10.0.0.2"),
            (&question("v2.web.service.nomad", TYPE::A), "NoError 10.0.0.2"),
            (&question("_web._v1.service.nomad", TYPE::SRV), "NoError 0a000001.addr.nomad:8080"),
            (&question("0a000001.addr.nomad", TYPE::A), "NoError 10.0.0.1"),
            (&question("nothing.nomad", TYPE::A), "NameError "),
            (&question("example.org", TYPE::A), "NoError 192.0.2.1"),
        ] {
            assert_eq!(datagram(from, question, PATIENCE).as_deref(), Some(answer));
        }
        assert_eq!(*asked.lock().expect("held"), ["example.org"], "no name of the zone leaves the node");
        assert_eq!(stream(&inside, &web).as_deref(), Some("NoError 10.0.0.1 10.0.0.2"));
        assert_eq!(datagram(None, &web, PATIENCE).as_deref(), Some("NoError 10.0.0.1 10.0.0.2"), "the node itself");

        // Another machine that has a route here is nobody's resolver.
        within(&machines.other, || Ok(crate::network::tests::run("ip route add 172.26.64.0/20 via 10.98.0.1")))
            .expect("added");
        assert_eq!(datagram(Some(&machines.other), &web, NEVER), None);
        // Neither is an answer, nor what only begins like a question.
        let mut forged = web.clone();
        forged[2] |= 0x80;
        assert_eq!(datagram(from, &forged, NEVER), None);
        let mut many = web.clone();
        many[4..6].copy_from_slice(&u16::MAX.to_be_bytes());
        assert_eq!(datagram(from, &many, NEVER), None);

        // Without servers, what was heard last stands.
        fake.vanish();
        assert_eq!(datagram(from, &web, PATIENCE).as_deref(), Some("NoError 10.0.0.1 10.0.0.2"));
        runtime.block_on(agent.shutdown());
    });
}
