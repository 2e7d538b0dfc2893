//! What a registry is shown: the task's own credentials, else those of the operator's client configuration, else those of the
//! operator's helper.
//!
//! Source: the formats of Docker's client, `config.json` and the programs called `docker-credential-…`. A helper is a program
//! of the operator's; how long it takes and how much it says is bounded all the same.

use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use bollard::auth::DockerCredentials;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::config::{PluginConfig, TaskConfig};
use super::reference::Reference;
use crate::driver::DriverError;

/// How the public registry is called where credentials are kept.
const HUB: &str = "https://index.docker.io/v1/";
/// How long a helper may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much a helper may say, and how large a client configuration may be.
const MOST: u64 = 1 << 20;

/// `None`: the registry is asked as anybody. That they can't be had fails the start, unless the job's `auth_soft_fail` has it go
/// on without.
pub(super) async fn credentials(
    plugin: &PluginConfig,
    config: &TaskConfig,
    reference: &Reference,
) -> Result<Option<DockerCredentials>, DriverError> {
    if let Some(own) = of_task(config) {
        return Ok(Some(own));
    }
    let error = match of_operator(plugin, reference).await {
        Ok(found) => return Ok(found),
        Err(error) => error,
    };
    let why = format!("Failed to find docker registry auth for repo {:?}: {error}", reference.repository);
    match config.auth_soft_fail {
        Some(true) => {
            tracing::warn!("{why}; going on without");
            Ok(None)
        }
        _ => Err(DriverError::start(why, false)),
    }
}

fn of_task(config: &TaskConfig) -> Option<DockerCredentials> {
    let auth = &config.auth;
    let given = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    Some(DockerCredentials {
        username: Some(given(&auth.username)?),
        password: given(&auth.password),
        email: given(&auth.email),
        serveraddress: given(&auth.server_address),
        ..DockerCredentials::default()
    })
}

async fn of_operator(plugin: &PluginConfig, reference: &Reference) -> Result<Option<DockerCredentials>, String> {
    let server = reference.registry().filter(|r| !same_server(r, HUB)).unwrap_or(HUB);
    if let Some(path) = plugin.auth.config.clone().filter(|p| !p.is_empty()) {
        let named = path.clone();
        let file = crate::blocking(move || client_configuration(&path)).await;
        let file = file.map_err(|error| format!("auth.config {named:?}: {error}"))?;
        if let Some(found) = of_configuration(&file, server).await? {
            return Ok(Some(found));
        }
    }
    match plugin.auth.helper.as_deref().filter(|h| !h.is_empty()) {
        Some(helper) => ask(helper, server).await,
        None => Ok(None),
    }
}

#[allow(clippy::disallowed_methods, reason = "a file that the operator named")]
fn client_configuration(path: &str) -> std::io::Result<Value> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MOST).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// A registry's own helper goes before the store of all of them, and both before what stands in the file.
async fn of_configuration(file: &Value, server: &str) -> Result<Option<DockerCredentials>, String> {
    let own = file["credHelpers"].as_object().and_then(|all| all.iter().find(|(key, _)| same_server(key, server)));
    let helper = own.and_then(|(_, helper)| helper.as_str()).or(file["credsStore"].as_str());
    if let Some(helper) = helper.filter(|h| !h.is_empty())
        && let Some(found) = ask(helper, server).await?
    {
        return Ok(Some(found));
    }
    entry(file, server)
}

/// Keys are hosts, or addresses of older registries with a scheme and a path.
fn same_server(key: &str, server: &str) -> bool {
    fn host(text: &str) -> &str {
        let text = text.split_once("://").map_or(text, |(_, rest)| rest);
        match text.split('/').next().unwrap_or_default() {
            "index.docker.io" | "registry-1.docker.io" => "docker.io",
            host => host,
        }
    }
    host(key) == host(server)
}

