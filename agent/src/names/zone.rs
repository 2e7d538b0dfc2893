//! What is asked in the zone `nomad`, and what is answered. Pure: instances and chance are handed in.
//!
//! Names are those that users of Consul know, with another end: `<service>.service.nomad`, `<tag>.<service>.service.nomad` and
//! `_<service>._<tag>.service.nomad` (`_tcp` and `_udp` are no tags) for services, `<hex>.addr.nomad` for what `SRV` points to.

use std::net::IpAddr;

use rand::seq::SliceRandom;
use simple_dns::rdata::{CNAME, RData, SOA, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE};
use tarpan_model::service::ServiceRegistration;

/// Seconds that an answer may be kept: none, as instances come and go.
const TTL: u32 = 0;
/// What fits into a datagram for whoever says nothing of it, and for anybody.
const PLAIN: usize = 512;
const LARGEST: usize = 1232;

/// What a name asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Service {
        name: String,
        tag: Option<String>,
    },
    Address(IpAddr),
    /// In the zone, and nothing of ours.
    Nothing,
    /// In somebody else's zone.
    Elsewhere,
}

pub fn ask(name: &Name<'_>) -> Ask {
    let labels: Vec<String> =
        name.as_bytes().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let Some(("nomad", rest)) = labels.split_last().map(|(last, rest)| (*last, rest)) else { return Ask::Elsewhere };
    let Some((kind, rest)) = rest.split_last() else { return Ask::Nothing };
    match (*kind, rest) {
        ("service", [service, tag]) if service.starts_with('_') && tag.starts_with('_') => {
            let tag = Some(tag[1..].to_owned()).filter(|t| t != "tcp" && t != "udp");
            Ask::Service { name: service[1..].to_owned(), tag }
        }
        ("service", [tags @ .., service]) => {
            let tag = Some(tags.join(".")).filter(|t| !t.is_empty());
            Ask::Service { name: (*service).to_owned(), tag }
        }
        ("addr", [hex]) => address(hex).map_or(Ask::Nothing, Ask::Address),
        _ => Ask::Nothing,
    }
}

fn address(hex: &str) -> Option<IpAddr> {
    let plain = hex.bytes().all(|b| b.is_ascii_hexdigit());
    match hex.len() {
        8 if plain => Some(IpAddr::from(u32::from_str_radix(hex, 16).ok()?.to_be_bytes())),
        32 if plain => Some(IpAddr::from(u128::from_str_radix(hex, 16).ok()?.to_be_bytes())),
        _ => None,
    }
}

fn address_name(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => format!("{:08x}.addr.nomad", u32::from(v4)),
        IpAddr::V6(v6) => format!("{:032x}.addr.nomad", u128::from(v6)),
    }
}

/// Answers what is asked of a service. `instances`: all of it that the servers know; in the order that chance gives them.
pub fn of_service(query: &Packet<'_>, tag: Option<&str>, instances: &[ServiceRegistration], room: Room) -> Vec<u8> {
    let Some(question) = query.questions.first() else { return refused(query, RCODE::FormatError) };
    let tagged = |i: &&ServiceRegistration| tag.is_none_or(|tag| i.tags.iter().any(|t| t.eq_ignore_ascii_case(tag)));
    let mut found: Vec<&ServiceRegistration> = instances.iter().filter(tagged).collect();
    found.shuffle(&mut rand::rng());
    let (mut answers, mut more) = (Vec::new(), Vec::new());
    for instance in &found {
        let ip = instance.address.parse::<IpAddr>();
        match ip {
            Ok(ip) => answers.extend(record(&question.qname, question, ip)),
            // A service may be said to be at a name of somebody else's zone.
            Err(_) if wants(question, TYPE::A) || wants(question, TYPE::AAAA) => {
                let target = Name::new(&instance.address).map(Name::into_owned);
                answers.extend(target.ok().map(|t| own(&question.qname, RData::CNAME(CNAME(t)))));
            }
            Err(_) => {}
        }
        if wants(question, TYPE::SRV) {
            let target = ip.as_ref().map_or_else(|_| instance.address.to_string(), |ip| address_name(*ip));
            let Ok(target) = Name::new(&target).map(Name::into_owned) else { continue };
            if let Ok(ip) = ip {
                more.push(own(&target, data(ip)));
            }
            let srv = SRV { priority: 1, weight: 1, port: instance.port, target };
            answers.push(own(&question.qname, RData::SRV(srv)));
        }
    }
    // One name has one other name at most, and nothing beside it.
    if let Some(at) = answers.iter().position(|a| matches!(a.rdata, RData::CNAME(_))) {
        let addresses = answers.iter().any(|a| !matches!(a.rdata, RData::CNAME(_)));
        match addresses {
            true => answers.retain(|a| !matches!(a.rdata, RData::CNAME(_))),
            false => answers = vec![answers.swap_remove(at)],
        }
    }
    let code = if found.is_empty() { RCODE::NameError } else { RCODE::NoError };
    reply(query, code, answers, more, room)
}

