//! Files that are no good, and two ends that do not take each other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, Issuer, KeyPair};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower::Service as _;

use super::make::{Holder, Made, MakeError, Subject, authority, certificate};
use super::{Dialer, Port, Refused, Roles, Settings, Stream, Tls};

const PATIENCE: Duration = Duration::from_secs(5);

/// A folder with authorities, and certificates that they signed.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        folder.write("ca", &authority(&Subject::default(), 10, &[]).expect("an authority"));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("readable")
    }

    fn write(&self, name: &str, made: &Made) {
        std::fs::write(self.path(&format!("{name}.pem")), &made.certificate).expect("written");
        std::fs::write(self.path(&format!("{name}-key.pem")), &made.key).expect("written");
    }

    /// One for `dns`, called after it, which `ca` has signed.
    fn certificate(&self, name: &str, dns: &str, ca: &str) {
        let holder = holder(dns);
        let (ca, key) = (self.read(&format!("{ca}.pem")), self.read(&format!("{ca}-key.pem")));
        self.write(name, &certificate(&holder, 5, &ca, &key).expect("a certificate"));
    }

    /// One whose time is between these days from now.
    fn dated(&self, name: &str, from: i64, to: i64) {
        let key = KeyPair::generate().expect("a key");
        let ca_key = KeyPair::from_pem(&self.read("ca-key.pem")).expect("its key");
        let issuer = Issuer::from_ca_cert_pem(&self.read("ca.pem"), ca_key).expect("an authority");
        let mut params = CertificateParams::new(["server.global.nomad".to_owned()]).expect("a name");
        let now = OffsetDateTime::from_unix_timestamp(crate::view::now()).expect("a time");
        params.not_before = now + time::Duration::days(from);
        params.not_after = now + time::Duration::days(to);
        let made = params.signed_by(&key, &issuer).expect("signed");
        self.write(name, &Made { certificate: made.pem(), key: key.serialize_pem() });
    }

    fn settings(&self, certificate: &str) -> Settings {
        Settings {
            rpc: true,
            ca_file: Some(self.path("ca.pem")),
            cert_file: Some(self.path(&format!("{certificate}.pem"))),
            key_file: Some(self.path(&format!("{certificate}-key.pem"))),
            ..Settings::default()
        }
    }

    fn named(&self, certificate: &str) -> Settings {
        Settings { verify_server_hostname: true, ..self.settings(certificate) }
    }

    /// Why a server of the region "global" would not start, without the folder's own name.
    fn refusal(&self, settings: &Settings) -> String {
        let error = Tls::load(settings, roles(true)).expect_err("it is refused");
        error.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn holder(dns: &str) -> Holder {
    Holder {
        common_name: dns.to_owned(),
        dns_names: vec![dns.to_owned(), "localhost".to_owned()],
        addresses: vec![[127, 0, 0, 1].into()],
        answers: true,
    }
}

fn roles(server: bool) -> Roles {
    Roles { region: "global".to_owned(), server }
}

fn load(settings: &Settings, server: bool) -> Arc<Tls> {
    Tls::load(settings, roles(server)).expect("good files")
}

#[test]
fn files_that_are_no_good_are_refused_with_key_file_and_reason() {
    let folder = Folder::new();
    folder.write("other", &authority(&Subject::default(), 10, &[]).expect("an authority"));
    folder.certificate("server", "server.global.nomad", "ca");
    folder.certificate("client", "client.global.nomad", "ca");
    folder.certificate("foreign", "server.global.nomad", "other");
    folder.dated("old", -20, -10);
    folder.dated("early", 10, 20);
    std::fs::write(folder.path("words.pem"), "no certificate\n").expect("written");
    let with = |change: &dyn Fn(&mut Settings)| {
        let mut settings = folder.settings("server");
        change(&mut settings);
        folder.refusal(&settings)
    };
    let begins = |got: String, expected: &str| assert!(got.starts_with(expected), "{got}");
    begins(with(&|s| s.ca_file = None), "tls.rpc = true needs tls.ca_file");
    begins(with(&|s| s.key_file = None), "tls.rpc = true needs tls.key_file");
    begins(with(&|s| s.ca_file = Some(folder.path("no.pem"))), "tls.ca_file: no.pem can't be read: No such file");
    begins(with(&|s| s.cert_file = Some(folder.path("."))), "tls.cert_file: . is no regular file");
    begins(
        with(&|s| s.cert_file = Some(folder.path("words.pem"))),
        "tls.cert_file: words.pem holds no certificate in PEM form (\"-----BEGIN CERTIFICATE-----\")",
    );
    begins(
        with(&|s| s.key_file = Some(folder.path("server.pem"))),
        "tls.key_file: server.pem holds no unencrypted private key in PEM form",
    );
    begins(
        with(&|s| s.key_file = Some(folder.path("client-key.pem"))),
        "tls.key_file: client-key.pem is not the key of the certificate in server.pem",
    );
    begins(folder.refusal(&folder.settings("old")), "tls.cert_file: old.pem has expired on 20");
    begins(folder.refusal(&folder.settings("early")), "tls.cert_file: early.pem holds only from 20");
    begins(
        folder.refusal(&folder.settings("foreign")),
        "tls.cert_file: foreign.pem is not taken by tls.ca_file ca.pem: it is signed by none of its authorities",
    );
    begins(
        folder.refusal(&folder.named("client")),
        "tls.cert_file: client.pem is for client.global.nomad, localhost, 127.0.0.1, but tls.verify_server_hostname asks \
         for server.global.nomad: others would refuse it",
    );
    assert!(Tls::load(&folder.named("client"), roles(false)).is_ok(), "a client's own name is enough for a client");
    begins(with(&|s| s.min_version = "tls11".to_owned()), "tls.tls_min_version: tls11 is broken and not spoken here");
    begins(with(&|s| s.min_version = "ssl3".to_owned()), "tls.tls_min_version: \"ssl3\" is no version");
    begins(
        with(&|s| s.cipher_suites = "TLS_AES_128_GCM_SHA256,TLS_RSA_WITH_RC4_128_SHA".to_owned()),
        "tls.tls_cipher_suites: TLS_RSA_WITH_RC4_128_SHA is not spoken here",
    );
    begins(
        with(&|s| s.verify_https_client = true),
        "tls.verify_https_client = true does nothing without tls.http = true",
    );
    begins(
        folder.refusal(&Settings { rpc: false, ..folder.named("server") }),
        "tls.verify_server_hostname = true does nothing without tls.rpc = true",
    );
    // What is fine, but for its five days.
    let warnings = load(&folder.settings("server"), true).warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("server.pem expires on 20"), "{warnings:?}");
}

