//! Namespaces with links of their own, and cuts between them.
//!
//! What is made has no name outside: a namespace lives by those who run in it and by the files that this process has open, a link by its
//! namespaces, a mount by its own. So nothing is left when the process has died, however it died, but what it had started: that carries
//! [`MARK`] in its environment, and the next journey ends it.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::agent::Place;
use crate::lab::kill_all_of;

/// In the environment of whatever runs in a room: `PID:FOLDER` of the test and its lab.
const MARK: &str = "TARPAN_NET";

/// A bridge, in the namespace of the thread that made it, and the rooms on it.
pub struct Net {
    mark: String,
    rooms: u8,
}

/// A namespace with one link, to the bridge.
pub struct Room {
    namespace: File,
    mark: String,
    pub addr: Ipv4Addr,
}

/// Plays a journey in a thread that has its own network and its own mounts; so do the threads and processes that it starts. An inner
/// error says why this machine has none to give.
pub fn apart<T: Send>(lab: &Path, journey: impl FnOnce(Net) -> Result<T> + Send) -> Result<Result<T, String>> {
    end_leftovers();
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || -> Result<Result<T, String>> {
            if let Err(error) = unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS) {
                return Ok(Err(format!("this process may not make namespaces: {error}")));
            }
            let needed = [
                "mount --make-rprivate /",
                "ip link set lo up",
                "ip link add tarpan type bridge",
                "iptables -w -S INPUT",
                "nsenter --version",
            ];
            for line in needed {
                if let Err(error) = run(line) {
                    return Ok(Err(format!("{error:#}")));
                }
            }
            run(&format!("ip addr add {}/24 dev tarpan", addr(HOST)))?;
            run("ip link set tarpan up")?;
            journey(Net { mark: format!("{}:{}", std::process::id(), lab.display()), rooms: 0 }).map(Ok)
        });
        thread.join().expect("the journey does not panic")
    })
}

/// The last part of the bridge's own address.
const HOST: u8 = 254;

fn addr(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 97, 0, last)
}

fn run(line: &str) -> Result<()> {
    let mut words = line.split_whitespace();
    let out = Command::new(words.next().context("a program")?).args(words).stdin(Stdio::null()).output();
    let out = out.with_context(|| format!("running {line}"))?;
    ensure!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr).trim());
    Ok(())
}

impl Net {
    /// One more.
    pub fn room(&mut self) -> Result<Room> {
        self.rooms += 1;
        let number = self.rooms;
        let made = std::thread::spawn(|| -> Result<File> {
            unshare(CloneFlags::CLONE_NEWNET).context("making a namespace")?;
            File::open("/proc/thread-self/ns/net").context("opening a namespace")
        });
        let namespace = made.join().expect("no panic")?;
        let room = Room { namespace, mark: self.mark.clone(), addr: addr(number) };
        run(&format!("ip link add name room{number} type veth peer name link{number}"))?;
        run(&format!("ip link set room{number} master tarpan up"))?;
        run(&format!("ip link set link{number} netns {} name eth0", room.path()))?;
        room.run("ip link set lo up")?;
        room.run(&format!("ip addr add {}/24 dev eth0", room.addr))?;
        room.run("ip link set eth0 up")?;
        room.run(&format!("ip route add default via {}", addr(HOST)))?;
        Ok(room)
    }
}

impl Room {
    /// Others of this process find it there.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd())
    }

    fn within(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net={}", self.path()), "--".to_owned()]
    }

    fn run(&self, line: &str) -> Result<()> {
        run(&format!("{} {line}", self.within().join(" ")))
    }

    /// Does something there, on a thread of its own.
    pub fn enter<T: Send>(&self, call: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        enter(&self.namespace, call)
    }

    /// Where an agent can be started.
    pub fn place(&self) -> Place {
        Place { within: self.within(), env: vec![(MARK.to_owned(), self.mark.clone())] }
    }

    /// Nothing that others send arrives here any more; they are not told.
    pub fn hears_not<'a>(&self, others: impl IntoIterator<Item = &'a Room>) -> Result<()> {
        others.into_iter().try_for_each(|other| self.run(&format!("iptables -w -A INPUT -s {} -j DROP", other.addr)))
    }

    /// Everything arrives here again.
    pub fn hears_all(&self) -> Result<()> {
        self.run("iptables -w -F INPUT")
    }
}

/// Does something in a namespace, on a thread of its own.
pub fn enter<T: Send>(namespace: &File, call: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let entered = move || {
        setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET).context("entering a namespace")?;
        call()
    };
    std::thread::scope(|scope| scope.spawn(entered).join().expect("no panic"))
}

/// Ends what journeys left that died before they could, and removes their folders.
fn end_leftovers() {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok()) {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment);
        let mark = environment.split('\0').find_map(|pair| pair.strip_prefix(MARK)?.strip_prefix('='));
        let Some((test, folder)) = mark.and_then(|mark| mark.split_once(':')) else { continue };
        // Only what a lab is called is ended and removed.
        let lab = Path::new(folder).strip_prefix(std::env::temp_dir());
        let is_lab = lab.is_ok_and(|name| name.to_str().is_some_and(|n| n.starts_with("tarpan-") && !n.contains('/')));
        if !is_lab || Path::new("/proc").join(test).exists() {
            continue;
        }
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        kill_all_of(Path::new(folder));
        let _ = std::fs::remove_dir_all(folder);
    }
}
