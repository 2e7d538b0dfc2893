//! Artifacts from a small HTTP server, good ones and hostile ones.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::IntoResponse;

use super::scratch::spare;
use super::*;
use crate::alloc_dir::AllocDir;
use crate::ground::{Attr, Dir};

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

struct Place {
    _dir: tempfile::TempDir,
    outside: PathBuf,
    dirs: TaskDirs,
    files: Files,
    address: String,
    limits: ArtifactLimits,
}

async fn answer(State(files): State<Files>, uri: Uri) -> axum::response::Response {
    if let Some(to) = uri.path().strip_prefix("/redirect/") {
        let to = to.replace("%3A", ":").replace("%2F", "/");
        return (StatusCode::FOUND, [(header::LOCATION, to)]).into_response();
    }
    if uri.path() == "/endless.txt" {
        let chunks = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((Ok::<_, std::io::Error>(vec![0u8; 4096]), ()))
        });
        return axum::body::Body::from_stream(chunks).into_response();
    }
    let found = files.lock().expect("held").get(uri.path().trim_start_matches('/')).cloned();
    found.map_or_else(|| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response)
}

impl Place {
    async fn new() -> Place {
        let dir = tempfile::tempdir().expect("a directory");
        let outside = dir.path().join("outside");
        std::fs::create_dir(&outside).expect("made");
        let alloc = AllocDir { root: dir.path().join("alloc-1") };
        alloc.create().expect("made");
        let dirs = alloc.create_task("t").expect("made");
        let files = Files::default();
        let app = axum::Router::new().fallback(answer).with_state(files.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let limits =
            ArtifactLimits { decompression_bytes: 1 << 20, decompression_file_count: 50, ..ArtifactLimits::default() };
        Place { _dir: dir, outside, dirs, files, address, limits }
    }

    /// Serves it; gives the source.
    fn file(&self, name: &str, bytes: &[u8]) -> String {
        self.files.lock().expect("held").insert(name.to_owned(), bytes.to_vec());
        format!("{}/{name}", self.address)
    }

    async fn fetch(&self, artifact: Artifact) -> Result<(), String> {
        let artifact =
            Artifact { mode: if artifact.mode.is_empty() { "any".into() } else { artifact.mode }, ..artifact };
        let done = self.fetching().fetch(&artifact, &self.dirs).await.map_err(|e| crate::chain(&e));
        self.nothing_is_left().await;
        done
    }

    fn fetching(&self) -> Fetching<'_> {
        Fetching { limits: &self.limits, hidden: vec![self._dir.path().to_owned()], known_hosts: None, tell: &|_| () }
    }

    /// The scratch directory goes when the work has ended.
    async fn nothing_is_left(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.scratches().next().is_some() {
            assert!(Instant::now() < until, "what was fetched is still there");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn scratches(&self) -> impl Iterator<Item = PathBuf> {
        let all = std::fs::read_dir(self.dirs.alloc.with_file_name(".artifacts"));
        all.into_iter().flatten().flatten().map(|entry| entry.path())
    }

    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.dirs.task.join(path)).ok()
    }

    fn empty(&self, path: &str) -> bool {
        std::fs::read_dir(self.dirs.task.join(path)).map_or(true, |mut entries| entries.next().is_none())
    }
}

fn from(source: String, destination: &str) -> Artifact {
    Artifact { source, destination: destination.to_owned(), ..Artifact::default() }
}

/// A tar of (name, link target or none, content).
pub(super) fn tar_of(entries: &[(&str, Option<&str>, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, link, content) in entries {
        let mut header = tar::Header::new_gnu();
        // Written raw: the library itself refuses names that climb.
        header.as_gnu_mut().expect("gnu").name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o755);
        match link {
            Some(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.as_gnu_mut().expect("gnu").linkname[..target.len()].copy_from_slice(target.as_bytes());
                header.set_size(0);
            }
            None => header.set_size(content.len() as u64),
        }
        header.set_cksum();
        builder.append(&header, content.as_bytes()).expect("in memory");
    }
    builder.into_inner().expect("in memory")
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

/// A tar with one entry of any kind.
fn tar_entry(kind: tar::EntryType, name: &str, target: &str, mode: u32, content: &[u8]) -> tar::Builder<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    add(&mut builder, kind, name, target, mode, content);
    builder
}