/// The two ends of one connection, or why there is none.
async fn meet(
    taking: &Arc<Tls>,
    dialling: &Arc<Tls>,
    region: &str,
) -> (Result<Stream, Refused>, Result<Stream, String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let accept = async {
        let (stream, from) = listener.accept().await.expect("somebody");
        taking.accept(stream, from, Port::Rpc, PATIENCE).await
    };
    let dial = async {
        let uri = format!("http://{address}").parse().expect("an address");
        let dialled = Dialer::new(dialling.clone(), region).call(uri).await;
        let mut stream = dialled.map_err(|e| e.to_string())?.into_inner();
        // With TLS 1.3 who dials learns only by reading whether it was taken.
        stream.write_all(b"hello").await.map_err(|e| e.to_string())?;
        stream.flush().await.map_err(|e| e.to_string())?;
        let mut answer = [0; 2];
        let read = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut answer)).await;
        match read {
            Ok(Err(error)) => Err(error.to_string()),
            _ => Ok(stream),
        }
    };
    tokio::join!(accept, dial)
}

/// What the one that dials is told, and what the one that takes has said.
async fn refusal(taking: &Arc<Tls>, dialling: &Arc<Tls>, region: &str, folder: &Folder) -> (String, Vec<String>) {
    let (taken, dialled) = meet(taking, dialling, region).await;
    assert!(taken.is_err(), "it was taken");
    let bare = |text: String| text.replace(&format!("{}/", folder.0.path().display()), "");
    (bare(dialled.expect_err("it was refused")), taking.once().said().into_iter().map(bare).collect())
}

