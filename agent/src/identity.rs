//! Who this node is: `client-id` and `secret-id` in the state directory, and a copy in the store.

#![allow(clippy::disallowed_methods, reason = "the agent's own data_dir")]

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::store::{Identity, Store, aside};

/// A file of the node's identity that can be neither read nor written.
#[derive(Debug, thiserror::Error)]
#[error("reading and writing {path}")]
pub struct IdentityError {
    path: PathBuf,
    source: std::io::Error,
}

/// The node's ids, made where there are none. A dev agent is a new node every time.
///
/// A file that is damaged is set aside, and said; the store's copy takes its place. So it does for a file that is missing
/// while the store knows: with another id the servers would take everything that runs here for somebody else's.
pub fn of_node(dir: &Path, dev: bool, store: &Store, damage: &mut Vec<String>) -> Result<Identity, IdentityError> {
    let new = Identity { id: Uuid::new_v4(), secret: Uuid::new_v4() };
    if dev {
        return Ok(new);
    }
    let copy = store.identity();
    let mut one = |name: &str, kept: Option<Uuid>, new: Uuid| -> Result<Uuid, IdentityError> {
        let path = dir.join(name);
        let failed = |source| IdentityError { path: path.clone(), source };
        let id = match std::fs::read(&path) {
            Ok(bytes) => match std::str::from_utf8(&bytes).ok().and_then(|t| Uuid::parse_str(t.trim()).ok()) {
                Some(id) => return Ok(id),
                None => {
                    let aside = aside(&path);
                    std::fs::rename(&path, &aside).map_err(failed)?;
                    damage.push(format!("{} holds no id and was renamed to {}", path.display(), aside.display()));
                    kept.unwrap_or(new)
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if kept.is_some() {
                    damage.push(format!("{} was missing and was written again", path.display()));
                }
                kept.unwrap_or(new)
            }
            Err(error) => return Err(failed(error)),
        };
        write(&path, id).map_err(failed)?;
        Ok(id)
    };
    let id = one("client-id", copy.map(|c| c.id), new.id)?;
    let secret = one("secret-id", copy.map(|c| c.secret), new.secret)?;
    let identity = Identity { id, secret };
    if copy != Some(identity) {
        store.put_identity(identity);
    }
    Ok(identity)
}

fn write(path: &Path, id: Uuid) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let tmp = path.with_extension("tmp");
    let mut file = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&tmp)?;
    file.write_all(id.to_string().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&tmp, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lock of a store that was closed just now may live on for a moment in what another test starts meanwhile.
    fn reopened(dir: &Path) -> Store {
        let begun = std::time::Instant::now();
        loop {
            match Store::open(dir) {
                Ok(opened) => return opened.store,
                Err(error) => assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{error}"),
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    #[tokio::test]
    async fn a_damaged_or_missing_file_does_not_make_another_node() {
        let dir = tempfile::tempdir().expect("a directory");
        let of_node = || {
            let store = reopened(&dir.path().join("state"));
            let mut damage = Vec::new();
            let identity = of_node(dir.path(), false, &store, &mut damage).expect("an identity");
            (identity, damage)
        };
        let (first, damage) = of_node();
        assert!(damage.is_empty(), "{damage:?}");
        assert_eq!(of_node(), (first, Vec::new()));
        std::fs::write(dir.path().join("client-id"), b"\xff\xfe").expect("written");
        std::fs::remove_file(dir.path().join("secret-id")).expect("removed");
        let (again, damage) = of_node();
        assert_eq!(again, first);
        assert!(damage.len() == 2 && damage[0].contains("client-id.damaged-"), "{damage:?}");
        // Without the store's copy it is a new node, and that is said too.
        std::fs::remove_dir_all(dir.path().join("state")).expect("removed");
        std::fs::write(dir.path().join("client-id"), "").expect("written");
        let (other, damage) = of_node();
        assert!(other.id != first.id && other.secret == first.secret);
        assert_eq!(damage.len(), 1, "{damage:?}");
    }
}
