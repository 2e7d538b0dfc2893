//! A task's output, over its rotated files: from any offset, from either end, followed without a gap.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::error::Error;
use super::flag::flag;
use super::log_reader::{Reader, Step};
use super::log_search::Wish;
use super::stream::{self, FRAME_BYTES, Sink};
use crate::allocs::Allocs;
use crate::ground::Threads;

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

pub async fn logs(
    State(allocs): State<Arc<Allocs>>,
    Path(alloc): Path<String>,
    Query(asked): Query<Asked>,
    Query(wish): Query<Wish>,
) -> Result<Response, Error> {
    let runner = super::alloc::find(&allocs, &alloc)?;
    if asked.task.is_empty() {
        return Err(Error::bad("must provide task name"));
    }
    if !matches!(asked.kind.as_str(), "stdout" | "stderr") {
        return Err(Error::bad("must provide log type (stdout/stderr)"));
    }
    let (follow, plain) = (flag(asked.follow.as_deref(), false)?, flag(asked.plain.as_deref(), false)?);
    let search = wish.search()?;
    if search.is_some() && follow {
        return Err(Error::bad("search looks through what is there: it can't follow"));
    }
    let from_end = match asked.origin.as_str() {
        "" | "start" => false,
        "end" => true,
        _ => return Err(Error::bad("origin must be start or end")),
    };
    let row = runner.alloc();
    let Some(task) = row.group().and_then(|g| g.task(&asked.task)) else {
        return Err(Error::bad(format!("unknown task name {:?}", asked.task)));
    };
    if task.log_config.as_ref().is_some_and(|l| l.disabled == Some(true) || l.enabled == Some(false)) {
        return Err(Error::bad(format!("logs are disabled for task {:?}", asked.task)));
    }
    let base = format!("{}.{}", asked.task, asked.kind);
    let (root, from) = (runner.dir.root.clone(), asked.offset.unwrap_or(0).max(0) as u64);
    let opened = allocs.files.run(move || {
        let mut reader = Reader::new(root, base);
        let empty = reader.indexes().is_empty();
        reader.seek(from, from_end);
        (reader, empty)
    });
    let (reader, empty) = opened.await.map_err(Error::busy)?;
    if !follow && empty {
        let started = runner.report().and_then(|r| r.tasks.get(&*asked.task).map(|t| !t.started_at.is_zero()));
        if started != Some(true) {
            return Err(Error::not_found(format!("task {:?} not started yet. No logs available", asked.task)));
        }
    }
    if let Some(search) = search {
        let mut reader = reader;
        let found = allocs.files.run(move || search.run(&mut reader)).await.map_err(Error::busy)?;
        return Ok(axum::Json(found).into_response());
    }
    let kind = if plain { stream::Kind::PlainLog } else { stream::Kind::Log };
    Ok(stream::response(kind, move |sink| send(allocs, reader, sink, follow)))
}

async fn send(allocs: Arc<Allocs>, reader: Reader, mut sink: Sink, follow: bool) {
    let reader = Arc::new(Mutex::new(reader));
    loop {
        let alive = match step(&allocs.files, &reader).await {
            Some(Step::Data { bytes, file, offset }) => sink.data(&file, offset, &bytes).await,
            Some(Step::Moved) => true,
            Some(Step::End) if follow => sink.idle().await,
            Some(Step::End) => false,
            // Every thread is busy: whoever follows waits, and what is not a whole answer must not look like one.
            None if follow => sink.idle().await,
            None => false,
        };
        if !alive {
            return;
        }
    }
}

/// A look at the files on a thread of its own; `None` when there is none. Nothing is held between two looks.
async fn step(threads: &Threads, reader: &Arc<Mutex<Reader>>) -> Option<Step> {
    let reader = reader.clone();
    threads.run(move || reader.lock().expect("no panic while held").read(FRAME_BYTES)).await.ok()
}