#[tokio::test]
async fn both_ends_take_each_other_or_both_say_why_not() {
    let folder = Folder::new();
    folder.certificate("server", "server.global.nomad", "ca");
    folder.certificate("client", "client.global.nomad", "ca");
    let (server, client) = (load(&folder.named("server"), true), load(&folder.named("client"), false));
    let (taken, dialled) = meet(&server, &client, "global").await;
    let certified = taken.expect("taken").certified().expect("a certificate");
    assert!(certified.is_for("client.global.nomad") && !certified.is_for_a_server());
    assert!(dialled.expect("taken").is_tls());

    // A server of another region, by its name.
    let (told, said) = refusal(&server, &client, "west", &folder).await;
    assert_eq!(told, "its certificate is for server.global.nomad, localhost, 127.0.0.1, not for server.west.nomad");
    assert_eq!(
        said,
        [
            "refused 127.0.0.1 on the RPC port: it refuses our certificate server.pem: it is for another name than the one that is expected"
        ]
    );
    // Without names any certificate of the authority does.
    let loose = load(&folder.settings("client"), false);
    assert!(meet(&server, &loose, "west").await.1.is_ok());

    // An authority that the other one does not know.
    let foreign = Folder::new();
    foreign.certificate("server", "server.global.nomad", "ca");
    let stranger = Tls::load(
        // It trusts ours, but shows its own.
        &Settings { ca_file: Some(bundle(&folder, &foreign)), ..foreign.named("server") },
        roles(true),
    );
    let stranger = stranger.expect("good files");
    server.once().forget();
    let (told, said) = refusal(&server, &stranger, "global", &foreign).await;
    assert_eq!(told, "it refuses our certificate server.pem: it does not know the authority that signed it");
    assert_eq!(said.len(), 1);
    assert!(
        said[0].contains("its certificate is signed by no authority of") && said[0].ends_with("/ca.pem"),
        "{said:?}"
    );
}

fn bundle(one: &Folder, other: &Folder) -> PathBuf {
    let path = other.path("both.pem");
    std::fs::write(&path, one.read("ca.pem") + &other.read("ca.pem")).expect("written");
    path
}

#[tokio::test]
async fn a_certificate_that_expired_meanwhile_is_refused_at_both_ends() {
    let folder = Folder::new();
    folder.certificate("server", "server.global.nomad", "ca");
    folder.dated("old", -20, -10);
    let server = load(&folder.settings("server"), true);
    // Nobody starts with it: what was loaded before its time was over goes on.
    let expired = client_with(&folder, "old");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let accept = async {
        let (stream, from) = listener.accept().await.expect("somebody");
        server.accept(stream, from, Port::Rpc, PATIENCE).await
    };
    let dial = async {
        let tcp = TcpStream::connect(address).await.expect("connects");
        let name = "server.global.nomad".try_into().expect("a name");
        let mut stream = tokio_rustls::TlsConnector::from(expired).connect(name, tcp).await?;
        stream.read_u8().await
    };
    let (taken, dialled) = tokio::join!(accept, dial);
    assert!(taken.is_err());
    assert!(dialled.expect_err("refused").to_string().contains("CertificateExpired"));
    let said = server.once().said();
    assert_eq!(said, ["refused 127.0.0.1 on the RPC port: its certificate has expired"]);
}

