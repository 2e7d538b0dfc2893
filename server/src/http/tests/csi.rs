//! CSI volumes and plugins over the API.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use futures::StreamExt;
use serde_json::{Value, json};
use tarpan_model::csi::{CsiInfo, NodeInfo};
use tarpan_state::Command;

use super::Api;

/// A node where the plugin `disks` mounts; it has no controller.
async fn with_plugin(api: &Api) {
    let mut node = tarpan_testkit::nodes::ready(1);
    let info = CsiInfo {
        healthy: true,
        provider: "test".to_owned(),
        node: Some(NodeInfo { id: "n1".to_owned(), ..NodeInfo::default() }),
        ..CsiInfo::default()
    };
    node.csi_nodes.insert(Arc::from("disks"), info);
    let command = Command::UpsertNode { node: Box::new(node), now: api.server.now(), evals: Vec::new() };
    api.server.propose(command).await.expect("written");
}

fn volume(id: &str, more: Value) -> Value {
    let mut volume = json!({
        "ID": id,
        "PluginID": "disks",
        "RequestedCapabilities": [{"AccessMode": "single-node-writer", "AttachmentMode": "file-system"}],
    });
    volume.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    json!({"Volumes": [volume]})
}

#[tokio::test]
async fn registered_read_listed_and_forgotten() {
    let api = Api::start().await;
    let refused = api.put("/v1/volumes", volume("data", json!({}))).await;
    assert_eq!((refused.status.as_u16(), refused.text.as_str()), (500, "plugin not found: disks"));
    with_plugin(&api).await;
    assert_eq!(api.send("POST", "/v1/volume/csi/data", volume("data", json!({})).to_string()).await.status, 405);
    let answer = api.put("/v1/volume/csi/data", volume("data", json!({}))).await.ok().json();
    assert_eq!((&answer["Volumes"][0]["ID"], &answer["Volumes"][0]["Schedulable"]), (&json!("data"), &json!(true)));
    let list = api.get("/v1/volumes?type=csi").await.ok().json();
    assert_eq!(
        (&list[0]["PluginID"], &list[0]["NodesHealthy"], &list[0]["Name"]),
        (&json!("disks"), &json!(1), &json!("data"))
    );
    assert_eq!(api.get("/v1/volumes?type=csi&plugin_id=other").await.ok().json(), json!([]));
    let read = api.get("/v1/volume/csi/data").await.ok().json();
    assert_eq!(
        (&read["Provider"], &read["AccessMode"], &read["WriteAllocs"]),
        (&json!("test"), &json!(""), &json!({}))
    );
    assert!(read.get("Claims").is_none(), "ours, where it is asked for: {read}");
    assert_eq!(api.get("/v1/volume/csi/nope").await.text, "volume not found");
    assert_eq!(api.get("/v1/volume/csi/data?namespace=other").await.status, 404);
    let refused = api.send("DELETE", "/v1/volume/csi/data?force=perhaps", "").await;
    assert_eq!((refused.status.as_u16(), refused.text.as_str()), (400, "invalid force value"));
    api.send("DELETE", "/v1/volume/csi/data", "").await.ok();
    assert_eq!(api.get("/v1/volumes?type=csi").await.ok().json(), json!([]));
}

#[tokio::test]
async fn secrets_and_mount_flags_are_shown_to_nobody() {
    let api = Api::start().await;
    with_plugin(&api).await;
    let request = Request::builder().uri("/v1/event/stream?topic=CSIVolume").body(Body::empty()).expect("a request");
    let mut lines = api.raw(request).await.into_body().into_data_stream();
    assert_eq!(lines.next().await.expect("open").expect("bytes"), "{}\n");
    let secret =
        json!({"Secrets": {"key": "hunter2"}, "MountOptions": {"FSType": "ext4", "MountFlags": ["pass=hunter2"]}});
    let answers = [
        api.put("/v1/volumes", volume("data", secret)).await.ok().text,
        api.get("/v1/volume/csi/data").await.ok().text,
        api.get("/v1/volumes?type=csi").await.ok().text,
    ];
    assert!(answers.iter().all(|text| !text.contains("hunter2")), "{answers:?}");
    let shown: Value = serde_json::from_str(&answers[1]).expect("JSON");
    assert_eq!(
        (&shown["Secrets"]["key"], &shown["MountOptions"]["MountFlags"]),
        (&json!("[REDACTED]"), &json!(["[REDACTED]"]))
    );
    assert_eq!(api.server.state().csi_volumes().next().expect("kept").secrets["key"], "hunter2");
    let line = lines.next().await.expect("open").expect("bytes");
    let line = String::from_utf8_lossy(&line).into_owned();
    assert!(line.contains("CSIVolumeRegistered") && line.contains("\"Volume\"") && !line.contains("hunter2"), "{line}");
}

#[tokio::test]
async fn plugins_are_what_nodes_tell_of() {
    let api = Api::start().await;
    assert_eq!(api.get("/v1/plugins?type=csi").await.ok().json(), json!([]));
    with_plugin(&api).await;
    let list = api.get("/v1/plugins?type=csi").await.ok().json();
    assert_eq!((&list[0]["ID"], &list[0]["NodesHealthy"]), (&json!("disks"), &json!(1)));
    let plugin = api.get("/v1/plugin/csi/disks").await.ok().json();
    let node = tarpan_testkit::nodes::id(1).to_string();
    assert_eq!(plugin["Nodes"][&node]["NodeInfo"]["ID"], "n1");
    assert_eq!(api.get("/v1/plugin/csi/nope").await.text, "plugin not found");
    // What needs a controller says that there is none.
    let made = api.put("/v1/volume/csi/data/create", volume("data", json!({}))).await;
    assert_eq!((made.status.as_u16(), made.text.as_str()), (500, "plugin has no controller"));
    for path in ["/v1/volumes/external?plugin_id=disks", "/v1/volumes/snapshot?plugin_id=disks"] {
        assert_eq!(api.get(path).await.text, "plugin has no controller", "{path}");
    }
    assert_eq!(api.get("/v1/volumes/snapshot").await.text, "missing plugin_id: it is a parameter of the query");
    let detach = api.send("DELETE", "/v1/volume/csi/data/detach", "").await;
    assert_eq!((detach.status.as_u16(), detach.text.as_str()), (400, "detach requires node ID"));
}
