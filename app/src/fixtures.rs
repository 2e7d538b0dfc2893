//! A small cluster in `/v1`'s answers, for tests of the pages and for looking at them without a cluster.
//!
//! Start at [`answer`]; [`Fake`] is a transport over it.

use bytes::Bytes;
use serde_json::{Value, json};
use tarpan_api::{ByteStream, Error, Fut, Transport};

use crate::overview::{self, JobsPage};
use crate::paths::Query;
use crate::rows::{Counts, JobRow};

/// Times are told relative to this: 2026-11-21 10:24:15 UTC.
pub const NOW: i64 = 1_795_256_655_000_000_000;

#[allow(clippy::disallowed_methods, reason = "what is shown is times of day")]
fn ago(secs: i64) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(NOW, |d| d.as_nanos() as i64);
    now - secs * 1_000_000_000
}

/// An allocation id that starts with the given digits.
fn id(start: &str) -> String {
    format!("{start}-1111-4222-8333-444455556666")
}

struct Line {
    id: &'static str,
    kind: &'static str,
    status: &'static str,
    namespace: &'static str,
    /// running, starting, queued, complete, failed, lost
    counts: [u64; 6],
    wanted: u64,
    version: u64,
    age: i64,
}

const LINES: [Line; 9] = [
    Line {
        id: "pytechco-web",
        kind: "service",
        status: "running",
        namespace: "default",
        counts: [8, 0, 0, 0, 0, 0],
        wanted: 6,
        version: 14,
        age: 12,
    },
    Line {
        id: "pytechco-redis",
        kind: "service",
        status: "running",
        namespace: "default",
        counts: [1, 0, 0, 0, 0, 0],
        wanted: 1,
        version: 3,
        age: 518_400,
    },
    Line {
        id: "pytechco-employee",
        kind: "periodic",
        status: "running",
        namespace: "default",
        counts: [0; 6],
        wanted: 0,
        version: 7,
        age: 7,
    },
    Line {
        id: "pytechco-setup",
        kind: "parameterized",
        status: "running",
        namespace: "default",
        counts: [0; 6],
        wanted: 0,
        version: 2,
        age: 518_400,
    },
    Line {
        id: "checkout",
        kind: "service",
        status: "running",
        namespace: "shop",
        counts: [5, 0, 0, 0, 1, 0],
        wanted: 6,
        version: 41,
        age: 60,
    },
    Line {
        id: "search-indexer",
        kind: "service",
        status: "pending",
        namespace: "shop",
        counts: [0, 0, 2, 0, 0, 0],
        wanted: 2,
        version: 5,
        age: 840,
    },
    Line {
        id: "ml-train",
        kind: "batch",
        status: "running",
        namespace: "research",
        counts: [2, 0, 0, 3, 0, 1],
        wanted: 2,
        version: 6,
        age: 1560,
    },
    Line {
        id: "node-exporter",
        kind: "system",
        status: "running",
        namespace: "platform",
        counts: [6, 0, 0, 0, 0, 0],
        wanted: 6,
        version: 18,
        age: 777_600,
    },
    Line {
        id: "mail-relay",
        kind: "service",
        status: "dead",
        namespace: "platform",
        counts: [0, 0, 0, 2, 0, 0],
        wanted: 1,
        version: 8,
        age: 259_200,
    },
];

fn stub(line: &Line) -> Value {
    let type_ = if matches!(line.kind, "periodic" | "parameterized") { "batch" } else { line.kind };
    json!({
        "ID": line.id, "Name": line.id, "Namespace": line.namespace, "Type": type_, "Status": line.status, "Stop": line.id == "mail-relay",
        "Periodic": line.kind == "periodic", "ParameterizedJob": line.kind == "parameterized", "Priority": 50, "NodePool": "default",
        "Datacenters": ["fra1", "ams1"], "SubmitTime": ago(line.age), "ModifyIndex": 48_000, "ParentID": "",
    })
}

