//! A task's output, over its rotated files: from any offset, from either end, followed without a gap.

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::error::Error;
use super::stream::{self, FRAME_BYTES, Sink};
use crate::context::Context;
use crate::supervisor::log_indexes;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    task: String,
    #[serde(rename = "type")]
    kind: String,
    follow: Option<String>,
    plain: Option<String>,
    offset: Option<i64>,
    origin: String,
}

/// A flag as Go's parser reads it; empty or absent is `default`.
pub fn flag(text: Option<&str>, default: bool) -> Result<bool, Error> {
    match text.unwrap_or_default() {
        "" => Ok(default),
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(Error::bad(format!("failed to parse boolean {other:?}"))),
    }
}

pub async fn logs(
    State(context): State<Arc<Context>>,
    Path(alloc): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Error> {
    let runner = super::alloc::find(&context, &alloc)?;
    if asked.task.is_empty() {
        return Err(Error::bad("must provide task name"));
    }
    if !matches!(asked.kind.as_str(), "stdout" | "stderr") {
        return Err(Error::bad("must provide log type (stdout/stderr)"));
    }
    let (follow, plain) = (flag(asked.follow.as_deref(), false)?, flag(asked.plain.as_deref(), false)?);
    let from_end = match asked.origin.as_str() {
        "" | "start" => false,
        "end" => true,
        _ => return Err(Error::bad("origin must be start or end")),
    };
    let row = runner.alloc();
    let Some(task) = row.group().and_then(|g| g.task(&asked.task)) else {
        return Err(Error::not_found(format!("unknown task name {:?}", asked.task)));
    };
    if task.log_config.as_ref().is_some_and(|l| l.disabled == Some(true) || l.enabled == Some(false)) {
        return Err(Error::bad(format!("logs are disabled for task {:?}", asked.task)));
    }
    let base = format!("{}.{}", asked.task, asked.kind);
    let mut reader = Reader::new(runner.dir.logs(), base);
    if !follow && reader.indexes().is_empty() {
        let started = runner.report().and_then(|r| r.tasks.get(&*asked.task).map(|t| !t.started_at.is_zero()));
        if started != Some(true) {
            return Err(Error::not_found(format!("task {:?} not started yet. No logs available", asked.task)));
        }
    }
    reader.seek(asked.offset.unwrap_or(0).max(0) as u64, from_end);
    Ok(stream::response(plain, move |sink| send(reader, sink, follow)))
}

async fn send(mut reader: Reader, mut sink: Sink, follow: bool) {
    let mut buffer = vec![0u8; FRAME_BYTES];
    loop {
        let alive = match reader.read(&mut buffer) {
            Step::Data { length, file, offset } => sink.data(&file, offset, &buffer[..length]).await,
            Step::Moved => true,
            Step::End if follow => sink.idle().await,
            Step::End => false,
        };
        if !alive {
            return;
        }
    }
}

enum Step {
    Data {
        length: usize,
        file: String,
        offset: u64,
    },
    /// On to the next file.
    Moved,
    /// Nothing more for now.
    End,
}

/// Reads `<dir>/<base>.N`, N ascending.
struct Reader {
    dir: PathBuf,
    base: String,
    index: u64,
    offset: u64,
    file: Option<std::fs::File>,
}

impl Reader {
    fn new(dir: PathBuf, base: String) -> Reader {
        Reader { dir, base, index: 0, offset: 0, file: None }
    }

    fn indexes(&self) -> Vec<u64> {
        log_indexes(&self.dir, &self.base).unwrap_or_default()
    }

    /// Goes to `offset` bytes after the oldest byte that is kept, or before the newest.
    fn seek(&mut self, offset: u64, from_end: bool) {
        let size = |i: &u64| std::fs::metadata(self.dir.join(format!("{}.{i}", self.base))).map_or(0, |m| m.len());
        let files: Vec<(u64, u64)> = self.indexes().iter().map(|i| (*i, size(i))).collect();
        let total: u64 = files.iter().map(|(_, size)| size).sum();
        let mut left = if from_end { total.saturating_sub(offset) } else { offset.min(total) };
        self.index = files.first().map_or(0, |(i, _)| *i);
        for (index, size) in files {
            self.index = index;
            self.offset = left.min(size);
            if left <= size {
                break;
            }
            left -= size;
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Step {
        // Whether there is a later file must be known before the read: what the writer added to this one before it
        // moved on is then surely in the read that follows.
        let next = self.indexes().into_iter().find(|i| *i > self.index);
        if self.file.is_none() {
            self.file = self.open();
        }
        let length = match &mut self.file {
            Some(file) => file.read(buffer).unwrap_or(0),
            None => 0,
        };
        if length > 0 {
            self.offset += length as u64;
            return Step::Data {
                length,
                file: format!("alloc/logs/{}.{}", self.base, self.index),
                offset: self.offset,
            };
        }
        match next {
            Some(next) => {
                (self.index, self.offset, self.file) = (next, 0, None);
                Step::Moved
            }
            None => Step::End,
        }
    }

    fn open(&self) -> Option<std::fs::File> {
        let mut file = std::fs::File::open(self.dir.join(format!("{}.{}", self.base, self.index))).ok()?;
        file.seek(SeekFrom::Start(self.offset)).ok()?;
        Some(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::Rotator;

    fn read_all(reader: &mut Reader) -> String {
        let mut buffer = [0u8; 7];
        let mut all = Vec::new();
        loop {
            match reader.read(&mut buffer) {
                Step::Data { length, .. } => all.extend_from_slice(&buffer[..length]),
                Step::Moved => {}
                Step::End => return String::from_utf8(all).expect("text"),
            }
        }
    }

    #[test]
    fn following_over_rotations_loses_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Rotator::open(dir.path(), "t.stdout", 100, 16).expect("writable");
        let mut reader = Reader::new(dir.path().to_owned(), "t.stdout".to_owned());
        let (mut written, mut read) = (String::new(), String::new());
        for i in 0..200 {
            let line = format!("line {i}\n");
            log.write(line.as_bytes()).expect("written");
            written.push_str(&line);
            if i % 3 == 0 {
                read.push_str(&read_all(&mut reader));
            }
        }
        read.push_str(&read_all(&mut reader));
        assert_eq!(read, written);
    }

    #[test]
    fn offsets_count_over_files_from_both_ends() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Rotator::open(dir.path(), "t.stdout", 100, 5).expect("writable");
        log.write(b"aaaa\nbbbb\ncccc\n").expect("written");
        for (offset, from_end, expected) in [
            (0, false, "aaaa\nbbbb\ncccc\n"),
            (7, false, "bb\ncccc\n"),
            (3, true, "cc\n"),
            (99, true, "aaaa\nbbbb\ncccc\n"),
            (99, false, ""),
        ] {
            let mut reader = Reader::new(dir.path().to_owned(), "t.stdout".to_owned());
            reader.seek(offset, from_end);
            assert_eq!(read_all(&mut reader), expected, "{offset} {from_end}");
        }
    }
}
