//! Over the real protocol: a plugin that mounts, and ones that do not do what they say.

mod hostpath;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tarpan_model::csi::{AccessMode, AttachmentMode, Capability, CsiVolume};
use tarpan_model::{AllocId, Namespace, NodeId};
use tarpan_rpc::Message;
use tarpan_rpc::csi::{Call, Detach, FailedKind, v1};
use tokio::sync::watch;
use tokio::time::Instant;

use self::hostpath::Plugin;
use super::supervisor::Supervisor;
use super::*;

/// A node's part of CSI with one plugin, `disks`, in directories of its own.
struct Place {
    dir: tempfile::TempDir,
    plugins: Arc<Plugins>,
    plugin: Plugin,
    serving: tokio::task::JoinHandle<()>,
    supervisor: Option<Supervisor>,
    told: Arc<AtomicUsize>,
    unwell: Arc<Mutex<Vec<String>>>,
}

const TASK: AllocId = AllocId(uuid::Uuid::from_u128(7));

impl Place {
    async fn new() -> Place {
        let mut place = Place::without_plugin();
        place.serve();
        place.until("the plugin is healthy", |p| p.find("disks", |_| true).is_some_and(|t| t.info.healthy)).await;
        place
    }

    fn without_plugin() -> Place {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().canonicalize().expect("a path").join("csi");
        let plugins = Arc::new(Plugins::new(root, Store::none()));
        let (socket, volumes) = (plugins.socket_dir(TASK, "disks"), plugins.volumes_dir("disks"));
        for path in [&socket, &volumes] {
            std::fs::create_dir_all(path).expect("made");
        }
        let plugin = Plugin::new(dir.path().join("folder"), "node-1");
        let (told, unwell) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (_, started) = watch::channel(true);
        let what = Supervised {
            plugin: "disks".to_owned(),
            kind: Kind::Both,
            alloc: TASK,
            task: "disks".to_owned(),
            dir: socket,
            seen: volumes,
            health_timeout: Duration::from_millis(600),
            started,
        };
        let (count, said) = (told.clone(), unwell.clone());
        let tell = Arc::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let supervisor = supervise(&plugins, what, tell, move |text| said.lock().expect("whole").push(text));
        let serving = tokio::spawn(async {});
        Place { dir, plugins, plugin, serving, supervisor: Some(supervisor), told, unwell }
    }

    fn serve(&mut self) {
        let (plugin, socket) = (self.plugin.clone(), self.plugins.socket_dir(TASK, "disks").join("csi.sock"));
        self.serving = tokio::spawn(async move { plugin.serve(&socket).await });
    }

