//! Gets a task's image: there already, from a tar that an artifact brought, or pulled.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::query_parameters::{CreateImageOptions, ImportImageOptions};
use futures::StreamExt;

use super::config::{PluginConfig, TaskConfig};
use super::text;
use crate::alloc_dir::below;
use crate::driver::{DriverError, Notices, TaskRequest};

/// How long a pull may take where nobody says otherwise.
const PULL: Duration = Duration::from_secs(5 * 60);
/// A slow pull says so now and then.
const TELL: Duration = Duration::from_secs(20);

/// A reference taken apart: registry and repository, and what comes after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub repository: String,
    pub tag: String,
    /// `sha256:…` instead of a tag.
    pub digest: bool,
}

impl Reference {
    pub fn parse(image: &str) -> Reference {
        let image = ["docker://", "https://", "http://"].iter().find_map(|p| image.strip_prefix(p)).unwrap_or(image);
        if let Some((repository, digest)) = image.split_once('@') {
            return Reference { repository: repository.to_owned(), tag: digest.to_owned(), digest: true };
        }
        let (repository, tag) = match image.rsplit_once(':') {
            // A colon before the last slash belongs to the registry's port.
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => (image, "latest"),
        };
        Reference { repository: repository.to_owned(), tag: tag.to_owned(), digest: false }
    }

    pub fn full(&self) -> String {
        let separator = if self.digest { '@' } else { ':' };
        format!("{}{separator}{}", self.repository, self.tag)
    }
}

/// The image's id. Notices say what takes long.
pub(super) async fn ensure(
    engine: &Docker,
    plugin: &PluginConfig,
    config: &TaskConfig,
    request: &TaskRequest,
    notices: &Notices,
) -> Result<String, DriverError> {
    let wanted = config.image.as_deref().map(str::trim).filter(|i| !i.is_empty());
    let wanted = wanted.ok_or_else(|| DriverError::Config("image name required for docker driver".to_owned()))?;
    let reference = Reference::parse(wanted);
    if let Some(file) = config.load.as_deref().filter(|l| !l.is_empty()) {
        load(engine, file, request).await?;
        let found = inspect(engine, &reference).await?;
        return found.ok_or_else(|| {
            DriverError::start(format!("Failed to load image: {file} does not hold {}", reference.full()), false)
        });
    }
    let there = inspect(engine, &reference).await?;
    let fresh = config.force_pull == Some(true) || (!reference.digest && reference.tag == "latest");
    if let (Some(id), false) = (&there, fresh) {
        return Ok(id.clone());
    }
    match (pull(engine, plugin, config, &reference, notices).await, there) {
        (Ok(()), _) => inspect(engine, &reference).await?.ok_or_else(|| {
            DriverError::start(format!("Failed to pull `{}`: it is not there afterwards", reference.full()), true)
        }),
        // Better the image that is here than none, unless a new one was asked for.
        (Err(error), Some(id)) if config.force_pull != Some(true) => {
            notices(format!("{error}; the image that is on the node is used"));
            Ok(id)
        }
        (Err(error), _) => Err(error),
    }
}

async fn inspect(engine: &Docker, reference: &Reference) -> Result<Option<String>, DriverError> {
    match engine.inspect_image(&reference.full()).await {
        Ok(found) => Ok(found.id),
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(error) => {
            Err(DriverError::start(format!("looking for image {}: {}", reference.full(), text(&error)), true))
        }
    }
}

/// Loads a tar from the task's `local` directory.
async fn load(engine: &Docker, file: &str, request: &TaskRequest) -> Result<(), DriverError> {
    let failed =
        |why: String, recoverable| DriverError::start(format!("Failed to load image {file:?}: {why}"), recoverable);
    let path = below(&request.dirs.local, file).map_err(|e| failed(e.to_string(), false))?;
    let inside = path.strip_prefix(&request.dirs.alloc).unwrap_or(&path).to_owned();
    let opened = request.dirs.open().and_then(|alloc| alloc.read(&inside));
    let opened = opened.map_err(|e| failed(crate::chain(&e), false))?;
    let stream = tokio_util::io::ReaderStream::new(tokio::fs::File::from_std(opened));
    let options = ImportImageOptions { quiet: true, ..Default::default() };
    let mut answers = std::pin::pin!(engine.import_image_stream(options, stream, None));
    while let Some(answer) = answers.next().await {
        let answer = answer.map_err(|e| failed(text(&e), true))?;
        if let Some(error) = answer.error_detail.and_then(|d| d.message) {
            return Err(failed(error, true));
        }
    }
    Ok(())
}