/// A client that nobody checked.
fn client_with(folder: &Folder, certificate: &str) -> Arc<rustls::ClientConfig> {
    let path = |name: &str| Some(folder.path(name));
    let caller = super::caller::Caller {
        ca_cert: path("ca.pem"),
        client_cert: path(&format!("{certificate}.pem")),
        client_key: path(&format!("{certificate}-key.pem")),
        ..Default::default()
    };
    let mut config = caller.config().expect("good files");
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

#[tokio::test]
async fn plain_words_on_a_port_of_tls_and_the_other_way_round() {
    let folder = Folder::new();
    folder.certificate("server", "server.global.nomad", "ca");
    let server = load(&folder.settings("server"), true);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let plain = async |tls: &Arc<Tls>| {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(b"PRI * HTTP/2.0\r\n").await.expect("written");
        let (taken, from) = listener.accept().await.expect("somebody");
        (tls.accept(taken, from, Port::Rpc, PATIENCE).await, stream)
    };
    for _ in 0..3 {
        assert!(matches!(plain(&server).await.0, Err(Refused::Plain(_))));
    }
    assert_eq!(server.once().said(), ["refused 127.0.0.1 on the RPC port: it does not speak TLS, and tls.rpc is on"]);
    let upgrading = load(&Settings { rpc_upgrade_mode: true, ..folder.settings("server") }, true);
    assert!(matches!(plain(&upgrading).await.0, Ok(stream) if !stream.is_tls()));

    // Somebody who connects and says nothing is let go in time.
    let silent = TcpStream::connect(address).await.expect("connects");
    let (taken, from) = listener.accept().await.expect("somebody");
    let over = server.accept(taken, from, Port::Rpc, Duration::from_millis(50)).await;
    assert!(matches!(over, Err(Refused::Over)));
    drop(silent);

    // TLS to a port that knows nothing of it: a sentence, and while upgrading a plain connection.
    let answer = async || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.expect("somebody");
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let _ = stream.shutdown().await;
            let _ = stream.read(&mut [0; 1024]).await;
        }
    };
    let uri: http::Uri = format!("http://{address}").parse().expect("an address");
    let (_, (strict, soft)) = tokio::join!(answer(), async {
        let strict = Dialer::new(server.clone(), "global").call(uri.clone()).await;
        (strict, Dialer::new(upgrading.clone(), "global").call(uri).await)
    });
    assert_eq!(strict.expect_err("refused").to_string(), "it does not speak TLS");
    let _ = soft;
    assert!(server.once().said().contains(&format!("the server at {address}: it does not speak TLS")));
}

#[tokio::test]
async fn what_the_other_side_can_speak_has_to_be_allowed() {
    let folder = Folder::new();
    folder.certificate("server", "server.global.nomad", "ca");
    let only = |suites: &str| load(&Settings { cipher_suites: suites.to_owned(), ..folder.settings("server") }, true);
    let (server, client) = (only("TLS_AES_256_GCM_SHA384"), only("TLS_AES_128_GCM_SHA256"));
    let (told, said) = refusal(&server, &client, "global", &folder).await;
    assert_eq!(told, "both sides have no TLS version and cipher suite in common");
    assert_eq!(said, ["refused 127.0.0.1 on the RPC port: both sides have no TLS version and cipher suite in common"]);
    let newest = load(&Settings { min_version: "tls13".to_owned(), ..folder.settings("server") }, true);
    assert!(meet(&newest, &client, "global").await.1.is_ok());
    let older = only("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384");
    assert!(meet(&server, &older, "global").await.1.is_ok(), "Go's rule: those of 1.3 stay");
}

#[test]
fn new_files_are_taken_and_bad_ones_leave_the_old() {
    let folder = Folder::new();
    folder.certificate("server", "server.global.nomad", "ca");
    let settings = folder.settings("server");
    let tls = load(&settings, true);
    let before = tls.material();
    std::fs::write(folder.path("server-key.pem"), "nothing").expect("written");
    let error = tls.reload(&settings).expect_err("no key").to_string();
    assert!(error.contains("server-key.pem holds no unencrypted private key"), "{error}");
    assert!(Arc::ptr_eq(&before, &tls.material()), "the old files stay");
    folder.certificate("server", "server.global.nomad", "ca");
    tls.reload(&settings).expect("good files");
    assert!(!Arc::ptr_eq(&before, &tls.material()));
    let off = tls.reload(&Settings { rpc: false, ..settings }).expect_err("a restart is needed").to_string();
    assert_eq!(off, "tls.http and tls.rpc are changed by a restart, not while the agent runs");
}