    async fn until(&self, what: &str, holds: impl Fn(&Plugins) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !holds(&self.plugins) {
            assert!(Instant::now() < end, "{what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A volume that the plugin has.
    fn volume(&self, id: &str, context: &[(&str, &str)]) -> CsiVolume {
        std::fs::create_dir_all(self.dir.path().join("folder/volumes").join(id)).expect("made");
        let mut volume = CsiVolume::new(Namespace::new("default"), id, "disks");
        volume.context = context.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        volume
    }

    async fn publish(&self, volume: &CsiVolume, alloc: u128, write: bool) -> Result<PathBuf, tarpan_rpc::csi::Failed> {
        let detach = detach(volume, alloc, write);
        let publish_context = HashMap::from([("attached".to_owned(), "node-1".to_owned())]);
        self.plugins.mounts.publish(&self.plugins, &Wanted { detach, volume, publish_context }).await
    }

    async fn unpublish(&self, volume: &CsiVolume, alloc: u128, write: bool) -> Result<(), tarpan_rpc::csi::Failed> {
        self.plugins.mounts.unpublish(&self.plugins, &detach(volume, alloc, write)).await
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.plugin.calls.lock().expect("whole"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.serving.abort();
        // What a failed test left mounted: removing the directory must not reach into it.
        if let Ok(dir) = crate::ground::Dir::trusted(self.plugins.root()) {
            dir.unmount_below();
        }
    }
}

fn detach(volume: &CsiVolume, alloc: u128, write: bool) -> Detach {
    let access = if write { AccessMode::MultiWriter } else { AccessMode::MultiReader };
    Detach {
        plugin: "disks".to_owned(),
        namespace: volume.namespace.clone(),
        volume: volume.id.to_string(),
        external_id: volume.id.to_string(),
        alloc: AllocId(uuid::Uuid::from_u128(alloc)),
        write,
        how: Capability { access, attachment: AttachmentMode::FileSystem },
    }
}

#[tokio::test]
async fn the_node_says_what_its_plugins_say_and_forgets_those_that_end() {
    let mut place = Place::new().await;
    let mut node = Node::new(NodeId::NIL, "n", "dc1");
    assert!(place.plugins.describe(&mut node));
    assert!(!place.plugins.describe(&mut node), "nothing new");
    let (controller, own) = (&node.csi_controllers["disks"], &node.csi_nodes["disks"]);
    assert!(controller.healthy && controller.requires_controller && controller.node.is_none());
    assert!(controller.controller.expect("a controller").attach_detach);
    assert_eq!((own.provider.as_str(), own.version.as_str()), ("hostpath.test", "1.0"));
    let info = own.node.clone().expect("a node");
    assert_eq!((info.id.as_str(), info.stages), ("node-1", true));
    let told = place.told.load(Ordering::Relaxed);
    place.supervisor.take();
    assert!(place.told.load(Ordering::Relaxed) > told && place.plugins.describe(&mut node));
    assert!(node.csi_controllers.is_empty() && node.csi_nodes.is_empty());
}

#[tokio::test]
async fn a_plugin_that_never_answers_is_told_of_once_after_its_time() {
    let place = Place::without_plugin();
    let said = || place.unwell.lock().expect("whole").clone();
    place.until("its time is over", |_| !said().is_empty()).await;
    assert_eq!(said(), ["CSI plugin did not become healthy before configured 600ms health timeout"]);
    assert!(place.plugins.find("disks", |_| true).is_none(), "it is not told of");
}

#[tokio::test]
async fn another_socket_is_not_reached_by_a_link() {
    let mut place = Place::without_plugin();
    let elsewhere = place.dir.path().join("elsewhere.sock");
    let plugin = place.plugin.clone();
    let at = elsewhere.clone();
    place.serving = tokio::spawn(async move { plugin.serve(&at).await });
    let link = place.plugins.socket_dir(TASK, "disks").join("csi.sock");
    std::os::unix::fs::symlink(&elsewhere, link).expect("linked");
    place.until("its time is over", |_| !place.unwell.lock().expect("whole").is_empty()).await;
    assert!(place.plugins.find("disks", |_| true).is_none());
}

#[tokio::test]
async fn a_volume_is_staged_once_and_unstaged_after_its_last_user() {
    let place = Place::new().await;
    let volume = place.volume("v1", &[]);
    let first = place.publish(&volume, 1, true).await.expect("mounted");
    let second = place.publish(&volume, 2, true).await.expect("mounted");
    std::fs::write(first.join("f"), "data").expect("written");
    assert_eq!(std::fs::read_to_string(second.join("f")).expect("the same volume"), "data");
    assert_eq!(place.plugins.mounts.mounted(&detach(&volume, 1, true)).await, Some(first.clone()));
    assert_eq!(place.publish(&volume, 1, true).await.expect("again"), first);
    place.calls();
    place.unpublish(&volume, 1, true).await.expect("unmounted");
    assert_eq!(place.calls(), ["unpublish v1"]);
    place.unpublish(&volume, 1, true).await.expect("nothing is left of it");
    place.unpublish(&volume, 2, true).await.expect("unmounted");
    assert_eq!(place.calls(), ["unpublish v1", "unstage v1"]);
    assert!(!second.exists() && !first.exists());
    let kept = place.dir.path().join("folder/volumes/v1/f");
    assert_eq!(std::fs::read_to_string(kept).expect("the plugin has it"), "data");
}

#[tokio::test]
async fn readers_can_not_write() {
    let place = Place::new().await;
    let volume = place.volume("v1", &[]);
    let path = place.publish(&volume, 1, false).await.expect("mounted");
    assert!(std::fs::write(path.join("f"), "x").is_err());
    place.unpublish(&volume, 1, false).await.expect("unmounted");
}

#[tokio::test]
async fn a_plugin_that_lies_is_not_believed() {
    let place = Place::new().await;
    let volume = place.volume("v1", &[("fault", "lie")]);
    let failed = place.publish(&volume, 1, true).await.expect_err("nothing is mounted");
    assert_eq!(failed.message, "the plugin says that it mounted the volume, and nothing is mounted where it should be");
    place.unpublish(&volume, 1, true).await.expect("what was staged is unstaged");
    let volume = place.volume("v2", &[]);
    let path = place.publish(&volume, 1, true).await.expect("mounted");
    let stuck = place.dir.path().join("folder/stuck");
    std::fs::write(&stuck, "").expect("written");
    let failed = place.unpublish(&volume, 1, true).await.expect_err("it is still mounted");
    assert_eq!(failed.message, "the plugin says that it unmounted the volume, and it is still mounted");
    std::fs::remove_file(stuck).expect("removed");
    place.unpublish(&volume, 1, true).await.expect("tried again");
    assert!(!path.exists());
}

#[tokio::test]
async fn what_a_plugin_says_is_one_line_and_a_kind() {
    let place = Place::new().await;
    let volume = place.volume("v1", &[("fault", "refuse")]);
    let failed = place.publish(&volume, 1, true).await.expect_err("refused");
    assert_eq!(failed.message, "the plugin says InvalidArgument: this volume is never published [2J");
    assert_eq!(failed.kind, FailedKind::Other);
    place.unpublish(&volume, 1, true).await.expect("undone");
    let request = v1::ValidateVolumeCapabilitiesRequest { volume_id: "none".to_owned(), ..Default::default() };
    let ask = |call, request: Vec<u8>| Ask::Controller { plugin: "disks".to_owned(), call, request };
    let failed = place.plugins.answer(ask(Call::Validate, request.encode_to_vec())).await.expect_err("no such volume");
    assert_eq!(failed.kind, FailedKind::NotFound);
    let create = v1::CreateVolumeRequest { name: "new".to_owned(), ..Default::default() };
    let done = place.plugins.answer(ask(Call::CreateVolume, create.encode_to_vec())).await.expect("made");
    let made = v1::CreateVolumeResponse::decode(&*done.answer).expect("an answer");
    assert_eq!(made.volume.expect("a volume").volume_id, "new");
    let failed = place.plugins.answer(ask(Call::CreateVolume, vec![0xff; 9])).await.expect_err("no request");
    assert!(failed.message.starts_with("the server's request can't be read"), "{failed}");
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    let place = Place::new().await;
    let mut volume = place.volume("v1", &[]);
    volume.id = Arc::from("../../../etc");
    let failed = place.publish(&volume, 1, true).await.expect_err("no part of a path");
    assert!(failed.message.starts_with("the volume \"../../../etc\""), "{failed}");
    assert!(place.calls().is_empty());
}
