//! What an ephemeral disk that migrates keeps, on its way from one node to another: `reference/semantics.md` 17.5.
//!
//! The new allocation asks its server, the server the agent of the old one over its session; the answer is a tar of `alloc/data`
//! and of `local` of each task ([`send`]), begun when the old allocation has ended, and ended by an entry of its own. What comes
//! is unpacked beside the new allocation's directories ([`receive`]) and takes their place when it is whole. Nothing of it is
//! trusted on either side: the old task wrote it, and the other node may be anybody's.

pub(crate) mod receive;
pub(crate) mod send;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tarpan_model::{Allocation, name};
use tarpan_rpc::agent::DiskRequest;
use tonic::Code;

use crate::alloc_dir::AllocDir;
use crate::context::Context;
use crate::ground::{self, Attr, Dir};

/// How long it is tried again when the way to the other node is broken: after that the new allocation starts with nothing.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// How long nothing may come: the old allocation may take a while to end.
const SILENCE: Duration = Duration::from_secs(10 * 60);
/// Between tries.
const PAUSE: Duration = Duration::from_secs(2);
/// Where what comes lies until it is whole, below the allocation's directory.
const INCOMING: &str = ".incoming";

/// Whether the group keeps its data when it moves to another node.
pub(crate) fn migrates(alloc: &Allocation) -> bool {
    alloc.group().and_then(|g| g.ephemeral_disk.as_ref()).is_some_and(|disk| disk.migrate == Some(true))
}

/// What a disk keeps, below an allocation's directory.
pub(crate) fn kept(alloc: &Allocation) -> Vec<(PathBuf, &'static str)> {
    let tasks = alloc.group().map(|g| g.tasks()).unwrap_or_default().iter().map(|task| task.name());
    let tasks = tasks.filter(|task| name::part(task).is_ok()).map(|task| (PathBuf::from(task), "local"));
    std::iter::once((PathBuf::from("alloc"), "data")).chain(tasks).collect()
}

/// Moves one directory, and only a directory: the task of the old allocation may have put anything in its place.
pub(crate) fn move_one(from: &Dir, to: &Dir, parent: &Path, name: &str) -> Result<(), ground::Error> {
    let from = from.dir(parent)?;
    let to = to.make_dirs(parent, Attr::mode(0o777))?;
    from.dir(Path::new(name))?;
    to.remove_dir(Path::new(name))?;
    from.rename(name.as_ref(), &to, name.as_ref())
}

/// Why nothing came.
#[derive(Debug)]
struct Failed {
    text: String,
    /// Another try may help.
    again: bool,
}

/// What a call on a thread holds while it works: whoever removes the directory waits for it.
pub(crate) type Hold<'a> = &'a (dyn Fn() -> BoxFuture<'static, Box<dyn Send>> + Send + Sync);

/// Takes over what the allocation before it has left on another node. The error is a sentence: the new allocation starts with
/// nothing then.
pub(crate) async fn take_over(
    context: &Context,
    alloc: &Allocation,
    dir: &AllocDir,
    hold: Hold<'_>,
) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        match once(context, alloc, dir, hold).await {
            Ok(()) => return Ok(()),
            Err(failed) if !failed.again || begun.elapsed() > PATIENCE => return Err(failed.text),
            Err(failed) => {
                tracing::info!(alloc_id = %alloc.id, "moving the disk of the previous allocation: {}", failed.text);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn once(context: &Context, alloc: &Allocation, dir: &AllocDir, hold: Hold<'_>) -> Result<(), Failed> {
    let asked = DiskRequest { alloc_id: alloc.id.0.as_bytes().to_vec().into() };
    let answer = context.session.wait().await.client().await.disk(asked).await;
    let mut parts =
        answer.map_err(|status| Failed { text: status.message().to_owned(), again: worth(status.code()) })?;
    let (sender, receiver) = receive::pipe();
    let (root, kept) = (dir.root.clone(), kept(alloc));
    let held = hold().await;
    let unpacking = tokio::task::spawn_blocking(move || {
        let _held = held;
        place(&root, &kept, receiver)
    });
    let feeding = async {
        loop {
            let part = tokio::time::timeout(SILENCE, parts.get_mut().message()).await;
            match part {
                Ok(Ok(Some(part))) => {
                    // It is whole already, or no good.
                    if sender.send(part.data).await.is_err() {
                        return None;
                    }
                }
                Ok(Ok(None)) => return None,
                Ok(Err(status)) => return Some(status.message().to_owned()),
                Err(_) => return Some("nothing comes any more".to_owned()),
            }
        }
    };
    let broken = feeding.await;
    drop(sender);
    let unpacked = unpacking.await.unwrap_or_else(|error| Err(receive::Error::Bug(error.to_string())));
    match (unpacked, broken) {
        (Ok(()), _) => Ok(()),
        (Err(error), broken) if error.cut_off() => {
            Err(Failed { text: broken.unwrap_or_else(|| crate::chain(&error)), again: true })
        }
        (Err(error), _) => Err(Failed { text: crate::chain(&error), again: false }),
    }
}

fn worth(code: Code) -> bool {
    !matches!(code, Code::NotFound | Code::FailedPrecondition | Code::Unimplemented | Code::PermissionDenied)
}

/// Unpacks beside, then moves what is whole into place.
fn place(root: &Path, kept: &[(PathBuf, &'static str)], from: receive::Pipe) -> Result<(), receive::Error> {
    let root = Dir::trusted(root)?;
    root.remove_tree(Path::new(INCOMING))?;
    let incoming = root.make_dir(Path::new(INCOMING), Attr::mode(0o700))?;
    let received = receive::unpack(from, &incoming, kept);
    let moved = received.and_then(|()| {
        for (parent, name) in kept {
            match move_one(&incoming, &root, parent, name) {
                Err(error) if error.not_found() => {}
                moved => moved?,
            }
        }
        Ok(())
    });
    let removed = root.remove_tree(Path::new(INCOMING));
    moved.and(removed.map_err(Into::into))
}

#[cfg(test)]
mod tests;
