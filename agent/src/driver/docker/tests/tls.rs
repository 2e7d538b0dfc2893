//! The machine's engine behind TLS: who comes in needs a certificate, and is asked for it by who goes out.

use tarpan_tls::make::{self, Holder, Subject};
use tarpan_tls::{Port, Roles, Settings, Tls};
use tokio::net::{TcpListener, UnixStream};

use super::*;

/// Files `ca.pem`, `cert.pem` and `key.pem`.
fn certificates(dir: &Path) {
    let ca = make::authority(&Subject::default(), 1, &[]).expect("made");
    let holder = Holder {
        common_name: "engine".to_owned(),
        dns_names: Vec::new(),
        addresses: vec!["127.0.0.1".parse().expect("an address")],
        answers: true,
    };
    let own = make::certificate(&holder, 1, &ca.certificate, &ca.key).expect("made");
    for (name, text) in [("ca.pem", ca.certificate), ("cert.pem", own.certificate), ("key.pem", own.key)] {
        std::fs::write(dir.join(name), text).expect("written");
    }
}

/// Whoever shows a certificate of the authority speaks to the engine.
async fn front(dir: &Path) -> (String, tokio::task::JoinHandle<()>) {
    let file = |name: &str| Some(dir.join(name));
    let settings = Settings {
        http: true,
        verify_https_client: true,
        ca_file: file("ca.pem"),
        cert_file: file("cert.pem"),
        key_file: file("key.pem"),
        ..Settings::default()
    };
    let tls = Tls::load(&settings, Roles::default()).expect("good files");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let serving = tokio::spawn(async move {
        while let Ok((stream, from)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok(mut caller) = tls.accept(stream, from, Port::Http, Duration::from_secs(5)).await else { return };
                let mut engine = UnixStream::connect("/var/run/docker.sock").await.expect("the engine");
                let _ = tokio::io::copy_bidirectional(&mut caller, &mut engine).await;
            });
        }
    });
    (address, serving)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_wants_certificates_gets_them() {
    use crate::driver::{ExecOutput, ExecRequest};
    if !engine_there() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    certificates(dir.path());
    let (address, serving) = front(dir.path()).await;
    let path = |name: &str| dir.path().join(name).display().to_string();
    let endpoint = format!("tcp://{address}");
    let whole =
        json!({"endpoint": endpoint, "tls": {"ca": path("ca.pem"), "cert": path("cert.pem"), "key": path("key.pem")}});
    let place = Place::of_plugin(sh("echo over TLS; exec sleep 60"), whole);
    let info = place.driver.fingerprint().await;
    assert!(info.healthy, "{info:?}");
    let handle = place.start().await.expect("starts");
    let request = ExecRequest { command: ["/bin/echo", "in"].map(str::to_owned).to_vec(), tty: false };
    let mut execution = handle.exec(request).await.expect("the connection becomes the command's");
    let mut text = String::new();
    while let Some(output) = execution.output().await {
        if let ExecOutput::Stdout(bytes) = output {
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    assert_eq!(text, "in\n");
    handle.stop("SIGKILL", Duration::from_secs(5)).await.expect("stopped");
    handle.wait().await;
    handle.destroy().await;
    assert_eq!(place.log("stdout"), "over TLS\n");
    // Without a certificate, and with an authority that did not sign the engine's: ill, with a sentence.
    let other = tempfile::tempdir().expect("a directory");
    certificates(other.path());
    let stranger = other.path().join("ca.pem").display().to_string();
    for tls in
        [json!({"ca": path("ca.pem")}), json!({"ca": stranger, "cert": path("cert.pem"), "key": path("key.pem")})]
    {
        let place = Place::of_plugin(sh("true"), json!({"endpoint": endpoint, "tls": tls}));
        let info = place.driver.fingerprint().await;
        assert!(!info.healthy, "{tls}: {info:?}");
        assert!(info.health_description.contains("certificate"), "{tls}: {}", info.health_description);
    }
    serving.abort();
}