fn row(line: &Line) -> JobRow {
    let [running, starting, queued, complete, failed, lost] = line.counts;
    let children = match line.kind {
        "periodic" => Some([0, 1, 11]),
        "parameterized" => Some([0, 0, 3]),
        _ => None,
    };
    let deploying = line.id == "pytechco-web";
    JobRow {
        id: line.id.to_owned(),
        name: line.id.to_owned(),
        namespace: line.namespace.to_owned(),
        kind: line.kind.to_owned(),
        node_pool: "default".to_owned(),
        datacenters: vec!["fra1".to_owned(), "ams1".to_owned()],
        priority: 50,
        status: line.status.to_owned(),
        stop: line.id == "mail-relay",
        version: Some(line.version),
        submitted: ago(line.age),
        changed_index: 48_000,
        counts: Counts { queued, starting, running, complete, failed, lost, unknown: 0 },
        children,
        wanted: line.wanted,
        canaries: if deploying { (2, 2) } else { (0, 0) },
        deploying,
        running: if deploying { vec![id("b1f07c2e")] } else { Vec::new() },
        ..Default::default()
    }
}

fn children(parent: &str) -> Vec<JobRow> {
    let child = |n: i64, status: &'static str, counts: [u64; 6]| {
        let line = Line {
            id: "x",
            kind: "batch",
            status,
            namespace: "default",
            counts,
            wanted: 1,
            version: 7,
            age: 7 + n * 15,
        };
        let id = format!("{parent}/periodic-{}", 1_795_256_814 - n * 15);
        JobRow { name: id.clone(), id, parent: parent.to_owned(), ..row(&line) }
    };
    let mut all = vec![
        child(0, "running", [1, 0, 0, 0, 0, 0]),
        child(1, "dead", [0, 0, 0, 1, 0, 0]),
        child(2, "dead", [0, 0, 0, 0, 1, 0]),
    ];
    all.extend((3..12).map(|n| child(n, "dead", [0, 0, 0, 1, 0, 0])));
    all
}

/// A page of the jobs, or of the children of one.
fn overview(query: &str) -> JobsPage {
    let query = Query::parse(query);
    let number = |name: &str, or: usize| query.get(name).and_then(|n| n.parse().ok()).unwrap_or(or);
    let rows = match query.get("parent") {
        Some(parent) => children(&parent),
        None => LINES.iter().map(row).collect(),
    };
    let lines: Vec<_> = rows.into_iter().map(overview::Line::of).collect();
    let all: Vec<_> = lines.iter().collect();
    let found = overview::narrow(&all, &overview::filter_of(&query), number("page", 1), number("per_page", 100));
    JobsPage { rows: found.places.iter().map(|i| lines[*i].row.clone()).collect(), ..found.page }
}

fn job(name: &str) -> Option<Value> {
    let line = LINES.iter().find(|l| l.id == name)?;
    let driver = "docker";
    let task = |name: &str| json!({ "Name": name, "Driver": driver, "Resources": { "CPU": 100, "MemoryMB": 128 }, "Config": { "image": format!("registry.example/{name}:1.9.0") } });
    let update = json!({ "MaxParallel": 2, "Canary": 2, "MinHealthyTime": 30_000_000_000_i64, "HealthCheck": "checks", "AutoRevert": true });
    let periodic = (line.kind == "periodic")
        .then(|| json!({ "Enabled": true, "Spec": "0/15 * * * * * *", "ProhibitOverlap": false, "TimeZone": "UTC" }));
    let parameterized = (line.kind == "parameterized")
        .then(|| json!({ "Payload": "optional", "MetaRequired": ["budget"], "MetaOptional": ["owner"] }));
    let mut value = stub(line);
    let more = json!({
        "Version": line.version, "Stable": false, "Periodic": periodic, "ParameterizedJob": parameterized, "JobModifyIndex": 47_900,
        "Meta": { "team": "storefront" }, "TaskGroups": [{ "Name": "web", "Count": line.wanted, "Update": update, "Tasks": [task("web")],
            "Services": [{ "Name": "web", "Provider": "nomad", "Checks": [{ "Name": "alive", "Type": "http" }] }] }],
    });
    for (name, field) in more.as_object().into_iter().flatten() {
        value[name] = field.clone();
    }
    Some(value)
}

