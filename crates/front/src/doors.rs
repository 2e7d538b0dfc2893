//! How many connections a listener holds at a time, by client and in all, and how it takes the next one.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// Waits after a failed accept, from the first to the longest. Out of file descriptors, trying at once would only burn time.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// The doors of one listener, or of several that share a limit.
#[derive(Debug)]
pub struct Doors {
    /// 0: no limit.
    per_client: usize,
    /// 0: no limit.
    in_all: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// Why nobody else is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// This client holds as many as it may.
    Client,
    /// There is no room for anybody.
    All,
}

/// Room for one connection, until it is dropped.
#[derive(Debug)]
pub struct Pass {
    doors: Arc<Doors>,
    client: IpAddr,
}

impl Doors {
    pub fn new(per_client: usize, in_all: usize) -> Arc<Doors> {
        Arc::new(Doors { per_client, in_all, open: Mutex::default() })
    }

    pub fn enter(self: &Arc<Self>, from: IpAddr) -> Result<Pass, Full> {
        let client = client(from);
        let mut open = self.lock();
        if self.in_all > 0 && open.all >= self.in_all {
            return Err(Full::All);
        }
        let held = open.by_client.entry(client).or_default();
        if self.per_client > 0 && *held >= self.per_client {
            return Err(Full::Client);
        }
        *held += 1;
        open.all += 1;
        Ok(Pass { doors: self.clone(), client })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().expect("no panic while held")
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut open = self.doors.lock();
        open.all -= 1;
        if let Some(held) = open.by_client.get_mut(&self.client) {
            *held -= 1;
            if *held == 0 {
                open.by_client.remove(&self.client);
            }
        }
    }
}

/// Who is behind an address: with IPv6, one machine usually has a whole /64.
fn client(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        ip => ip,
    }
}

/// The next connection. What goes wrong meanwhile is said in the log, and does not make the loop spin.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut wait = BACKOFF.0;
    loop {
        let error = match listener.accept().await {
            Ok(taken) => return taken,
            Err(error) => error,
        };
        // A client that was gone before it was taken is its own affair.
        if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) {
            continue;
        }
        // Once when it begins, then once a second at the most.
        if wait == BACKOFF.0 || wait == BACKOFF.1 {
            let listens = listener.local_addr().map(|a| a.to_string()).unwrap_or_default();
            tracing::error!(%error, listens, "no connection can be taken; trying again");
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(BACKOFF.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn clients_are_counted_apart_and_together() {
        let doors = Doors::new(2, 3);
        let first = doors.enter(ip("10.0.0.1")).expect("room");
        let _second = doors.enter(ip("::ffff:10.0.0.1")).expect("room");
        assert_eq!(doors.enter(ip("10.0.0.1")).err(), Some(Full::Client));
        let _other = doors.enter(ip("10.0.0.2")).expect("room");
        assert_eq!(doors.enter(ip("10.0.0.3")).err(), Some(Full::All));
        drop(first);
        assert!(doors.enter(ip("10.0.0.1")).is_ok());
        assert_eq!(doors.lock().by_client.len(), 2, "who left is forgotten");
    }

    #[test]
    fn a_whole_ipv6_network_is_one_client() {
        let doors = Doors::new(1, 0);
        let _one = doors.enter(ip("2001:db8::1")).expect("room");
        assert_eq!(doors.enter(ip("2001:db8::2")).err(), Some(Full::Client));
        assert!(doors.enter(ip("2001:db8:0:1::2")).is_ok());
    }

    #[test]
    fn zero_is_no_limit() {
        let doors = Doors::new(0, 0);
        let passes: Vec<_> = (0..500).map(|_| doors.enter(ip("10.0.0.1"))).collect();
        assert!(passes.iter().all(Result::is_ok));
    }
}
