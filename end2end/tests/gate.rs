//! What the agent's HTTP port makes of strangers: names it is not known by, pages of other sites, connections that lead nowhere.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tarpan_api::{Query, calls};
use tarpan_end2end::browser::Browser;
use tarpan_end2end::lab::free_ports;
use tarpan_end2end::{Agent, Lab, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

fn connect(port: u16, said: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("connecting")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(said.as_bytes()).context("sending")?;
    Ok(stream)
}

/// The answer to a request whose lines these are.
fn ask(port: u16, lines: &[&str]) -> Result<String> {
    let mut stream = connect(port, &format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n")))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(|| format!("reading the answer to {lines:?}"))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

/// A server and a client of its own, each with its ports and its configuration of names and limits.
fn server_and_client(lab: &Lab) -> Result<(Agent, u16, Agent, u16)> {
    let ports = free_ports(4)?;
    let start = |name: &str, http: u16, rpc: u16, role: &str| {
        let data = lab.path().join(name);
        let text = format!(
            "name = \"{name}\"\ndata_dir = {data:?}\nbind_addr = \"127.0.0.1\"\nports {{\n  http = {http}\n  rpc = {rpc}\n}}\n\
             http_allowed_hosts = [\"tarpan.test\", \"*.corp.test\"]\nhttp_api_response_headers {{\n  X-Ours = \"yes\"\n}}\n{role}"
        );
        let file = lab.file(&format!("{name}.hcl"), &text)?.display().to_string();
        Agent::start(lab, name, http, &["-config", &file])
    };
    let server = start("the-server", ports[0], ports[1], "server {\n  enabled = true\n  bootstrap_expect = 1\n}\n")?;
    let servers = format!("client {{\n  enabled = true\n  servers = [\"127.0.0.1:{}\"]\n}}\n", ports[1]);
    let client = start("the-client", ports[2], ports[3], &servers)?;
    server.wait_nodes(1)?;
    Ok((server, ports[0], client, ports[2]))
}

#[test]
fn every_listener_has_the_gate() -> Result<()> {
    let lab = Lab::new()?;
    let (_server, server, client_agent, client) = server_and_client(&lab)?;
    let gc = format!("/v1/client/gc?node_id={}", client_agent.only_node()?.id);
    for (port, name) in [(server, "the-server"), (client, "the-client")] {
        for path in ["/v1/jobs", "/v1/client/stats", "/ui/jobs", "/", "/no/such/path"] {
            let refused = ask(port, &[&format!("GET {path} HTTP/1.1"), "Host: evil.example:4646"])?;
            ensure!(status(&refused) == "403", "{path}: {refused}");
            ensure!(refused.contains("http_allowed_hosts = [\"evil.example\"]"), "{refused}");
        }
        let (by_ip, own_page) = (format!("127.0.0.1:{port}"), format!("Origin: http://127.0.0.1:{port}"));
        for host in [by_ip.as_str(), "localhost:1", "[::1]", name, "tarpan.test", "a.corp.test:80"] {
            let open = ask(port, &["GET /v1/jobs HTTP/1.1", &format!("Host: {host}")])?;
            ensure!(status(&open) == "200", "{host}: {open}");
        }
        let token = ask(port, &["GET /v1/jobs HTTP/1.1", "Host: evil.example", "X-Nomad-Token: some"])?;
        ensure!(status(&token) == "200", "{token}");
        ensure!(status(&ask(port, &["GET /v1/jobs HTTP/1.0"])?) == "200", "tools of old name no host");

        let host = format!("Host: {by_ip}");
        let put = |more: &[&str]| {
            let mut lines = vec!["PUT /v1/jobs HTTP/1.1", host.as_str(), "Content-Length: 2"];
            lines.extend_from_slice(more);
            lines.push("Connection: close\r\n\r\n{}");
            ask(port, &lines)
        };
        let form = "Content-Type: application/x-www-form-urlencoded";
        for (more, expected) in [
            (vec!["User-Agent: curl/8.14.1", "Accept: */*", form], "400"),
            (vec!["User-Agent: Go-http-client/1.1", "Accept-Encoding: gzip"], "400"),
            (vec![own_page.as_str()], "400"),
            (vec!["Origin: http://127.0.0.1:1"], "403"),
            (vec!["Origin: null"], "403"),
            (vec!["Sec-Fetch-Site: same-site"], "403"),
        ] {
            let answer = put(&more)?;
            ensure!(status(&answer) == expected, "{more:?}: {answer}");
        }
        let image =
            ask(port, &[&format!("GET {gc} HTTP/1.1"), &host, "User-Agent: Mozilla/5.0 (X11)", "Accept: image/*"])?;
        ensure!(status(&image) == "403", "{image}");
        let tool = ask(port, &[&format!("GET {gc} HTTP/1.1"), &host, "User-Agent: curl/8.14.1"])?;
        ensure!(status(&tool) == "200", "{tool}");
        for path in
            ["/v1/jobs", "/no/such/path", "/ui/jobs", "/ui/assets/none", "/", "/v1/job/ghost", "/v1/client/stats"]
        {
            let answer = ask(port, &[&format!("GET {path} HTTP/1.1"), &host])?.to_lowercase();
            ensure!(answer.contains("\r\nx-content-type-options: nosniff\r\n"), "{path}: {answer}");
            ensure!(answer.contains("\r\nx-ours: yes\r\n"), "{path}: {answer}");
        }
    }
    Ok(())
}

/// An agent with a limit of connections, and the job whose restarts and terminals pages are after.
fn limited(lab: &Lab, limit: usize) -> Result<(Agent, u16)> {
    let ports = free_ports(3)?;
    let text = format!(
        "ports {{\n  http = {}\n  rpc = {}\n  serf = {}\n}}\nhttp_allowed_hosts = [\"tarpan.test\"]\n\
         limits {{\n  http_max_conns_per_client = {limit}\n}}\nplugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n",
        ports[0], ports[1], ports[2]
    );
    let config = lab.file("limited.hcl", &text)?.display().to_string();
    let agent = Agent::start(lab, "dev", ports[0], &["-dev", "-config", &config])?;
    agent.wait_nodes(1)?;
    Ok((agent, ports[0]))
}

#[test]
fn connections_are_bounded_and_half_open_ones_end() -> Result<()> {
    let lab = Lab::new()?;
    let (_agent, port) = limited(&lab, 20)?;
    let host = format!("Host: 127.0.0.1:{port}");
    let mut stream = connect(port, &format!("GET /v1/event/stream HTTP/1.1\r\n{host}\r\n\r\n"))?;
    let mut first = [0; 256];
    ensure!(stream.read(&mut first)? > 0, "the stream begins");

    let begun = Instant::now();
    let half: Vec<TcpStream> = (0..40)
        .map(|_| connect(port, &format!("GET /v1/jobs HTTP/1.1\r\n{host}\r\nX-Slow: ")))
        .collect::<Result<_>>()?;
    let (mut refused, mut ended) = (0, 0);
    for mut stream in half {
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _ = stream.read_to_end(&mut answer);
        match String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 429 ") {
            true => refused += 1,
            false => ended += 1,
        }
    }
    ensure!(begun.elapsed() < Duration::from_secs(40), "half-open connections stayed {:?}", begun.elapsed());
    ensure!(refused >= 1 && (1..=20).contains(&ended), "{refused} were refused, {ended} ended");

    ensure!(status(&ask(port, &["GET /v1/jobs HTTP/1.1", &host])?) == "200", "there is room again");
    // The stream says at least every half minute that it lives.
    ensure!(stream.read(&mut first)? > 0, "the stream goes on");
    Ok(())
}

#[test]
fn pages_of_other_sites_in_a_browser() -> Result<()> {
    let Some(browser) = Browser::find()? else { return Ok(()) };
    let lab = Lab::new()?;
    let (agent, _) = limited(&lab, 100)?;
    let job = r#"
job "victim" {
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "echo '<script>alert(1)</script>'; exec sleep 600"]
      }
      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
"#;
    agent.ok(&["job", "run", &lab.file("victim.nomad.hcl", job)?.display().to_string()])?;
    let alloc = agent.wait_alloc("victim", "running")?;
    let id = &alloc.id;
    browser.play(&lab, &agent, "gate.spec.ts", Path::new("."), &[("TARPAN_ALLOC", id)])?;
    let jobs = agent.ask(&calls::jobs(&Query::new()))?;
    ensure!(jobs.len() == 1, "no page has registered a job: {jobs:?}");
    let restarted = || -> Result<bool> {
        let alloc = agent.ask(&calls::allocation(&Query::new(), id))?;
        let task = alloc.task_states.get("t").context("the task's state")?;
        Ok(task.events.iter().any(|event| event.type_ == "Restart Signaled"))
    };
    ensure!(!restarted()?, "no page has restarted the task");
    // What they tried does restart it, when it comes from a command line.
    ureq::get(format!("{}/v1/client/allocation/{id}/restart", agent.addr)).call().context("a restart by GET")?;
    eventually("the task to be restarted", PATIENCE, || Ok(restarted()?.then_some(())))
}
