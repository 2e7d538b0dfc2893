//! Rows that come over the wire, from agents that may be anybody's.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tarpan_model::alloc::AllocUpdate;
use tarpan_model::service::ServiceRegistration;
use tarpan_model::{Job, Node};
use tarpan_rpc::{pack, unpack};
use tarpan_testkit::fuzz::Fuzz;
use tarpan_testkit::{jobs, nodes};

/// MessagePack's own: nil, arrays and maps in each other, lengths that nothing follows, numbers, extensions.
const MARKS: [&[u8]; 12] = [
    b"\xc0",
    b"\x91",
    b"\x81",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd3\x80\0\0\0\0\0\0\0",
    b"\xcb\x7f\xf8\0\0\0\0\0\0",
    b"\xc7\x04\x01",
    b"\xa2ID",
];

fn rows<T: Serialize + DeserializeOwned>(name: &'static str, seeds: Vec<Vec<u8>>) {
    let marks = MARKS.iter().map(|m| m.to_vec());
    let deep = [vec![0x91; 4_000], vec![0x81; 4_000]];
    let fuzz =
        Fuzz::new(env!("CARGO_MANIFEST_DIR"), name).seeds(seeds.into_iter().chain(marks).chain(deep)).longest(8_000);
    fuzz.bytes(|bytes| match unpack::<T>(bytes) {
        Ok(row) => {
            let packed = pack(&row);
            let again = pack(&unpack::<T>(&packed).expect("what was packed is read"));
            assert!(packed == again, "another row comes back");
            String::new()
        }
        Err(error) => {
            let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            assert!(!why.is_empty());
            why
        }
    });
}

#[test]
fn node() {
    rows::<Node>("node", vec![pack(&nodes::ready(1)), pack(&nodes::sized(2, 500, 256))]);
}

#[test]
fn updates() {
    let update = |status: &str| {
        let json = serde_json::json!({
            "id": uuid::Uuid::from_u128(7), "client_status": status, "client_description": "Tasks are running",
            "task_states": {"web": {"state": "running", "failed": false, "restarts": 1, "started_at": 5,
                "events": [{"Type": "Started", "Time": 5, "Details": {"a": "b"}}]}},
            "healthy": true, "modify_time": 9
        });
        serde_json::from_value::<AllocUpdate>(json)
    };
    let seeds: Vec<Vec<u8>> = ["running", "failed"].iter().filter_map(|s| Some(pack(&vec![update(s).ok()?]))).collect();
    assert!(!seeds.is_empty(), "{:?}", update("running"));
    rows::<Vec<AllocUpdate>>("updates", seeds);
}

#[test]
fn services() {
    let row = ServiceRegistration {
        id: "_nomad-task-7-web-http".into(),
        service_name: "web".into(),
        namespace: "default".into(),
        node_id: nodes::id(1),
        datacenter: "dc1".into(),
        job_id: "web".into(),
        alloc_id: tarpan_model::AllocId::NIL,
        tags: vec!["a".to_owned()],
        address: "10.0.0.1".into(),
        port: 8080,
        create_index: 1,
        modify_index: 2,
    };
    rows::<Vec<ServiceRegistration>>("services", vec![pack(&vec![row])]);
}

/// Servers send jobs to agents.
#[test]
fn job() {
    rows::<Vec<Job>>("job", vec![pack(&vec![jobs::service("web", 2)]), pack(&vec![jobs::batch("b", 1)])]);
}
