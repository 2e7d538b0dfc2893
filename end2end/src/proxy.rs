//! One address in front of servers of which one answers at a time, as a proxy or a moved address has it.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};

use crate::Agent;

pub struct Proxy {
    at: SocketAddr,
    behind: Arc<Mutex<SocketAddr>>,
    ended: Arc<AtomicBool>,
}

impl Proxy {
    pub fn to(agent: &Agent) -> Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").context("binding port 0")?;
        let proxy =
            Proxy { at: listener.local_addr()?, behind: Arc::new(Mutex::new(address(agent)?)), ended: Arc::default() };
        let (behind, ended) = (proxy.behind.clone(), proxy.ended.clone());
        std::thread::spawn(move || {
            for guest in listener.incoming().flatten().take_while(|_| !ended.load(Ordering::Relaxed)) {
                let behind = *behind.lock().expect("no panic");
                std::thread::spawn(move || carry(&guest, behind));
            }
        });
        Ok(proxy)
    }

    /// `http://127.0.0.1:PORT`
    pub fn addr(&self) -> String {
        format!("http://{}", self.at)
    }

    /// New connections go to `agent`; those that are open stay where they are.
    pub fn turn_to(&self, agent: &Agent) -> Result<()> {
        *self.behind.lock().expect("no panic") = address(agent)?;
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.at);
    }
}

fn address(agent: &Agent) -> Result<SocketAddr> {
    agent.addr.trim_start_matches("http://").parse().context("the agent's address")
}

/// Both ways until both sides have ended. Who is not there is not waited for: the guest's connection ends.
fn carry(guest: &TcpStream, behind: SocketAddr) {
    let Ok(host) = TcpStream::connect(behind) else { return };
    std::thread::scope(|scope| {
        scope.spawn(|| pass(guest, &host));
        pass(&host, guest);
    });
}

fn pass(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
