//! Files of an allocation's directory: list, look at, read, follow.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Body};
use serde::Deserialize;
use tarpan_api::wire::AllocFileInfo;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::error::Error;
use super::logs::flag;
use super::stream::{self, FRAME_BYTES, Sink};
use crate::alloc_dir::resolve;
use crate::context::Context;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    path: Option<String>,
    offset: Option<i64>,
    limit: Option<i64>,
    follow: Option<String>,
    origin: String,
}

/// The file on the node; secrets and private directories are nobody's business.
fn locate(context: &Context, alloc: &str, path: &str) -> Result<PathBuf, Error> {
    let runner = super::alloc::find(context, alloc)?;
    let root = &runner.dir.root;
    let found = resolve(root, path).map_err(|e| Error::bad(e.to_string()))?;
    let real = found.canonicalize().unwrap_or_else(|_| found.clone());
    let root = root.canonicalize().unwrap_or_else(|_| root.clone());
    let inside: Vec<String> =
        real.strip_prefix(&root).into_iter().flatten().map(|p| p.to_string_lossy().into_owned()).collect();
    match inside.get(1).map(String::as_str) {
        Some("secrets") if inside[0] != "alloc" => Err(prohibited("secret", path)),
        Some("private") if inside[0] != "alloc" => Err(prohibited("private", path)),
        _ => Ok(found),
    }
}

fn prohibited(kind: &str, path: &str) -> Error {
    Error::new(http::StatusCode::FORBIDDEN, format!("Reading {kind} file prohibited: {path}"))
}

fn info(path: &std::path::Path) -> std::io::Result<AllocFileInfo> {
    let meta = path.symlink_metadata()?;
    let modified = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    let nanos = tarpan_model::UnixNanos(modified.map_or(0, |d| d.as_nanos() as i64));
    Ok(AllocFileInfo {
        name: path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
        is_dir: meta.is_dir(),
        size: meta.len() as i64,
        file_mode: mode_text(&meta),
        mod_time: tarpan_api::Timestamp(nanos),
        content_type: if meta.is_file() { content_type(path) } else { String::new() },
    })
}

/// As Go prints modes: `drwxrwxrwx`, `-rw-r--r--`, `dtrwxrwxrwx`.
fn mode_text(meta: &std::fs::Metadata) -> String {
    let mode = meta.permissions().mode();
    let mut text = String::new();
    for (is, letter) in [
        (meta.is_dir(), 'd'),
        (meta.file_type().is_symlink(), 'L'),
        (mode & 0o4000 != 0, 'u'),
        (mode & 0o2000 != 0, 'g'),
        (mode & 0o1000 != 0, 't'),
    ] {
        if is {
            text.push(letter);
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
fn content_type(path: &std::path::Path) -> String {
    use std::io::Read;
    let mut head = [0u8; 512];
    let length = std::fs::File::open(path).and_then(|mut f| f.read(&mut head)).unwrap_or(0);
    match std::str::from_utf8(&head[..length]).is_ok_and(|t| !t.contains('\0')) {
        true => "text/plain; charset=utf-8".to_owned(),
        false => "application/octet-stream".to_owned(),
    }
}

pub async fn list(
    State(context): State<Arc<Context>>,
    Path(alloc): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Json<Vec<AllocFileInfo>>, Error> {
    let path = asked.path.unwrap_or_else(|| "/".to_owned());
    let dir = locate(&context, &alloc, &path)?;
    let entries = std::fs::read_dir(&dir).map_err(|e| Error::file(&path, &e))?;
    let mut files: Vec<AllocFileInfo> = entries.flatten().filter_map(|e| info(&e.path()).ok()).collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Json(files))
}

fn required(asked: &Asked) -> Result<String, Error> {
    asked.path.clone().filter(|p| !p.is_empty()).ok_or_else(|| Error::bad("must provide a file name"))
}

pub async fn stat(
    State(context): State<Arc<Context>>,
    Path(alloc): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Json<AllocFileInfo>, Error> {
    let path = required(&asked)?;
    let file = locate(&context, &alloc, &path)?;
    info(&file).map(Json).map_err(|e| Error::file(&path, &e))
}

pub async fn cat(
    State(context): State<Arc<Context>>,
    Path(alloc): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Error> {
    let path = required(&asked)?;
    raw(&context, &alloc, &path, 0, None).await
}

pub async fn read_at(
    State(context): State<Arc<Context>>,
    Path(alloc): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Error> {
    let path = required(&asked)?;
    let offset = asked.offset.ok_or_else(|| Error::bad("must specify offset as integer"))?;
    let offset = u64::try_from(offset).map_err(|_| Error::bad("offset must not be negative"))?;
    let limit = asked.limit.and_then(|l| u64::try_from(l).ok());
    raw(&context, &alloc, &path, offset, limit).await
}

/// Bytes of a file, as something that no browser runs.
async fn raw(context: &Context, alloc: &str, path: &str, offset: u64, limit: Option<u64>) -> Result<Response, Error> {
    let real = locate(context, alloc, path)?;
    if real.is_dir() {
        return Err(Error::bad(format!("file {path:?} is a directory")));
    }
    let mut file = tokio::fs::File::open(&real).await.map_err(|e| Error::file(path, &e))?;
    file.seek(std::io::SeekFrom::Start(offset)).await.map_err(|e| Error::file(path, &e))?;
    let reader = tokio_util::io::ReaderStream::new(file.take(limit.unwrap_or(u64::MAX)));
    let headers = [
        ("content-type", content_type(&real)),
        ("x-content-type-options", "nosniff".to_owned()),
        ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox".to_owned()),
    ];
    Ok((headers, Body::from_stream(reader)).into_response())
}

pub async fn stream(
    State(context): State<Arc<Context>>,
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
    let file = locate(&context, &alloc, &path)?;
    let meta = file.metadata().map_err(|e| Error::file(&path, &e))?;
    if meta.is_dir() {
        return Err(Error::bad(format!("file {path:?} is a directory")));
    }
    let offset = asked.offset.unwrap_or(0).max(0) as u64;
    let start = if from_end { meta.len().saturating_sub(offset) } else { offset };
    Ok(stream::response(false, move |sink| send(file, path, start, follow, sink)))
}

async fn send(real: PathBuf, shown: String, mut offset: u64, follow: bool, mut sink: Sink) {
    let mut buffer = vec![0u8; FRAME_BYTES];
    loop {
        let size = match tokio::fs::metadata(&real).await {
            Ok(meta) => meta.len(),
            Err(_) => {
                sink.event(&shown, offset, "file deleted").await;
                return;
            }
        };
        if size < offset {
            offset = 0;
            if !sink.event(&shown, offset, "file truncated").await {
                return;
            }
        }
        let read = read_some(&real, offset, &mut buffer).await.unwrap_or(0);
        offset += read as u64;
        let alive = match read {
            0 if follow => sink.idle().await,
            0 => false,
            n => sink.data(&shown, offset, &buffer[..n]).await,
        };
        if !alive {
            return;
        }
    }
}

async fn read_some(path: &std::path::Path, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut file = tokio::fs::File::open(path).await?;
    file.seek(std::io::SeekFrom::Start(offset)).await?;
    file.read(buffer).await
}
