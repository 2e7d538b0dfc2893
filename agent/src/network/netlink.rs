//! What is asked of the kernel about links, addresses and routes, in the namespace of the calling thread.
//!
//! One socket a [`Netlink`], one question at a time, each answered or acknowledged. Headers and attributes are packed and
//! walked by `netlink-packet-core`; which of them a question has is said here (docs/decisions/0031-bridge-networks.md).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED, NLA_HEADER_SIZE, NlasIterator};
use nix::sys::socket::{self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sockopt};
use nix::sys::time::TimeVal;

/// The kernel answers at once; this is for one that does not.
const PATIENCE: i64 = 10;
/// Larger than any one piece of an answer: the kernel makes them of 32 KiB at most.
const PIECE: usize = 64 << 10;
/// Links that are listed; more than a kernel holds well.
const MOST: usize = 200_000;

/// Bytes of a message's header, and of the fixed parts of what it is about.
const HEADER: usize = 16;
const LINK: usize = 16;
const ADDRESS: usize = 8;

const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
const ACK: u16 = REQUEST | libc::NLM_F_ACK as u16;
const CREATE: u16 = ACK | (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
const LIST: u16 = REQUEST | libc::NLM_F_DUMP as u16;

/// Attributes that `libc` has no name for, from the kernel's `if_link.h` and `veth.h`.
const VETH_INFO_PEER: u16 = 1;
const IFLA_BRPORT_MODE: u16 = 4;
/// An address that is used at once, without asking first whether somebody has it.
const NO_DAD: u32 = 0x02;

/// A link as the kernel lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// What it was said to be for.
    pub alias: String,
    /// `bridge`, `veth` …; empty for hardware.
    pub kind: String,
    /// Index of the bridge that it is a port of; 0: of none.
    pub master: u32,
    pub up: bool,
}

/// What the kernel said to a question.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct Error {
    pub doing: String,
    #[source]
    pub source: io::Error,
}

impl Error {
    fn is(&self, code: i32) -> bool {
        self.source.raw_os_error() == Some(code)
    }

    /// What was to be made is there.
    pub fn exists(&self) -> bool {
        self.is(libc::EEXIST)
    }

    /// What was to be removed is not there.
    pub fn missing(&self) -> bool {
        self.is(libc::ENODEV)
    }
}

fn plain(kind: u16, value: impl Into<Vec<u8>>) -> DefaultNla {
    DefaultNla::new(kind, value.into())
}

fn number(kind: u16, value: u32) -> DefaultNla {
    plain(kind, value.to_ne_bytes())
}

fn text(kind: u16, value: &str) -> DefaultNla {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    plain(kind, bytes)
}

fn nested(kind: u16, inner: &[DefaultNla]) -> DefaultNla {
    plain(kind | NLA_F_NESTED, packed(inner))
}

fn packed(attributes: &[DefaultNla]) -> Vec<u8> {
    let mut bytes = vec![0; attributes.buffer_len()];
    attributes.emit(&mut bytes);
    bytes
}

