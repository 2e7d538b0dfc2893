//! Asks the node's own resolvers what is in nobody's zone here. Messages pass as they are, under a number of our own.

#![allow(clippy::disallowed_methods, reason = "the operator's /etc/resolv.conf")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// How long one resolver may take; as many as the field's libraries look at are asked, one after the other.
const PATIENCE: Duration = Duration::from_secs(2);
const RESOLVERS: usize = 3;
const PORT: u16 = 53;
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Bytes of the file that are looked at.
const FILE: usize = 64 << 10;
/// The largest answer that comes in a datagram.
const DATAGRAM: usize = 4096;

/// The node's resolvers.
pub struct Upstream {
    /// Addresses that we answer at: asking those would go round.
    own: Vec<IpAddr>,
}

impl Upstream {
    pub fn new(own: Vec<IpAddr>) -> Upstream {
        Upstream { own }
    }

    /// Looked up each time: operators and DHCP clients change the file.
    async fn resolvers(&self) -> Vec<SocketAddr> {
        let text = crate::blocking(|| std::fs::read(RESOLV_CONF).unwrap_or_default()).await;
        let text = String::from_utf8_lossy(&text[..text.len().min(FILE)]).into_owned();
        let found: Vec<IpAddr> = nameservers(&text).into_iter().filter(|ip| !self.own.contains(ip)).collect();
        found.into_iter().take(RESOLVERS).map(|ip| SocketAddr::new(ip, PORT)).collect()
    }

    /// The first answer; `None`: nobody gives one. `stream`: by TCP, as answers may be large.
    pub async fn ask(&self, query: &[u8], stream: bool) -> Option<Vec<u8>> {
        for resolver in self.resolvers().await {
            let asked = async {
                match stream {
                    true => by_stream(query, resolver).await,
                    false => by_datagram(query, resolver).await,
                }
            };
            match tokio::time::timeout(PATIENCE, asked).await {
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(error)) => tracing::debug!(%resolver, "asking a resolver: {error}"),
                Err(_) => tracing::debug!(%resolver, "asking a resolver: it does not answer"),
            }
        }
        None
    }
}

/// Addresses of the file's `nameserver` lines.
fn nameservers(text: &str) -> Vec<IpAddr> {
    let of = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| words.next()?.split('%').next()?.parse().ok())?
    };
    text.lines().filter_map(of).collect()
}

/// A new port and a new number for each: whoever wants to answer in a resolver's place must guess both.
async fn by_datagram(query: &[u8], resolver: SocketAddr) -> std::io::Result<Vec<u8>> {
    let any = if resolver.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(resolver).await?;
    let (number, asked) = renumbered(query);
    socket.send(&asked).await?;
    let mut answer = vec![0; DATAGRAM];
    loop {
        let len = socket.recv(&mut answer).await?;
        if len >= query.len().min(12) && answer[..2] == number && answer[2] & 0x80 != 0 {
            answer.truncate(len);
            answer[..2].copy_from_slice(&query[..2]);
            return Ok(answer);
        }
    }
}

async fn by_stream(query: &[u8], resolver: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(resolver).await?;
    let (_, asked) = renumbered(query);
    let len = u16::try_from(asked.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), &asked[..]].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    if answer.len() < 12 {
        return Err(std::io::Error::other("an answer is cut short"));
    }
    answer[..2].copy_from_slice(&query[..2]);
    Ok(answer)
}

fn renumbered(query: &[u8]) -> ([u8; 2], Vec<u8>) {
    let (number, mut asked) = (rand::random::<[u8; 2]>(), query.to_vec());
    asked[..2].copy_from_slice(&number);
    (number, asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_resolvers() {
        let text = "# nameserver 1.1.1.1\nsearch x\nnameserver 10.0.0.2\nnameserver  fe80::1%eth0 \nnameserver name\noptions a\n";
        let found: Vec<String> = nameservers(text).iter().map(IpAddr::to_string).collect();
        assert_eq!(found, ["10.0.0.2", "fe80::1"]);
    }
}