fn allocs(job: &str) -> Vec<Value> {
    let nodes = [("ams-1", "5e0d1a90"), ("fra-2", "7c1d1a90"), ("fra-1", "2b1d1a90"), ("fra-3", "4d1a90be")];
    let one = |n: usize, start: &str, version: u64, canary: bool, client: &str, age: i64| {
        let (node, node_id) = nodes[n % nodes.len()];
        let healthy = if client == "running" { json!(true) } else { Value::Null };
        json!({
            "ID": id(start), "Name": format!("{job}.web[{n}]"), "Namespace": "default", "JobID": job, "JobVersion": version, "TaskGroup": "web",
            "NodeID": id(node_id), "NodeName": node, "DesiredStatus": "run", "ClientStatus": client, "CreateTime": ago(age), "ModifyTime": ago(age - 2),
            "CreateIndex": 40_000 + n, "ModifyIndex": 40_100 + n, "DeploymentStatus": { "Healthy": healthy, "Canary": canary },
            "TaskStates": { "web": { "State": client, "Restarts": if n == 5 { 1 } else { 0 } } },
            "AllocatedResources": { "Tasks": { "web": { "Cpu": { "CpuShares": 100 }, "Memory": { "MemoryMB": 128 } } }, "Shared": { "DiskMB": 300 } },
        })
    };
    match job {
        "pytechco-web" => {
            let mut all =
                vec![one(0, "b1f07c2e", 14, true, "running", 161), one(1, "e94d11a8", 14, true, "running", 161)];
            all.extend((0..6).map(|n| {
                one(
                    n,
                    ["07c3be55", "1c9e77a4", "9be85c7f", "c8840e3b", "2d6617f4", "a0915ee2"][n],
                    13,
                    false,
                    "running",
                    259_200,
                )
            }));
            all
        }
        "pytechco-redis" => vec![one(0, "5510bd9c", 3, false, "running", 518_400)],
        _ => Vec::new(),
    }
}

fn deployment() -> Value {
    json!({
        "ID": id("6d0c2a91"), "Namespace": "default", "JobID": "pytechco-web", "JobVersion": 14, "Status": "running",
        "StatusDescription": "Deployment is running but requires manual promotion", "CreateIndex": 47_901, "CreateTime": ago(161), "ModifyTime": ago(130),
        "TaskGroups": { "web": { "AutoRevert": true, "Promoted": false, "PlacedCanaries": [id("b1f07c2e"), id("e94d11a8")], "DesiredCanaries": 2,
            "DesiredTotal": 6, "PlacedAllocs": 2, "HealthyAllocs": 2, "UnhealthyAllocs": 0 } },
    })
}

fn metric() -> Value {
    json!({
        "NodesEvaluated": 6, "NodesFiltered": 3, "NodesInPool": 5, "NodePool": "default", "NodesAvailable": { "ams1": 2, "fra1": 3 },
        "ConstraintFiltered": { "${meta.ssd} = true": 1, "missing drivers": 2 }, "NodesExhausted": 3, "DimensionExhausted": { "memory": 3 },
        "Shortfalls": [{ "Dimension": "memory", "Asked": 4096, "MostFree": 3412, "MostTotal": 8192, "Nodes": 3 }], "CoalescedFailures": 1,
    })
}

fn blocked_eval() -> Value {
    json!({
        "ID": id("9ab2e6d1"), "Namespace": "shop", "Priority": 50, "Type": "service", "TriggeredBy": "queued-allocs", "JobID": "search-indexer",
        "Status": "blocked", "StatusDescription": "created to place remaining allocations", "PreviousEval": id("7c1f40aa"), "CreateTime": ago(840),
        "ModifyTime": ago(840), "SnapshotIndex": 48_213, "QueuedAllocations": { "web": 2 }, "FailedTGAllocs": { "web": metric() },
        "Clients": { "web": [
            { "NodeID": id("7c1d1a90"), "NodeName": "fra-2", "Datacenter": "fra1", "Fails": "resources", "Reason": "memory", "Asked": 4096, "Free": 3412, "Total": 8192 },
            { "NodeID": id("6f0d1a90"), "NodeName": "ams-2", "Datacenter": "ams1", "Fails": "ready", "Reason": "draining" },
        ] },
        "RelatedEvals": [{ "ID": id("7c1f40aa"), "TriggeredBy": "job-register", "Status": "complete", "CreateTime": ago(841) }],
    })
}

fn evals(job: &str) -> Vec<Value> {
    let done = |start: &str, trigger: &str, age: i64| {
        json!({ "ID": id(start), "Namespace": "default", "Priority": 50, "Type": "service", "TriggeredBy": trigger, "JobID": job, "Status": "complete",
            "CreateTime": ago(age), "ModifyTime": ago(age) })
    };
    match job {
        "search-indexer" => vec![blocked_eval(), done("7c1f40aa", "job-register", 841)],
        _ => vec![done("5e11c0d2", "job-register", 162), done("c3d871b0", "deployment-watcher", 130)],
    }
}

