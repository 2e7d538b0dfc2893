use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;

use serde_json::json;
use tarpan_rpc::plugin::driver_server::{self, DriverServer};
use tarpan_rpc::plugin::field::Type;
use tarpan_rpc::plugin::plugin_server::{self, PluginServer};
use tarpan_rpc::plugin::{self, Description, DriverDescription, Field};
use tonic::{Request, Response, Status, Streaming};

use super::*;
use crate::alloc_dir::AllocDir;
use crate::driver::{ExecRequest, LogTarget};

/// A plugin of which a test says what is wrong with it.
#[derive(Clone, Default)]
struct Fake {
    protocol: Option<u32>,
    /// Calls that never answer.
    hangs: &'static [&'static str],
    refuses: &'static [&'static str],
    fields: Vec<Field>,
    fingerprint: FingerprintReply,
    listed: Vec<String>,
    /// What it was asked to start.
    started: Arc<Mutex<Vec<plugin::StartRequest>>>,
    destroyed: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    async fn answer<T>(&self, call: &str, with: T) -> Result<Response<T>, Status> {
        match () {
            () if self.hangs.contains(&call) => std::future::pending().await,
            () if self.refuses.contains(&call) => Err(Status::internal("no room")),
            () => Ok(Response::new(with)),
        }
    }

    /// The driver that an agent makes of it.
    async fn driver(self) -> Result<External, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        let listener = tokio::net::UnixListener::bind(&path).expect("bound");
        let incoming = futures::stream::unfold(listener, |listener| async move {
            let accepted = listener.accept().await.map(|(stream, _)| stream);
            Some((accepted, listener))
        });
        let serving = tonic::transport::Server::builder()
            .add_service(PluginServer::new(self.clone()))
            .add_service(DriverServer::new(self))
            .serve_with_incoming(incoming);
        tokio::spawn(serving);
        let stream = tokio::net::UnixStream::connect(&path).await.expect("connected");
        Plugin::at("own", stream).await.map(External::new)
    }
}

#[tonic::async_trait]
impl plugin_server::Plugin for Fake {
    async fn describe(&self, _: Request<plugin::DescribeRequest>) -> Result<Response<Description>, Status> {
        let driver = DriverDescription { config: self.fields.clone(), ..DriverDescription::default() };
        let protocol = self.protocol.unwrap_or(1);
        let description = Description { protocol, version: "7".to_owned(), driver: Some(driver), devices: None };
        self.answer("Describe", description).await
    }

    async fn configure(
        &self,
        _: Request<plugin::ConfigureRequest>,
    ) -> Result<Response<plugin::ConfigureReply>, Status> {
        self.answer("Configure", plugin::ConfigureReply {}).await
    }
}

#[tonic::async_trait]
impl driver_server::Driver for Fake {
    type ExecStream = Pin<Box<dyn futures::Stream<Item = Result<plugin::ExecOutput, Status>> + Send>>;

    async fn fingerprint(&self, _: Request<FingerprintRequest>) -> Result<Response<FingerprintReply>, Status> {
        self.answer("Fingerprint", self.fingerprint.clone()).await
    }

    async fn start(&self, request: Request<plugin::StartRequest>) -> Result<Response<plugin::StartReply>, Status> {
        self.started.lock().expect("no panic while held").push(request.into_inner());
        self.answer("Start", plugin::StartReply { state: bytes::Bytes::from_static(b"kept") }).await
    }

    async fn recover(&self, _: Request<plugin::RecoverRequest>) -> Result<Response<plugin::RecoverReply>, Status> {
        self.answer("Recover", plugin::RecoverReply { found: false, state: Default::default() }).await
    }

    async fn wait(&self, _: Request<plugin::TaskRequest>) -> Result<Response<plugin::Exit>, Status> {
        self.answer("Wait", plugin::Exit { code: 3, error: "x".repeat(5000), ..plugin::Exit::default() }).await
    }

    async fn stop(&self, _: Request<plugin::StopRequest>) -> Result<Response<plugin::StopReply>, Status> {
        self.answer("Stop", plugin::StopReply {}).await
    }

