use tarpan_model::resources::NodeDevice;
use tarpan_model::{NodeId, resources::NodeDeviceGroup};

use super::*;

/// A source of what a test says.
struct Fake {
    groups: Mutex<Result<Vec<NodeDeviceGroup>, String>>,
    node: DeviceNode,
}

impl Source for Fake {
    fn name(&self) -> &str {
        "fake"
    }

    fn look(&self) -> BoxFuture<'_, Result<Vec<NodeDeviceGroup>, String>> {
        Box::pin(async { self.groups.lock().expect("free").clone() })
    }

    fn reserve(&self, ids: Vec<String>) -> BoxFuture<'_, Result<Reservation, String>> {
        let env = BTreeMap::from([("ACME".to_owned(), ids.join(","))]);
        Box::pin(async move { Ok(Reservation { env, mounts: Vec::new(), nodes: vec![self.node.clone()] }) })
    }

    fn figures(&self) -> BoxFuture<'_, Result<Vec<Figures>, String>> {
        let one = |id: &str, value| Figures {
            vendor: "acme".to_owned(),
            type_: "gpu".to_owned(),
            name: "x1".to_owned(),
            id: id.to_owned(),
            summary: Some(Figure { value, of: 16.0, unit: "GiB".to_owned(), description: "memory".to_owned() }),
            all: BTreeMap::new(),
        };
        Box::pin(async move { Ok(vec![one("a", 3.0), one("b", 4.0)]) })
    }
}

fn group(vendor: &str, ids: &[&str]) -> NodeDeviceGroup {
    let instance = |id: &&str| NodeDevice { id: (*id).to_owned(), healthy: true, ..NodeDevice::default() };
    NodeDeviceGroup {
        vendor: vendor.to_owned(),
        type_: "gpu".to_owned(),
        name: "x1".to_owned(),
        instances: ids.iter().map(instance).collect(),
        ..NodeDeviceGroup::default()
    }
}

fn device(vendor: &str, ids: &[&str]) -> AllocatedDevice {
    AllocatedDevice {
        vendor: vendor.to_owned(),
        type_: "gpu".to_owned(),
        name: "x1".to_owned(),
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
    }
}

fn null() -> DeviceNode {
    DeviceNode { source: "/dev/null".into(), target: "/dev/acme0".into(), permissions: "rw".to_owned() }
}

async fn looked(fake: Arc<Fake>) -> (Devices, Node) {
    let devices = Devices::new(vec![fake]);
    let mut node = Node::new(NodeId::NIL, "n", "dc");
    devices.look(&mut node, Duration::from_secs(5)).await;
    (devices, node)
}

#[tokio::test]
async fn what_a_source_says_is_made_sane_and_kept_when_it_falls_silent() {
    let groups = vec![
        group("acme", &["b", "a", "a", ""]),
        group("acme", &["twice"]),
        group("a/b", &["x"]),
        group("", &["x"]),
        group("line\nbreak", &["x"]),
        group(&"long".repeat(40), &["x"]),
    ];
    let fake = Arc::new(Fake { groups: Mutex::new(Ok(groups)), node: null() });
    let (devices, mut node) = looked(fake.clone()).await;
    let shown = |node: &Node| -> Vec<String> {
        let of = |g: &NodeDeviceGroup| {
            g.instances
                .iter()
                .map(|i| format!("{} {} {}{}", g.vendor, i.id, i.healthy, i.health_description))
                .collect::<Vec<_>>()
        };
        node.resources.devices.iter().flat_map(of).collect()
    };
    assert_eq!(shown(&node), ["acme a true", "acme b true"]);
    assert!(!devices.look(&mut node, Duration::from_secs(5)).await, "nothing changed");
    *fake.groups.lock().expect("free") = Err("it has gone".to_owned());
    assert!(devices.look(&mut node, Duration::from_secs(5)).await);
    assert_eq!(shown(&node), ["acme a falseit has gone", "acme b falseit has gone"]);
    let many: Vec<String> = (0..300).map(|n| format!("i{n:03}")).collect();
    *fake.groups.lock().expect("free") = Ok(vec![group("acme", &many.iter().map(String::as_str).collect::<Vec<_>>())]);
    devices.look(&mut node, Duration::from_secs(5)).await;
    assert_eq!(node.resources.devices[0].instances.len(), MOST_INSTANCES);
}

#[tokio::test]
async fn a_task_gets_what_its_devices_need() {
    let fake = Arc::new(Fake { groups: Mutex::new(Ok(vec![group("acme", &["a", "b"])])), node: null() });
    let (devices, _) = looked(fake).await;
    let given = devices.reserve(&[device("acme", &["a"]), device("acme", &["b"])]).await.expect("given");
    assert_eq!((given.env["ACME"].as_str(), given.nodes.as_slice()), ("a,b", [null()].as_slice()));
    for gone in [device("acme", &["c"]), device("other", &["a"])] {
        let error = devices.reserve(&[gone]).await.expect_err("gone");
        assert!(error.starts_with("devices: this node has no ") && error.contains("gpu/x1 any more"), "{error}");
    }
    let stats = devices.stats().await;
    let own = of_task(&stats, &[device("acme", &["b"])]);
    assert_eq!(own[0].instance_stats.keys().collect::<Vec<_>>(), ["b"]);
    let summary = own[0].instance_stats["b"].summary.clone().expect("said");
    assert_eq!(
        (summary.float_numerator, summary.float_denominator, summary.unit.as_str()),
        (Some(4.0), Some(16.0), "GiB")
    );
}

#[tokio::test]
async fn files_outside_of_dev_are_not_given() {
    for (source, target, permissions) in [
        ("/etc/shadow", "/dev/x", "rw"),
        ("/dev/../etc/shadow", "/dev/x", "rw"),
        ("/dev/null", "/etc/x", "rw"),
        ("/dev/null", "/dev/x", "rwz"),
    ] {
        let node = DeviceNode { source: source.into(), target: target.into(), permissions: permissions.to_owned() };
        let fake = Arc::new(Fake { groups: Mutex::new(Ok(vec![group("acme", &["a"])])), node });
        let (devices, _) = looked(fake).await;
        assert!(devices.reserve(&[device("acme", &["a"])]).await.is_err(), "{source} {target} {permissions}");
    }
}
