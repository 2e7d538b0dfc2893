//! Gets a task's image: there already, from a tar that an artifact brought, or pulled.

use bollard::Docker;
use bollard::query_parameters::ImportImageOptions;
use futures::StreamExt;

use super::auth::credentials;
use super::config::{PluginConfig, TaskConfig};
use super::kept::Kept;
use super::pull::Pulls;
use super::reference::Reference;
use super::text;
use crate::alloc_dir::below;
use crate::driver::{DriverError, Notices, TaskRequest};

/// Where images come from, and who keeps what came.
pub(super) struct Source<'a> {
    pub engine: &'a Docker,
    pub plugin: &'a PluginConfig,
    pub pulls: &'a Pulls,
    pub kept: &'a Kept,
}

/// The name of the image that a task wants.
pub(super) fn wanted(config: &TaskConfig) -> Result<Reference, DriverError> {
    let wanted = config.image.as_deref().map(str::trim).filter(|i| !i.is_empty());
    let wanted = wanted.ok_or_else(|| DriverError::Config("image name required for docker driver".to_owned()))?;
    Ok(Reference::parse(wanted))
}

impl Source<'_> {
    /// The image's id. Notices say what takes long.
    pub async fn ensure(
        &self,
        config: &TaskConfig,
        reference: &Reference,
        request: &TaskRequest,
        notices: &Notices,
    ) -> Result<String, DriverError> {
        let there = self.inspect(reference).await?;
        if let Some(file) = config.load.as_deref().filter(|l| !l.is_empty()) {
            load(self.engine, file, request).await?;
            let found = self.inspect(reference).await?.ok_or_else(|| {
                DriverError::start(format!("Failed to load image: {file} does not hold {}", reference.full()), false)
            })?;
            return Ok(self.brought(found, there.as_deref(), reference).await);
        }
        let fresh = config.force_pull == Some(true) || (!reference.digest && reference.tag == "latest");
        if let (Some(id), false) = (&there, fresh) {
            return Ok(id.clone());
        }
        match (self.pull(config, reference, notices).await, there) {
            (Ok(()), there) => {
                let found = self.inspect(reference).await?.ok_or_else(|| {
                    DriverError::start(
                        format!("Failed to pull `{}`: it is not there afterwards", reference.full()),
                        true,
                    )
                })?;
                Ok(self.brought(found, there.as_deref(), reference).await)
            }
            // Better the image that is here than none, unless a new one was asked for.
            (Err(error), Some(id)) if config.force_pull != Some(true) => {
                notices(format!("{error}; the image that is on the node is used"));
                Ok(id)
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn pull(&self, config: &TaskConfig, reference: &Reference, notices: &Notices) -> Result<(), DriverError> {
        let limit = config.pull_limit(self.plugin)?;
        let credentials = credentials(self.plugin, config, reference).await?;
        let idle = self.plugin.pull_activity_timeout.to_std();
        self.pulls.pull(self.engine, reference, credentials, limit, idle, notices).await
    }

    /// What was here before stays whoever's it was.
    async fn brought(&self, id: String, before: Option<&str>, reference: &Reference) -> String {
        if before != Some(&id) {
            self.kept.brought(&id, &reference.full()).await;
        }
        id
    }

    async fn inspect(&self, reference: &Reference) -> Result<Option<String>, DriverError> {
        match self.engine.inspect_image(&reference.full()).await {
            Ok(found) => Ok(found.id),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => {
                Err(DriverError::start(format!("looking for image {}: {}", reference.full(), text(&error)), true))
            }
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