    async fn signal(&self, _: Request<plugin::SignalRequest>) -> Result<Response<plugin::SignalReply>, Status> {
        Err(Status::failed_precondition("it takes no signals"))
    }

    async fn stats(&self, _: Request<plugin::TaskRequest>) -> Result<Response<plugin::TaskStats>, Status> {
        self.answer("Stats", plugin::TaskStats { cpu_ns: 5, memory: 6, ..plugin::TaskStats::default() }).await
    }

    async fn exec(&self, _: Request<Streaming<plugin::ExecInput>>) -> Result<Response<Self::ExecStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn destroy(&self, request: Request<plugin::TaskRequest>) -> Result<Response<plugin::DestroyReply>, Status> {
        self.destroyed.lock().expect("no panic while held").push(request.into_inner().id);
        self.answer("Destroy", plugin::DestroyReply {}).await
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<plugin::ListReply>, Status> {
        let tasks = self.listed.iter().map(|id| plugin::Listed { id: id.clone(), running: true }).collect();
        self.answer("List", plugin::ListReply { tasks }).await
    }
}

fn well() -> FingerprintReply {
    FingerprintReply { detected: true, healthy: true, ..FingerprintReply::default() }
}

fn request(dir: &std::path::Path, config: Value) -> TaskRequest {
    let alloc = crate::test_support::alloc("t");
    let place = AllocDir { root: dir.join("alloc") };
    place.create().expect("made");
    let Value::Object(config) = config else { panic!("an object") };
    TaskRequest {
        alloc_id: alloc.id,
        task: "t".to_owned(),
        id: format!("{}/t/0badcafe", alloc.id),
        config: config.into_iter().collect(),
        env: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
        user: String::new(),
        resources: alloc.resources.tasks["t"].clone(),
        shared_cores: String::new(),
        node_cpu_mhz: 1000,
        ports: Vec::new(),
        network_mode: String::new(),
        netns: None,
        address: String::new(),
        hostname: String::new(),
        dns: None,
        dirs: place.create_task("t").expect("made"),
        mounts: Vec::new(),
        devices: Vec::new(),
        logs: Some(LogTarget { alloc: dir.join("alloc"), max_files: 2, max_bytes: 1 << 20 }),
        run_dir: dir.join("run"),
        cgroup_parent: "tarpan-test-plugins".to_owned(),
        labels: BTreeMap::new(),
        kill_signal: String::new(),
    }
}

fn notices() -> Notices {
    Arc::new(|_| {})
}

#[tokio::test]
async fn a_plugin_that_hangs_is_unhealthy_and_no_more() {
    let refused = Fake { hangs: &["Describe"], ..Fake::default() }.driver().await.err().expect("refused");
    assert_eq!(refused, "it does not answer Describe");
    let driver = Fake { hangs: &["Fingerprint", "List", "Stop"], ..Fake::default() }.driver().await.expect("answers");
    let info = driver.fingerprint().await;
    assert!(info.detected && !info.healthy, "{info:?}");
    assert_eq!(info.health_description, "plugin \"own\": it does not answer Fingerprint");
    let place = Place { alloc_root: "/a".into(), tasks: "/s/tasks".into(), cgroup_parent: String::new() };
    let error = driver.survey(&place).await.expect_err("no answer");
    assert_eq!(error.to_string(), "plugin \"own\": it does not answer List");
}

#[tokio::test]
async fn what_a_plugin_says_is_bounded() {
    let refused = Fake { protocol: Some(2), ..Fake::default() }.driver().await.err().expect("refused");
    assert_eq!(refused, "it speaks protocol 2; this agent speaks 1");
    let attributes: HashMap<String, String> = (0..1000).map(|n| (format!("k{n:03}"), "v".to_owned())).collect();
    let long = [("long".to_owned(), "x".repeat(300)), ("od d".to_owned(), "v".to_owned())];
    let fingerprint = FingerprintReply {
        attributes: attributes.into_iter().chain(long).collect(),
        description: "x".repeat(5000),
        ..well()
    };
    let alloc = uuid::Uuid::from_u128(7);
    let listed =
        vec![format!("{alloc}/t/0badcafe"), format!("{alloc}/../x"), "nonsense".to_owned(), format!("{alloc}/t/1/2")];
    let driver = Fake { fingerprint, listed, ..Fake::default() }.driver().await.expect("answers");
    let info = driver.fingerprint().await;
    assert!(info.healthy && info.health_description.chars().count() == 1025);
    assert_eq!(info.attributes.len(), MOST_ATTRIBUTES + 2);
    assert_eq!(info.attributes.get("driver.own.version").map(|v| &**v), Some("7"));
    let place = Place { alloc_root: "/a".into(), tasks: "/s/tasks".into(), cgroup_parent: String::new() };
    let traces = driver.survey(&place).await.expect("listed");
    assert_eq!(traces.iter().map(|trace| trace.mark.id.clone()).collect::<Vec<_>>(), [format!("{alloc}/t/0badcafe")]);
    // A message beyond the bound is an error, and no memory.
    let fingerprint = FingerprintReply { description: "x".repeat(crate::plugin::MESSAGE + 1), ..well() };
    let driver = Fake { fingerprint, ..Fake::default() }.driver().await.expect("answers");
    let info = driver.fingerprint().await;
    assert!(!info.healthy && info.health_description.contains("Fingerprint"), "{info:?}");
}

#[tokio::test]
async fn a_start_is_checked_carried_and_cleaned_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let fields = vec![Field { name: "n".to_owned(), r#type: Type::Int.into(), required: true, ..Field::default() }];
    let fake = Fake { fields, fingerprint: well(), ..Fake::default() };
    let driver = fake.clone().driver().await.expect("answers");
    let error = driver.start(request(dir.path(), json!({"n": "many"})), notices()).await.err().expect("refused");
    assert!(
        matches!(&error, DriverError::Config(text) if text == "config.n must be a whole number, not \"many\""),
        "{error}"
    );
    assert!(fake.started.lock().expect("free").is_empty(), "it was not asked");

    let asked = request(dir.path(), json!({"n": "7"}));
    let (run_dir, id) = (asked.run_dir.clone(), asked.id.clone());
    let task = driver.start(asked, notices()).await.expect("started");
    let started = fake.started.lock().expect("free").pop().expect("asked");
    assert_eq!((started.config_json.as_str(), started.env["A"].as_str()), (r#"{"n":7}"#, "b"));
    assert!(started.stdout_path.starts_with(&*run_dir.to_string_lossy()), "{}", started.stdout_path);
    let saved = task.save();
    assert_eq!((saved["run_dir"].as_str(), saved["state"].as_array().map(Vec::len)), (run_dir.to_str(), Some(4)));
    let usage = task.usage().await.expect("figures");
    assert_eq!((usage.cpu_ns, usage.memory), (5, 6));
    let error = task.signal("SIGHUP").await.expect_err("refused");
    assert_eq!(error.to_string(), "plugin \"own\": Signal: it takes no signals");
    let exit = task.wait().await;
    assert_eq!((exit.code, exit.error.map(|text| text.chars().count())), (3, Some(1025)));
    let exec = task.exec(ExecRequest { command: vec!["x".to_owned()], tty: false }).await.map(|mut exec| async move {
        let said = exec.output().await;
        format!("{said:?}")
    });
    assert!(exec.expect("begins").await.contains("exec is not supported by this task driver"));
    task.destroy().await;
    assert_eq!(*fake.destroyed.lock().expect("free"), [id]);
    assert!(!run_dir.exists());

    // What it does not know any more does not run.
    let lost = driver.recover(&saved).await.err().expect("unknown");
    assert!(lost.to_string().contains("does not know this task any more"), "{lost}");
}

#[tokio::test]
async fn a_start_that_fails_is_taken_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let fake = Fake { refuses: &["Start"], fingerprint: well(), ..Fake::default() };
    let driver = fake.clone().driver().await.expect("answers");
    let asked = TaskRequest { logs: None, ..request(dir.path(), json!({})) };
    let error = driver.start(asked, notices()).await.err().expect("no answer");
    assert_eq!(error.to_string(), "plugin \"own\": Start: no room");
    assert_eq!(fake.destroyed.lock().expect("free").len(), 1);
}