/// What the file itself has. Name and password stand in it as one, or apart; an empty entry says that a helper has them.
fn entry(file: &Value, server: &str) -> Result<Option<DockerCredentials>, String> {
    let Some(all) = file["auths"].as_object() else { return Ok(None) };
    let exact = all.iter().find(|(key, _)| *key == server);
    let Some((key, entry)) = exact.or_else(|| all.iter().find(|(key, _)| same_server(key, server))) else {
        return Ok(None);
    };
    let text = |name: &str| entry[name].as_str().filter(|t| !t.is_empty()).map(str::to_owned);
    let (mut username, mut password) = (text("username"), text("password"));
    if let Some(both) = text("auth") {
        let unreadable = || format!("the entry of {key:?} holds no name and password");
        let bytes = base64::engine::general_purpose::STANDARD.decode(both.trim()).map_err(|_| unreadable())?;
        let plain = String::from_utf8(bytes).map_err(|_| unreadable())?;
        let (name, secret) = plain.split_once(':').ok_or_else(unreadable)?;
        (username, password) = (Some(name.to_owned()), Some(secret.trim_end_matches('\0').to_owned()));
    }
    let found = DockerCredentials {
        username,
        password,
        identitytoken: text("identitytoken"),
        registrytoken: text("registrytoken"),
        serveraddress: Some(server.to_owned()),
        ..DockerCredentials::default()
    };
    let empty = found.username.is_none() && found.identitytoken.is_none() && found.registrytoken.is_none();
    Ok((!empty).then_some(found))
}

/// Asks `docker-credential-<helper>`. `None`: it has none for this server.
async fn ask(helper: &str, server: &str) -> Result<Option<DockerCredentials>, String> {
    if helper.contains('/') {
        return Err(format!(
            "{helper:?} is no name of a helper: it is what follows docker-credential- in a program's name"
        ));
    }
    let program = format!("docker-credential-{helper}");
    let answered = tokio::time::timeout(PATIENCE, run(&program, server)).await;
    let (success, said) = answered
        .map_err(|_| format!("{program} did not answer within {} seconds", PATIENCE.as_secs()))?
        .map_err(|error| format!("running {program}: {error}"))?;
    if !success {
        let said = String::from_utf8_lossy(&said[..said.len().min(300)]).trim().to_owned();
        // The words that these programs have agreed on.
        return match said.contains("credentials not found") {
            true => Ok(None),
            false => Err(format!("{program} failed: {said}")),
        };
    }
    let answer: Value = serde_json::from_slice(&said).map_err(|_| format!("{program} did not answer in JSON"))?;
    let text = |name: &str| answer[name].as_str().filter(|t| !t.is_empty()).map(str::to_owned);
    let (Some(name), secret) = (text("Username"), text("Secret")) else { return Ok(None) };
    let base = DockerCredentials { serveraddress: Some(server.to_owned()), ..DockerCredentials::default() };
    Ok(Some(match name.as_str() {
        "<token>" => DockerCredentials { identitytoken: secret, ..base },
        _ => DockerCredentials { username: Some(name), password: secret, ..base },
    }))
}

