//! Commands that people run in tasks: when the caller is gone, however it left, nothing of the command is left.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tarpan_end2end::pair::server_and_client;
use tarpan_end2end::{Agent, Lab, eventually};

const JOB: &str = r#"
job "host" {
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sleep"
        args    = ["600"]
      }
    }
  }
}
"#;

/// Processes whose command line has this word; the callers' own have it as well and are left out.
fn running(word: &str, callers: &[u32]) -> usize {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(word)
    };
    pids.filter(|pid| !callers.contains(pid)).filter(has).count()
}

fn begin(server: &Agent, alloc: &str, word: &str) -> Result<Child> {
    let script = format!("trap '' HUP; : {word}; sleep 600 & wait");
    server
        .command(&["alloc", "exec", "-i=false", "-t=false", alloc, "/bin/sh", "-c", &script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("running the command line")
}

#[test]
fn a_command_ends_with_its_caller() -> Result<()> {
    let lab = Lab::new()?;
    let (mut server, client) = server_and_client(&lab)?;
    let job = lab.file("host.nomad.hcl", JOB)?.display().to_string();
    server.ok(&["job", "run", "-detach", &job])?;
    let alloc = server.wait_alloc("host", "running")?.id;
    let word = format!("left-behind-{}", std::process::id());

    let mut callers = (0..5).map(|_| begin(&server, &alloc, &word)).collect::<Result<Vec<Child>>>()?;
    let pids: Vec<u32> = callers.iter().map(Child::id).collect();
    eventually("the commands to run", Duration::from_secs(60), || Ok((running(&word, &pids) == 5).then_some(())))?;
    // Killed: the connection breaks off without a word.
    for caller in &mut callers {
        caller.kill()?;
        caller.wait()?;
    }
    eventually("the commands to end", Duration::from_secs(60), || Ok((running(&word, &pids) == 0).then_some(())))
        .with_context(|| client.log_tail())?;

    // The server between caller and node is killed.
    let mut caller = begin(&server, &alloc, &word)?;
    let pids = [caller.id()];
    eventually("the command to run", Duration::from_secs(60), || Ok((running(&word, &pids) == 1).then_some(())))?;
    server.kill9()?;
    eventually("the command to end", Duration::from_secs(60), || Ok((running(&word, &pids) == 0).then_some(())))
        .with_context(|| client.log_tail())?;
    let _ = caller.kill();
    caller.wait()?;
    server.start_again()?;
    server.wait_nodes(1)?;
    ensure!(server.wait_alloc("host", "running")?.id == alloc, "the task itself goes on");
    Ok(())
}

/// A text message as a client writes it. (The mask may be any; this one leaves the text as it is.)
fn message(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|n| *n < 126).expect("a short text");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

/// Types on while the command ends, and reads afterwards: what it said last, and how it ended.
fn typed_on(address: &str, path: &str) -> Result<String> {
    let mut line = TcpStream::connect(address)?;
    line.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(
        line,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )?;
    let typed = message(r#"{"stdin":{"data":"YQ=="}}"#);
    let mut seen = [0; 4096];
    let begun = Instant::now();
    loop {
        line.write_all(&typed)?;
        let there = line.peek(&mut seen)?;
        if String::from_utf8_lossy(&seen[..there]).contains("\"exited\"") {
            break;
        }
        ensure!(begun.elapsed() < Duration::from_secs(60), "the command does not end");
    }
    for _ in 0..200 {
        // The server may have gone by now. What it sent before is there all the same.
        let _ = line.write_all(&typed);
    }
    let mut said = Vec::new();
    let mut part = [0; 4096];
    loop {
        match line.read(&mut part).context("reading what the command said")? {
            0 => break,
            n => said.extend_from_slice(&part[..n]),
        }
        // The message that ends the socket.
        if said.windows(2).any(|pair| pair == [0x88, 0]) {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_end_of_a_command_is_heard_by_who_still_types() -> Result<()> {
    let lab = Lab::new()?;
    let mut agent = Agent::dev(&lab)?;
    let job = lab.file("host.nomad.hcl", JOB)?.display().to_string();
    agent.ok(&["job", "run", "-detach", &job])?;
    let alloc = agent.wait_alloc("host", "running")?.id;
    let address = agent.addr.strip_prefix("http://").context("an address")?.to_owned();
    let command = "%5B%22%2Fbin%2Fsh%22%2C%22-c%22%2C%22echo%20done%3B%20exit%203%22%5D";
    let path = format!("/v1/client/allocation/{alloc}/exec?task=t&tty=false&command={command}");
    for _ in 0..20 {
        let said = typed_on(&address, &path)?;
        ensure!(said.contains("\"exit_code\":3"), "{said}");
    }
    agent.stop()
}