pub(super) fn add(
    to: &mut tar::Builder<Vec<u8>>,
    kind: tar::EntryType,
    name: &str,
    target: &str,
    mode: u32,
    content: &[u8],
) {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().expect("gnu").name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_gnu_mut().expect("gnu").linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    header.set_cksum();
    to.append(&header, content).expect("in memory");
}

pub(super) fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(0);
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).expect("a writer");
    writer.write_all(bytes).expect("in memory");
    writer.finish().expect("in memory")
}

pub(super) fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    writer.write_all(bytes).expect("in memory");
    writer.finish().expect("in memory")
}

pub(super) fn zst(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

pub(super) fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in entries {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).expect("in memory");
        writer.write_all(content).expect("in memory");
    }
    writer.finish().expect("in memory").into_inner()
}

#[tokio::test]
async fn archives_are_unpacked_and_files_placed() {
    let place = Place::new().await;
    let archive =
        gzip(&tar_of(&[("bin/tool", None, "#!/bin/sh\n"), ("top/a", None, "A"), ("bin/link", Some("tool"), "")]));
    let tgz = place.file("x.tar.gz", &archive);
    place.fetch(from(tgz.clone(), "local/all")).await.expect("unpacked");
    assert_eq!(place.read("local/all/bin/link").as_deref(), Some("#!/bin/sh\n"));
    assert_eq!(place.dirs.task.join("local/all/bin/tool").metadata().expect("there").mode() & 0o7777, 0o755);
    // Again over what is there.
    place.fetch(from(tgz.clone(), "local/all")).await.expect("unpacked");
    place.fetch(from(format!("{tgz}//top"), "local/sub")).await.expect("unpacked");
    assert_eq!(place.read("local/sub/a").as_deref(), Some("A"));
    let plain = place.file("image.tar", b"not unpacked");
    place.fetch(from(plain, "local/")).await.expect("placed");
    assert_eq!(place.read("local/image.tar").as_deref(), Some("not unpacked"));
    let kept = Artifact { options: BTreeMap::from([("archive".into(), "false".into())]), ..from(tgz, "local/kept") };
    place.fetch(kept).await.expect("placed");
    assert!(place.dirs.task.join("local/kept/x.tar.gz").is_file());
    for (name, bytes) in
        [("one.gz", gzip(b"hello")), ("one.bz2", bz2(b"hello")), ("one.xz", xz(b"hello")), ("one.zst", zst(b"hello"))]
    {
        let source = place.file(name, &bytes);
        place.fetch(Artifact { mode: "file".into(), ..from(source, "local/one") }).await.expect(name);
        assert_eq!(place.read("local/one").as_deref(), Some("hello"), "{name}");
    }
    let zip = place.file("a.zip", &zip_of(&[("d/x", b"from a zip")]));
    place.fetch(from(zip, "/alloc/data")).await.expect("unpacked");
    assert_eq!(place.read("../alloc/data/d/x").as_deref(), Some("from a zip"));
    let named = place.file("f.txt", b"plain");
    place.fetch(from(format!("{named}?archive=false&filename=g.txt"), "local/")).await.expect("placed");
    assert_eq!(place.read("local/g.txt").as_deref(), Some("plain"));
}