pub fn of_address(query: &Packet<'_>, ip: IpAddr, room: Room) -> Vec<u8> {
    let Some(question) = query.questions.first() else { return refused(query, RCODE::FormatError) };
    let answers = record(&question.qname, question, ip).into_iter().collect();
    reply(query, RCODE::NoError, answers, Vec::new(), room)
}

/// There is no such name.
pub fn nothing(query: &Packet<'_>, room: Room) -> Vec<u8> {
    reply(query, RCODE::NameError, Vec::new(), Vec::new(), room)
}

/// Nothing is known, and why is said by the code.
pub fn refused(query: &Packet<'_>, code: RCODE) -> Vec<u8> {
    bytes(&head(query, code))
}

/// How large an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// As much as the asker says that it takes.
    Datagram,
    Stream,
}

fn wants(question: &Question<'_>, kind: TYPE) -> bool {
    matches!(question.qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY)
        && (question.qtype == QTYPE::TYPE(kind) || question.qtype == QTYPE::ANY)
}

fn data(ip: IpAddr) -> RData<'static> {
    match ip {
        IpAddr::V4(v4) => RData::A(v4.into()),
        IpAddr::V6(v6) => RData::AAAA(v6.into()),
    }
}

fn own<'a>(name: &Name<'a>, data: RData<'a>) -> ResourceRecord<'a> {
    ResourceRecord::new(name.clone(), CLASS::IN, TTL, data)
}

/// The address, where one of its family is asked for.
fn record<'a>(name: &Name<'a>, question: &Question<'_>, ip: IpAddr) -> Option<ResourceRecord<'a>> {
    let kind = if ip.is_ipv4() { TYPE::A } else { TYPE::AAAA };
    wants(question, kind).then(|| own(name, data(ip)))
}

fn head<'a>(query: &Packet<'a>, code: RCODE) -> Packet<'a> {
    let mut reply = Packet::new_reply(query.id());
    *reply.rcode_mut() = code;
    reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER | PacketFlag::RECURSION_AVAILABLE);
    if query.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    reply.questions = query.questions.iter().take(1).cloned().collect();
    reply
}

fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    packet.build_bytes_vec_compressed().unwrap_or_default()
}

