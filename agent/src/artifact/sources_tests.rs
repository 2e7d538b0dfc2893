//! Artifacts from repositories and from S3: servers of the test's own, on loopback.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use sha2::Digest;

use super::*;
use crate::alloc_dir::AllocDir;

struct Place {
    home: tempfile::TempDir,
    dirs: TaskDirs,
    limits: ArtifactLimits,
}

impl Place {
    fn new() -> Place {
        let home = tempfile::tempdir().expect("a directory");
        let root = home.path().join("alloc");
        std::fs::create_dir(&root).expect("made");
        let alloc = AllocDir { root: root.join("alloc-1") };
        alloc.create().expect("made");
        Place { dirs: alloc.create_task("t").expect("made"), home, limits: ArtifactLimits::default() }
    }

    async fn fetch(&self, source: &str, options: &[(&str, &str)]) -> Result<(), String> {
        self.fetch_as(source, options, "any").await
    }

    async fn fetch_as(&self, source: &str, options: &[(&str, &str)], mode: &str) -> Result<(), String> {
        let artifact = Artifact {
            source: source.to_owned(),
            options: options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            mode: mode.to_owned(),
            destination: "local/x".to_owned(),
            ..Artifact::default()
        };
        let fetching = Fetching {
            limits: &self.limits,
            hidden: vec![self.home.path().join("alloc")],
            known_hosts: Some(self.home.path().join("known_hosts")),
            tell: &|_| (),
        };
        fetching.fetch(&artifact, &self.dirs).await.map_err(|e| crate::chain(&e))
    }

    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.dirs.local.join("x").join(path)).ok()
    }

    fn clear(&self) {
        let _ = std::fs::remove_dir_all(self.dirs.local.join("x"));
    }
}

/// Whether a program is there; where CI promises it, it has to be.
fn has(program: &str) -> bool {
    let found = installed(program);
    assert!(found || std::env::var_os("CI").is_none(), "CI has to have {program}");
    found
}

