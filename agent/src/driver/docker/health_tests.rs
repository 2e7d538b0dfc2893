//! Against an engine of the test's own: a socket where the questions of a fingerprint are answered, until they are not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex as StdMutex;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

use super::*;

/// The question that is not answered any more.
type Silent = Arc<StdMutex<Option<&'static str>>>;

struct Engine {
    dir: tempfile::TempDir,
    silent: Silent,
    serving: Option<JoinHandle<()>>,
}

impl Engine {
    fn start() -> Engine {
        let dir = tempfile::tempdir().expect("a directory");
        let mut engine = Engine { dir, silent: Arc::default(), serving: None };
        engine.serve();
        engine
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }

    fn serve(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        *self.silent.lock().expect("held") = None;
        let listener = UnixListener::bind(self.socket()).expect("a socket");
        self.serving = Some(tokio::spawn(serve(listener, self.silent.clone())));
    }

    async fn die(&mut self, death: Death) {
        if let Death::Hangs(question) = death {
            *self.silent.lock().expect("held") = Some(question);
            return;
        }
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _ = serving.await;
        }
        if death == Death::Gone {
            std::fs::remove_file(self.socket()).expect("removed");
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Death {
    /// With its socket.
    Gone,
    /// As after a kill: the socket is there, and nobody behind it.
    Killed,
    /// Takes connections, and the question.
    Hangs(&'static str),
}

/// Connections end with this task.
async fn serve(listener: UnixListener, silent: Silent) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(stream, silent.clone()));
    }
}

async fn answer(stream: UnixStream, silent: Silent) {
    let mut stream = BufReader::new(stream);
    while let Some(path) = question(&mut stream).await {
        let hangs = silent.lock().expect("held").is_some_and(|question| path.ends_with(question));
        if hangs {
            std::future::pending::<()>().await;
        }
        let body = match path.rsplit('/').next() {
            Some("version") => json!({"Version": "27.0.1", "ApiVersion": "1.43", "MinAPIVersion": "1.24"}),
            Some("info") => json!({"OSType": "linux", "Runtimes": {"runc": {"path": "runc"}}}),
            _ => json!({"Name": "bridge"}),
        };
        let (body, kind) = (body.to_string(), "Content-Type: application/json");
        let whole = format!("HTTP/1.1 200 OK\r\n{kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(whole.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The path of the next request; none of a fingerprint has a body.
async fn question(stream: &mut BufReader<UnixStream>) -> Option<String> {
    let mut path = None;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        if line == "\r\n" {
            return path;
        }
        path = path.or_else(|| line.split(' ').nth(1).map(|p| p.split('?').next().unwrap_or_default().to_owned()));
    }
}

fn driver(socket: &Path) -> Arc<dyn Driver> {
    let plugin = PluginConfig { endpoint: Some(format!("unix://{}", socket.display())), ..PluginConfig::default() };
    Arc::new(DockerDriver { patience: Duration::from_secs(1), ..DockerDriver::new(plugin) })
}

async fn ill_after(death: Death) {
    let mut engine = Engine::start();
    let drivers = BTreeMap::from([("docker".to_owned(), driver(&engine.socket()))]);
    let options = crate::Options { network_interface: Some("lo".to_owned()), ..crate::Options::default() };
    let mut node = crate::fingerprint::node(&options, tarpan_model::NodeId::NIL, uuid::Uuid::new_v4()).expect("a node");
    let look = async |node: &mut tarpan_model::Node| {
        crate::agent::look_at(&drivers, node, Duration::from_secs(10)).await;
        node.drivers["docker"].clone()
    };
    let info = look(&mut node).await;
    assert!(info.detected && info.healthy, "{death:?}: {info:?}");
    assert_eq!(node.attributes.get("driver.docker.version").map(|v| &**v), Some("27.0.1"));
    engine.die(death).await;
    let info = look(&mut node).await;
    assert!(info.detected && !info.healthy, "{death:?}: {info:?}");
    assert!(info.health_description.contains("the Docker daemon"), "{death:?}: {info:?}");
    assert!(node.attributes.contains_key("driver.docker"), "{death:?}: jobs that ask for the driver wait for it");
    engine.die(Death::Killed).await;
    engine.serve();
    let info = look(&mut node).await;
    assert!(info.detected && info.healthy, "{death:?}, and back: {info:?}");
}

/// However it dies, it is not healthy any more at the next look; when it is back, it is.
#[tokio::test]
async fn an_engine_that_has_died_is_ill_until_it_is_back() {
    let deaths = [Death::Gone, Death::Killed, Death::Hangs("/version"), Death::Hangs("/info"), Death::Hangs("/bridge")];
    futures::future::join_all(deaths.map(ill_after)).await;
}
