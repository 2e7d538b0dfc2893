//! Volumes over the life of an agent: made, refused, restored, finished after a crash, deleted.

#![allow(clippy::disallowed_methods, reason = "files of the test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tarpan_model::volume::{AccessMode, AttachmentMode, Capability, HostVolumeState};
use tarpan_model::{Namespace, NodeId, UnixNanos};

use super::*;

/// A volume as a server sends it.
pub(crate) fn volume(name: &str, plugin: &str, n: u128) -> HostVolume {
    HostVolume {
        id: VolumeId(uuid::Uuid::from_u128(n)),
        namespace: Namespace::new("default"),
        name: Arc::from(name),
        plugin_id: Arc::from(plugin),
        node_pool: Arc::from("default"),
        node_id: NodeId::NIL,
        constraints: Vec::new(),
        capacity_min_bytes: 0,
        capacity_max_bytes: 0,
        capacity_bytes: 0,
        capabilities: vec![Capability {
            access_mode: AccessMode::SingleNodeWriter,
            attachment_mode: AttachmentMode::FileSystem,
        }],
        parameters: if plugin == "mkdir" { BTreeMap::new() } else { [("size".to_owned(), "a b".to_owned())].into() },
        host_path: String::new(),
        state: HostVolumeState::Pending,
        deleting: false,
        registered: false,
        create_index: 0,
        create_time: UnixNanos::ZERO,
        modify_index: 0,
        modify_time: UnixNanos::ZERO,
    }
}

/// Writes a program by another process: what this one holds open for writing, children of other tests hold too, and then it can't be
/// begun.
pub(crate) fn write_script(file: &Path, script: &str, mode: u32) {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\""]).arg(file).arg(script);
    assert!(command.status().expect("runs").success(), "writing {}", file.display());
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).expect("set");
}

struct World {
    dir: tempfile::TempDir,
    volumes: Arc<HostVolumes>,
}

impl World {
    async fn new() -> World {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(dir.path().join("plugins")).expect("made");
        World::with(dir, Store::none()).await
    }

    /// An agent that finds what an earlier one left there.
    async fn with(dir: tempfile::TempDir, store: Store) -> World {
        let options = Options {
            data_dir: dir.path().to_owned(),
            host_volumes_dir: Some(dir.path().join("volumes")),
            host_volume_plugin_dir: Some(dir.path().join("plugins")),
            host_volume_patience: Duration::from_secs(20),
            host_volumes: [("fixed".to_owned(), OnNode { path: "/srv".to_owned(), ..OnNode::default() })].into(),
            ..Options::default()
        };
        let volumes = Arc::new(HostVolumes::open(&options, store).expect("a directory of volumes"));
        World { dir, volumes }
    }

    fn plugin(&self, name: &str, script: &str) {
        write_script(&self.dir.path().join("plugins").join(name), script, 0o755);
    }

    async fn create(&self, volume: HostVolume) -> Answer {
        self.volumes.create(volume).await
    }

    async fn delete(&self, volume: HostVolume) -> Answer {
        self.volumes.delete(volume).await
    }

    fn node(&self) -> Node {
        let mut node = Node::new(NodeId::NIL, "n1", "dc1");
        self.volumes.describe(&mut node);
        node
    }

    /// What the node reports: names with ids.
    fn reported(&self) -> Vec<(String, String)> {
        self.node().host_volumes.iter().map(|(name, v)| (name.to_string(), v.id.clone())).collect()
    }

    fn at(&self, volume: &HostVolume) -> PathBuf {
        self.volumes.place.volumes.join(volume.id.to_string())
    }
}

fn failure(answer: Answer) -> String {
    match answer {
        Answer::Failed(why) => why,
        other => panic!("{other:?}"),
    }
}

/// What a plugin does to whom it serves.
const PLUGIN: &str = "case $1 in\nfingerprint) echo '{\"version\": \"1.0\"}';;\n\
    create) mkdir -p $DHV_VOLUMES_DIR/own-$DHV_VOLUME_ID; echo made >> $DHV_VOLUMES_DIR/log\n\
    printf '{\"path\": \"%s\", \"bytes\": 5}' $DHV_VOLUMES_DIR/own-$DHV_VOLUME_ID;;\n\
    delete) rm -rf $DHV_VOLUMES_DIR/own-$DHV_VOLUME_ID; echo deleted >> $DHV_VOLUMES_DIR/log;;\nesac";

#[tokio::test]
async fn a_volume_is_made_reported_and_deleted() {
    let world = World::new().await;
    let volume = volume("data", "mkdir", 1);
    let path = world.at(&volume).to_string_lossy().into_owned();
    assert_eq!(world.create(volume.clone()).await, Answer::Made { path: path.clone(), bytes: 0 });
    let expected = [("data".to_owned(), volume.id.to_string()), ("fixed".to_owned(), String::new())];
    assert_eq!(world.reported(), expected);
    assert_eq!(world.create(volume.clone()).await, Answer::Made { path: path.clone(), bytes: 0 }, "again is no harm");
    let other = HostVolume { id: VolumeId(uuid::Uuid::from_u128(2)), ..volume.clone() };
    assert!(failure(world.create(other).await).contains("has the name \"data\" already"));
    let fixed = HostVolume { name: "fixed".into(), id: VolumeId(uuid::Uuid::from_u128(3)), ..volume.clone() };
    assert!(failure(world.create(fixed).await).contains("the configuration of this node has a host_volume"));
    assert_eq!(world.delete(volume.clone()).await, Answer::Deleted);
    assert!(!Path::new(&path).exists());
    assert_eq!(world.reported().len(), 1);
    assert_eq!(world.delete(volume).await, Answer::Deleted, "again is no harm");
}