#[tokio::test]
async fn files_of_the_node_are_not_fetched() {
    let place = Place::new().await;
    let secret = place.outside.join("secret");
    std::fs::write(&secret, "the node's").expect("written");
    let secret = secret.to_string_lossy();
    for source in [
        secret.to_string(),
        format!("file://{secret}"),
        format!("file::{secret}"),
        format!("FILE://{secret}"),
        format!("file::file://{secret}"),
        format!(" file://{secret}?archive=false"),
        "../../../outside/secret".to_owned(),
        "./local".to_owned(),
        "~/.ssh".to_owned(),
    ] {
        let error = place.fetch(from(source.clone(), "local/")).await.expect_err(&source);
        assert!(
            error.ends_with("names a file of the node, and those are not fetched: http, https, git:: and s3:: are"),
            "{error}"
        );
    }
    for source in ["ftp://x/y", "http::file:///etc/passwd", "x.org/y"] {
        let error = place.fetch(from(source.to_owned(), "local/")).await.expect_err(source);
        assert!(error.ends_with("is not a source that can be fetched: http, https, git:: and s3:: are"), "{error}");
    }
    for to in [format!("file%3A%2F%2F{secret}"), "ftp%3A%2F%2Fx.org/y".to_owned()] {
        let source = format!("{}/redirect/{to}", place.address);
        place.fetch(from(source, "local/")).await.expect_err("a redirect from the web");
    }
    assert!(place.empty("local"));
    place.file("f.txt", b"over there");
    let source = format!("{}/redirect/{}/f.txt", place.address, place.address.replace("://", "%3A%2F%2F"));
    place.fetch(Artifact { mode: "file".into(), ..from(source, "local/f") }).await.expect("followed");
    assert_eq!(place.read("local/f").as_deref(), Some("over there"));
}

#[tokio::test]
async fn hostile_archives_are_refused_and_leave_nothing() {
    let place = Place::new().await;
    for (name, entries) in [
        ("climb", vec![("a", None, "x"), ("../../evil", None, "x")]),
        ("absolute", vec![("/etc/evil", None, "x")]),
        ("link-out", vec![("out", Some("/etc"), ""), ("out/evil", None, "x")]),
        ("link-up", vec![("d/out", Some("../../.."), "")]),
        // Each stays inside by its text; together they do not.
        (
            "links-together",
            vec![("d/here", Some("."), ""), ("d/up", Some("here/../.."), ""), ("d/out", Some("up/.."), "")],
        ),
    ] {
        let source = place.file(&format!("{name}.tar.gz"), &gzip(&tar_of(&entries)));
        let error = place.fetch(from(source, "local/x")).await.expect_err(name);
        assert!(error.contains("would lead out of the destination"), "{name}: {error}");
        assert!(place.empty("local/x"), "{name}");
    }
    let through = gzip(&tar_of(&[("d/a", None, "x"), ("l", Some("d"), ""), ("l/b", None, "x")]));
    let source = place.file("through.tar.gz", &through);
    let error = place.fetch(from(source, "local/x")).await.expect_err("written through a link");
    assert!(error.contains("nothing is written through links"), "{error}");
    let source = place.file("climb.zip", &zip_of(&[("../../evil", b"x")]));
    let error = place.fetch(from(source, "local/x")).await.expect_err("climbs");
    assert!(error.contains("would lead out of the destination"), "{error}");
    assert!(place.empty("local/x"));
}

#[tokio::test]
async fn archives_give_regular_files_without_a_strangers_rights() {
    let place = Place::new().await;
    let mut tar = tar_entry(tar::EntryType::Regular, "suid", "", 0o4755, b"x");
    add(&mut tar, tar::EntryType::Link, "second", "suid", 0o644, b"");
    add(&mut tar, tar::EntryType::Fifo, "pipe", "", 0o644, b"");
    add(&mut tar, tar::EntryType::Char, "null", "", 0o666, b"");
    let source = place.file("x.tar", &tar.into_inner().expect("in memory"));
    let options = BTreeMap::from([("archive".to_owned(), "tar".to_owned())]);
    place.fetch(Artifact { options, ..from(source, "local/x") }).await.expect("unpacked");
    let meta = |name: &str| place.dirs.task.join("local/x").join(name).symlink_metadata();
    assert_eq!(meta("suid").expect("there").mode() & 0o7777, 0o755);
    assert_eq!((meta("second").expect("there").nlink(), meta("suid").expect("there").nlink()), (1, 1));
    assert!(meta("pipe").is_err() && meta("null").is_err());
    let escaping =
        gzip(&tar_entry(tar::EntryType::Link, "evil", "../../secret", 0o644, b"").into_inner().expect("in memory"));
    let error = place.fetch(from(place.file("e.tar.gz", &escaping), "local/y")).await.expect_err("leads out");
    assert!(error.contains("would lead out of the destination"), "{error}");
}

