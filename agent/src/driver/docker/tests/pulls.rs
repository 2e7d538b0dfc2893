//! Pulls from a registry of the test's own, on loopback: engines speak plainly to those.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::options::docker;
use super::*;

struct Registry {
    address: String,
    shared: Arc<Shared>,
    serving: tokio::task::JoinHandle<()>,
}

struct Shared {
    layer: Vec<u8>,
    config: String,
    manifest: String,
    /// How often the manifest was asked for by its tag.
    asked: AtomicUsize,
    /// Half of the layer waits for this.
    open: watch::Sender<bool>,
    user: Option<&'static str>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn digest(bytes: impl AsRef<[u8]>) -> String {
    format!("sha256:{}", Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>())
}

/// A layer of its own for each registry: an engine that has one already asks for nothing.
fn layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let path = Command::new("sh").args(["-c", "command -v busybox"]).output().expect("sh runs").stdout;
    let busybox = std::fs::read(String::from_utf8(path).expect("text").trim()).expect("busybox is here");
    let noise: Vec<u8> = (0..100_000).flat_map(|_| uuid::Uuid::new_v4().into_bytes()).collect();
    for (name, mode, bytes) in [("busybox", 0o755, &busybox), ("noise", 0o644, &noise)] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, &bytes[..]).expect("in memory");
    }
    tar.into_inner().expect("in memory")
}

impl Registry {
    async fn start(user: Option<&'static str>, open: bool) -> Registry {
        let layer = layer();
        let config = json!({"architecture": "amd64", "os": "linux",
            "config": {"Entrypoint": ["/busybox", "echo", "pulled"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]}})
        .to_string();
        let kind = "application/vnd.docker.distribution.manifest.v2+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": kind,
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": config.len(),
                "digest": digest(&config)},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar", "size": layer.len(),
                "digest": digest(&layer)}]})
        .to_string();
        let (open, _) = watch::channel(open);
        let shared = Arc::new(Shared { layer, config, manifest, asked: AtomicUsize::new(0), open, user });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let router = axum::Router::new()
            .route("/v2/", axum::routing::get(root))
            .route("/v2/{name}/manifests/{which}", axum::routing::get(manifest_of))
            .route("/v2/{name}/blobs/{digest}", axum::routing::get(blob))
            .with_state(shared.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Registry { address, shared, serving }
    }

    fn image(&self) -> String {
        format!("{}/shop:1.0", self.address)
    }

    fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

/// Whether the caller may have it, else the answer that says how to ask.
fn refusal(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    let wanted = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(shared.user?));
    let given = headers.get("authorization").and_then(|h| h.to_str().ok());
    (given != Some(&wanted))
        .then(|| (StatusCode::UNAUTHORIZED, [("www-authenticate", "Basic realm=\"shop\"")]).into_response())
}

async fn root(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    refusal(&shared, &headers).unwrap_or_else(|| StatusCode::OK.into_response())
}

async fn manifest_of(
    State(shared): State<Arc<Shared>>,
    UrlPath((_, which)): UrlPath<(String, String)>,
    method: http::Method,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = refusal(&shared, &headers) {
        return refusal;
    }
    let own = digest(&shared.manifest);
    if which != "1.0" && which != own {
        return StatusCode::NOT_FOUND.into_response();
    }
    if which == "1.0" && method == http::Method::HEAD {
        shared.asked.fetch_add(1, Ordering::SeqCst);
    }
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    let head = [("content-type", kind), ("docker-content-digest", &own)];
    (head, shared.manifest.clone()).into_response()
}

async fn blob(
    State(shared): State<Arc<Shared>>,
    UrlPath((_, which)): UrlPath<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = refusal(&shared, &headers) {
        return refusal;
    }
    if which == digest(&shared.config) {
        return shared.config.clone().into_response();
    }
    let mut open = shared.open.subscribe();
    let half = shared.layer.len() / 2;
    let length = shared.layer.len().to_string();
    let first = futures::stream::once(futures::future::ready(shared.layer[..half].to_vec()));
    let second = futures::stream::once(async move {
        let _ = open.wait_for(|open| *open).await;
        shared.layer[half..].to_vec()
    });
    let pieces = futures::StreamExt::map(futures::StreamExt::chain(first, second), Ok::<_, std::io::Error>);
    ([("content-length", length)], Body::from_stream(pieces)).into_response()
}