/// Who gets no answer is told whose zone it is, so that it keeps that no longer than an answer. What does not fit is left out:
/// first what nobody asked for, then answers, which is said.
fn reply<'a>(
    query: &Packet<'a>,
    code: RCODE,
    answers: Vec<ResourceRecord<'a>>,
    more: Vec<ResourceRecord<'a>>,
    room: Room,
) -> Vec<u8> {
    let mut reply = head(query, code);
    (reply.answers, reply.additional_records) = (answers, more);
    if reply.answers.is_empty() {
        let name = Name::new_unchecked("nomad");
        let (mname, rname) = (Name::new_unchecked("ns.nomad"), Name::new_unchecked("postmaster.nomad"));
        let soa = SOA { mname, rname, serial: 1, refresh: 3600, retry: 600, expire: 86_400, minimum: TTL };
        reply.name_servers.push(own(&name, RData::SOA(soa)));
    }
    let most = match room {
        Room::Stream => usize::from(u16::MAX),
        Room::Datagram => query.opt().map_or(PLAIN, |o| usize::from(o.udp_packet_size).clamp(PLAIN, LARGEST)),
    };
    loop {
        let text = bytes(&reply);
        if text.len() <= most {
            return text;
        }
        if reply.additional_records.is_empty() {
            reply.set_flags(PacketFlag::TRUNCATION);
            reply.answers.truncate(reply.answers.len() * most / text.len());
        } else {
            reply.additional_records.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn asked(name: &str) -> Ask {
        ask(&Name::new(name).expect("a name"))
    }

    #[test]
    fn names_of_the_zone() {
        let service =
            |name: &str, tag: Option<&str>| Ask::Service { name: name.to_owned(), tag: tag.map(str::to_owned) };
        for (name, expected) in [
            ("web.service.nomad", service("web", None)),
            ("WEB.Service.Nomad", service("web", None)),
            ("v1.web.service.nomad", service("web", Some("v1"))),
            ("v1.2.web.service.nomad", service("web", Some("v1.2"))),
            ("_web._tcp.service.nomad", service("web", None)),
            ("_web._v1.service.nomad", service("web", Some("v1"))),
            ("0a000007.addr.nomad", Ask::Address(IpAddr::from([10, 0, 0, 7]))),
            ("fd00000000000000000000000000000a.addr.nomad", Ask::Address("fd00::a".parse().expect("an address"))),
            ("0a00000x.addr.nomad", Ask::Nothing),
            ("service.nomad", Ask::Nothing),
            ("nomad", Ask::Nothing),
            ("web.nomad", Ask::Nothing),
            ("web.service.nomad.example", Ask::Elsewhere),
            ("example.org", Ask::Elsewhere),
        ] {
            assert_eq!(asked(name), expected, "{name}");
        }
    }

    fn instance(number: u8, address: &str, tags: &[&str]) -> ServiceRegistration {
        let alloc = crate::test_support::alloc("web");
        ServiceRegistration {
            id: Arc::from(format!("{number}")),
            service_name: Arc::from("web"),
            namespace: alloc.namespace.clone(),
            node_id: tarpan_model::NodeId::NIL,
            datacenter: Arc::from("dc1"),
            job_id: alloc.job_id.clone(),
            alloc_id: alloc.id,
            tags: tags.iter().map(|t| (*t).to_owned()).collect(),
            address: Arc::from(address),
            port: 20_000 + u16::from(number),
            create_index: 0,
            modify_index: 0,
        }
    }

    fn query(name: &str, kind: TYPE) -> Packet<'_> {
        let mut query = Packet::new_query(7);
        query.set_flags(PacketFlag::RECURSION_DESIRED);
        query.questions.push(Question::new(
            Name::new(name).expect("a name"),
            QTYPE::TYPE(kind),
            CLASS::IN.into(),
            false,
        ));
        query
    }

    /// Answers in order, then `+` and what is beside them.
    fn shown(bytes: &[u8]) -> String {
        let packet = Packet::parse(bytes).expect("whole");
        assert!(packet.id() == 7 && packet.has_flags(PacketFlag::RESPONSE | PacketFlag::RECURSION_DESIRED));
        let one = |r: &ResourceRecord<'_>| match &r.rdata {
            RData::A(a) => std::net::Ipv4Addr::from(a.address).to_string(),
            RData::AAAA(a) => std::net::Ipv6Addr::from(a.address).to_string(),
            RData::SRV(s) => format!("{}:{}", s.target, s.port),
            RData::CNAME(c) => format!("-> {}", c.0),
            other => format!("{other:?}"),
        };
        let (mut answers, mut more): (Vec<_>, Vec<_>) =
            (packet.answers.iter().map(one).collect(), packet.additional_records.iter().map(one).collect());
        answers.sort();
        more.sort();
        format!("{:?} {} + {}", packet.rcode(), answers.join(" "), more.join(" "))
    }

    #[test]
    fn a_service_is_answered_by_family_tag_and_kind() {
        let all = [instance(1, "10.0.0.1", &["v1"]), instance(2, "10.0.0.2", &["V2"]), instance(3, "fd00::3", &["v1"])];
        let answer = |kind, tag| shown(&of_service(&query("web.service.nomad", kind), tag, &all, Room::Stream));
        assert_eq!(answer(TYPE::A, None), "NoError 10.0.0.1 10.0.0.2 + ");
        assert_eq!(answer(TYPE::A, Some("v2")), "NoError 10.0.0.2 + ");
        assert_eq!(answer(TYPE::AAAA, Some("v1")), "NoError fd00::3 + ");
        assert_eq!(answer(TYPE::TXT, None), "NoError  + ");
        assert_eq!(answer(TYPE::A, Some("v3")), "NameError  + ");
        let srv =
            "NoError 0a000001.addr.nomad:20001 fd000000000000000000000000000003.addr.nomad:20003 + 10.0.0.1 fd00::3";
        assert_eq!(answer(TYPE::SRV, Some("v1")), srv);
        let named = [instance(1, "db.example.org", &[])];
        let answer = |kind| shown(&of_service(&query("web.service.nomad", kind), None, &named, Room::Stream));
        assert_eq!(answer(TYPE::A), "NoError -> db.example.org + ");
        assert_eq!(answer(TYPE::SRV), "NoError db.example.org:20001 + ");
    }

    #[test]
    fn what_does_not_fit_into_a_datagram_is_cut_and_said_so() {
        let all: Vec<ServiceRegistration> = (0..200).map(|n| instance(n, &format!("10.0.0.{n}"), &[])).collect();
        let query = query("web.service.nomad", TYPE::A);
        let cut = of_service(&query, None, &all, Room::Datagram);
        let packet = Packet::parse(&cut).expect("whole");
        assert!(
            cut.len() <= PLAIN && packet.has_flags(PacketFlag::TRUNCATION) && packet.answers.len() > 20,
            "{}",
            cut.len()
        );
        let whole = of_service(&query, None, &all, Room::Stream);
        assert_eq!(Packet::parse(&whole).expect("whole").answers.len(), 200);
    }
}
