//! The second demo: a server and a client by configuration files, images as artifacts, host volumes, on Docker.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tarpan_end2end::docker::{self, Daemon};
use tarpan_end2end::lab::{FixedPorts, PATIENCE, free_ports, root};
use tarpan_end2end::{Agent, Lab, eventually, files};

/// A file of `jobs/second` with the ports and directories of this run.
fn adapted(lab: &Lab, name: &str, ports: &[u16]) -> Result<PathBuf> {
    let mut text = fs::read_to_string(root().join("jobs/second").join(name))?;
    for (shown, used) in [5646, 5647, 5648, 5656, 5657, 5658].iter().zip(ports) {
        text = text.replace(&shown.to_string(), &used.to_string());
    }
    lab.file(name, &text.replace("/tmp/tarpan-second", &lab.path().display().to_string()))
}

#[test]
fn second_demo() -> Result<()> {
    let lab = Lab::new()?;
    let _daemon = match Daemon::find_or_start()? {
        Ok(daemon) => daemon,
        Err(why) if std::env::var_os("CI").is_none() => {
            eprintln!("skipped: {why}");
            return Ok(());
        }
        Err(why) => anyhow::bail!("{why}"),
    };
    let _ports = FixedPorts::take(&[3307, 5001])?;
    let ports = free_ports(6)?;
    for folder in ["mysql", "storage", "shared", "artifacts"] {
        fs::create_dir(lab.path().join(folder))?;
    }
    docker::save_archives(&lab, &lab.path().join("artifacts"))?;
    let artifacts = files::serve(&lab.path().join("artifacts"))?;

    let server_config = adapted(&lab, "server.hcl", &ports)?.display().to_string();
    let client_config = adapted(&lab, "client.hcl", &ports)?.display().to_string();
    let server = Agent::start(&lab, "server", ports[0], &["-config", &server_config])?;
    let client = Agent::start(&lab, "client", ports[3], &["-config", &client_config])?;
    server.wait_nodes(1).with_context(|| client.log_tail())?;

    let artifacts = format!("artifacts=http://{artifacts}");
    let shared = format!("shared={}/shared", lab.path().display());
    let run = |job: &str| -> Result<String> {
        let file = adapted(&lab, job, &ports)?.display().to_string();
        server.ok(&["job", "run", "-var", &artifacts, "-var", &shared, &file])
    };

    run("bvc.nomad.hcl")?;
    server.wait_alloc("bvc", "running")?;
    say("SET kept yes", "+OK")?;
    server.ok(&["job", "stop", "-purge", "bvc"])?;
    eventually("the database to be gone", PATIENCE, || Ok(talk("PING").is_err().then_some(())))?;
    ensure!(fs::read_to_string(lab.path().join("mysql/data"))?.contains("kept"), "the data outlives the job");
    run("bvc.nomad.hcl")?;
    say("GET kept", "yes")?;

    run("tetris.nomad.hcl")?;
    let alloc = server.wait_alloc("tetris", "running")?;
    let page = eventually("the page on the host's network", PATIENCE, || {
        Ok(Some(ureq::get("http://127.0.0.1:5001/").call()?.body_mut().read_to_string()?))
    })?;
    ensure!(page.contains("Pytechco"), "{page}");
    let status = client.ok(&["alloc", "status", &alloc.id])?;
    ensure!(status.contains("running"), "the client's own API knows it too: {status}");
    for job in ["tetris", "bvc"] {
        server.ok(&["job", "stop", "-purge", job])?;
    }
    Ok(())
}

/// One command to the database on port 3307, in Redis' inline words.
fn talk(command: &str) -> Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect_timeout(&"127.0.0.1:3307".parse()?, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let words: Vec<&str> = command.split(' ').collect();
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(text.as_bytes())?;
    let mut answer = [0; 256];
    let length = stream.read(&mut answer)?;
    ensure!(length > 0, "the connection was closed");
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

fn say(command: &str, expected: &str) -> Result<()> {
    eventually(&format!("{command} to answer {expected}"), Duration::from_secs(60), || {
        Ok(talk(command)?.contains(expected).then_some(()))
    })
}
