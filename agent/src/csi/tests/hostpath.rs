//! A CSI plugin whose volumes are directories of one folder: controller, node and identity.
//!
//! What a volume's parameter `fault` says happens when it is published: `hang` never answers, `lie` mounts nothing and says that it did,
//! `die` ends the process the first time, `refuse` says no.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tarpan_rpc::csi::v1::controller_server::{Controller, ControllerServer};
use tarpan_rpc::csi::v1::identity_server::{Identity, IdentityServer};
use tarpan_rpc::csi::v1::node_server::{Node, NodeServer};
use tarpan_rpc::csi::v1::*;
use tokio::net::UnixListener;
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;

#[derive(Clone)]
pub struct Plugin {
    folder: PathBuf,
    node: String,
    /// What was asked for, in order.
    pub calls: Arc<Mutex<Vec<String>>>,
}

fn failed(doing: &'static str) -> impl FnOnce(std::io::Error) -> Status {
    move |error| Status::internal(format!("{doing}: {error}"))
}

fn mounted(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1) == path.to_str())
}

fn bind(from: &Path, to: &Path, read_only: bool) -> Result<(), Status> {
    if mounted(to) {
        return Ok(());
    }
    std::fs::create_dir_all(to).map_err(failed("making the target"))?;
    let none: Option<&str> = None;
    let error =
        |error: nix::Error| Status::internal(format!("mounting {} at {}: {error}", from.display(), to.display()));
    mount(Some(from), to, none, MsFlags::MS_BIND, none).map_err(error)?;
    if read_only {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(none, to, none, flags, none).map_err(error)?;
    }
    Ok(())
}