fn address(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn family(ip: IpAddr) -> u8 {
    (if ip.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

/// `ifinfomsg`: family, index, and the flags that change.
fn link_part(family: i32, index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut part = vec![family as u8, 0, 0, 0];
    [index, flags, change].iter().for_each(|n| part.extend(n.to_ne_bytes()));
    part
}

pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    pub fn open() -> Result<Netlink, Error> {
        let failed = |source| Error { doing: "opening a netlink socket".to_owned(), source };
        let opened = || -> nix::Result<OwnedFd> {
            let protocol = SockProtocol::NetlinkRoute;
            let socket = socket::socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
            socket::setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(PATIENCE, 0))?;
            socket::bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
            Ok(socket)
        };
        Ok(Netlink { socket: opened().map_err(|e| failed(e.into()))?, sequence: 0 })
    }

    /// Asks, and gives what is answered of type `kind_of_answer`.
    fn ask(&mut self, kind: u16, flags: u16, body: &[u8], kind_of_answer: u16) -> io::Result<Vec<Vec<u8>>> {
        self.sequence += 1;
        let mut message = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend(0u32.to_ne_bytes());
        message.extend(body);
        socket::send(self.socket.as_raw_fd(), &message, MsgFlags::empty())?;
        let (mut answers, mut piece) = (Vec::new(), vec![0; PIECE]);
        loop {
            let len = socket::recv(self.socket.as_raw_fd(), &mut piece, MsgFlags::empty())?;
            if self.take(&piece[..len], kind_of_answer, &mut answers)? {
                return Ok(answers);
            }
            if answers.len() > MOST {
                return Err(io::Error::other("more links than can be looked through"));
            }
        }
    }

    /// Reads a piece of an answer; `true`: it was the last.
    fn take(&self, mut piece: &[u8], wanted: u16, answers: &mut Vec<Vec<u8>>) -> io::Result<bool> {
        let short = || io::Error::other("an answer of the kernel is cut short");
        while piece.len() >= HEADER {
            let word = |at: usize| u32::from_ne_bytes(piece[at..at + 4].try_into().expect("four bytes"));
            let (len, kind, sequence) = (word(0) as usize, (word(4).to_ne_bytes()), word(8));
            let kind = u16::from_ne_bytes([kind[0], kind[1]]);
            let message = piece.get(HEADER..len).ok_or_else(short)?;
            piece = piece.get(len.next_multiple_of(4)..).unwrap_or_default();
            if sequence != self.sequence {
                continue;
            }
            match i32::from(kind) {
                libc::NLMSG_ERROR => {
                    let code = message.get(..4).ok_or_else(short)?;
                    return match i32::from_ne_bytes(code.try_into().expect("four bytes")) {
                        0 => Ok(true),
                        code => Err(io::Error::from_raw_os_error(-code)),
                    };
                }
                libc::NLMSG_DONE => return Ok(true),
                _ if kind == wanted => answers.push(message.to_vec()),
                _ => {}
            }
        }
        Ok(false)
    }

    /// Asks for something to be done.
    fn tell(
        &mut self,
        doing: String,
        kind: u16,
        flags: u16,
        mut body: Vec<u8>,
        more: &[DefaultNla],
    ) -> Result<(), Error> {
        body.extend(packed(more));
        let told = self.ask(kind, flags, &body, kind);
        told.map(drop).map_err(|source| Error { doing, source })
    }

    /// Every link of the namespace, by index.
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        let answers = self.ask(libc::RTM_GETLINK, LIST, &link_part(libc::AF_UNSPEC, 0, 0, 0), libc::RTM_NEWLINK);
        let answers = answers.map_err(|source| Error { doing: "listing the links".to_owned(), source })?;
        Ok(answers.iter().filter_map(|answer| link(answer)).collect())
    }

    pub fn link(&mut self, name: &str) -> Result<Option<Link>, Error> {
        Ok(self.links()?.into_iter().find(|link| link.name == name))
    }

    /// Addresses of a link with their bits.
    pub fn addresses(&mut self, index: u32) -> Result<Vec<(IpAddr, u8)>, Error> {
        let answers = self.ask(libc::RTM_GETADDR, LIST, &[0; ADDRESS], libc::RTM_NEWADDR);
        let answers = answers.map_err(|source| Error { doing: "listing the addresses".to_owned(), source })?;
        let all = answers.iter().filter_map(|answer| address_of(answer));
        Ok(all.filter(|(of, ..)| *of == index).map(|(_, ip, bits)| (ip, bits)).collect())
    }

    /// A bridge whose own address does not change with its ports.
    pub fn add_bridge(&mut self, name: &str, mac: [u8; 6]) -> Result<(), Error> {
        let info = [text(libc::IFLA_INFO_KIND, "bridge")];
        let more = [text(libc::IFLA_IFNAME, name), plain(libc::IFLA_ADDRESS, mac), nested(libc::IFLA_LINKINFO, &info)];
        let body = link_part(libc::AF_UNSPEC, 0, 0, 0);
        self.tell(format!("making the bridge {name}"), libc::RTM_NEWLINK, CREATE, body, &more)
    }

    /// A pair of links: `name` here, `peer` with its own address in the other namespace.
    pub fn add_pair(
        &mut self,
        name: &str,
        (peer, mac): (&str, [u8; 6]),
        namespace: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        let mut other = link_part(libc::AF_UNSPEC, 0, 0, 0);
        let there = number(libc::IFLA_NET_NS_FD, namespace.as_raw_fd().cast_unsigned());
        other.extend(packed(&[text(libc::IFLA_IFNAME, peer), plain(libc::IFLA_ADDRESS, mac), there]));
        let data = [plain(VETH_INFO_PEER | NLA_F_NESTED, other)];
        let info = [text(libc::IFLA_INFO_KIND, "veth"), nested(libc::IFLA_INFO_DATA, &data)];
        let more = [text(libc::IFLA_IFNAME, name), nested(libc::IFLA_LINKINFO, &info)];
        let body = link_part(libc::AF_UNSPEC, 0, 0, 0);
        self.tell(format!("making the pair of links {name} and {peer}"), libc::RTM_NEWLINK, CREATE, body, &more)
    }

    /// Says what a link is for. At most 255 bytes.
    pub fn set_alias(&mut self, index: u32, alias: &str) -> Result<(), Error> {
        let body = link_part(libc::AF_UNSPEC, index, 0, 0);
        let more = [plain(libc::IFLA_IFALIAS, alias)];
        self.tell("naming a link's purpose".to_owned(), libc::RTM_SETLINK, ACK, body, &more)
    }

    pub fn set_up(&mut self, index: u32) -> Result<(), Error> {
        let up = libc::IFF_UP.cast_unsigned();
        let body = link_part(libc::AF_UNSPEC, index, up, up);
        self.tell("switching a link on".to_owned(), libc::RTM_SETLINK, ACK, body, &[])
    }

    /// Makes a link a port of a bridge.
    pub fn set_master(&mut self, index: u32, bridge: u32) -> Result<(), Error> {
        let body = link_part(libc::AF_UNSPEC, index, 0, 0);
        let more = [number(libc::IFLA_MASTER, bridge)];
        self.tell("joining a link to the bridge".to_owned(), libc::RTM_SETLINK, ACK, body, &more)
    }

    /// Whether a frame may leave by the port that it came in by.
    pub fn set_hairpin(&mut self, index: u32, on: bool) -> Result<(), Error> {
        let body = link_part(libc::AF_BRIDGE, index, 0, 0);
        let more = [nested(libc::IFLA_PROTINFO, &[plain(IFLA_BRPORT_MODE, [u8::from(on)])])];
        self.tell("setting a port's hairpin mode".to_owned(), libc::RTM_SETLINK, ACK, body, &more)
    }

    /// One that is there already is fine.
    pub fn add_address(&mut self, index: u32, ip: IpAddr, bits: u8) -> Result<(), Error> {
        let mut body = vec![family(ip), bits, 0, 0];
        body.extend(index.to_ne_bytes());
        let mut more = vec![plain(libc::IFA_LOCAL, address(ip)), plain(libc::IFA_ADDRESS, address(ip))];
        if ip.is_ipv6() {
            more.push(number(libc::IFA_FLAGS, NO_DAD));
        }
        let told = self.tell(format!("giving a link the address {ip}/{bits}"), libc::RTM_NEWADDR, CREATE, body, &more);
        told.or_else(|error| if error.exists() { Ok(()) } else { Err(error) })
    }

    /// Everything that has no way of its own goes over `gateway`. One that is there already is fine.
    pub fn add_default_route(&mut self, index: u32, gateway: IpAddr) -> Result<(), Error> {
        let (table, protocol, kind) = (libc::RT_TABLE_MAIN, libc::RTPROT_BOOT, libc::RTN_UNICAST);
        let mut body = vec![family(gateway), 0, 0, 0, table, protocol, libc::RT_SCOPE_UNIVERSE, kind];
        body.extend(0u32.to_ne_bytes());
        let more = [plain(libc::RTA_GATEWAY, address(gateway)), number(libc::RTA_OIF, index)];
        let told = self.tell(format!("adding the route over {gateway}"), libc::RTM_NEWROUTE, CREATE, body, &more);
        told.or_else(|error| if error.exists() { Ok(()) } else { Err(error) })
    }

    /// One that is not there is fine. Of a pair both ends go.
    pub fn remove(&mut self, name: &str) -> Result<(), Error> {
        let body = link_part(libc::AF_UNSPEC, 0, 0, 0);
        let more = [text(libc::IFLA_IFNAME, name)];
        let told = self.tell(format!("removing the link {name}"), libc::RTM_DELLINK, ACK, body, &more);
        told.or_else(|error| if error.missing() { Ok(()) } else { Err(error) })
    }
}

