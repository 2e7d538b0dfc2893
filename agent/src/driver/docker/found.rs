//! Containers of this agent as the engine knows them, whether or not the agent remembers them.
//!
//! A container is this agent's by its label and by where its `/alloc` lies: other agents on the same engine have other
//! directories. Which start made it says a label of ours; containers of older agents carry none and are known by name.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bollard::errors::Error as ApiError;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptions};
use tarpan_model::AllocId;

use super::handle::{Container, Saved, address_of};
use super::{ALLOC_LABEL, DockerDriver, RUN_LABEL, text};
use crate::driver::{DriverError, Handle, Mark, Place, Trace};

impl DockerDriver {
    /// The container of a start. One that was created and not started yet is started: the start was decided, and it
    /// happens once.
    pub(super) async fn container_of(&self, mark: &Mark) -> Result<Option<Arc<dyn Handle>>, DriverError> {
        let engine = self.engine().await?;
        let name = format!("{}-{}", mark.task, mark.alloc_id);
        let found = match engine.inspect_container(&name, None::<InspectContainerOptions>).await {
            Ok(found) => found,
            Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
            Err(error) => return Err(DriverError::Other(format!("looking for the container: {}", text(&error)))),
        };
        let labels = found.config.as_ref().and_then(|c| c.labels.clone()).unwrap_or_default();
        let of_start = labels.get(RUN_LABEL).is_none_or(|run| *run == mark.id);
        if labels.get(ALLOC_LABEL) != Some(&mark.alloc_id.to_string()) || !of_start {
            return Ok(None);
        }
        let Some(id) = found.id.clone() else { return Ok(None) };
        let mut found = found;
        if created_only(&found) {
            let failed = |e: ApiError| DriverError::start(format!("Failed to start container: {}", text(&e)), true);
            engine.start_container(&id, None).await.map_err(failed)?;
            let again = engine.inspect_container(&id, None::<InspectContainerOptions>).await;
            found = again.map_err(|e| DriverError::Other(format!("looking at the container: {}", text(&e))))?;
        }
        let config = found.config.clone().unwrap_or_default();
        let saved = Saved {
            container: id,
            task: mark.task.clone(),
            run_dir: mark.run_dir.clone(),
            logs: mark.logs.clone().filter(|_| !self.plugin.disable_log_collection),
            tty: config.tty.unwrap_or(false),
            // Which family the job wants is not known of a container that was found.
            ip: address_of(found, false).0,
            advertise: false,
            ports: Default::default(),
            user: config.user.unwrap_or_default(),
        };
        Ok(Some(Arc::new(Container::new(engine, saved, true, self.plugin.gc.container))))
    }

    pub(super) async fn containers_of(&self, place: &Place) -> Result<Vec<Trace>, DriverError> {
        let engine = self.engine().await?;
        let filters = HashMap::from([("label".to_owned(), vec![ALLOC_LABEL.to_owned()])]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let all = engine.list_containers(Some(options)).await;
        let all = all.map_err(|e| DriverError::Other(format!("listing the containers: {}", text(&e))))?;
        let trace = |container: bollard::models::ContainerSummary| {
            let labels = container.labels.unwrap_or_default();
            let alloc_id = AllocId(uuid::Uuid::parse_str(labels.get(ALLOC_LABEL)?).ok()?);
            let dir = place.alloc_root.join(alloc_id.to_string()).join("alloc");
            let ours = container.mounts.unwrap_or_default().into_iter().any(|m| {
                m.destination.as_deref() == Some("/alloc") && m.source.is_some_and(|source| Path::new(&source) == dir)
            });
            let name = container.names.unwrap_or_default().into_iter().next()?;
            let task = name.trim_start_matches('/').strip_suffix(&format!("-{alloc_id}"))?.to_owned();
            let id = labels.get(RUN_LABEL).cloned().unwrap_or_else(|| format!("{alloc_id}/{task}/00000000"));
            let suffix = id.rsplit('/').next().unwrap_or_default().to_owned();
            let mark = Mark {
                driver: "docker".to_owned(),
                alloc_id,
                run_dir: place.run_dir(alloc_id, &task, &suffix),
                logs: None,
                cgroup_parent: place.cgroup_parent.clone(),
                task,
                id,
            };
            let over = container.state.is_some_and(|s| matches!(s.to_string().as_str(), "exited" | "dead" | "created"));
            ours.then_some(Trace { mark, running: !over })
        };
        // What ended stays where the operator wants to look at it: nobody is told of it.
        let told = |trace: &Trace| trace.running || self.plugin.gc.container;
        Ok(all.into_iter().filter_map(trace).filter(told).collect())
    }
}

fn created_only(found: &ContainerInspectResponse) -> bool {
    use bollard::models::ContainerStateStatusEnum::CREATED;
    found.state.as_ref().and_then(|s| s.status) == Some(CREATED)
}
