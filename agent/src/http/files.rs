//! Files of an allocation's directory: list, look at, read, follow.
//!
//! The directory is the task's. Everything is found and opened through [`crate::ground`], on its threads; a stream that waits
//! for news holds neither a thread nor a file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Body};
use base64::Engine;
use bytes::Bytes;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use tarpan_api::transport::NEXT_TOKEN;
use tarpan_api::wire::AllocFileInfo;

use super::error::Error;
use super::flag::flag;
use super::stream::{self, FRAME_BYTES, Sink};
use crate::allocs::Allocs;
use crate::ground::{Dir, Found, Kind, Meta, Threads};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    path: Option<String>,
    offset: Option<i64>,
    limit: Option<i64>,
    follow: Option<String>,
    origin: String,
    /// Ours: entries of one answer, and where an earlier one stopped.
    per_page: Option<usize>,
    next_token: String,
    /// Ours: to be kept as a file rather than shown.
    download: Option<String>,
}

/// A path below an allocation's directory, as it was asked for.
#[derive(Clone)]
struct Place {
    root: PathBuf,
    path: String,
}

impl Place {
    fn of(allocs: &Allocs, alloc: &str, path: String) -> Result<Place, Error> {
        let runner = super::alloc::find(allocs, alloc)?;
        Ok(Place { root: runner.dir.root.clone(), path })
    }

    /// What is there, held; secrets and private directories are nobody's business.
    fn find(&self) -> Result<Found, Error> {
        let failed = |e| Error::ground(&self.path, e);
        // What is asked for by its name is refused whether it is there or not.
        let asked: PathBuf = crate::ground::names(FilePath::new(&self.path)).map_err(failed)?.iter().collect();
        self.check(&asked)?;
        let found = Dir::trusted(&self.root).and_then(|root| root.find(&asked)).map_err(failed)?;
        self.check(found.real())?;
        Ok(found)
    }

    fn check(&self, path: &FilePath) -> Result<(), Error> {
        let mut names = path.iter();
        match (names.next().and_then(|n| n.to_str()), names.next().and_then(|n| n.to_str())) {
            (Some("alloc"), _) => Ok(()),
            (_, Some("secrets")) => Err(self.prohibited("secret")),
            (_, Some("private")) => Err(self.prohibited("private")),
            _ => Ok(()),
        }
    }

    fn file(&self) -> Result<File, Error> {
        self.find()?.file().map_err(|e| Error::ground(&self.path, e))
    }

    fn prohibited(&self, kind: &str) -> Error {
        Error::new(http::StatusCode::FORBIDDEN, format!("Reading {kind} file prohibited: {}", self.path))
    }

    fn failed(&self) -> impl Fn(std::io::Error) -> Error {
        |error| Error::file(&self.path, &error)
    }
}

/// File work of a request, on a thread where it may block.
async fn on_thread<T: Send + 'static>(
    threads: &Threads,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    threads.run(work).await.map_err(Error::busy)?
}

fn info(name: String, meta: &Meta, content_type: String) -> AllocFileInfo {
    AllocFileInfo {
        name,
        is_dir: meta.is_dir(),
        size: i64::try_from(meta.len()).unwrap_or(i64::MAX),
        file_mode: mode_text(meta),
        mod_time: tarpan_api::Timestamp(tarpan_model::UnixNanos(meta.modified_ns())),
        content_type,
    }
}

/// As Go prints modes: `drwxrwxrwx`, `-rw-r--r--`, `dtrwxrwxrwx`, `prw-r--r--`.
fn mode_text(meta: &Meta) -> String {
    let (mode, kind) = (meta.mode(), meta.kind());
    let mut text = String::new();
    for (is, letters) in [
        (kind == Kind::Dir, "d"),
        (kind == Kind::Link, "L"),
        (matches!(kind, Kind::BlockDevice | Kind::CharDevice), "D"),
        (kind == Kind::Pipe, "p"),
        (kind == Kind::Socket, "S"),
        (mode & 0o4000 != 0, "u"),
        (mode & 0o2000 != 0, "g"),
        (kind == Kind::CharDevice, "c"),
        (mode & 0o1000 != 0, "t"),
    ] {
        if is {
            text.push_str(letters);
        }
    }
    if text.is_empty() {
        text.push('-');
    }
    for (bit, letter) in (0..9).rev().zip("rwxrwxrwx".chars()) {
        text.push(if mode & (1 << bit) != 0 { letter } else { '-' });
    }
    text
}

