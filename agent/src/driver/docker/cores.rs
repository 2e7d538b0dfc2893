//! Containers whose tasks have no cores of their own run on what is shared, and are told when that changes.

use std::collections::HashMap;

use bollard::Docker;
use bollard::errors::Error as ApiError;
use bollard::models::ContainerUpdateBody;
use bollard::query_parameters::ListContainersOptions;

use super::text;

/// On such a container: the engine's own record says which cores it has, and not whose choice they were.
pub(super) const LABEL: &str = "tarpan.shared_cores";

/// Has all running ones run on these cores. What can't be told is logged: the containers go on as they are.
pub(super) async fn share(engine: &Docker, shared: &str) {
    let failed = |error: &ApiError| tracing::warn!("telling containers which cores they share: {}", text(error));
    let filters = HashMap::from([("label".to_owned(), vec![LABEL.to_owned()])]);
    let options = ListContainersOptions { filters: Some(filters), ..Default::default() };
    let running = match engine.list_containers(Some(options)).await {
        Ok(running) => running,
        Err(error) => return failed(&error),
    };
    for id in running.into_iter().filter_map(|container| container.id) {
        let update = ContainerUpdateBody { cpuset_cpus: Some(shared.to_owned()), ..ContainerUpdateBody::default() };
        match engine.update_container(&id, update).await {
            // It ended meanwhile.
            Ok(()) | Err(ApiError::DockerResponseServerError { status_code: 404 | 409, .. }) => {}
            Err(error) => failed(&error),
        }
    }
}
