//! A cluster with TLS everywhere, from the commands that make its certificates to new ones while it runs.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tarpan_end2end::lab::{PATIENCE, free_ports};
use tarpan_end2end::{Lab, eventually};

const JOB: &str = r#"
job "sleeper" {
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

/// A command as it is typed in the lab's folder; its exit code and all that it printed.
fn run(lab: &Lab, env: &[(&str, &str)], words: &str) -> Result<(i32, String)> {
    let out = Command::new(&lab.bin)
        .args(words.split_whitespace())
        .envs(env.iter().copied())
        .env("NO_COLOR", "1")
        .env("NOMAD_CLI_SHOW_HINTS", "0")
        .stdin(Stdio::null())
        .current_dir(lab.path())
        .output()
        .with_context(|| format!("running tarpan {words}"))?;
    let text = [out.stdout, out.stderr].concat();
    Ok((out.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned()))
}

fn ok(lab: &Lab, env: &[(&str, &str)], words: &str) -> Result<String> {
    let (code, text) = run(lab, env, words)?;
    ensure!(code == 0, "tarpan {words} ended with {code}: {text}");
    Ok(text)
}

/// A started agent and its log.
struct Started {
    child: Child,
    log: std::path::PathBuf,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Started {
    fn new(lab: &Lab, name: &str, config: &str) -> Result<Started> {
        let file = lab.file(&format!("{name}.hcl"), config)?;
        let log = lab.path().join(format!("{name}.log"));
        let out = File::create(&log)?;
        let child = Command::new(&lab.bin)
            .args(["agent", "-config"])
            .arg(file)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .context("starting an agent")?;
        Ok(Started { child, log })
    }

    /// Waits for a line of the log; gives how often it is there.
    fn says(&self, words: &str) -> Result<usize> {
        eventually(&format!("{words:?} in {}", self.log.display()), PATIENCE, || {
            let count = self.log().matches(words).count();
            Ok((count > 0).then_some(count))
        })
        .with_context(|| self.log())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn hangup(&self) -> Result<()> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGHUP).context("SIGHUP")
    }
}

fn config(lab: &Lab, name: &str, ports: &[u16], certificate: &str, rest: &str) -> String {
    let path = |file: &str| lab.path().join(file).display().to_string();
    format!(
        "name = \"{name}\"\ndata_dir = {:?}\nbind_addr = \"127.0.0.1\"\nports {{\n  http = {}\n  rpc = {}\n  serf = {}\n}}\n\
         tls {{\n  rpc = true\n  http = true\n  verify_server_hostname = true\n  verify_https_client = true\n  ca_file = {:?}\n  \
         cert_file = {:?}\n  key_file = {:?}\n}}\nplugin \"raw_exec\" {{\n  config {{\n    enabled = true\n  }}\n}}\n{rest}",
        path(&format!("{name}-data")),
        ports[0],
        ports[1],
        ports[2],
        path("nomad-agent-ca.pem"),
        path(&format!("{certificate}.pem")),
        path(&format!("{certificate}-key.pem")),
    )
}

/// The same without its block about TLS.
fn without_tls(config: &str) -> Result<String> {
    let (begin, rest) = config.split_once("tls {").context("a block")?;
    let (_, end) = rest.split_once("}\n").context("its end")?;
    Ok(format!("{begin}{end}"))
}

#[test]
fn a_server_without_tls_says_that_somebody_speaks_it() -> Result<()> {
    let lab = Lab::new()?;
    ok(&lab, &[], "tls ca create")?;
    ok(&lab, &[], "tls cert create -client")?;
    let ports = free_ports(6)?;
    let server = "server {\n  enabled = true\n  bootstrap_expect = 1\n}\n";
    let server = without_tls(&config(&lab, "server", &ports[..3], "none", server))?;
    let server = Started::new(&lab, "server", &server)?;
    let known = format!("client {{\n  enabled = true\n  servers = [\"127.0.0.1:{}\"]\n}}\n", ports[1]);
    let client = Started::new(&lab, "client", &config(&lab, "client", &ports[3..], "global-client-nomad", &known))?;
    let once = server.says("closed a connection that began with TLS: tls.rpc is off here, and on there")?;
    ensure!(once == 1, "{}", server.log());
    let once = client.says("it does not speak TLS")?;
    ensure!(once == 1, "{}", client.log());
    Ok(())
}

#[test]
fn from_an_authority_to_new_certificates_while_it_runs() -> Result<()> {
    let lab = Lab::new()?;
    let said = ok(&lab, &[], "tls ca create")?;
    ensure!(
        said == "==> CA certificate saved to: nomad-agent-ca.pem\n==> CA certificate key saved to: nomad-agent-ca-key.pem\n",
        "{said}"
    );
    let (code, said) = run(&lab, &[], "tls ca create")?;
    ensure!(code == 1 && said.contains("nomad-agent-ca.pem is there already"), "{said}");
    let mode = std::fs::metadata(lab.path().join("nomad-agent-ca-key.pem"))?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "{mode:o}");
    let said = ok(&lab, &[], "tls cert create -server -days 20")?;
    ensure!(said.contains("==> Server Certificate key saved to: global-server-nomad-key.pem"), "{said}");
    ok(&lab, &[], "tls cert create -client")?;
    ok(&lab, &[], "tls cert create -cli")?;
    let said = ok(&lab, &[], "tls cert info global-server-nomad.pem")?;
    for words in ["Common Name   = server.global.nomad", "[server.global.nomad localhost]", "[127.0.0.1]", "+0000 UTC"]
    {
        ensure!(said.contains(words), "{words}: {said}");
    }
    let said = ok(&lab, &[], "tls ca info nomad-agent-ca.pem")?;
    ensure!(said.contains("Permitted DNS Domains = []"), "{said}");
    ensure!(run(&lab, &[], "tls cert create -client -server")?.0 == 1 && run(&lab, &[], "tls")?.0 == 1);
    let odd = lab.file("odd.hcl", "data_dir = \"/d\"\nserver {\n  enabled = true\n}\ntls {\n  rpc = true\n}\n")?;
    let (code, said) = run(&lab, &[], &format!("config validate {}", odd.display()))?;
    ensure!(code == 1 && said.contains("tls.rpc = true needs tls.ca_file"), "{said}");
    // Another authority, with a client that it signed.
    ok(&lab, &[], "tls ca create -domain stranger -name-constraint -additional-domain nomad")?;
    ok(&lab, &[], "tls cert create -client -region other -ca stranger-agent-ca.pem -key stranger-agent-ca-key.pem")?;

    let ports = free_ports(12)?;
    let server = "server {\n  enabled = true\n  bootstrap_expect = 1\n}\n";
    let server = Started::new(&lab, "server", &config(&lab, "server", &ports[..3], "global-server-nomad", server))?;
    let known = format!("client {{\n  enabled = true\n  servers = [\"127.0.0.1:{}\"]\n}}\n", ports[1]);
    let client = Started::new(&lab, "client", &config(&lab, "client", &ports[3..6], "global-client-nomad", &known))?;
    let address = format!("https://127.0.0.1:{}", ports[0]);
    let env = [
        ("NOMAD_ADDR", address.as_str()),
        ("NOMAD_CACERT", "nomad-agent-ca.pem"),
        ("NOMAD_CLIENT_CERT", "global-cli-nomad.pem"),
        ("NOMAD_CLIENT_KEY", "global-cli-nomad-key.pem"),
    ];
    eventually("the client to be ready", PATIENCE, || {
        Ok(ok(&lab, &env, "node status")?.contains("ready").then_some(()))
    })
    .with_context(|| format!("{}\n{}", server.log(), client.log()))?;
    server.says("global-server-nomad.pem expires on 20")?;

    // A job, and a command in its task: through the other agent, too.
    lab.file("sleeper.nomad.hcl", JOB)?;
    ok(&lab, &env, "job run -detach sleeper.nomad.hcl")?;
    let by_client = format!("https://127.0.0.1:{}", ports[3]);
    for to in [&address, &by_client] {
        let flag = format!("alloc exec -address={to} -t=false -i=false -job sleeper echo over TLS");
        eventually("a command in the task", PATIENCE, || {
            let said = ok(&lab, &env, &flag)?;
            ensure!(said == "over TLS\n", "{said}");
            Ok(Some(()))
        })?;
    }

    // Callers who are not let in, and why.
    let refused = |env: &[(&str, &str)], words: &str, expected: &str| -> Result<()> {
        let (code, said) = run(&lab, env, words)?;
        ensure!(code == 1 && said.contains(expected), "{words}: {code} {said}");
        Ok(())
    };
    refused(&env[..2], "node status", "it wants a certificate, and got none")?;
    refused(
        &env,
        "node status -ca-cert=stranger-agent-ca.pem",
        "its certificate is signed by no authority of stranger-agent-ca.pem",
    )?;
    refused(&env, "node status -tls-server-name=server.west.nomad", "not for server.west.nomad")?;
    refused(
        &env,
        "node status -client-key=nomad-agent-ca-key.pem",
        "is not the key of the certificate in global-cli-nomad.pem",
    )?;
    refused(&env, &format!("node status -address=http://127.0.0.1:{}", ports[0]), "this port speaks HTTPS")?;

    // An agent of another authority: both ends say so, once.
    let foreign = config(&lab, "foreign", &ports[6..9], "other-client-nomad", &known)
        .replace("nomad-agent-ca.pem", "stranger-agent-ca.pem")
        .replacen("name = \"foreign\"", "name = \"foreign\"\nregion = \"other\"", 1)
        .replace("verify_server_hostname = true", "verify_server_hostname = false");
    let foreign = Started::new(&lab, "foreign", &foreign)?;
    let once = foreign.says("its certificate is signed by no authority of")?;
    ensure!(once == 1 && foreign.log().contains("stranger-agent-ca.pem"), "{}", foreign.log());
    let once = server.says("on the RPC port: it refuses our certificate")?;
    ensure!(once == 1 && server.log().contains("it does not know the authority that signed it"), "{}", server.log());
    drop(foreign);
    // One that knows nothing of TLS, the same.
    let plain = Started::new(&lab, "plain", &without_tls(&config(&lab, "plain", &ports[9..], "none", &known))?)?;
    ensure!(plain.says("this port speaks TLS: tls.rpc is on here")? == 1, "{}", plain.log());
    ensure!(plain.says("mTLS is not configured")? == 1, "{}", plain.log());
    ensure!(server.says("on the RPC port: it does not speak TLS, and tls.rpc is on")? == 1, "{}", server.log());
    drop(plain);

    // New certificates, and then files that are no good.
    for file in ["global-server-nomad.pem", "global-server-nomad-key.pem"] {
        std::fs::remove_file(lab.path().join(file))?;
    }
    ok(&lab, &[], "tls cert create -server -additional-dnsname second.example")?;
    server.hangup()?;
    server.says("the certificates were read again")?;
    ok(&lab, &env, "node status -tls-server-name=second.example")?;
    std::fs::write(lab.path().join("global-server-nomad-key.pem"), "nothing")?;
    server.hangup()?;
    server.says("global-server-nomad-key.pem holds no unencrypted private key in PEM form; the certificates that were read before stay")?;
    ok(&lab, &env, "node status -tls-server-name=second.example")?;
    ok(&lab, &env, "job stop -purge -detach sleeper")?;
    drop(client);
    Ok(())
}
