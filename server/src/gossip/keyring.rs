//! The keys of gossip, changed at run time: what operators installed outlives the process, in a file that only its owner reads.
//!
//! The file is a JSON list of base64 keys; what is sent is sealed with the first. Once it is there it counts, whatever the configuration
//! says: else a key that was taken out everywhere would come back with a restart.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tokio::sync::Mutex;

use super::seal::{Key, KeyError, Ring};

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyChange {
    /// What is sealed with it is taken.
    Install,
    /// What is sent is sealed with it.
    Use,
    /// What is sealed with it is refused.
    Remove,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyringError {
    #[error("gossip is not encrypted here: `server.encrypt` is not set")]
    Open,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the key is not in the keyring: install it first")]
    Unknown,
    #[error("the key is the one that is used: use another one first")]
    Primary,
    #[error("the keyring {path} can't be written: {source}")]
    File {
        path: String,
        #[source]
        source: io::Error,
    },
}

/// The keys of this server, the one in use first; empty: gossip is not encrypted.
#[derive(Debug)]
pub(super) struct Keyring {
    /// `None`: a server of development mode keeps nothing.
    path: Option<PathBuf>,
    keys: Mutex<Vec<Key>>,
}

impl Keyring {
    /// The file's keys, or the configured one where there is no file. An unreadable file is an error: to go on without what it holds would
    /// cut this server off.
    pub fn open(path: Option<PathBuf>, configured: &[Key]) -> io::Result<Keyring> {
        let kept = path.as_deref().map(read).transpose()?.flatten();
        let keys = match kept {
            Some(kept) if !configured.is_empty() => {
                if kept.first().map(Key::text) != configured.first().map(Key::text) {
                    tracing::warn!(
                        file = %path.as_deref().unwrap_or(Path::new("")).display(),
                        "\"server.encrypt\" is not the gossip key in use: the keyring's keys count, as operators changed them"
                    );
                }
                kept
            }
            // Who takes `encrypt` out wants gossip without encryption.
            _ => configured.to_vec(),
        };
        Ok(Keyring { path, keys: Mutex::new(keys) })
    }

    pub async fn ring(&self) -> Ring {
        Ring { keys: self.keys.lock().await.clone() }
    }

    /// Changes the keyring and its file, and tells of it before the next change.
    pub async fn change(&self, change: KeyChange, key: &str, tell: impl AsyncFnOnce(Ring)) -> Result<(), KeyringError> {
        let key = Key::parse(key)?;
        let mut keys = self.keys.lock().await;
        let next = changed(&keys, change, &key)?;
        if let Some(path) = self.path.clone() {
            let texts: Vec<String> = next.iter().map(|key| key.text().to_owned()).collect();
            let shown = path.display().to_string();
            let written = tokio::task::spawn_blocking(move || write(&path, &texts)).await;
            let written = written.map_err(io::Error::other).flatten();
            written.map_err(|source| KeyringError::File { path: shown, source })?;
        }
        keys.clone_from(&next);
        tell(Ring { keys: next }).await;
        Ok(())
    }
}

/// The keys after a change; installing what is there changes nothing, and so does taking out what is not.
fn changed(keys: &[Key], change: KeyChange, key: &Key) -> Result<Vec<Key>, KeyringError> {
    let primary = keys.first().ok_or(KeyringError::Open)?;
    let same = |other: &Key| other.text() == key.text();
    let known = keys.iter().any(same);
    let others = || keys.iter().filter(|other| !same(other)).cloned();
    match change {
        KeyChange::Install if known => Ok(keys.to_vec()),
        KeyChange::Install => Ok(keys.iter().cloned().chain([key.clone()]).collect()),
        KeyChange::Use if known => Ok([key.clone()].into_iter().chain(others()).collect()),
        KeyChange::Use => Err(KeyringError::Unknown),
        KeyChange::Remove if same(primary) => Err(KeyringError::Primary),
        KeyChange::Remove => Ok(others().collect()),
    }
}

/// `None`: there is no file.
fn read(path: &Path) -> io::Result<Option<Vec<Key>>> {
    let named = |why: String| io::Error::other(format!("the keyring {}: {why}", path.display()));
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|e| named(e.to_string()))?,
    };
    let texts: Vec<String> = serde_json::from_str(&text).map_err(|e| named(e.to_string()))?;
    if texts.is_empty() {
        return Err(named("it holds no key; take it away for gossip by `server.encrypt`".to_owned()));
    }
    let keys: Result<Vec<Key>, KeyError> = texts.iter().map(|text| Key::parse(text)).collect();
    keys.map(Some).map_err(|e| named(e.to_string()))
}

/// Beside its place, flushed, renamed.
fn write(path: &Path, texts: &[String]) -> io::Result<()> {
    let draft = path.with_extension("unfinished");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(serde_json::to_string(texts)?.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    match path.parent() {
        Some(dir) => std::fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const ONE: &str = "MDEyMzQ1Njc4OWFiY2RlZg==";
    const TWO: &str = "ZmVkY2JhOTg3NjU0MzIxMA==";

    async fn texts(keyring: &Keyring) -> Vec<String> {
        keyring.ring().await.keys.iter().map(|key| key.text().to_owned()).collect()
    }

    #[tokio::test]
    async fn keys_come_are_used_and_go_and_outlive_the_process() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("gossip.keyring");
        let configured = [Key::parse(ONE).expect("a key")];
        let keyring = Keyring::open(Some(path.clone()), &configured).expect("opens");
        let change =
            async |change, key: &str| keyring.change(change, key, async |_| ()).await.map_err(|e| e.to_string());
        assert!(change(KeyChange::Use, TWO).await.expect_err("refused").contains("install it first"));
        assert!(change(KeyChange::Install, "short").await.expect_err("refused").contains("gossip key"));
        assert!(change(KeyChange::Remove, ONE).await.expect_err("refused").contains("use another one first"));
        assert!(!path.exists(), "a refusal writes nothing");
        for (what, expected) in [
            (KeyChange::Install, vec![ONE, TWO]),
            (KeyChange::Install, vec![ONE, TWO]),
            (KeyChange::Use, vec![TWO, ONE]),
        ] {
            change(what, TWO).await.expect("changed");
            assert_eq!(texts(&keyring).await, expected);
        }
        change(KeyChange::Remove, ONE).await.expect("changed");
        assert_eq!(std::fs::metadata(&path).expect("written").permissions().mode() & 0o777, 0o600);
        let again = Keyring::open(Some(path.clone()), &configured).expect("opens");
        assert_eq!(texts(&again).await, [TWO], "what was taken out does not come back");
        let open = Keyring::open(Some(path.clone()), &[]).expect("opens");
        assert!(
            open.change(KeyChange::Install, TWO, async |_| ())
                .await
                .is_err_and(|e| e.to_string().contains("not encrypted"))
        );
        std::fs::write(&path, "[]").expect("written");
        assert!(Keyring::open(Some(path.clone()), &configured).is_err_and(|e| e.to_string().contains("holds no key")));
        std::fs::write(&path, "[\"x\"]").expect("written");
        let why = Keyring::open(Some(path), &configured).expect_err("refused").to_string();
        assert!(why.contains("gossip.keyring") && why.contains("gossip key"), "{why}");
    }
}