/// Whether it ended well, and what it said.
async fn run(program: &str, server: &str) -> std::io::Result<(bool, Vec<u8>)> {
    let mut command = tokio::process::Command::new(program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    if let Some(mut stdin) = stdin {
        // One that has its answer without reading the question is as good.
        let _ = stdin.write_all(format!("{server}\n").as_bytes()).await;
    }
    let mut said = Vec::new();
    if let Some(stdout) = stdout {
        stdout.take(MOST + 1).read_to_end(&mut said).await?;
    }
    if said.len() as u64 > MOST {
        return Err(std::io::Error::other(format!("it says more than {MOST} bytes")));
    }
    Ok((child.wait().await?.success(), said))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn plugin(file: &Path) -> PluginConfig {
        let mut plugin = PluginConfig::default();
        plugin.auth.config = Some(file.to_string_lossy().into_owned());
        plugin
    }

    #[tokio::test]
    async fn what_can_not_be_read_fails_the_start_unless_the_job_says_otherwise() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("config.json");
        let (plugin, strict, reference) = (plugin(&file), TaskConfig::default(), Reference::parse("redis:7"));
        let soft = TaskConfig { auth_soft_fail: Some(true), ..TaskConfig::default() };
        let torn = json!({"auths": {"docker.io": {"auth": "bm90aGluZw=="}}}).to_string();
        for content in [None, Some("no JSON"), Some(&*torn)] {
            content.iter().for_each(|text| std::fs::write(&file, text).expect("written"));
            let error = credentials(&plugin, &strict, &reference).await.expect_err("unreadable").to_string();
            assert!(error.starts_with("Failed to find docker registry auth"), "{error}");
            assert!(credentials(&plugin, &soft, &reference).await.expect("it goes on").is_none());
        }
    }

    /// The engine takes a name and a password; what the file has as one is taken apart.
    #[tokio::test]
    async fn a_client_configuration_is_read_as_the_client_reads_it() {
        let file = json!({"auths": {
            "https://index.docker.io/v1/": {"auth": "dTpwOnE="},
            "https://old.example/v1/": {"username": "a", "password": "b"},
            "new.example:5000": {"identitytoken": "t"},
            "helped.example": {},
        }});
        for (image, expected) in [
            ("redis:7", Some((Some("u"), Some("p:q"), None))),
            ("docker.io/library/redis:7", Some((Some("u"), Some("p:q"), None))),
            ("old.example/x:1", Some((Some("a"), Some("b"), None))),
            ("new.example:5000/x", Some((None, None, Some("t")))),
            ("helped.example/x", None),
            ("strange.example/x", None),
        ] {
            let reference = Reference::parse(image);
            let found = of_configuration(&file, reference.registry().unwrap_or(HUB)).await.expect("readable");
            let plain =
                found.as_ref().map(|c| (c.username.as_deref(), c.password.as_deref(), c.identitytoken.as_deref()));
            assert_eq!(plain, expected, "{image}");
        }
    }

    /// Programs stand in a directory of the test's own, called by their whole path as `PATH` would find them.
    async fn helped(script: &str) -> (std::io::Result<(bool, Vec<u8>)>, String) {
        let dir = tempfile::tempdir().expect("a directory");
        let (program, asked) = (dir.path().join("docker-credential-test"), dir.path().join("asked"));
        let text = format!("#!/bin/sh\necho \"$1\" > {0}; cat >> {0}\n{script}\n", asked.display());
        std::fs::write(&program, text).expect("written");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("may run");
        let ran = run(&program.to_string_lossy(), "ghcr.io").await;
        (ran, std::fs::read_to_string(asked).unwrap_or_default())
    }

    #[tokio::test]
    async fn a_helper_is_asked_and_bounded() {
        let (ran, asked) = helped(r#"echo '{"Username": "u", "Secret": "s"}'"#).await;
        let (success, said) = ran.expect("it ran");
        assert!(success && asked == "get\nghcr.io\n", "{asked:?}");
        assert_eq!(serde_json::from_slice::<Value>(&said).expect("JSON")["Secret"], "s");
        let (ran, _) = helped("echo credentials not found in native keychain; exit 1").await;
        assert!(matches!(ran, Ok((false, said)) if said.starts_with(b"credentials not found")));
        let (ran, _) = helped("yes").await;
        assert!(ran.expect_err("too much").to_string().contains("more than 1048576 bytes"));
        let error = ask("../bin/sh", "ghcr.io").await.expect_err("no name").to_string();
        assert!(error.contains("is no name of a helper"), "{error}");
        let error = ask("tarpan-nobody", "ghcr.io").await.expect_err("not there").to_string();
        assert!(error.starts_with("running docker-credential-tarpan-nobody: "), "{error}");
    }
}