/// Attributes by kind; what is not whole is left out.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(Result::ok).map(|nla| {
        let (kind, len) = (nla.kind(), usize::from(nla.length()));
        (kind, &nla.into_inner()[NLA_HEADER_SIZE..len])
    })
}

fn word(value: &[u8]) -> u32 {
    value.get(..4).map_or(0, |v| u32::from_ne_bytes(v.try_into().expect("four bytes")))
}

fn string(value: &[u8]) -> String {
    String::from_utf8_lossy(value.split(|b| *b == 0).next().unwrap_or_default()).into_owned()
}

fn link(answer: &[u8]) -> Option<Link> {
    let (fixed, rest) = answer.split_at_checked(LINK)?;
    let up = word(&fixed[8..]) & libc::IFF_UP.cast_unsigned() != 0;
    let mut link = Link { index: word(&fixed[4..]), up, ..Link::default() };
    for (kind, value) in attributes(rest) {
        match kind {
            libc::IFLA_IFNAME => link.name = string(value),
            libc::IFLA_IFALIAS => link.alias = string(value),
            libc::IFLA_MASTER => link.master = word(value),
            libc::IFLA_LINKINFO => {
                let kind = attributes(value).find(|(kind, _)| *kind == libc::IFLA_INFO_KIND);
                link.kind = kind.map(|(_, name)| string(name)).unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(link)
}

fn address_of(answer: &[u8]) -> Option<(u32, IpAddr, u8)> {
    let (fixed, rest) = answer.split_at_checked(ADDRESS)?;
    // On a link with another end, `IFA_ADDRESS` would be that of the other.
    let of = |wanted: u16| attributes(rest).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let bytes = of(libc::IFA_LOCAL).or_else(|| of(libc::IFA_ADDRESS))?;
    let ip = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some((word(&fixed[4..]), ip, fixed[1]))
}