fn unbind(path: &Path) -> Result<(), Status> {
    while mounted(path) {
        umount2(path, MntFlags::empty()).map_err(|error| Status::internal(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

/// Files of one directory; volumes of tests have no others.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Names in a directory, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

impl Plugin {
    pub fn new(folder: PathBuf, node: &str) -> Plugin {
        for part in ["volumes", "snapshots", "attached"] {
            std::fs::create_dir_all(folder.join(part)).expect("a folder to write to");
        }
        Plugin { folder, node: node.to_owned(), calls: Arc::default() }
    }

    /// Answers for as long as it is awaited.
    pub async fn serve(self, socket: &Path) {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).expect("a socket");
        let incoming = futures::stream::unfold(listener, |listener| async move {
            let accepted = listener.accept().await.map(|(stream, _)| stream);
            Some((accepted, listener))
        });
        let server = tonic::transport::Server::builder()
            .add_service(IdentityServer::new(self.clone()))
            .add_service(ControllerServer::new(self.clone()))
            .add_service(NodeServer::new(self));
        server.serve_with_incoming(incoming).await.expect("it serves");
    }

    fn told(&self, call: &str, of: &str) {
        self.calls.lock().expect("no panic while held").push(format!("{call} {of}"));
    }

    fn volume(&self, id: &str) -> Result<PathBuf, Status> {
        let path = self.folder.join("volumes").join(id);
        match path.is_dir() {
            true => Ok(path),
            false => Err(Status::not_found(format!("no volume {id}"))),
        }
    }

    fn snapshot(&self, id: &str) -> Option<Snapshot> {
        let path = self.folder.join("snapshots").join(id);
        let of = std::fs::read_to_string(path.with_extension("of")).ok()?;
        Some(Snapshot {
            size_bytes: 1 << 20,
            snapshot_id: id.to_owned(),
            source_volume_id: of,
            creation_time: Some(Moment { seconds: 1_700_000_000, nanos: 0 }),
            ready_to_use: true,
        })
    }
}

#[tonic::async_trait]
impl Identity for Plugin {
    async fn get_plugin_info(&self, _: Request<GetPluginInfoRequest>) -> Answer<GetPluginInfoResponse> {
        Ok(Response::new(GetPluginInfoResponse { name: "hostpath.test".to_owned(), vendor_version: "1.0".to_owned() }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Answer<GetPluginCapabilitiesResponse> {
        use plugin_capability::{Service, Type};
        let capabilities = vec![PluginCapability { r#type: Some(Type::Service(Service { r#type: 1 })) }];
        Ok(Response::new(GetPluginCapabilitiesResponse { capabilities }))
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Answer<ProbeResponse> {
        if self.folder.join("hang").exists() {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(ProbeResponse { ready: Some(Flag { value: !self.folder.join("unready").exists() }) }))
    }
}

#[tonic::async_trait]
impl Controller for Plugin {
    async fn create_volume(&self, request: Request<CreateVolumeRequest>) -> Answer<CreateVolumeResponse> {
        use volume_content_source::Type;
        let asked = request.into_inner();
        self.told("create", &asked.name);
        let path = self.folder.join("volumes").join(&asked.name);
        match asked.volume_content_source.clone().and_then(|source| source.r#type) {
            Some(Type::Snapshot(of)) if self.snapshot(&of.snapshot_id).is_none() => {
                return Err(Status::not_found(format!("no snapshot {}", of.snapshot_id)));
            }
            Some(Type::Snapshot(of)) => copy(&self.folder.join("snapshots").join(of.snapshot_id), &path),
            Some(Type::Volume(of)) => copy(&self.volume(&of.volume_id)?, &path),
            None => std::fs::create_dir_all(&path),
        }
        .map_err(failed("making a volume"))?;
        // Tasks write to it, whoever they are.
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(&path, everybody).map_err(failed("making a volume"))?;
        let capacity_bytes = asked.capacity_range.map_or(0, |range| range.required_bytes);
        let volume = Volume {
            capacity_bytes,
            volume_id: asked.name,
            volume_context: asked.parameters,
            content_source: asked.volume_content_source,
            accessible_topology: Vec::new(),
        };
        Ok(Response::new(CreateVolumeResponse { volume: Some(volume) }))
    }

    async fn delete_volume(&self, request: Request<DeleteVolumeRequest>) -> Answer<DeleteVolumeResponse> {
        let id = request.into_inner().volume_id;
        self.told("delete", &id);
        if !names(&self.folder.join("attached").join(&id)).is_empty() {
            return Err(Status::failed_precondition(format!("volume {id} is attached")));
        }
        std::fs::remove_dir_all(self.volume(&id)?).map_err(failed("deleting a volume"))?;
        Ok(Response::new(DeleteVolumeResponse {}))
    }

    async fn controller_publish_volume(
        &self,
        request: Request<ControllerPublishVolumeRequest>,
    ) -> Answer<ControllerPublishVolumeResponse> {
        let asked = request.into_inner();
        self.told("attach", &asked.volume_id);
        self.volume(&asked.volume_id)?;
        let attached = self.folder.join("attached").join(&asked.volume_id);
        std::fs::create_dir_all(&attached).map_err(failed("attaching"))?;
        if let Some(other) = names(&attached).into_iter().find(|node| *node != asked.node_id) {
            return Err(Status::failed_precondition(format!("it is attached to {other}")));
        }
        std::fs::write(attached.join(&asked.node_id), "").map_err(failed("attaching"))?;
        let publish_context = HashMap::from([("attached".to_owned(), asked.node_id)]);
        Ok(Response::new(ControllerPublishVolumeResponse { publish_context }))
    }

    async fn controller_unpublish_volume(
        &self,
        request: Request<ControllerUnpublishVolumeRequest>,
    ) -> Answer<ControllerUnpublishVolumeResponse> {
        let asked = request.into_inner();
        self.told("detach", &asked.volume_id);
        let _ = std::fs::remove_file(self.folder.join("attached").join(&asked.volume_id).join(&asked.node_id));
        Ok(Response::new(ControllerUnpublishVolumeResponse {}))
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<ValidateVolumeCapabilitiesRequest>,
    ) -> Answer<ValidateVolumeCapabilitiesResponse> {
        use validate_volume_capabilities_response::Confirmed;
        let asked = request.into_inner();
        self.volume(&asked.volume_id)?;
        let confirmed = Some(Confirmed { volume_capabilities: asked.volume_capabilities });
        Ok(Response::new(ValidateVolumeCapabilitiesResponse { confirmed, message: String::new() }))
    }

    async fn list_volumes(&self, request: Request<ListVolumesRequest>) -> Answer<ListVolumesResponse> {
        let asked = request.into_inner();
        let all = names(&self.folder.join("volumes"));
        let from = asked.starting_token.parse().unwrap_or(0usize);
        let most = if asked.max_entries > 0 { asked.max_entries as usize } else { all.len() };
        let entry = |id: &String| list_volumes_response::Entry {
            volume: Some(Volume { volume_id: id.clone(), ..Volume::default() }),
            status: Some(list_volumes_response::Status {
                published_node_ids: names(&self.folder.join("attached").join(id)),
                volume_condition: None,
            }),
        };
        let entries = all.iter().skip(from).take(most).map(entry).collect();
        let next_token = if from + most < all.len() { (from + most).to_string() } else { String::new() };
        Ok(Response::new(ListVolumesResponse { entries, next_token }))
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<ControllerGetCapabilitiesRequest>,
    ) -> Answer<ControllerGetCapabilitiesResponse> {
        use controller_service_capability::{Rpc, Type};
        let one = |number| ControllerServiceCapability { r#type: Some(Type::Rpc(Rpc { r#type: number })) };
        let capabilities = [1, 2, 3, 5, 6, 7].map(one).to_vec();
        Ok(Response::new(ControllerGetCapabilitiesResponse { capabilities }))
    }

    async fn create_snapshot(&self, request: Request<CreateSnapshotRequest>) -> Answer<CreateSnapshotResponse> {
        let asked = request.into_inner();
        let to = self.folder.join("snapshots").join(&asked.name);
        copy(&self.volume(&asked.source_volume_id)?, &to).map_err(failed("making a snapshot"))?;
        std::fs::write(to.with_extension("of"), &asked.source_volume_id).map_err(failed("making a snapshot"))?;
        Ok(Response::new(CreateSnapshotResponse { snapshot: self.snapshot(&asked.name) }))
    }

    async fn delete_snapshot(&self, request: Request<DeleteSnapshotRequest>) -> Answer<DeleteSnapshotResponse> {
        let path = self.folder.join("snapshots").join(request.into_inner().snapshot_id);
        let _ = std::fs::remove_file(path.with_extension("of"));
        let _ = std::fs::remove_dir_all(path);
        Ok(Response::new(DeleteSnapshotResponse {}))
    }

    async fn list_snapshots(&self, _: Request<ListSnapshotsRequest>) -> Answer<ListSnapshotsResponse> {
        let all = names(&self.folder.join("snapshots"));
        let found = all.iter().filter(|id| !id.ends_with(".of")).filter_map(|id| self.snapshot(id));
        let entries = found.map(|snapshot| list_snapshots_response::Entry { snapshot: Some(snapshot) }).collect();
        Ok(Response::new(ListSnapshotsResponse { entries, next_token: String::new() }))
    }
}

#[tonic::async_trait]
impl Node for Plugin {
    async fn node_stage_volume(&self, request: Request<NodeStageVolumeRequest>) -> Answer<NodeStageVolumeResponse> {
        let asked = request.into_inner();
        self.told("stage", &asked.volume_id);
        if asked.publish_context.get("attached") != Some(&self.node) {
            return Err(Status::failed_precondition("it is not attached to this node"));
        }
        bind(&self.volume(&asked.volume_id)?, Path::new(&asked.staging_target_path), false)?;
        Ok(Response::new(NodeStageVolumeResponse {}))
    }

    async fn node_unstage_volume(
        &self,
        request: Request<NodeUnstageVolumeRequest>,
    ) -> Answer<NodeUnstageVolumeResponse> {
        let asked = request.into_inner();
        self.told("unstage", &asked.volume_id);
        unbind(Path::new(&asked.staging_target_path))?;
        Ok(Response::new(NodeUnstageVolumeResponse {}))
    }

    async fn node_publish_volume(
        &self,
        request: Request<NodePublishVolumeRequest>,
    ) -> Answer<NodePublishVolumeResponse> {
        let asked = request.into_inner();
        self.told("publish", &asked.volume_id);
        match asked.volume_context.get("fault").map(String::as_str) {
            Some("hang") => std::future::pending().await,
            Some("lie") => return Ok(Response::new(NodePublishVolumeResponse {})),
            Some("refuse") => return Err(Status::invalid_argument("this volume is never published\u{1b}[2J")),
            Some("die") if !self.folder.join("died").exists() => {
                std::fs::write(self.folder.join("died"), "").map_err(failed("dying"))?;
                std::process::exit(9);
            }
            _ => {}
        }
        bind(Path::new(&asked.staging_target_path), Path::new(&asked.target_path), asked.readonly)?;
        Ok(Response::new(NodePublishVolumeResponse {}))
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<NodeUnpublishVolumeRequest>,
    ) -> Answer<NodeUnpublishVolumeResponse> {
        let asked = request.into_inner();
        self.told("unpublish", &asked.volume_id);
        if !self.folder.join("stuck").exists() {
            unbind(Path::new(&asked.target_path))?;
        }
        Ok(Response::new(NodeUnpublishVolumeResponse {}))
    }

    async fn node_get_capabilities(
        &self,
        _: Request<NodeGetCapabilitiesRequest>,
    ) -> Answer<NodeGetCapabilitiesResponse> {
        use node_service_capability::{Rpc, Type};
        let capabilities = vec![NodeServiceCapability { r#type: Some(Type::Rpc(Rpc { r#type: 1 })) }];
        Ok(Response::new(NodeGetCapabilitiesResponse { capabilities }))
    }

    async fn node_get_info(&self, _: Request<NodeGetInfoRequest>) -> Answer<NodeGetInfoResponse> {
        Ok(Response::new(NodeGetInfoResponse {
            node_id: self.node.clone(),
            max_volumes_per_node: 0,
            accessible_topology: None,
        }))
    }
}
