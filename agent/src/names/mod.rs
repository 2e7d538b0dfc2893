//! Names of services for tasks of bridge networks: a resolver at the bridge's own address on every node (docs/dns.md).
//!
//! [`zone`] answers what is in `nomad`, from what [`catalogue`] knows; [`upstream`] asks the node's resolvers for the rest.
//! Whoever asks is a task, and hostile: it is answered for the namespace of its own allocation, and nobody else's address is
//! answered at all. What is under way at a time is bounded.

mod catalogue;
#[cfg(test)]
mod tests;
mod upstream;
mod zone;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use simple_dns::{OPCODE, Packet, RCODE};
use socket2::{Domain, Protocol, Socket, Type};
use tarpan_model::name;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};

use self::catalogue::Catalogue;
use self::upstream::Upstream;
use self::zone::{Ask, Room};
use crate::allocs::Allocs;

/// Questions that are under way at a time; more are not heard, and asked again.
const QUESTIONS: usize = 256;
/// Connections at a time, how many questions each may ask, and how long it may be silent.
const CONNECTIONS: usize = 64;
const QUESTIONS_EACH: usize = 100;
const SILENCE: Duration = Duration::from_secs(10);
/// Bytes of a question.
const QUESTION: usize = 4096;
/// Namespace that the node's own processes are answered for.
const DEFAULT: &str = "default";

/// The resolver of a node.
struct Names {
    allocs: Arc<Allocs>,
    catalogue: Catalogue,
    upstream: Upstream,
    /// Addresses that it answers at: those of the bridge.
    own: Vec<IpAddr>,
    questions: Arc<Semaphore>,
}

/// Answers at each of the addresses until the agent stops. An address where it can't is said in the log; gives those where it does.
pub fn serve(allocs: &Arc<Allocs>, at: &[IpAddr], port: u16, stopped: &watch::Receiver<bool>) -> Vec<IpAddr> {
    let mut listening = Vec::new();
    for ip in at {
        match bind(SocketAddr::new(*ip, port)) {
            Ok(sockets) => listening.push((*ip, sockets)),
            Err(error) => tracing::warn!(
                "names of services are not answered at {ip}, port {port}: {error} (client.dns says another port, or none)"
            ),
        }
    }
    let own: Vec<IpAddr> = listening.iter().map(|(ip, _)| *ip).collect();
    let names = Arc::new(Names {
        catalogue: Catalogue::new(allocs.context.clone()),
        upstream: Upstream::new(own.clone()),
        allocs: allocs.clone(),
        own: own.clone(),
        questions: Arc::new(Semaphore::new(QUESTIONS)),
    });
    for (_, (udp, tcp)) in listening {
        tokio::spawn(until(stopped.clone(), names.clone().datagrams(udp)));
        tokio::spawn(until(stopped.clone(), names.clone().connections(tcp)));
    }
    own
}

async fn until(mut stopped: watch::Receiver<bool>, serving: impl Future<Output = ()>) {
    tokio::select! {
        _ = stopped.wait_for(|s| *s) => {}
        () = serving => {}
    }
}

/// The bridge, and its address, may come later: the sockets are bound all the same.
fn bind(at: SocketAddr) -> std::io::Result<(UdpSocket, TcpListener)> {
    let open = |kind: Type, protocol: Protocol| {
        let socket = Socket::new(Domain::for_address(at), kind, Some(protocol))?;
        match at {
            SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
            SocketAddr::V6(_) => {
                socket.set_freebind_v6(true)?;
                socket.set_only_v6(true)?;
            }
        }
        socket.set_reuse_address(kind == Type::STREAM)?;
        socket.set_nonblocking(true)?;
        socket.bind(&at.into())?;
        Ok::<_, std::io::Error>(socket)
    };
    let udp = open(Type::DGRAM, Protocol::UDP)?;
    let tcp = open(Type::STREAM, Protocol::TCP)?;
    tcp.listen(128)?;
    Ok((UdpSocket::from_std(udp.into())?, TcpListener::from_std(tcp.into())?))
}