#[tokio::test]
async fn every_packing_is_bounded_while_it_is_unpacked() {
    let place = Place::new().await;
    let big = vec![0u8; 8 << 20];
    let tar = tar_entry(tar::EntryType::Regular, "big", "", 0o644, &big).into_inner().expect("in memory");
    let bombs = [
        ("b.gz", gzip(&big)),
        ("b.bz2", bz2(&big)),
        ("b.xz", xz(&big)),
        ("b.zst", zst(&big)),
        ("b.tar.gz", gzip(&tar)),
        ("b.tar.bz2", bz2(&tar)),
        ("b.tar.xz", xz(&tar)),
        ("b.tar.zst", zst(&tar)),
        ("b.zip", zip_of(&[("big", &big)])),
    ];
    for (name, bytes) in bombs {
        let source = place.file(name, &bytes);
        let error = place.fetch(from(source, "local/x")).await.expect_err(name);
        assert_eq!(error, "the archive unpacks to more than 1048576 bytes", "{name}");
        assert!(place.empty("local/x"), "{name}");
    }
    let names: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    let tar: Vec<_> = names.iter().map(|n| (n.as_str(), None, "")).collect();
    let zip: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &b""[..])).collect();
    for (name, bytes) in [("n.tar.gz", gzip(&tar_of(&tar))), ("n.zip", zip_of(&zip))] {
        let error = place.fetch(from(place.file(name, &bytes), "local/x")).await.expect_err(name);
        assert_eq!(error, "the archive holds more than 50 files", "{name}");
    }
    assert!(place.empty("local/x"));
}

#[tokio::test]
async fn what_an_archive_asks_to_be_held_in_memory_is_bounded() {
    let place = Place::new().await;
    // A window of almost 4 GB: the block's header says so, and its checksum is right.
    let mut window = xz(b"hello");
    let end = 12 + (usize::from(window[12]) + 1) * 4 - 4;
    assert_eq!((window[14], window[15]), (0x21, 1), "one LZMA2 filter with its window");
    window[16] = 40;
    let mut crc = flate2::Crc::new();
    crc.update(&window[12..end]);
    window[end..end + 4].copy_from_slice(&crc.sum().to_le_bytes());
    let error = place.fetch(from(place.file("w.xz", &window), "local/")).await.expect_err("too large a window");
    assert!(error.contains("memory"), "{error}");
    // Eight megabytes of a name.
    for kind in [tar::EntryType::XHeader, tar::EntryType::GNULongName] {
        let mut tar = tar_entry(kind, "long", "", 0o644, &vec![b'a'; 8 << 20]);
        add(&mut tar, tar::EntryType::Regular, "x", "", 0o644, b"x");
        let source = place.file("l.tar.gz", &gzip(&tar.into_inner().expect("in memory")));
        let error = place.fetch(from(source, "local/")).await.expect_err("too long");
        assert!(error.contains("names and attributes in it are too long"), "{error}");
    }
    assert!(place.empty("local"));
}

