//! A task's output, over its rotated files: from any offset, from either end, followed without a gap.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tarpan_model::{AllocId, Dur, UnixNanos};

use super::error::Error;
use super::flag::flag;
use super::log_reader::{Reader, Step};
use super::log_search::Wish;
use super::stream::{self, FRAME_BYTES, Sink};
use crate::allocs::Allocs;
use crate::ground::Threads;
use crate::kept_logs::About;
use crate::runner::Runner;

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
    /// Ours, as [`moment`] reads them.
    since: String,
    until: String,
}

/// A moment: a time of day, or a duration before now.
fn moment(name: &str, text: &str) -> Result<Option<UnixNanos>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let ago = text.parse::<Dur>().ok().filter(|dur| dur.0 >= 0).map(|dur| crate::wall() - dur);
    let moment = ago.or_else(|| tarpan_api::timestamp::parse(text));
    moment.map(Some).ok_or_else(|| {
        Error::bad(format!(
            "{name} {text:?} is no time: it is written as a duration before now, such as 10m, or as 2026-01-02T15:04:05Z"
        ))
    })
}

pub async fn logs(
    State(allocs): State<Arc<Allocs>>,
    Path(alloc): Path<String>,
    Query(asked): Query<Asked>,
    Query(wish): Query<Wish>,
) -> Result<Response, Error> {
    let source = Source::find(&allocs, &alloc)?;
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
    let (since, until) = (moment("since", &asked.since)?, moment("until", &asked.until)?);
    if since.is_some() && (from_end || asked.offset.is_some_and(|offset| offset != 0)) {
        return Err(Error::bad("since says where reading begins: origin=end and offset don't go with it"));
    }
    if until.is_some() && follow {
        return Err(Error::bad("until says where reading ends: it can't follow"));
    }
    source.check(&asked.task)?;
    // Nothing more is written to what is kept.
    let follow = follow && matches!(source, Source::Live(_));
    let base = format!("{}.{}", asked.task, asked.kind);
    let (root, from) = (source.root(&allocs), asked.offset.unwrap_or(0).max(0) as u64);
    let opened = allocs.files.run(move || {
        let mut reader = Reader::new(root, base);
        let empty = reader.indexes().is_empty();
        match since {
            Some(time) => reader.since(time),
            None => reader.seek(from, from_end),
        }
        if let Some(time) = until {
            reader.until(time);
        }
        (reader, empty)
    });
    let (reader, empty) = opened.await.map_err(Error::busy)?;
    if !follow
        && empty
        && let Source::Live(runner) = &source
    {
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

/// Whose output it is.
enum Source {
    Live(Arc<Runner>),
    /// Of an allocation that was collected.
    Kept(AllocId, Arc<About>),
}

impl Source {
    fn find(allocs: &Allocs, id: &str) -> Result<Source, Error> {
        super::alloc::find(allocs, id).map(Source::Live).or_else(|unknown| {
            let kept = id.parse().ok().and_then(|id| Some(Source::Kept(id, allocs.context.kept_logs.find(id)?)));
            kept.ok_or(unknown)
        })
    }

    /// Whether it has such a task, and its output is anywhere.
    fn check(&self, task: &str) -> Result<(), Error> {
        let unknown = || Error::bad(format!("unknown task name {task:?}"));
        match self {
            Source::Live(runner) => {
                let row = runner.alloc();
                let task = row.group().and_then(|g| g.task(task)).ok_or_else(unknown)?;
                let disabled = |l: &tarpan_model::job::LogConfig| l.disabled == Some(true) || l.enabled == Some(false);
                if task.log_config.as_ref().is_some_and(disabled) {
                    return Err(Error::bad(format!("logs are disabled for task {:?}", task.name())));
                }
                Ok(())
            }
            Source::Kept(_, about) => about.tasks.iter().any(|name| name == task).then_some(()).ok_or_else(unknown),
        }
    }

    fn root(&self, allocs: &Allocs) -> PathBuf {
        match self {
            Source::Live(runner) => runner.dir.root.clone(),
            Source::Kept(id, _) => allocs.context.kept_logs.root(*id),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_or_refused_with_the_form() {
        let read = |text: &str| moment("since", text).map_err(|error| error.text);
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("2026-01-02T03:04:05Z"), Ok(Some(UnixNanos::from_secs(1_767_323_045))));
        let ago = crate::wall().since(read("10m").expect("good").expect("there")).0 / 1_000_000_000;
        assert!((599..610).contains(&ago), "{ago}");
        for text in ["soon", "-10m", "10"] {
            assert!(read(text).expect_err(text).contains("such as 10m"), "{text}");
        }
    }
}