async fn pull(
    engine: &Docker,
    plugin: &PluginConfig,
    config: &TaskConfig,
    reference: &Reference,
    notices: &Notices,
) -> Result<(), DriverError> {
    notices("Downloading image".to_owned());
    let limit = [&config.image_pull_timeout, &plugin.image_pull_timeout]
        .into_iter()
        .flatten()
        .find_map(|t| t.parse::<tarpan_model::Dur>().ok());
    let limit = limit.map_or(PULL, |d| d.to_std());
    let options = CreateImageOptions {
        from_image: Some(reference.repository.clone()),
        tag: Some(reference.tag.clone()),
        ..Default::default()
    };
    let failed = |why: String| {
        let hopeless = ["not found", "does not exist", "access denied", "invalid reference", "manifest unknown"];
        let recoverable = !hopeless.iter().any(|h| why.contains(h)) || why.contains("no such host");
        DriverError::start(format!("Failed to pull `{}`: {why}", reference.full()), recoverable)
    };
    let credentials = credentials(plugin, config, reference).await?;
    let work = async {
        let mut answers = std::pin::pin!(engine.create_image(Some(options), None, credentials));
        let mut layers: HashMap<String, String> = HashMap::new();
        let mut told = tokio::time::Instant::now();
        while let Some(answer) = answers.next().await {
            let answer = answer.map_err(|e| failed(text(&e)))?;
            if let Some(error) = answer.error_detail.and_then(|d| d.message) {
                return Err(failed(error));
            }
            if let (Some(layer), Some(status)) = (answer.id, answer.status) {
                layers.insert(layer, status);
            }
            if told.elapsed() > TELL {
                told = tokio::time::Instant::now();
                let done = layers.values().filter(|s| s.contains("complete") || s.contains("exists")).count();
                notices(format!("Docker image pull progress: {done} of {} layers", layers.len()));
            }
        }
        Ok(())
    };
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(failed(format!("it took longer than {}", tarpan_model::Dur::from(limit)))))
}

/// From the task's `auth` block, else from the operator's client configuration. That it can't be read fails the start, unless
/// the job's `auth_soft_fail` has it go on without.
async fn credentials(
    plugin: &PluginConfig,
    config: &TaskConfig,
    reference: &Reference,
) -> Result<Option<DockerCredentials>, DriverError> {
    let auth = &config.auth;
    if auth.username.as_ref().is_some_and(|u| !u.is_empty()) {
        return Ok(Some(DockerCredentials {
            username: auth.username.clone(),
            password: auth.password.clone(),
            email: auth.email.clone(),
            serveraddress: auth.server_address.clone(),
            ..DockerCredentials::default()
        }));
    }
    let Some(path) = plugin.auth.config.clone() else { return Ok(None) };
    let why = match crate::blocking(move || client_configuration(&path)).await {
        Ok(file) => return Ok(entry(&file, reference)),
        Err(error) => format!("Failed to find docker registry auth for repo {:?}: {error}", reference.repository),
    };
    match config.auth_soft_fail {
        Some(true) => {
            tracing::warn!("{why}; going on without");
            Ok(None)
        }
        _ => Err(DriverError::start(why, false)),
    }
}

#[allow(clippy::disallowed_methods, reason = "a file that the operator named")]
fn client_configuration(path: &str) -> std::io::Result<serde_json::Value> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

/// What the client's configuration has for the registry of an image.
fn entry(file: &serde_json::Value, reference: &Reference) -> Option<DockerCredentials> {
    let registry = reference.repository.split('/').next().filter(|r| r.contains(['.', ':']) || *r == "localhost");
    let keys = [
        registry.unwrap_or("https://index.docker.io/v1/").to_owned(),
        format!("https://{}", registry.unwrap_or_default()),
    ];
    let entry = keys.iter().find_map(|key| file["auths"].get(key))?;
    Some(DockerCredentials { auth: entry["auth"].as_str().map(str::to_owned), ..DockerCredentials::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_can_not_be_read_fails_the_start_unless_the_job_says_otherwise() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("config.json");
        let mut plugin = PluginConfig::default();
        plugin.auth.config = Some(file.to_string_lossy().into_owned());
        let (strict, reference) = (TaskConfig::default(), Reference::parse("redis:7"));
        let soft = TaskConfig { auth_soft_fail: Some(true), ..TaskConfig::default() };
        for content in [None, Some("no JSON")] {
            content.iter().for_each(|text| std::fs::write(&file, text).expect("written"));
            let error = credentials(&plugin, &strict, &reference).await.expect_err("unreadable").to_string();
            assert!(error.starts_with("Failed to find docker registry auth"), "{error}");
            assert!(credentials(&plugin, &soft, &reference).await.expect("it goes on").is_none());
        }
        let auths = serde_json::json!({"auths": {"https://index.docker.io/v1/": {"auth": "dTpw"}}});
        std::fs::write(&file, auths.to_string()).expect("written");
        let found = credentials(&plugin, &strict, &reference).await.expect("read");
        assert_eq!(found.and_then(|c| c.auth).as_deref(), Some("dTpw"));
    }

    #[test]
    fn fuzz_a_reference_is_read_as_it_is_written() {
        let words = [":", "@", "/", "sha256:", "docker://", "https://", "latest", "localhost:5000", "a", ".", "[::1]"];
        let seeds = ["redis:7", "localhost:5000/a/b", "a@sha256:00ff", "docker://x/y:1@sha256:7", "[::1]:5000/x", ""];
        let fuzz = tarpan_testkit::fuzz::Fuzz::new(env!("CARGO_MANIFEST_DIR"), "images").words(&words).seeds(seeds);
        fuzz.texts(|image| {
            let reference = Reference::parse(image);
            let full = reference.full();
            let named = !["docker://", "https://", "http://"].iter().any(|scheme| full.starts_with(scheme));
            if named {
                assert_eq!(Reference::parse(&full), reference, "{image:?}");
            }
            format!("{} {} {named}", reference.digest, reference.tag == "latest")
        });
    }
}