#[tokio::test]
async fn who_leaves_stops_the_download_and_the_unpacking() {
    let mut place = Place::new().await;
    place.limits.decompression_bytes = 1 << 40;
    let abandoned = |source: String, begun: fn(&Place) -> bool| {
        let place = &place;
        async move {
            let artifact = Artifact { mode: "any".to_owned(), ..from(source, "local/x") };
            let fetching = place.fetching();
            let fetching = fetching.fetch(&artifact, &place.dirs);
            let seen = async {
                let until = Instant::now() + Duration::from_secs(60);
                while !begun(place) {
                    assert!(Instant::now() < until, "it never began");
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            tokio::select! {
                done = fetching => panic!("it ended: {done:?}"),
                () = seen => {}
            }
            place.nothing_is_left().await;
            assert!(place.empty("local/x"));
        }
    };
    fn size(place: &Place, file: &str) -> u64 {
        place.scratches().next().and_then(|dir| dir.join(file).metadata().ok()).map_or(0, |m| m.len())
    }
    abandoned(format!("{}/endless.txt", place.address), |place| size(place, "download") > 4096).await;
    // Many small members that become far more than can be unpacked while somebody looks.
    let member = gzip(&vec![0u8; 16 << 20]);
    let source = place.file("long.gz", &member.repeat(4096));
    abandoned(source, |place| size(place, "file") > 0).await;
}

#[tokio::test]
async fn nothing_is_written_through_a_tasks_links() {
    let place = Place::new().await;
    symlink(&place.outside, place.dirs.local.join("evil")).expect("linked");
    let file = place.file("f.txt", b"x");
    let tgz = place.file("x.tar.gz", &gzip(&tar_of(&[("evil/planted", None, "x")])));
    for artifact in [
        from(file.clone(), "local/evil"),
        from(file.clone(), "local/evil/deep"),
        Artifact { mode: "file".into(), ..from(file.clone(), "local/evil/f") },
        from(tgz.clone(), "local/evil"),
        from(tgz, "local"),
    ] {
        let error = place.fetch(artifact).await.expect_err("a link on the way");
        assert!(error.contains("nothing is written through links"), "{error}");
    }
    // A link in the file's own place is replaced, not followed.
    std::fs::write(place.outside.join("kept"), "the node's").expect("written");
    symlink(place.outside.join("kept"), place.dirs.local.join("f.txt")).expect("linked");
    place.fetch(from(file, "local")).await.expect("placed");
    assert_eq!(place.read("local/f.txt").as_deref(), Some("x"));
    assert_eq!(std::fs::read_to_string(place.outside.join("kept")).expect("there"), "the node's");
    assert_eq!(std::fs::read_dir(&place.outside).expect("listed").count(), 1);
}

#[tokio::test]
async fn a_checksum_may_stand_in_a_file_beside_it() {
    let place = Place::new().await;
    let sums = place.file(
        "SHA1SUMS",
        b"0000000000000000000000000000000000000000  b.txt\na9993e364706816aba3e25717850c26c9cd0d89d  a.txt\n",
    );
    let with = |name: &str, checksum: &str| Artifact {
        options: BTreeMap::from([("checksum".into(), checksum.into())]),
        ..from(place.file(name, b"abc"), "local/")
    };
    let checksum = format!("file:{sums}");
    place.fetch(with("a.txt", &checksum)).await.expect("it is the right one");
    assert_eq!(place.read("local/a.txt").as_deref(), Some("abc"));
    let wrong = place.fetch(with("b.txt", &checksum)).await.expect_err("another sum");
    assert!(wrong.starts_with("checksums did not match: expected 0000"), "{wrong}");
    assert_eq!(place.read("local/b.txt"), None);
    let missing = place.fetch(with("c.txt", &checksum)).await.expect_err("not listed");
    assert!(missing.contains("SHA1SUMS") && missing.contains("has none for \"c.txt\""), "{missing}");
    let none = place.fetch(with("a.txt", &format!("file:{}/nothing", place.address))).await.expect_err("no such file");
    assert!(none.contains("404"), "{none}");
    for node_file in ["file:/etc/passwd", "file:///etc/passwd", "file:./sums", "file:"] {
        let refused = place.fetch(with("a.txt", node_file)).await.expect_err("a file of the node");
        assert!(refused.contains("nor file:URL"), "{refused}");
    }
}

#[tokio::test]
async fn checksums_and_destinations_are_held() {
    let mut place = Place::new().await;
    let file = place.file("a.txt", b"abc");
    let with = |sum: &str| Artifact {
        options: BTreeMap::from([("checksum".into(), sum.into())]),
        ..from(file.clone(), "local/")
    };
    place.fetch(with("sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")).await.expect("right");
    place.fetch(with("md5:900150983cd24fb0d6963f7d28e17f72")).await.expect("right");
    let error = place.fetch(with("sha1:00")).await.expect_err("wrong");
    assert_eq!(error, "checksums did not match: expected 00, got a9993e364706816aba3e25717850c26c9cd0d89d");
    assert!(place.fetch(with("crc:1")).await.expect_err("unknown").contains("not of the form"));
    let error = place.fetch(from(file.clone(), "../../../x")).await.expect_err("out");
    assert_eq!(error, "the destination \"../../../x\" leaves the task's directory");
    let error = place.fetch(from(format!("{file}?filename=../../x"), "local")).await.expect_err("out");
    assert_eq!(error, "the destination \"../../x\" leaves the task's directory");
    let error = place.fetch(from(format!("{}/nope", place.address), "local/")).await.expect_err("404");
    assert_eq!(error, "the server answered 404");
    place.limits.http_max_bytes = 2;
    let error = place.fetch(from(file, "local/")).await.expect_err("too large");
    assert_eq!(error, "it is larger than the permitted 2 bytes");
    place.limits.http_max_bytes = 10_000;
    let error = place.fetch(from(format!("{}/endless.txt", place.address), "local/")).await.expect_err("too large");
    assert_eq!(error, "it is larger than the permitted 10000 bytes");
}

#[test]
fn a_disk_is_not_filled_to_its_last_byte() {
    const GB: u64 = 1 << 30;
    assert_eq!((spare(100 * GB, 500 * GB), spare(GB, 500 * GB)), (99 * GB, 0));
    assert_eq!(spare(500, 1000), 450);
    let dir = tempfile::tempdir().expect("a directory");
    let out = Dir::trusted(dir.path()).expect("opened");
    let path = dir.path().join("archive");
    std::fs::write(&path, zip_of(&[("big", &[0; 5000])])).expect("written");
    let (watch, _waiting) = Watch::new(Duration::from_secs(60));
    let limits = ArtifactLimits::default();
    let mut unpacking = unpack::Unpacking::new(&limits, &watch, 4000);
    let error = unpacking.archive(unpack::Kind::Zip, File::open(&path).expect("opened"), &out).expect_err("no room");
    assert_eq!(error.to_string(), "the archive unpacks to more than the 4000 bytes that the node's disk has to spare");
}

#[test]
fn sources_are_taken_apart() {
    let parsed = parse(&from("https://x.org/a.zip//dir/sub?checksum=md5:1&token=t".into(), ""));
    assert_eq!(
        (parsed.url.as_str(), parsed.subdirectory.as_deref(), parsed.options.get("checksum").map(String::as_str)),
        ("https://x.org/a.zip?token=t", Some("dir/sub"), Some("md5:1"))
    );
}

/// Damaged and invented archives of every kind: no panic, nothing outside, and the bounds hold.
#[test]
fn broken_archives_do_no_harm() {
    use rand::{RngExt, SeedableRng};
    let links =
        tar_of(&[("d/a", None, "some text"), ("d/up", Some(".."), ""), ("d/link", Some("a"), ""), ("b", None, "x")]);
    let zip = zip_of(&[("d/a", b"some text"), ("b", b"x")]);
    let seeds = [
        ("tar", links.clone()),
        ("tar.gz", gzip(&links)),
        ("tar.bz2", bz2(&links)),
        ("tar.xz", xz(&links)),
        ("tar.zst", zst(&links)),
        ("zip", zip),
    ];
    let dir = tempfile::tempdir().expect("a directory");
    let (watch, _waiting) = Watch::new(Duration::from_secs(600));
    let limits =
        ArtifactLimits { decompression_bytes: 1 << 16, decompression_file_count: 20, ..ArtifactLimits::default() };
    let mut random = rand::rngs::SmallRng::seed_from_u64(7);
    for (name, seed) in seeds {
        for round in 0..300 {
            let mut bytes = seed.clone();
            for _ in 0..random.random_range(0..6) {
                let at = random.random_range(0..bytes.len());
                match random.random_range(0..3) {
                    0 => bytes[at] = random.random(),
                    1 => bytes[at] ^= 1 << random.random_range(0..8),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            let path = dir.path().join("archive");
            std::fs::write(&path, &bytes).expect("written");
            let top = Dir::trusted(dir.path()).expect("opened");
            let out = top.make_dirs(Path::new("in/side"), Attr::mode(0o755)).expect("made");
            let file = File::open(&path).expect("opened");
            let kind = unpack::Kind::of(name).expect("known");
            let _ = unpack::Unpacking::new(&limits, &watch, u64::MAX).archive(kind, file, &out);
            let names = |path: &str| std::fs::read_dir(dir.path().join(path)).expect("listed").count();
            assert_eq!((names(""), names("in")), (2, 1), "{name} {round}");
            top.remove_tree(Path::new("in")).expect("removed");
        }
    }
}

#[test]
fn fuzz_sources_are_of_the_web_or_refused() {
    let words = [
        "http://",
        "https::",
        "http::",
        "file://",
        "git::",
        "//",
        "?",
        "&",
        "archive=zip",
        "checksum=md5:",
        "..",
        "%2e",
        "@",
        "HTTPS://",
        "[",
        "s3::",
        "ssh://",
        "git@",
        "github.com/",
        ".s3.amazonaws.com/",
        "ref=",
        "depth=",
        "%3A",
        "/",
    ];
    let seeds = [
        "http://a/b.tgz//sub?archive=false&x=1",
        "https::http://a//",
        "file:///etc/shadow",
        "/etc/shadow",
        "HtTp://a",
        "ftp://a",
    ];
    let fuzz = tarpan_testkit::fuzz::Fuzz::new(env!("CARGO_MANIFEST_DIR"), "sources").words(&words).seeds(seeds);
    fuzz.texts(|source| {
        let artifact = Artifact { source: source.to_owned(), ..of(source) };
        let parsed = parse(&artifact);
        let rest = parsed.url.split('?').next().and_then(|path| path.split_once("://")).map_or("", |(_, rest)| rest);
        assert!(!rest.contains("//") && parsed.subdirectory.as_deref() != Some(""), "{parsed:?}");
        match origin(&artifact, &parsed) {
            Ok(Origin::Web(url)) => {
                let scheme = url.parse::<reqwest::Url>().ok().map(|url| url.scheme().to_owned());
                assert!(matches!(scheme.as_deref(), None | Some("http" | "https")), "{url:?} is fetched by {scheme:?}");
                format!("{scheme:?} {} {}", parsed.subdirectory.is_some(), parsed.options.len())
            }
            Ok(Origin::Git(git)) => {
                let url: reqwest::Url = git.url.parse().expect("an address");
                assert!(matches!(url.scheme(), "https" | "http" | "ssh" | "git"), "{url}");
                let dashed = [git.url.as_str(), url.host_str().unwrap_or("-"), url.username()]
                    .iter()
                    .any(|t| t.starts_with('-'));
                assert!(!dashed && !git.reference.is_some_and(|r| r.starts_with('-')), "{url}");
                format!("git {}", url.scheme())
            }
            Ok(Origin::S3(s3)) => {
                assert!(s3.endpoint.starts_with("http") && !s3.bucket.is_empty(), "{s3:?}");
                format!("s3 {} {}", s3.virtual_host, s3.key.is_empty())
            }
            Err(why) => {
                assert!(!why.recoverable());
                format!("{:.20}", why.to_string())
            }
        }
    });
}

fn of(source: &str) -> Artifact {
    Artifact {
        source: source.to_owned(),
        options: BTreeMap::new(),
        headers: BTreeMap::new(),
        mode: String::new(),
        insecure: false,
        destination: String::new(),
        owner: String::new(),
    }
}
