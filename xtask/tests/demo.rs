//! The demo's beginning and end, on a port of its own: what a closed terminal leaves behind, and what the next demo makes of it.
//!
//! Needs `tarpan` and `ptc` beside this program, as `cargo xtask test` builds them.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const LIMIT: Duration = Duration::from_secs(90);

/// Where demos of this test write themselves down, and their port.
struct Place {
    folder: tempfile::TempDir,
    port: u16,
}

impl Place {
    fn new() -> Place {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        Place { folder: tempfile::tempdir().expect("a folder"), port }
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(["demo", "-empty", "-raw-exec", "-as-built", &format!("-port={}", self.port)])
            .args(more)
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// A demo that is ready.
    fn demo(&self, more: &[&str]) -> Demo {
        let mut child = self.command(more).stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (sender, heard) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        let demo = Demo { child, heard };
        demo.wait_for("Ctrl-C stops everything.");
        demo
    }

    fn known(&self) -> serde_json::Value {
        let path = self.folder.path().join(format!("tarpan/demo-{}.json", self.port));
        serde_json::from_str(&std::fs::read_to_string(path).expect("a record")).expect("JSON")
    }

    /// Nobody listens, nothing lies around.
    fn assert_clear(&self) {
        TcpListener::bind(("127.0.0.1", self.port)).expect("the port is free");
        let log = PathBuf::from(self.known()["log"].as_str().expect("a log"));
        assert!(!log.exists(), "{} is left", log.display());
    }
}

struct Demo {
    child: Child,
    heard: Receiver<String>,
}

impl Demo {
    fn wait_for(&self, wanted: &str) {
        let until = Instant::now() + LIMIT;
        let mut all = Vec::new();
        loop {
            match self.heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(wanted) => return,
                Ok(line) => all.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("it never said {wanted:?}:\n{}", all.join("\n"))
                }
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("it lives");
    }

    fn ended(&mut self) {
        let until = Instant::now() + LIMIT;
        while self.child.try_wait().expect("it is ours").is_none() {
            assert!(Instant::now() < until, "it does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

#[test]
fn a_closed_terminal_ends_the_agent_too() {
    let place = Place::new();
    let mut demo = place.demo(&[]);
    demo.signal(Signal::SIGHUP);
    demo.ended();
    place.assert_clear();
}

#[test]
fn the_next_demo_knows_its_own_and_takes_over_when_it_may() {
    let place = Place::new();
    let mut first = place.demo(&[]);
    let refused = place.command(&[]).output().expect("it runs");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("An earlier demo of yours still runs"), "{text}");
    assert!(text.contains("-take-over"), "{text}");

    // Killed, it leaves its agent.
    first.signal(Signal::SIGKILL);
    first.ended();
    let left = place.known()["agent"].as_i64().expect("an agent");
    let refused = place.command(&[]).output().expect("it runs");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains(&format!("its agent still runs (process {left})")), "{text}");

    let mut second = place.demo(&["-take-over"]);
    assert_ne!(place.known()["agent"].as_i64(), Some(left));
    // A demo that lives is taken over, too.
    let mut third = place.demo(&["-take-over"]);
    second.ended();
    third.signal(Signal::SIGINT);
    third.ended();
    place.assert_clear();
}

#[test]
fn somebody_elses_port_is_named_at_once() {
    let place = Place::new();
    let _taken = TcpListener::bind(("127.0.0.1", place.port)).expect("still free");
    let refused = place.command(&["-take-over"]).output().expect("it runs");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("is taken by a program that is no demo of yours"), "{text}");
}
