//! Artifacts from files and from a small HTTP server, good ones and hostile ones.

use std::io::Write;

use super::*;
use crate::alloc_dir::AllocDir;

struct Place {
    dir: tempfile::TempDir,
    dirs: TaskDirs,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().expect("a directory");
        let alloc = AllocDir { root: dir.path().join("alloc-1") };
        alloc.create().expect("made");
        let dirs = alloc.create_task("t").expect("made");
        Place { dir, dirs }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path.to_string_lossy().into_owned()
    }

    async fn fetch(&self, artifact: Artifact) -> Result<(), String> {
        let artifact =
            Artifact { mode: if artifact.mode.is_empty() { "any".into() } else { artifact.mode }, ..artifact };
        let limits =
            ArtifactLimits { decompression_bytes: 1 << 20, decompression_file_count: 50, ..ArtifactLimits::default() };
        fetch(&reqwest::Client::new(), &artifact, &self.dirs, &limits).await.map_err(|e| crate::chain(&e))
    }

    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.dirs.task.join(path)).ok()
    }
}

fn from(source: String, destination: &str) -> Artifact {
    Artifact { source, destination: destination.to_owned(), ..Artifact::default() }
}

/// A tar of (name, link target or none, content).
fn tar_of(entries: &[(&str, Option<&str>, &str)]) -> Vec<u8> {
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

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

#[tokio::test]
async fn archives_are_unpacked_and_files_copied() {
    let place = Place::new();
    let archive =
        gzip(&tar_of(&[("bin/tool", None, "#!/bin/sh\n"), ("top/a", None, "A"), ("bin/link", Some("tool"), "")]));
    let tgz = place.file("x.tar.gz", &archive);
    place.fetch(from(tgz.clone(), "local/all")).await.expect("unpacked");
    assert_eq!(place.read("local/all/bin/link").as_deref(), Some("#!/bin/sh\n"));
    place.fetch(from(format!("{tgz}//top"), "local/sub")).await.expect("unpacked");
    assert_eq!(place.read("local/sub/a").as_deref(), Some("A"));
    let plain = place.file("image.tar", b"not unpacked");
    place.fetch(from(plain, "local/")).await.expect("copied");
    assert_eq!(place.read("local/image.tar").as_deref(), Some("not unpacked"));
    let kept = Artifact { options: BTreeMap::from([("archive".into(), "false".into())]), ..from(tgz, "local/kept") };
    place.fetch(kept).await.expect("copied");
    assert!(place.dirs.task.join("local/kept/x.tar.gz").is_file());
    let gz = place.file("one.txt.gz", &gzip(b"hello"));
    place.fetch(Artifact { mode: "file".into(), ..from(gz, "local/one") }).await.expect("unpacked");
    assert_eq!(place.read("local/one").as_deref(), Some("hello"));
}

#[tokio::test]
async fn hostile_archives_are_refused() {
    let place = Place::new();
    for (name, entries) in [
        ("climb", vec![("../../evil", None, "x")]),
        ("absolute", vec![("/etc/evil", None, "x")]),
        ("link-out", vec![("out", Some("/etc"), ""), ("out/evil", None, "x")]),
        ("link-up", vec![("d/out", Some("../../.."), "")]),
    ] {
        let path = place.file(&format!("{name}.tar.gz"), &gzip(&tar_of(&entries)));
        let error = place.fetch(from(path, "local/x")).await.expect_err(name);
        assert!(error.contains("would lead out of the destination"), "{name}: {error}");
    }
    let big = "0".repeat(2 << 20);
    let bomb = place.file("bomb.tar.gz", &gzip(&tar_of(&[("big", None, &big)])));
    assert_eq!(
        place.fetch(from(bomb, "local/x")).await,
        Err("the archive unpacks to more than 1048576 bytes".to_owned())
    );
}

#[tokio::test]
async fn checksums_and_destinations_are_held() {
    let place = Place::new();
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
    assert!(place.fetch(from("ftp://x/y".into(), "local/")).await.is_err());
}

#[tokio::test]
async fn http_sources_and_their_errors() {
    let place = Place::new();
    let app = axum::Router::new().route("/f.txt", axum::routing::get(|| async { "over http" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    place.fetch(from(format!("http://{address}/f.txt?archive=false"), "local/")).await.expect("fetched");
    assert_eq!(place.read("local/f.txt").as_deref(), Some("over http"));
    let error = place.fetch(from(format!("http://{address}/nope"), "local/")).await.expect_err("404");
    assert_eq!(error, "the server answered 404");
}

#[test]
fn sources_are_taken_apart() {
    let parsed = parse(&from("https://x.org/a.zip//dir/sub?checksum=md5:1&token=t".into(), ""));
    assert_eq!(
        (parsed.url.as_str(), parsed.subdirectory.as_deref(), parsed.options.get("checksum").map(String::as_str)),
        ("https://x.org/a.zip?token=t", Some("dir/sub"), Some("md5:1"))
    );
}
