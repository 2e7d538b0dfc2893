//! Images that this agent brought to the node, removed when no container used them for a while.
//!
//! Whether an image is used is asked of the engine each time, and of who is about to make a container of it ([`Lease`]); nothing
//! is counted, so nothing can be miscounted. Which images are ours is a file below the state directory: another agent goes on
//! with it, and the while begins anew. An image that was there before a task asked for it is never removed: nobody might be
//! able to bring it back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as ApiError;
use bollard::query_parameters::{ListContainersOptions, RemoveImageOptions};
use serde::{Deserialize, Serialize};
use tarpan_model::UnixNanos;

use super::text;

/// An image by one of its names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Image {
    id: String,
    reference: String,
}

/// The images, and since when each of them has been seen to be unused.
#[derive(Default)]
pub(super) struct Kept {
    file: Option<PathBuf>,
    images: Mutex<BTreeMap<Image, Option<UnixNanos>>>,
    leases: Arc<Mutex<HashMap<String, usize>>>,
    /// Held while an image is looked at and removed, and where somebody begins to want one.
    gate: tokio::sync::Mutex<()>,
}

/// Somebody is about to make a container of an image: it is not removed meanwhile.
pub(super) struct Lease {
    reference: String,
    all: Arc<Mutex<HashMap<String, usize>>>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut all = self.all.lock().expect("no panic while held");
        if let Some(count) = all.get_mut(&self.reference) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.reference);
            }
        }
    }
}

impl Kept {
    /// What an earlier agent has kept there counts as used until now.
    #[allow(clippy::disallowed_methods, reason = "the agent's own state")]
    pub fn open(file: PathBuf) -> Kept {
        let images: BTreeSet<Image> = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!("{}: {error}: images that were brought for tasks before stay", file.display());
                BTreeSet::new()
            }),
            Err(_) => BTreeSet::new(),
        };
        let images = images.into_iter().map(|image| (image, None)).collect();
        Kept { file: Some(file), images: Mutex::new(images), ..Kept::default() }
    }

    pub async fn lease(&self, reference: &str) -> Lease {
        let _gate = self.gate.lock().await;
        *self.leases.lock().expect("no panic while held").entry(reference.to_owned()).or_default() += 1;
        Lease { reference: reference.to_owned(), all: self.leases.clone() }
    }

    /// This image was pulled or loaded just now.
    pub async fn brought(&self, id: &str, reference: &str) {
        let image = Image { id: id.to_owned(), reference: reference.to_owned() };
        if self.images.lock().expect("no panic while held").insert(image, None).is_none() {
            self.write().await;
        }
    }

    #[allow(clippy::disallowed_methods, reason = "the agent's own state")]
    async fn write(&self) {
        let Some(file) = self.file.clone() else { return };
        let images: Vec<Image> = self.images.lock().expect("no panic while held").keys().cloned().collect();
        let written = crate::blocking(move || {
            let bytes = serde_json::to_vec(&images).expect("texts serialise");
            let tmp = file.with_extension("tmp");
            std::fs::write(&tmp, bytes).and_then(|()| std::fs::rename(&tmp, &file))
        });
        if let Err(error) = written.await {
            tracing::warn!("the list of images for tasks can't be written: {error}");
        }
    }

    /// Looks at all of them, and removes those that were unused for `delay`.
    pub async fn collect(&self, engine: &Docker, delay: Duration) {
        if self.images.lock().expect("no panic while held").is_empty() {
            return;
        }
        let Ok(used) = used(engine).await else { return };
        for image in self.due(&used, crate::now(), delay) {
            let _gate = self.gate.lock().await;
            // A container may have been made since.
            let Ok(used) = used_now(engine, &image.id).await else { return };
            if used || self.leased(&image.reference) {
                continue;
            }
            match remove(engine, &image).await {
                Removed::Gone => self.forget(&image).await,
                Removed::Later(why) => {
                    tracing::debug!(image = image.reference, "an image stays for now: {why}");
                    self.images.lock().expect("no panic while held").insert(image, None);
                }
            }
        }
    }

    /// Those that are over their time. Who is used, or wanted, begins anew.
    fn due(&self, used: &BTreeSet<String>, now: UnixNanos, delay: Duration) -> Vec<Image> {
        let mut due = Vec::new();
        for (image, idle) in self.images.lock().expect("no panic while held").iter_mut() {
            if used.contains(&image.id) || self.leased(&image.reference) {
                *idle = None;
            } else if now.since(*idle.get_or_insert(now)).to_std() >= delay {
                due.push(image.clone());
            }
        }
        due
    }

    fn leased(&self, reference: &str) -> bool {
        self.leases.lock().expect("no panic while held").contains_key(reference)
    }

    async fn forget(&self, image: &Image) {
        self.images.lock().expect("no panic while held").remove(image);
        self.write().await;
    }
}