fn nodes() -> Vec<Value> {
    let one = |name: &str, start: &str, dc: &str, drain: bool, cpu: i64, memory: i64| {
        json!({
            "ID": id(start), "Name": name, "Datacenter": dc, "NodePool": "default", "NodeClass": "standard", "Version": "0.1.0", "Address": "10.0.3.13",
            "Status": "ready", "Drain": drain, "SchedulingEligibility": if drain { "ineligible" } else { "eligible" },
            "Drivers": { "docker": { "Detected": true, "Healthy": true } },
            "Usage": { "Allocs": 3, "Cpu": 300, "MemoryMB": 384, "DiskMB": 900 },
            "NodeResources": { "Cpu": { "CpuShares": cpu }, "Memory": { "MemoryMB": memory }, "Disk": { "DiskMB": 262_144 } },
        })
    };
    vec![
        one("ams-1", "5e0d1a90", "ams1", false, 9600, 8192),
        one("ams-2", "6f0d1a90", "ams1", true, 9600, 16_384),
        one("fra-1", "2b1d1a90", "fra1", false, 400, 512),
        one("fra-2", "7c1d1a90", "fra1", false, 9600, 8192),
        one("fra-3", "4d1a90be", "fra1", false, 9600, 8192),
    ]
}

fn node(found: &str) -> Option<Value> {
    let mut node = nodes().into_iter().find(|n| n["ID"] == found)?;
    node["HTTPAddr"] = json!("10.0.3.13:4646");
    node["Attributes"] = json!({ "cpu.arch": "amd64", "cpu.numcores": "4", "cpu.modelname": "Common KVM processor", "kernel.name": "linux", "kernel.version": "6.1",
        "os.name": "debian", "os.version": "12", "nomad.version": "0.1.0", "driver.docker.version": "27.3" });
    node["Meta"] = json!({ "ssd": "true" });
    node["Drivers"] = json!({
        "docker": { "Detected": true, "Healthy": true, "Attributes": { "driver.docker.version": "27.3" } },
        "exec": { "Detected": true, "Healthy": false, "HealthDescription": "cgroups are not writable" }, "java": { "Detected": false } });
    let instance = |id: &str, why: &str| json!({ "ID": id, "Healthy": why.is_empty(), "HealthDescription": why });
    node["NodeResources"]["Devices"] = json!([{ "Vendor": "acme", "Type": "gpu", "Name": "x1", "Attributes": { "memory": { "Int": 16, "Unit": "GiB" } },
        "Instances": [instance("gpu-0", ""), instance("gpu-1", "it is too hot")] }]);
    node["HostNetworks"] = json!({ "inner": { "Name": "inner", "CIDR": "192.168.0.0/24", "Interface": "eth1" } });
    node["HostVolumes"] = json!({ "pgdata": { "Name": "pgdata", "ReadOnly": false } });
    node["Events"] =
        json!([{ "Message": "Node registered", "Subsystem": "Cluster", "Timestamp": "2026-11-02T09:00:00Z" }]);
    Some(node)
}

fn host_volumes() -> Vec<Value> {
    let one = |name: &str, start: &str, state: &str| {
        json!({ "ID": id(start), "Name": name, "Namespace": "default", "PluginID": "mkdir", "NodePool": "default", "NodeID": id("5e0d1a90"),
            "CapacityBytes": 0, "State": state, "HostPath": "/srv/volumes/a", "CreateTime": ago(3_600), "ModifyTime": ago(60) })
    };
    vec![one("scratch", "4c1d77aa", "ready"), one("archive", "5c1d77aa", "unavailable")]
}