#[tokio::test]
async fn what_could_not_be_made_leaves_nothing() {
    let world = World::new().await;
    let bad = HostVolume { parameters: [("mode".to_owned(), "x".to_owned())].into(), ..volume("data", "mkdir", 1) };
    assert!(failure(world.create(bad.clone()).await).contains("octal"));
    assert!(!world.at(&bad).exists() && world.reported().len() == 1);
    world.plugin("own", "test $1 = delete && echo asked > $DHV_VOLUMES_DIR/deleted; test $1 = delete");
    assert!(failure(world.create(volume("data", "own", 2)).await).contains("failed at create"));
    assert!(world.volumes.place.volumes.join("deleted").exists(), "its plugin takes back what it half made");
    assert!(world.volumes.lock().records.is_empty());
    assert!(failure(world.create(volume("data", "none", 3)).await).contains("running "), "there is no such plugin");
}

#[tokio::test]
async fn a_failed_change_or_deletion_leaves_the_volume() {
    let world = World::new().await;
    world.plugin("own", PLUGIN);
    let volume = volume("data", "own", 1);
    assert!(matches!(world.create(volume.clone()).await, Answer::Made { bytes: 5, .. }));
    world.plugin("own", "echo '{\"error\": \"busy\"}'; exit 1");
    assert!(failure(world.create(volume.clone()).await).contains("busy"));
    assert_eq!(world.reported().len(), 2, "it is as it was");
    assert!(failure(world.delete(volume.clone()).await).contains("busy"));
    assert_eq!(world.reported().len(), 2, "it is as it was");
    world.plugin("own", PLUGIN);
    assert_eq!(world.delete(volume).await, Answer::Deleted);
    assert_eq!(world.reported().len(), 1);
}

#[tokio::test]
async fn a_registered_directory_is_used_and_never_deleted() {
    let world = World::new().await;
    let made = world.dir.path().join("somebody's");
    let volume = HostVolume { registered: true, host_path: made.display().to_string(), ..volume("data", "", 1) };
    assert!(failure(world.volumes.register(volume.clone()).await).contains("can't be opened"));
    std::fs::create_dir(&made).expect("made");
    assert!(matches!(world.volumes.register(volume.clone()).await, Answer::Made { .. }));
    assert_eq!(world.reported().len(), 2);
    assert_eq!(world.delete(volume).await, Answer::Deleted);
    assert!(made.exists() && world.reported().len() == 1);
}

#[tokio::test]
async fn an_agent_goes_on_with_what_an_earlier_one_began() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(dir.path().join("plugins")).expect("made");
    let state = dir.path().join("state");
    let store = Store::open(&state).expect("opens").store;
    let world = World::with(dir, store.clone()).await;
    world.plugin("own", PLUGIN);
    let (made, making, deleting) = (volume("made", "own", 1), volume("making", "own", 2), volume("deleting", "own", 3));
    world.create(made.clone()).await;
    world.create(deleting.clone()).await;
    // As an agent leaves it that dies at these points.
    world.volumes.write(Record { volume: making.clone(), stage: Stage::Making }).await;
    world.volumes.write(Record { volume: deleting.clone(), stage: Stage::Deleting }).await;
    let dir = world.dir;
    std::fs::remove_dir_all(dir.path().join("volumes").join(format!("own-{}", made.id))).expect("as a restart does");
    let world = World::with(dir, store).await;
    assert_eq!(world.reported().len(), 1, "nothing is there before it was looked at");
    world.volumes.first_look().await;
    let names: Vec<String> = world.reported().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["fixed", "made", "making"]);
    for (volume, there) in [(&made, true), (&making, true), (&deleting, false)] {
        assert_eq!(world.volumes.place.volumes.join(format!("own-{}", volume.id)).exists(), there, "{}", volume.name);
    }
    let node = world.node();
    assert_eq!(node.attributes.get("plugins.host_volume.own.version").map(|v| &**v), Some("1.0"));
    assert_eq!(node.attributes.get("plugins.host_volume.mkdir.version").map(|v| &**v), Some(mkdir::VERSION));
}

#[tokio::test]
async fn a_plugin_that_is_back_has_its_volumes_back() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(dir.path().join("plugins")).expect("made");
    let store = Store::open(&dir.path().join("state")).expect("opens").store;
    let world = World::with(dir, store.clone()).await;
    world.plugin("own", PLUGIN);
    world.create(volume("data", "own", 1)).await;
    std::fs::remove_file(world.dir.path().join("plugins/own")).expect("there");
    let world = World::with(world.dir, store).await;
    world.volumes.first_look().await;
    assert_eq!(world.reported().len(), 1, "nobody can say that it is there");
    world.plugin("own", PLUGIN);
    world.volumes.settle().await;
    assert_eq!(world.reported().len(), 2);
}

#[tokio::test]
async fn two_requests_for_one_volume_are_one_after_the_other() {
    let world = World::new().await;
    world.plugin(
        "own",
        "while ! test -e $DHV_VOLUMES_DIR/go; do sleep 0.05; done; printf '{\"path\": \"%s\"}' $DHV_VOLUMES_DIR",
    );
    let volume = volume("data", "own", 1);
    let (volumes, asked) = (world.volumes.clone(), volume.clone());
    let first = tokio::spawn(async move { volumes.create(asked).await });
    let begun = || !world.volumes.lock().busy.is_empty();
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while !begun() {
        assert!(std::time::Instant::now() < until, "it was not begun");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(failure(world.delete(volume).await).contains("try again when that is over"));
    std::fs::write(world.volumes.place.volumes.join("go"), "").expect("written");
    assert!(matches!(first.await.expect("no panic"), Answer::Made { .. }));
}