async fn used(engine: &Docker) -> Result<BTreeSet<String>, ApiError> {
    let options = ListContainersOptions { all: true, ..Default::default() };
    let all = engine.list_containers(Some(options)).await?;
    // Engines differ in whether they say how the id was computed.
    let both = |id: String| [id.trim_start_matches("sha256:").to_owned(), id];
    Ok(all.into_iter().filter_map(|c| c.image_id).flat_map(both).collect())
}

async fn used_now(engine: &Docker, id: &str) -> Result<bool, ApiError> {
    Ok(used(engine).await?.contains(id))
}

enum Removed {
    /// It is not there any more, or not ours to remove.
    Gone,
    Later(String),
}

/// By its name where the name still means it: other names keep it then. Never by force: what somebody uses stays.
async fn remove(engine: &Docker, image: &Image) -> Removed {
    let named = match engine.inspect_image(&image.reference).await {
        Ok(found) => found.id.as_deref() == Some(&*image.id),
        Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => false,
        Err(error) => return Removed::Later(text(&error)),
    };
    let which = if named { &image.reference } else { &image.id };
    match engine.remove_image(which, None::<RemoveImageOptions>, None).await {
        Ok(_) => {
            tracing::info!(image = image.reference, "an image that no task used any more was removed");
            Removed::Gone
        }
        Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => Removed::Gone,
        // Its name means another image by now, and it has further names: somebody else's.
        Err(ApiError::DockerResponseServerError { status_code: 409, .. }) if !named => Removed::Gone,
        Err(error) => Removed::Later(text(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UnixNanos {
        UnixNanos(seconds * 1_000_000_000)
    }

    #[tokio::test]
    async fn an_image_is_due_when_nobody_used_or_wanted_it_for_the_whole_delay() {
        let kept = Kept::default();
        kept.brought("i1", "a:1").await;
        let (used, free) = (BTreeSet::from(["i1".to_owned()]), BTreeSet::new());
        let due = |used: &BTreeSet<String>, now: i64| kept.due(used, at(now), Duration::from_secs(10)).len();
        assert_eq!([due(&free, 0), due(&free, 9)], [0, 0]);
        assert_eq!([due(&used, 9), due(&free, 12), due(&free, 21)], [0, 0, 0], "it was used in between");
        let lease = kept.lease("a:1").await;
        assert_eq!(due(&free, 30), 0, "somebody wants it");
        drop(lease);
        assert_eq!([due(&free, 31), due(&free, 40), due(&free, 41)], [0, 0, 1]);
    }

    #[tokio::test]
    async fn another_agent_goes_on_with_the_list_and_begins_the_delay_anew() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("images.json");
        let first = Kept::open(file.clone());
        first.brought("i1", "a:1").await;
        first.brought("i2", "a:1").await;
        let second = Kept::open(file.clone());
        let due = |now: i64| second.due(&BTreeSet::new(), at(now), Duration::from_secs(10)).len();
        assert_eq!([due(100), due(109), due(110)], [0, 0, 2]);
        second.forget(&Image { id: "i1".to_owned(), reference: "a:1".to_owned() }).await;
        assert_eq!(Kept::open(file.clone()).images.lock().expect("free").len(), 1);
        std::fs::write(&file, "torn").expect("written");
        assert!(Kept::open(file).images.lock().expect("free").is_empty());
    }
}