fn alloc(found: &str) -> Option<Value> {
    let mut alloc = allocs("pytechco-web").into_iter().find(|a| a["ID"] == found)?;
    let event = |kind: &str, text: &str, age: i64| json!({ "Type": kind, "DisplayMessage": text, "Time": ago(age) });
    alloc["Job"] = job("pytechco-web").unwrap_or_default();
    let mut ended = event("Terminated", "Exit Code: 137, Signal: 9, Exit Message: \"OOM Killed\"", 172);
    ended["Details"] = json!({ "exit_code": "137", "signal": "9", "oom_killed": "true" });
    let mut again = event("Restarting", "Task restarting in 15s", 172);
    again["Details"] = json!({ "start_delay": "15000000000" });
    alloc["TaskStates"] = json!({ "web": { "State": "running", "Restarts": 1, "StartedAt": "2026-11-21T10:21:43Z", "Events": [
        event("Received", "Task received by client", 191), event("Started", "Task started by client", 190), ended, again,
        event("Driver", "Pulled image registry.example/web:1.9.0", 159), event("Started", "Task started by client", 158) ] } });
    alloc["AllocatedResources"]["Shared"]["Networks"] =
        json!([{ "Mode": "bridge", "IP": "10.0.4.21", "DNS": { "Servers": ["9.9.9.9"] } }]);
    alloc["NetworkStatus"] = json!({ "InterfaceName": "eth0", "Address": "172.26.64.9", "DNS": null });
    alloc["AllocatedResources"]["Shared"]["Ports"] = json!([{ "Label": "http", "Value": 24_117, "To": 5000, "HostIP": "10.0.4.21" }, { "Label": "metrics", "Value": 28_830, "To": 9102, "HostIP": "10.0.4.21" }]);
    alloc["AllocatedResources"]["Tasks"]["web"]["Devices"] =
        json!([{ "Vendor": "acme", "Type": "gpu", "Name": "x1", "DeviceIDs": ["gpu-0"] }]);
    let score = |start: &str, norm: f64| json!({ "NodeID": id(start), "Scores": { "binpack": 0.62, "allocation-spread": 0.84, "node-affinity": 0.6 }, "NormScore": norm });
    alloc["Metrics"] = json!({ "NodesEvaluated": 4, "NodesFiltered": 1, "NodesExhausted": 0, "ScoreMetaData": [score("5e0d1a90", 0.69), score("7c1d1a90", 0.6), score("2b1d1a90", 0.57)] });
    Some(alloc)
}

/// What is in each of its directories.
fn files() -> Vec<Value> {
    let one = |name: &str, mode: &str, size: i64| {
        let kind = if mode.starts_with('-') { "text/plain; charset=utf-8" } else { "" };
        json!({ "Name": name, "IsDir": mode.starts_with('d'), "Size": size, "FileMode": mode, "ModTime": "2026-11-21T10:21:43Z", "ContentType": kind })
    };
    vec![
        one("alloc", "drwxrwxrwx", 4096),
        one("app.log", "-rw-r--r--", 351),
        one("current", "Lrwxrwxrwx", 9),
        one("events.pipe", "prw-------", 0),
        one("web", "drwxr-xr-x", 4096),
    ]
}

const LOG: &str = "10:24:08.377 INFO  GET /healthz 200 1 ms\n10:24:08.912 INFO  worker pool ready, 8 threads\n\
10:24:09.140 INFO  GET /api/employees 200 11 ms\n10:24:12.660 WARN  redis round trip 48 ms, above 25 ms\n\
10:24:13.118 ERROR redis: read timeout after 250 ms, retry 1 of 3\n10:24:13.420 INFO  redis reconnected\n";