#[test]
fn an_authority_signs_what_it_may_and_what_it_made_says_so() {
    let subject = Subject { country: "AT".to_owned(), organization: "Herd".to_owned(), ..Subject::default() };
    let ca = authority(&subject, 30, &["nomad".to_owned(), "localhost".to_owned()]).expect("an authority");
    let seen = super::Certified::of_pem(ca.certificate.as_bytes()).expect("one").expect("readable");
    assert!(seen.is_authority && seen.common_name.starts_with("Tarpan Agent CA "), "{seen:?}");
    assert_eq!(seen.permitted_domains, ["nomad", "localhost"]);
    let made = certificate(&holder("server.global.nomad"), 5, &ca.certificate, &ca.key).expect("a certificate");
    let seen = super::Certified::of_pem(made.certificate.as_bytes()).expect("one").expect("readable");
    assert_eq!(
        (seen.names().as_str(), seen.common_name.as_str()),
        ("server.global.nomad, localhost, 127.0.0.1", "server.global.nomad")
    );
    assert!(seen.issuer.starts_with("Tarpan Agent CA ") && seen.left() > 4 * 86_400 && !seen.is_early());
    let refused = certificate(&holder("server.example"), 5, &ca.certificate, &ca.key);
    assert!(matches!(refused, Err(MakeError::NotTaken(_))), "{refused:?}");
    let other = authority(&Subject::default(), 30, &[]).expect("an authority");
    let refused = certificate(&holder("server.global.nomad"), 5, &ca.certificate, &other.key).expect_err("another key");
    assert!(refused.to_string().contains("not taken by the CA itself"), "{refused}");
    assert!(matches!(certificate(&holder("a b"), 5, &other.certificate, &other.key), Err(MakeError::Name(_))));
    assert!(matches!(authority(&Subject::default(), 0, &[]), Err(MakeError::Days)));
}

#[test]
fn suites_are_chosen_by_gos_names() {
    let names = |list: &str| {
        let provider = super::suites::with_suites(list).expect("known");
        provider.cipher_suites.iter().map(|s| format!("{:?}", s.suite())).collect::<Vec<_>>()
    };
    assert_eq!(names("").len(), 9);
    let chosen = names("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305");
    assert_eq!(chosen.len(), 5, "those of 1.3 stay: {chosen:?}");
    assert_eq!(names("TLS_AES_256_GCM_SHA384"), ["TLS13_AES_256_GCM_SHA384"]);
}

#[test]
fn callers_files_are_judged_too() {
    let folder = Folder::new();
    folder.certificate("cli", "cli.global.nomad", "ca");
    let caller = |ca: &str, key: Option<&str>| super::caller::Caller {
        ca_cert: Some(folder.path(ca)),
        client_cert: Some(folder.path("cli.pem")),
        client_key: key.map(|key| folder.path(key)),
        server_name: Some("server.global.nomad".to_owned()),
        ..Default::default()
    };
    let refusal = |caller: super::caller::Caller| caller.config().expect_err("refused").to_string();
    assert!(caller("ca.pem", Some("cli-key.pem")).config().is_ok());
    assert_eq!(refusal(caller("ca.pem", None)), "client-cert needs client-key, too");
    assert!(refusal(caller("ca.pem", Some("ca-key.pem"))).contains("ca-key.pem is not the key of the certificate in"));
    assert!(refusal(caller("ca-key.pem", Some("cli-key.pem"))).contains("holds no certificate in PEM form"));
    let folders = super::caller::Caller { ca_path: Some(folder.path("none")), ..Default::default() };
    assert!(refusal(folders).starts_with("ca-path: "), "a folder that is not there");
}