fn gone(image: &str) -> bool {
    !Command::new("docker").args(["image", "inspect", image]).output().expect("docker runs").status.success()
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_of_the_task_or_the_operator_open_a_registry() {
    if !engine_there() {
        return;
    }
    let registry = Registry::start(Some("ann:s3cret"), true).await;
    let image = registry.image();
    let error = Place::new(json!({"image": image})).start().await.err().expect("nobody is let in").to_string();
    assert!(error.starts_with(&format!("Failed to pull `{image}`: ")), "{error}");
    let wrong = json!({"image": image, "auth": {"username": "ann", "password": "wrong"}});
    assert!(Place::new(wrong).start().await.is_err());
    let own = json!({"image": image, "auth": [{"username": "ann", "password": "s3cret"}]});
    assert_eq!(Place::new(own).output().await, "pulled\n");
    docker(&["rmi", "-f", &image]);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("config.json");
    let auth = base64::engine::general_purpose::STANDARD.encode("ann:s3cret");
    std::fs::write(&file, json!({"auths": {&registry.address: {"auth": auth}}}).to_string()).expect("written");
    let plugin = json!({"auth": {"config": file.display().to_string()}});
    assert_eq!(Place::of_plugin(json!({"image": image}), plugin.clone()).output().await, "pulled\n");
    // By its digest, and once more although it is there.
    let by_digest = format!("{}/shop@{}", registry.address, digest(&registry.shared.manifest));
    assert_eq!(Place::of_plugin(json!({"image": by_digest}), plugin.clone()).output().await, "pulled\n");
    let asked = registry.asked();
    let forced = Place::of_plugin(json!({"image": image, "force_pull": true}), plugin);
    assert_eq!(forced.output().await, "pulled\n");
    assert_eq!(registry.asked(), asked + 1);
    docker(&["rmi", "-f", &image, &by_digest]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_want_an_image_at_once_wait_for_one_pull_that_says_how_far_it_is() {
    if !engine_there() {
        return;
    }
    let registry = Registry::start(None, false).await;
    let image = registry.image();
    let (mut one, mut two) = (Place::new(json!({"image": image})), Place::new(json!({"image": image})));
    one.driver.pulls = pull::Pulls::telling(Duration::from_millis(300));
    let driver = Arc::new(std::mem::replace(&mut one.driver, DockerDriver::new(PluginConfig::default())));
    two.driver = DockerDriver::new(PluginConfig::default());
    let start = |place: &Place| {
        let (driver, request, notices) = (driver.clone(), place.request.clone(), place.notices.clone());
        let tell: Notices = Arc::new(move |text| notices.lock().expect("held").push(text));
        tokio::spawn(async move { driver.start(request, tell).await })
    };
    let (first, second) = (start(&one), start(&two));
    let told = |place: &Place| place.notices.lock().expect("held").clone();
    until("both say how far it is", || [&one, &two].iter().all(|p| told(p).len() > 1)).await;
    registry.shared.open.send_replace(true);
    for started in [first, second] {
        let handle = started.await.expect("no panic").expect("starts");
        assert!(handle.wait().await.success());
        handle.destroy().await;
    }
    docker(&["rmi", "-f", &image]);
    assert_eq!(registry.asked(), 1, "one pull for both");
    let said = told(&one);
    assert_eq!(said[0], "Downloading image");
    assert!(said[1].starts_with("Docker image pull progress: 0 of 1 layers, ") && said[1].contains("MB"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_that_stalls_or_takes_too_long_ends() {
    if !engine_there() {
        return;
    }
    let registry = Registry::start(None, false).await;
    let image = registry.image();
    let stalled = Place::of_plugin(json!({"image": image}), json!({"pull_activity_timeout": "2s"}));
    let error = stalled.start().await.err().expect("it ends");
    assert!(error.to_string().contains("nothing has come for 2s, with 0 of 1 layers"), "{error}");
    assert!(matches!(error, DriverError::Start { recoverable: true, .. }));
    let slow = Place::new(json!({"image": image, "image_pull_timeout": "1s"}));
    let error = slow.start().await.err().expect("it ends").to_string();
    assert!(error.ends_with("it took longer than 1s"), "{error}");
    registry.shared.open.send_replace(true);
    assert_eq!(Place::new(json!({"image": image})).output().await, "pulled\n");
    docker(&["rmi", "-f", &image]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_goes_when_nobody_used_it_for_its_delay_and_not_before() {
    if !engine_there() {
        return;
    }
    let registry = Registry::start(None, true).await;
    let (image, state) = (registry.image(), tempfile::tempdir().expect("a directory"));
    let mut place = Place::new(json!({"image": image, "entrypoint": ["/busybox", "sleep", "300"]}));
    let agent = |delay: &str, on: bool| {
        let plugin = json!({"gc": {"image": on, "image_delay": delay}});
        DockerDriver::new(serde_json::from_value(plugin).expect("a plugin block")).remembering(state.path())
    };
    place.driver = agent("0s", true);
    let handle = place.start().await.expect("starts");
    let upkeep = async |driver: &DockerDriver| driver.upkeep().await;
    upkeep(&place.driver).await;
    assert!(!gone(&image), "it is used");
    handle.destroy().await;
    for (delay, on) in [("1h", true), ("0s", false)] {
        let other = agent(delay, on);
        upkeep(&other).await;
        upkeep(&other).await;
        assert!(!gone(&image), "{delay} {on}");
    }
    // Another agent knows of it, and of no image that was there before.
    let later = agent("0s", true);
    upkeep(&later).await;
    assert!(gone(&image));
    assert!(!gone(IMAGE));
    upkeep(&agent("0s", true)).await;
    assert_eq!(std::fs::read_to_string(state.path().join("docker-images.json")).expect("written"), "[]");
}