impl Names {
    async fn datagrams(self: Arc<Self>, socket: UdpSocket) {
        let socket = Arc::new(socket);
        let mut question = vec![0; QUESTION];
        loop {
            let (len, from) = match socket.recv_from(&mut question).await {
                Ok(received) => received,
                Err(error) => {
                    // Of a datagram that was sent and not taken: it says nothing of the next.
                    tracing::debug!("a resolver's socket: {error}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            let Some(namespace) = self.namespace(from.ip()) else { continue };
            let Ok(slot) = self.questions.clone().try_acquire_owned() else { continue };
            let (names, socket, question) = (self.clone(), socket.clone(), question[..len].to_vec());
            tokio::spawn(async move {
                let _slot = slot;
                if let Some(answer) = names.answer(&question, &namespace, Room::Datagram).await {
                    let _ = socket.send_to(&answer, from).await;
                }
            });
        }
    }

    async fn connections(self: Arc<Self>, listener: TcpListener) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, from)) => {
                    let Some(namespace) = self.namespace(from.ip()) else { continue };
                    let names = self.clone();
                    tokio::spawn(async move {
                        let _slot = slot;
                        if let Err(error) = names.connection(stream, &namespace).await {
                            tracing::debug!(%from, "a resolver's connection: {error}");
                        }
                    });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn connection(&self, mut stream: TcpStream, namespace: &str) -> std::io::Result<()> {
        for _ in 0..QUESTIONS_EACH {
            let question = tokio::time::timeout(SILENCE, question(&mut stream)).await??;
            let Some(question) = question else { return Ok(()) };
            let Some(answer) = self.answer(&question, namespace, Room::Stream).await else { return Ok(()) };
            let len = u16::try_from(answer.len()).map_err(std::io::Error::other)?;
            let message = [&len.to_be_bytes(), &answer[..]].concat();
            tokio::time::timeout(SILENCE, stream.write_all(&message)).await??;
        }
        Ok(())
    }

    /// Whose names an asker is answered with: those of its allocation's namespace; the node's own processes those of the
    /// default one. `None`: it is neither, and not answered.
    fn namespace(&self, from: IpAddr) -> Option<String> {
        let from = from.to_canonical();
        if self.own.contains(&from) {
            return Some(DEFAULT.to_owned());
        }
        self.allocs.all().iter().find_map(|runner| {
            let alloc = runner.alloc();
            let network = alloc.network_status.as_deref()?;
            let own = [&network.address, &network.address_ipv6].into_iter().filter_map(|ip| ip.parse::<IpAddr>().ok());
            own.into_iter().any(|ip| ip == from).then(|| alloc.namespace.to_string())
        })
    }

    /// `None`: it is no question.
    async fn answer(&self, question: &[u8], namespace: &str, room: Room) -> Option<Vec<u8>> {
        if !is_question(question) {
            return None;
        }
        // What a newer resolver may ask is for the node's own to answer.
        let Ok(query) = Packet::parse(question) else { return self.upstream.ask(question, room == Room::Stream).await };
        if query.opcode() != OPCODE::StandardQuery {
            return Some(zone::refused(&query, RCODE::NotImplemented));
        }
        let ask = query.questions.first().map(|q| zone::ask(&q.qname))?;
        match ask {
            Ask::Elsewhere => {
                let answer = self.upstream.ask(question, room == Room::Stream).await;
                Some(answer.unwrap_or_else(|| zone::refused(&query, RCODE::ServerFailure)))
            }
            Ask::Nothing => Some(zone::nothing(&query, room)),
            Ask::Address(ip) => Some(zone::of_address(&query, ip, room)),
            Ask::Service { name, .. } if name::service(&name).is_err() => Some(zone::nothing(&query, room)),
            Ask::Service { name, tag } => Some(match self.catalogue.instances(namespace, &name).await {
                Some(instances) => zone::of_service(&query, tag.as_deref(), &instances, room),
                None => zone::refused(&query, RCODE::ServerFailure),
            }),
        }
    }
}

/// A message of one question and not much else: what follows its header is only read when that can't be long.
fn is_question(message: &[u8]) -> bool {
    let count = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    message.len() > 12 && message[2] & 0x80 == 0 && count(4) == 1 && count(6) == 0 && count(8) == 0 && count(10) <= 4
}

/// The next question of a connection; `None`: it was closed.
async fn question(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let len = match stream.read_u16().await {
        Ok(len) => usize::from(len),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if len > QUESTION {
        return Err(std::io::Error::other("a question is too long"));
    }
    let mut question = vec![0; len];
    stream.read_exact(&mut question).await?;
    Ok(Some(question))
}