/// By the first bytes: text, or anything.
fn content_type(file: &mut File) -> String {
    let mut head = Vec::new();
    let _ = file.take(512).read_to_end(&mut head);
    match std::str::from_utf8(&head).is_ok_and(|t| !t.contains('\0')) {
        true => "text/plain; charset=utf-8".to_owned(),
        false => "application/octet-stream".to_owned(),
    }
}

fn content_type_of(found: &Found) -> String {
    match found.meta().kind() {
        // One that can't be opened has no bytes to go by.
        Kind::File => found.file().map_or_else(|_| "application/octet-stream".to_owned(), |mut f| content_type(&mut f)),
        _ => String::new(),
    }
}

pub async fn list(
    State(allocs): State<Arc<Allocs>>,
    Path(alloc): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Error> {
    let part = Part::of(&asked)?;
    let place = Place::of(&allocs, &alloc, asked.path.unwrap_or_else(|| "/".to_owned()))?;
    let (files, next) = on_thread(&allocs.files, move || entries(&place, &part)).await?;
    let token = next.and_then(|name| HeaderValue::from_str(&TOKEN.encode(name.as_bytes())).ok());
    let headers = token.map(|token| [(NEXT_TOKEN.clone(), token)]);
    Ok((headers.into_iter().flatten().collect::<HeaderMap>(), Json(files)).into_response())
}

/// Entries of one answer, where a caller asks for pages.
const MOST_OF_A_PAGE: usize = 1000;
/// A name as a token: any bytes, in what a header may hold.
const TOKEN: base64::engine::GeneralPurpose = base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Which entries of a directory are wanted, in the order of their names.
#[derive(Default)]
struct Part {
    after: Option<OsString>,
    /// `None`: all that come after.
    most: Option<usize>,
}

impl Part {
    fn of(asked: &Asked) -> Result<Part, Error> {
        let wrong = |_| Error::bad(format!("next_token {:?} is not one of ours", asked.next_token));
        let after = match asked.next_token.as_str() {
            "" => None,
            token => Some(OsString::from_vec(TOKEN.decode(token).map_err(wrong)?)),
        };
        Ok(Part { after, most: asked.per_page.map(|n| n.clamp(1, MOST_OF_A_PAGE)) })
    }

    /// Those of `names` that are wanted, sorted, and the last of them where there are more.
    fn take(&self, mut names: Vec<OsString>) -> (Vec<OsString>, Option<OsString>) {
        names.retain(|name| self.after.as_ref().is_none_or(|after| name > after));
        names.sort();
        let Some(most) = self.most.filter(|most| *most < names.len()) else { return (names, None) };
        names.truncate(most);
        let last = names.last().cloned();
        (names, last)
    }
}

/// Entries of a directory, and where a next answer goes on.
fn entries(place: &Place, part: &Part) -> Result<(Vec<AllocFileInfo>, Option<OsString>), Error> {
    let failed = |e| Error::ground(&place.path, e);
    let dir = place.find()?.into_dir().map_err(failed)?;
    let at_root = crate::ground::names(FilePath::new(&place.path)).is_ok_and(|names| names.is_empty());
    // Lists say nothing of what files hold.
    let one = |name: OsString| {
        let meta = dir.entry(&name).ok()?;
        Some(info(name.to_string_lossy().into_owned(), &meta, String::new()))
    };
    let mut names = dir.names().map_err(failed)?;
    names.retain(|name| !at_root || name != crate::log_times::DIR);
    let (names, next) = part.take(names);
    Ok((names.into_iter().filter_map(one).collect(), next))
}

fn required(asked: &Asked) -> Result<String, Error> {
    asked.path.clone().filter(|p| !p.is_empty()).ok_or_else(|| Error::bad("must provide a file name"))
}

pub async fn stat(
    State(allocs): State<Arc<Allocs>>,
    Path(alloc): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Json<AllocFileInfo>, Error> {
    let place = Place::of(&allocs, &alloc, required(&asked)?)?;
    on_thread(&allocs.files, move || look(&place)).await.map(Json)
}

fn look(place: &Place) -> Result<AllocFileInfo, Error> {
    let found = place.find()?;
    let name = match last_name(&place.path) {
        // The allocation's directory itself.
        name if name.is_empty() => place.root.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
        name => name,
    };
    Ok(match found.link() {
        Some(link) => info(name, link, String::new()),
        None => info(name, found.meta(), content_type_of(&found)),
    })
}

pub async fn cat(
    State(allocs): State<Arc<Allocs>>,
    Path(alloc): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Error> {
    let place = Place::of(&allocs, &alloc, required(&asked)?)?;
    if let Some(sentence) = outside(&place) {
        return Ok(sentence);
    }
    let name = flag(asked.download.as_deref(), false)?.then(|| last_name(&place.path));
    let mut answer = raw(allocs, place, 0, None).await?;
    if let Some(disposition) = name.and_then(|name| HeaderValue::from_str(&kept_as(&name)).ok()) {
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    Ok(answer)
}

/// What the browser is told to keep a file as: the name escaped, whatever it holds.
fn kept_as(name: &str) -> String {
    format!("attachment; filename*=UTF-8''{}", tarpan_api::client::escape(name))
}

/// The last name of a path; empty for the top.
fn last_name(path: &str) -> String {
    let names = crate::ground::names(FilePath::new(path)).unwrap_or_default();
    names.last().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

pub async fn read_at(
    State(allocs): State<Arc<Allocs>>,
    Path(alloc): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Error> {
    let place = Place::of(&allocs, &alloc, required(&asked)?)?;
    let Some(offset) = asked.offset else {
        return Ok(said("error parsing offset: strconv.ParseInt: parsing \"\": invalid syntax".to_owned()));
    };
    if let Some(sentence) = outside(&place) {
        return Ok(sentence);
    }
    let offset = u64::try_from(offset).map_err(|_| Error::bad("offset must not be negative"))?;
    let limit = asked.limit.and_then(|l| u64::try_from(l).ok());
    raw(allocs, place, offset, limit).await
}

/// What is wrong as the body of a success: so the field answers where bytes are expected.
fn said(sentence: String) -> Response {
    Error::new(http::StatusCode::OK, sentence).into_response()
}

/// The answer to a path that is typed out of the allocation.
fn outside(place: &Place) -> Option<Response> {
    match crate::ground::names(FilePath::new(&place.path)) {
        Err(why @ crate::ground::Error::Escapes) => Some(said(why.to_string())),
        _ => None,
    }
}

/// Bytes of a file, as something that no browser runs.
async fn raw(allocs: Arc<Allocs>, place: Place, offset: u64, limit: Option<u64>) -> Result<Response, Error> {
    let (file, content_type) = on_thread(&allocs.files, move || {
        let mut file = place.file()?;
        let content_type = content_type(&mut file);
        file.seek(SeekFrom::Start(offset)).map_err(place.failed())?;
        Ok((file, content_type))
    })
    .await?;
    let rest = limit.unwrap_or(u64::MAX);
    let pieces = futures::stream::try_unfold((allocs, file, rest), |(allocs, file, rest)| async move {
        let (file, bytes) = allocs.files.run(move || piece(file, rest)).await.map_err(std::io::Error::other)??;
        let rest = rest - bytes.len() as u64;
        Ok::<_, std::io::Error>((!bytes.is_empty()).then_some((Bytes::from(bytes), (allocs, file, rest))))
    });
    let headers = [
        ("content-type", content_type),
        ("x-content-type-options", "nosniff".to_owned()),
        ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox".to_owned()),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// The next bytes of a file, at most a frame and at most `rest`.
fn piece(mut file: File, rest: u64) -> std::io::Result<(File, Vec<u8>)> {
    let mut bytes = Vec::new();
    (&mut file).take(rest.min(FRAME_BYTES as u64)).read_to_end(&mut bytes)?;
    Ok((file, bytes))
}

pub async fn stream(
    State(allocs): State<Arc<Allocs>>,
    Path(alloc): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Error> {
    let path = required(&asked)?;
    let from_end = match asked.origin.as_str() {
        "" | "start" => false,
        "end" => true,
        _ => return Err(Error::bad("origin must be start or end")),
    };
    let follow = flag(asked.follow.as_deref(), true)?;
    let place = Place::of(&allocs, &alloc, path)?;
    let opened = place.clone();
    let size = on_thread(&allocs.files, move || opened.file()?.metadata().map(|m| m.len()).map_err(opened.failed()));
    let size = size.await?;
    let offset = asked.offset.unwrap_or(0).max(0) as u64;
    let start = if from_end { size.saturating_sub(offset) } else { offset };
    Ok(stream::response(stream::Kind::File, move |sink| send(allocs, place, start, follow, sink)))
}

async fn send(allocs: Arc<Allocs>, place: Place, mut offset: u64, follow: bool, mut sink: Sink) {
    loop {
        let (again, from) = (place.clone(), offset);
        let alive = match allocs.files.run(move || news(&again, from)).await {
            // Every thread is busy: whoever follows waits.
            Err(_) if follow => sink.idle().await,
            Err(_) => false,
            Ok(News::Gone) => {
                sink.event(&place.path, offset, "file deleted").await;
                return;
            }
            Ok(News::Truncated) => {
                offset = 0;
                sink.event(&place.path, offset, "file truncated").await
            }
            Ok(News::Bytes(bytes)) if bytes.is_empty() && follow => sink.idle().await,
            Ok(News::Bytes(bytes)) if bytes.is_empty() => false,
            Ok(News::Bytes(bytes)) => {
                offset += bytes.len() as u64;
                sink.data(&place.path, offset, &bytes).await
            }
        };
        if !alive {
            return;
        }
    }
}

/// What a followed file has after a position.
enum News {
    Gone,
    Truncated,
    Bytes(Vec<u8>),
}

fn news(place: &Place, offset: u64) -> News {
    let Ok(mut file) = place.file() else { return News::Gone };
    match file.metadata() {
        Ok(meta) if meta.len() < offset => return News::Truncated,
        Ok(_) => {}
        Err(_) => return News::Gone,
    }
    let read = file.seek(SeekFrom::Start(offset)).and_then(|_| piece(file, u64::MAX));
    News::Bytes(read.map(|(_, bytes)| bytes).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Alloc {
        base: tempfile::TempDir,
    }

    impl Alloc {
        fn new() -> Alloc {
            let base = tempfile::tempdir().expect("a directory");
            for dir in ["a/web/local/release-1", "a/web/secrets", "a/alloc/logs", "host"] {
                std::fs::create_dir_all(base.path().join(dir)).expect("made");
            }
            for (file, text) in
                [("a/web/local/release-1/f", "mine"), ("a/web/secrets/k", "key"), ("host/f", "the host's")]
            {
                std::fs::write(base.path().join(file), text).expect("written");
            }
            Alloc { base }
        }

        fn at(&self, path: &str) -> PathBuf {
            self.base.path().join(path)
        }

        fn place(&self, path: &str) -> Place {
            Place { root: self.at("a"), path: path.to_owned() }
        }
    }

    /// Answers of reading, looking and listing: the text, or the status with its sentence.
    fn read(place: &Place) -> Result<String, (u16, String)> {
        let mut text = String::new();
        let mut file = place.file().map_err(|e| (e.status.as_u16(), e.text))?;
        file.read_to_string(&mut text).expect("text");
        Ok(text)
    }

    #[test]
    fn links_lead_where_they_lead() {
        let alloc = Alloc::new();
        symlink("release-1", alloc.at("a/web/local/current")).expect("linked");
        symlink("../secrets/k", alloc.at("a/web/local/key")).expect("linked");
        symlink("../secrets", alloc.at("a/web/local/keys")).expect("linked");
        symlink(alloc.at("host/f"), alloc.at("a/web/local/out")).expect("linked");
        assert_eq!(read(&alloc.place("web/local/current/f")), Ok("mine".to_owned()));
        let refused = |kind: &str, path: &str| (403, format!("Reading {kind} file prohibited: {path}"));
        for path in ["web/secrets/k", "/web/secrets/k", "web/local/key", "web/local/keys/k", "web/local/../secrets/k"] {
            assert_eq!(read(&alloc.place(path)), Err(refused("secret", path)), "{path}");
            assert!(look(&alloc.place(path)).is_err(), "{path}");
        }
        assert!(entries(&alloc.place("web/local/keys"), &Part::default()).is_err());
        for path in ["web/local/out", "../host/f"] {
            assert_eq!(read(&alloc.place(path)), Err((400, "Path escapes the alloc directory".to_owned())));
        }
        assert_eq!(
            read(&alloc.place("no/such")),
            Err((404, "file \"no/such\" not found: no such file or directory".to_owned()))
        );
        assert_eq!(read(&alloc.place("web/local")), Err((400, "file \"web/local\" is a directory".to_owned())));
        assert_eq!(look(&alloc.place("web/local/current")).expect("there").file_mode, "Lrwxrwxrwx");
        assert!(look(&alloc.place("web/local/current/f")).expect("there").content_type.starts_with("text/plain"));
    }

    #[test]
    fn a_large_directory_is_listed_a_page_at_a_time() {
        let alloc = Alloc::new();
        for n in 0..250 {
            std::fs::write(alloc.at(&format!("a/web/local/f{n:03}")), "").expect("written");
        }
        // A name that is no text stands in its place like any other, and is a place to stop at.
        std::fs::write(alloc.at("a/web/local").join(OsString::from_vec(b"f099\xff".to_vec())), "").expect("written");
        let (mut names, mut answers, mut token) = (Vec::new(), 0, String::new());
        loop {
            let asked = Asked { per_page: Some(101), next_token: token, ..Asked::default() };
            let part = Part::of(&asked).expect("good");
            let (listed, next) = entries(&alloc.place("web/local"), &part).expect("listed");
            names.extend(listed.into_iter().map(|file| file.name));
            answers += 1;
            let Some(next) = next else { break };
            token = TOKEN.encode(next.as_bytes());
        }
        // A directory beside them: release-1.
        assert_eq!((answers, names.len(), names[100].as_str()), (3, 252, "f099\u{fffd}"));
        assert!(names.is_sorted());
        let wrong = Part::of(&Asked { next_token: "f 1".to_owned(), ..Asked::default() }).err().expect("refused");
        assert_eq!(wrong.text, "next_token \"f 1\" is not one of ours");
    }

    #[test]
    fn a_name_cannot_end_its_header() {
        assert_eq!(last_name("/web/../web/local/a\r\nb"), "a\r\nb");
        assert_eq!(kept_as("a\r\nX-Y: \"é"), "attachment; filename*=UTF-8''a%0D%0AX-Y%3A%20%22%C3%A9");
    }

    #[test]
    fn pipes_and_devices_are_shown_and_not_read() {
        let alloc = Alloc::new();
        nix::unistd::mkfifo(&alloc.at("a/alloc/logs/pipe"), nix::sys::stat::Mode::S_IRWXU).expect("made");
        let sentence = "file \"alloc/logs/pipe\" is a named pipe: only regular files and directories are read";
        assert_eq!(read(&alloc.place("alloc/logs/pipe")), Err((400, sentence.to_owned())));
        let (listed, _) = entries(&alloc.place("alloc/logs"), &Part::default()).expect("listed");
        assert_eq!((listed[0].name.as_str(), listed[0].file_mode.as_str()), ("pipe", "prwx------"));
        assert!(matches!(news(&alloc.place("alloc/logs/pipe"), 0), News::Gone));
        let device = nix::sys::stat::makedev(1, 5);
        let kind = nix::sys::stat::SFlag::S_IFCHR;
        if nix::sys::stat::mknod(&alloc.at("a/alloc/zero"), kind, nix::sys::stat::Mode::S_IRWXU, device).is_ok() {
            let sentence = "file \"alloc/zero\" is a character device: only regular files and directories are read";
            assert_eq!(read(&alloc.place("alloc/zero")), Err((400, sentence.to_owned())));
            assert_eq!(look(&alloc.place("alloc/zero")).expect("there").file_mode, "Dcrwx------");
        }
    }

    /// The way to a file turns into a link to the host's, and into one to the task's secrets, while it is asked for.
    #[test]
    fn no_race_shows_what_is_not_the_callers() {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        let alloc = Alloc::new();
        std::fs::write(alloc.at("a/web/secrets/f"), "secret").expect("written");
        symlink(alloc.at("host"), alloc.at("a/web/local/host")).expect("linked");
        symlink("../secrets", alloc.at("a/web/local/inside")).expect("linked");
        let done = std::sync::atomic::AtomicBool::new(false);
        let swap = |bait: &str| {
            let (one, other) = (alloc.at("a/web/local/release-1"), alloc.at(bait));
            renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).expect("swapped");
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    for bait in ["a/web/local/host", "a/web/local/inside"] {
                        swap(bait);
                        swap(bait);
                    }
                }
            });
            let place = alloc.place("web/local/release-1/f");
            for _ in 0..4000 {
                assert!(read(&place).map_or(true, |text| text == "mine"));
                assert!(look(&place).map_or(true, |info| info.size == 4));
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