/// The answer to `GET path`, or to a write that a page makes: status, then text.
pub fn answer(path: &str) -> (u16, String) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<String> =
        path.trim_start_matches("/v1/").split('/').map(|p| p.replace("%2F", "/").replace("%20", " ")).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let found = match parts.as_slice() {
        ["jobs", "overview"] => Some(json!(overview(query))),
        ["status", "counts"] => Some(json!({ "Jobs": LINES.len(), "Nodes": nodes().len(), "Region": "global" })),
        ["job", id, "allocations"] => Some(json!(allocs(id))),
        ["job", id, "evaluations"] => Some(json!(evals(id))),
        ["job", "pytechco-web", "deployments"] => Some(json!([deployment()])),
        ["job", _, "deployments" | "services"] => Some(json!([])),
        ["job", id, "versions"] => job(id).map(|j| {
            let mut old = j.clone();
            old["Version"] = json!(j["Version"].as_u64().unwrap_or(1) - 1);
            old["Stable"] = json!(true);
            let field = json!({ "Type": "Edited", "Name": "Config[image]", "Old": "registry.example/web:1.8.2", "New": "registry.example/web:1.9.0" });
            let task = json!({ "Type": "Edited", "Name": "web", "Annotations": ["forces create/destroy update"], "Fields": null, "Objects": [{ "Type": "Edited", "Name": "Config", "Fields": [field] }] });
            let diff = json!({ "Type": "Edited", "ID": id, "TaskGroups": [{ "Type": "Edited", "Name": "web", "Tasks": [task] }] });
            json!({ "Versions": [j, old], "Diffs": [diff] })
        }),
        ["job", _, "actions"] => Some(json!([
            { "Name": "clear", "Command": "/bin/cache", "Args": ["clear", "--all"], "TaskName": "web", "TaskGroupName": "web" }])),
        ["job", _, "submission"] => Some(json!({ "Source": "job \"pytechco-web\" {\n  group \"web\" {}\n}\n", "Format": "hcl2" })),
        ["job", id, "plan"] => {
            let groups = json!({ "DesiredTGUpdates": { "web": { "Place": 1, "Ignore": 1 } } });
            Some(json!({ "Annotations": groups, "FailedTGAllocs": { "web": metric() }, "JobModifyIndex": 1, "Diff": { "Type": "Added", "ID": id } }))
        }
        ["job", id] => job(id),
        ["nodes"] => Some(json!(nodes())),
        ["node", id] => node(id),
        ["volumes", "claims"] => Some(json!([{ "ID": id("9d1d77aa"), "Namespace": "default", "JobID": "pytechco-redis", "TaskGroupName": "web",
            "AllocID": id("5510bd9c"), "VolumeID": id("4c1d77aa"), "VolumeName": "scratch" }])),
        ["volume", "host", id] => host_volumes().into_iter().find(|v| v["ID"] == *id).map(|mut v| {
            v["RequestedCapabilities"] = json!([{ "AccessMode": "single-node-writer", "AttachmentMode": "file-system" }]);
            v["Parameters"] = json!({ "mode": "0755" });
            v["Allocations"] = json!(allocs("pytechco-redis"));
            v
        }),
        ["volumes"] if query.contains("type=host") => Some(json!(host_volumes())),
        ["volumes"] => Some(json!([
            { "ID": "pgdata", "Name": "pgdata", "Namespace": "default", "ExternalID": "vol-1", "AccessMode": "single-node-writer",
              "CurrentWriters": 1, "Schedulable": true, "PluginID": "disks" }])),
        ["plugins"] => Some(json!([
            { "ID": "disks", "Provider": "disks.example", "ControllerRequired": true, "ControllersHealthy": 1, "ControllersExpected": 1,
              "NodesHealthy": 2, "NodesExpected": 3 }])),
        ["allocations"] => Some(json!([allocs("pytechco-web"), allocs("pytechco-redis")].concat())),
        ["allocation", id] => alloc(id),
        ["evaluations"] => Some(json!([evals("search-indexer"), evals("pytechco-web")].concat())),
        ["evaluation", _, "allocations"] => Some(json!([])),
        ["evaluation", id] if id.starts_with("9ab2") => Some(blocked_eval()),
        ["services"] => Some(json!([{ "Namespace": "default", "Services": [{ "ServiceName": "redis-svc", "Tags": ["cache"] }] }])),
        ["service", name] => Some(json!([{ "ID": "s1", "ServiceName": name, "Namespace": "default", "NodeID": id("4d1a90be"), "JobID": "pytechco-redis",
            "AllocID": id("5510bd9c"), "Tags": ["cache"], "Address": "10.0.4.21", "Port": 23_117 }])),
        ["agent", "members"] => Some(json!({ "ServerName": "server-1", "ServerRegion": "global", "ServerDC": "fra1", "Members": [
            { "Name": "server-1.global", "Addr": "10.0.0.1", "Status": "alive", "Tags": { "id": id("1a2b3c4d"), "port": "4647", "dc": "fra1", "region": "global", "build": "0.1.0" } },
            { "Name": "server-2.global", "Addr": "10.0.0.2", "Status": "failed", "Tags": { "id": id("2a2b3c4d"), "port": "4647", "dc": "ams1", "region": "global", "build": "0.1.0" } }] })),
        ["operator", "autopilot", "health"] => Some(json!({ "Healthy": false, "FailureTolerance": 0, "Leader": id("1a2b3c4d"), "Voters": [id("1a2b3c4d"), id("2a2b3c4d")], "Servers": [
            { "ID": id("1a2b3c4d"), "Name": "server-1.global", "Address": "10.0.0.1:4647", "SerfStatus": "alive", "Version": "0.1.0", "Leader": true, "Voter": true, "Healthy": true,
              "LastContact": "0s", "LastTerm": 4, "LastIndex": 48_213, "StableSince": "2026-01-01T00:00:00Z" },
            { "ID": id("2a2b3c4d"), "Name": "server-2.global", "Address": "10.0.0.2:4647", "SerfStatus": "failed", "Version": "0.1.0", "Leader": false, "Voter": true, "Healthy": false,
              "LastContact": "41s", "LastTerm": 4, "LastIndex": 48_100, "StableSince": "2026-01-01T00:00:00Z", "Trouble": "it has not answered for 41s" }] })),
        ["status", "leader"] => Some(json!("10.0.0.1:4647")),
        ["regions"] => Some(json!(["global"])),
        ["search", "fuzzy"] => Some(json!({ "Matches": { "jobs": [{ "ID": "pytechco-web", "Scope": ["default", "pytechco-web"] }] } })),
        ["client", "fs", "logs", ..] if query.contains("search=") => Some(json!({ "Lines": [
            { "File": 0, "Offset": 237, "Text": "10:24:13.118 ERROR redis: read timeout after 250 ms, retry 1 of 3" }], "Scanned": 351, "NextToken": "0:351" })),
        ["client", "fs", "logs", ..] => return (200, LOG.to_owned()),
        ["client", "allocation", _, "checks"] => Some(json!({ "c1": { "ID": "c1", "Mode": "healthiness", "Status": "failure", "StatusCode": 503,
            "Output": "no database", "Timestamp": ago(8) / 1_000_000_000, "Group": "web", "Service": "web", "Check": "alive", "History": [
            { "Status": "success", "StatusCode": 200, "Output": "nomad: http ok", "Timestamp": 1 }, { "Status": "failure", "StatusCode": 503, "Output": "no database", "Timestamp": 2 }] } })),
        ["client", "metadata"] => Some(json!({ "Meta": { "ssd": "true", "rack": "r7" }, "Dynamic": { "rack": "r7", "zone": null }, "Static": { "ssd": "true", "zone": "a" } })),
        ["client", "fs", "ls", ..] => Some(json!(files())),
        ["client", "fs", "stat", ..] => {
            let path = Query::parse(query).get("path").unwrap_or_default();
            files().into_iter().find(|f| path.ends_with(f["Name"].as_str().unwrap_or_default()))
        }
        ["client", "fs", "readat", ..] => return (200, LOG.to_owned()),
        ["client", "allocation", _, "stats"] => Some(json!({ "Tasks": { "web": { "ResourceUsage": { "CpuStats": { "TotalTicks": 44.0 }, "MemoryStats": { "RSS": 100_663_296 } } } } })),
        ["client", "stats"] => Some(json!({ "Memory": { "Total": 8_589_934_592_u64, "Used": 3_476_029_440_u64 }, "DiskStats": [{ "Device": "/dev/vda1", "Mountpoint": "/", "Size": 262_144_000_000_u64, "Used": 52_428_800_000_u64, "UsedPercent": 20.0 }], "CPUTicksConsumed": 1753.0, "Uptime": 1_641_600 })),
        _ => None,
    };
    match (found, parts.first()) {
        (Some(value), _) => (200, value.to_string()),
        (None, Some(&"job")) => (404, "job not found".to_owned()),
        (None, Some(&"allocation")) => (404, "alloc not found".to_owned()),
        (None, Some(&"evaluation")) => (404, "eval not found".to_owned()),
        (None, Some(&"volume")) => (404, "volume not found".to_owned()),
        (None, Some(&"node")) => (404, "node not found".to_owned()),
        _ => (404, String::new()),
    }
}

/// A transport that answers from here.
pub struct Fake;

impl Transport for Fake {
    fn send(&self, request: http::Request<Bytes>) -> Fut<'_, Result<http::Response<Bytes>, Error>> {
        let (status, text) = answer(&request.uri().to_string());
        Box::pin(async move {
            let response =
                http::Response::builder().status(status).header("x-nomad-index", "48213").body(Bytes::from(text));
            response.map_err(|e| Error::Decode(e.to_string()))
        })
    }

    fn stream(&self, request: http::Request<Bytes>) -> Fut<'_, Result<ByteStream, Error>> {
        let (status, text) = answer(&request.uri().to_string());
        Box::pin(async move {
            match status {
                200 => Ok(Box::pin(futures::stream::iter([Ok(Bytes::from(text))])) as ByteStream),
                code => Err(Error::Status { code, message: text }),
            }
        })
    }
}