fn installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&paths).collect();
    dirs.push("/usr/sbin".into());
    let found = dirs.iter().any(|dir| dir.join(program).is_file());
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// A repository that is made by a script.
fn repository(dir: &Path, script: &str) {
    std::fs::create_dir_all(dir).expect("made");
    let script = format!(
        "set -e\ngit init -q -b main .\ngit config user.name t\ngit config user.email t@example.org\n{script}\ngit config uploadpack.allowAnySHA1InWant true"
    );
    let made = Command::new("sh")
        .args(["-c", &script])
        .current_dir(dir)
        .env("HOME", dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

const STORY: &str = "
mkdir sub; echo one > file; echo below > sub/file; ln -s file link; git add -A; git commit -qm one; git tag v1
echo two > file; git commit -qam two
git checkout -q -b side; echo side > file; git commit -qam side; git checkout -q main";

/// Repositories below a directory, over http by git's own program.
async fn git_server(root: &Path) -> String {
    let answer = |State(root): State<PathBuf>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
        let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let mut child = tokio::process::Command::new("git")
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("HOME", &root)
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .env("PATH_INFO", uri.path())
            .env("QUERY_STRING", uri.query().unwrap_or_default())
            .env("REQUEST_METHOD", method.as_str())
            .env("CONTENT_TYPE", header("content-type"))
            .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
            .env("GIT_PROTOCOL", header("git-protocol"))
            .env("CONTENT_LENGTH", body.len().to_string())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("runs");
        tokio::io::AsyncWriteExt::write_all(&mut child.stdin.take().expect("piped"), &body).await.expect("told");
        let output = child.wait_with_output().await.expect("ends").stdout;
        let end = output.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
        let mut response = Response::builder();
        for line in String::from_utf8_lossy(&output[..end]).lines() {
            let (name, value) = line.split_once(": ").expect("a header");
            response = match name {
                "Status" => response.status(value[..3].parse::<u16>().expect("a number")),
                name => response.header(name, value),
            };
        }
        response.body(Body::from(output[end + 4..].to_vec())).expect("whole")
    };
    let app = axum::Router::new().fallback(answer).with_state(root.to_owned());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("git::http://{address}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_at_a_branch_a_tag_a_commit_and_a_depth() {
    if !has("git") {
        return;
    }
    let place = Place::new();
    let root = place.home.path().join("repositories");
    repository(&root.join("story"), STORY);
    let commit = Command::new("git").args(["-C"]).arg(root.join("story")).args(["rev-parse", "v1"]).output();
    let commit = String::from_utf8(commit.expect("runs").stdout).expect("text").trim().to_owned();
    let source = format!("{}/story/.git", git_server(&root).await);
    for (options, content) in [
        (vec![], "two\n"),
        (vec![("ref", "side")], "side\n"),
        (vec![("ref", "v1")], "one\n"),
        (vec![("ref", commit.as_str())], "one\n"),
        (vec![("ref", &commit[..10])], "one\n"),
        (vec![("depth", "1")], "two\n"),
        (vec![("depth", "1"), ("ref", "side")], "side\n"),
        (vec![("depth", "1"), ("ref", commit.as_str())], "one\n"),
    ] {
        place.clear();
        place.fetch(&source, &options).await.unwrap_or_else(|error| panic!("{options:?}: {error}"));
        assert_eq!(place.read("file").as_deref(), Some(content), "{options:?}");
        assert_eq!(place.read("link").as_deref(), Some(content), "{options:?}");
    }
    place.clear();
    place.fetch(&format!("{source}//sub"), &[]).await.expect("its directory");
    assert_eq!((place.read("file").as_deref(), place.read("sub/file")), (Some("below\n"), None));
    let owner = std::os::unix::fs::MetadataExt::uid(&place.dirs.local.join("x/file").metadata().expect("there"));
    assert_eq!(owner, nix::unistd::geteuid().as_raw());
    for (options, why) in [
        (vec![("ref", "nothing")], "nothing"),
        (vec![("ref", "nothing"), ("depth", "1")], "nothing"),
        (vec![("depth", "no")], "must be a number of commits"),
    ] {
        let error = place.fetch(&source, &options).await.expect_err("no such thing");
        assert!(error.contains(why), "{error}");
    }
    let error = place.fetch(&source.replace("/story/", "/nobody/"), &[]).await.expect_err("no repository");
    assert!(error.starts_with("git: ") && error.contains("not found"), "{error}");
    let error = place.fetch_as(&source, &[], "file").await.expect_err("a directory");
    assert!(error.contains("artifact is a directory"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_runs_nothing_and_leads_nowhere() {
    if !has("git") {
        return;
    }
    let place = Place::new();
    let root = place.home.path().join("repositories");
    // What a clone would run if somebody let it: a filter, a submodule, a command in place of a transport.
    let ran = place.home.path().join("ran");
    let script = format!(
        "echo '* filter=evil' > .gitattributes; echo text > file
        git init -q -b main ../inner; git -C ../inner -c user.name=t -c user.email=t@example.org commit -q --allow-empty -m one
        git -c protocol.file.allow=always submodule add -q ../inner inner
        git config -f .gitmodules submodule.inner.update '!touch {ran}'
        git config -f .gitmodules submodule.inner.url 'ext::sh -c \"touch {ran}\"'
        git add -A; git commit -qm one",
        ran = ran.display()
    );
    repository(&root.join("evil"), &script);
    repository(&root.join("out"), "ln -s ../../../../../etc out; git add -A; git commit -qm one");
    let source = git_server(&root).await;
    place.fetch(&format!("{source}/evil/.git"), &[]).await.expect("it is a repository");
    assert_eq!(place.read("file").as_deref(), Some("text\n"));
    assert!(!ran.exists());
    place.clear();
    let error = place.fetch(&format!("{source}/out/.git"), &[]).await.expect_err("a link");
    assert!(error.contains("would lead out of the destination"), "{error}");
    assert!(place.read("out/hosts").is_none());
    for source in ["git::ext::sh -c id", "git::file:///srv/a", "git::/srv/a"] {
        place.fetch(source, &[]).await.expect_err(source);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_over_ssh_by_its_key_from_a_known_host() {
    // No CI has a server of SSH put on a machine: Debian's package starts it.
    if !has("git") || !installed("sshd") || !nix::unistd::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    let home = place.home.path();
    repository(&home.join("story"), STORY);
    for key in ["host", "user"] {
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(home.join(key)).status();
        assert!(made.expect("runs").success());
    }
    let config = format!(
        "HostKey {0}/host\nAuthorizedKeysFile {0}/user.pub\nStrictModes no\nPasswordAuthentication no\nUsePAM no\nPermitRootLogin yes\n",
        home.display()
    );
    std::fs::write(home.join("sshd_config"), config).expect("written");
    std::fs::create_dir_all("/run/sshd").expect("made");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let config = home.join("sshd_config");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let out = stream.try_clone().expect("again");
            let mut sshd = Command::new("/usr/sbin/sshd");
            sshd.args(["-i", "-f"]).arg(&config).stdin(std::os::fd::OwnedFd::from(stream));
            sshd.stdout(std::os::fd::OwnedFd::from(out)).stderr(std::process::Stdio::null());
            std::thread::spawn(move || sshd.status());
        }
    });
    let key = std::fs::read(home.join("user")).expect("made");
    let key = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key);
    let source = format!("git::ssh://root@127.0.0.1:{port}{}/story", home.display());
    let stranger = place.fetch(&source, &[("sshkey", &key)]).await.expect_err("nobody knows the host");
    assert!(stranger.contains("Host key verification failed"), "{stranger}");
    let host = std::fs::read_to_string(home.join("host.pub")).expect("made");
    std::fs::write(home.join("known_hosts"), format!("[127.0.0.1]:{port} {host}")).expect("written");
    let nobody = place.fetch(&source, &[]).await.expect_err("no key");
    assert!(nobody.contains("Permission denied"), "{nobody}");
    place.fetch(&source, &[("sshkey", &key), ("ref", "v1")]).await.expect("cloned");
    assert_eq!(place.read("file").as_deref(), Some("one\n"));
    let broken = place.fetch(&source, &[("sshkey", "?")]).await.expect_err("no key");
    assert!(broken.contains("base64"), "{broken}");
}

/// A server of objects that looks at signatures.
#[derive(Clone, Default)]
struct Store {
    objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    /// Key id, secret and token; `None`: open to everybody.
    keys: Option<(String, String, Option<String>)>,
}

const REGION: &str = "eu-test-1";

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |byte: u8| block.map(|b| b ^ byte);
    let inner = sha2::Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    sha2::Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Store {
    fn with(objects: &[(&str, &str)]) -> Store {
        let store = Store::default();
        let all = objects.iter().map(|(key, text)| ((*key).to_owned(), text.as_bytes().to_vec()));
        store.objects.lock().expect("held").extend(all);
        store
    }

    async fn serve(self) -> String {
        let answer =
            |State(store): State<Store>, uri: Uri, headers: HeaderMap| async move { store.answer(&uri, &headers) };
        let app = axum::Router::new().fallback(answer).with_state(self);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("s3::http://{address}/bucket")
    }

    /// The signature that the request should have (the published description of SigV4, in the query).
    fn signature(&self, uri: &Uri, headers: &HeaderMap, secret: &str) -> String {
        let query = uri.query().unwrap_or_default();
        let mut pairs: Vec<&str> = query.split('&').filter(|p| !p.starts_with("X-Amz-Signature=")).collect();
        pairs.sort_unstable();
        let value = |name: &str| {
            pairs.iter().find_map(|p| p.strip_prefix(&format!("{name}="))).unwrap_or_default().replace("%2F", "/")
        };
        let host = headers["host"].to_str().expect("text");
        let request = format!("GET\n{}\n{}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD", uri.path(), pairs.join("&"));
        let date = value("X-Amz-Date");
        let scope = format!("{}/{REGION}/s3/aws4_request", &date[..8.min(date.len())]);
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&sha2::Sha256::digest(request)));
        let day = hmac(format!("AWS4{secret}").as_bytes(), &date.as_bytes()[..8.min(date.len())]);
        let key = hmac(&hmac(&hmac(&day, REGION.as_bytes()), b"s3"), b"aws4_request");
        hex(&hmac(&key, to_sign.as_bytes()))
    }

    fn permitted(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let query = uri.query().unwrap_or_default();
        let Some((id, secret, token)) = &self.keys else { return !query.contains("X-Amz-") };
        let given = query.split('&').find_map(|p| p.strip_prefix("X-Amz-Signature="));
        let token_is = token.as_ref().is_none_or(|token| query.contains(&format!("X-Amz-Security-Token={token}")));
        query.contains(&format!("X-Amz-Credential={id}%2F"))
            && token_is
            && given == Some(&self.signature(uri, headers, secret))
    }

    fn answer(&self, uri: &Uri, headers: &HeaderMap) -> Response {
        if !self.permitted(uri, headers) {
            return StatusCode::FORBIDDEN.into_response();
        }
        let url: reqwest::Url = format!("http://x{uri}").parse().expect("an address");
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        if query.contains_key("list-type") {
            return self.list(&query).into_response();
        }
        let key = uri.path().strip_prefix("/bucket/").unwrap_or_default().replace("%20", " ");
        let key = query.get("versionId").map_or(key.clone(), |version| format!("{key}@{version}"));
        let found = self.objects.lock().expect("held").get(&key).cloned();
        found.map_or_else(|| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response)
    }

    /// Two names a page.
    fn list(&self, query: &BTreeMap<String, String>) -> String {
        let after = query.get("continuation-token").cloned().unwrap_or_default();
        let objects = self.objects.lock().expect("held");
        let names = objects.keys().filter(|key| key.starts_with(&query["prefix"]) && **key > after);
        let page: Vec<&String> = names.take(3).collect();
        let shown: String =
            page.iter().take(2).map(|key| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>")).collect();
        let next = match page.len() {
            3 => format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{}</NextContinuationToken>", page[1]),
            _ => "<IsTruncated>false</IsTruncated>".to_owned(),
        };
        format!("<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{next}{shown}</ListBucketResult>")
    }
}

const OBJECTS: [(&str, &str); 7] = [
    ("one.txt", "one"),
    ("one.txt@7", "older"),
    ("dir/a", "A"),
    ("dir/b c", "B"),
    ("dir/deep/", ""),
    ("dir/deep/d", "D"),
    ("directory", "another"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_or_all_that_begin_alike() {
    let place = Place::new();
    let source = Store::with(&OBJECTS).serve().await;
    place.fetch(&format!("{source}/one.txt"), &[]).await.expect("one");
    assert_eq!(place.read("one.txt").as_deref(), Some("one"));
    place.fetch(&format!("{source}/one.txt"), &[("version", "7")]).await.expect("an older one");
    assert_eq!(place.read("one.txt").as_deref(), Some("older"));
    for source in [format!("{source}/dir"), format!("{source}/dir/")] {
        place.clear();
        place.fetch(&source, &[]).await.expect("all below");
        assert_eq!(place.read("a").as_deref(), Some("A"));
        assert_eq!((place.read("b c").as_deref(), place.read("deep/d").as_deref()), (Some("B"), Some("D")));
        assert!(place.read("directory").is_none() && place.read("one.txt").is_none());
    }
    let error = place.fetch(&format!("{source}/nothing"), &[]).await.expect_err("none");
    assert_eq!(error, "the server answered 404");
    let error = place.fetch_as(&format!("{source}/nothing"), &[], "dir").await.expect_err("none");
    assert!(error.contains("has no object") && error.contains("nothing/"), "{error}");
    let sum = [("checksum", "md5:f97c5d29941bfb1b2fdab0874906ab82")];
    place.fetch(&format!("{source}/one.txt"), &sum).await.expect("it is the right one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_asked_for_with_the_keys_that_are_given() {
    let mut place = Place::new();
    let keys = ("ID".to_owned(), "SECRET".to_owned(), Some("TOKEN".to_owned()));
    let source = Store { keys: Some(keys), ..Store::with(&OBJECTS) }.serve().await;
    let one = format!("{source}/one.txt");
    let right = [
        ("region", REGION),
        ("aws_access_key_id", "ID"),
        ("aws_access_key_secret", "SECRET"),
        ("aws_access_token", "TOKEN"),
    ];
    place.fetch(&one, &right).await.expect("signed");
    assert_eq!(place.read("one.txt").as_deref(), Some("one"));
    place.clear();
    place.fetch(&format!("{source}/dir"), &right).await.expect("signed, each of them");
    assert_eq!(place.read("deep/d").as_deref(), Some("D"));
    for (name, wrong) in [("aws_access_key_secret", "other"), ("region", "elsewhere-1"), ("aws_access_token", "other")]
    {
        let mut options = right;
        options.iter_mut().filter(|(key, _)| *key == name).for_each(|pair| pair.1 = wrong);
        let error = place.fetch(&one, &options).await.expect_err(name);
        assert_eq!(error, "the server answered 403", "{name}");
    }
    assert_eq!(place.fetch(&one, &[]).await.expect_err("nobody"), "the server answered 403");
    let in_query =
        format!("{one}?region={REGION}&aws_access_key_id=ID&aws_access_key_secret=SECRET&aws_access_token=TOKEN");
    place.fetch(&in_query, &[]).await.expect("signed");
    place.limits.decompression_file_count = 2;
    let error = place.fetch(&format!("{source}/dir"), &right).await.expect_err("three");
    assert!(error.contains("more than 2 files"), "{error}");
    place.limits.http_max_bytes = 2;
    let error = place.fetch(&one, &right).await.expect_err("large");
    assert_eq!(error, "it is larger than the permitted 2 bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_objects_lead_nowhere_else() {
    let place = Place::new();
    let source = Store::with(&[("d/../../../evil", "x"), ("d/ok", "x")]).serve().await;
    let error = place.fetch_as(&format!("{source}/d"), &[], "dir").await.expect_err("it climbs");
    assert!(error.contains("leaves the task's directory"), "{error}");
    assert!(place.read("ok").is_none());
}
