//! The plugin that every node has: a directory below `host_volumes_dir`, called by the volume's id.
//!
//! Source: `reference/semantics.md` §19.8.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tarpan_model::VolumeId;

use crate::ground::{Attr, Dir};

pub const NAME: &str = "mkdir";
pub const VERSION: &str = "0.0.1";

/// Permissions of a directory whose parameters say nothing.
const MODE: u32 = 0o700;

/// Makes the directory; one that is there stays as it is. The errors are sentences.
pub fn create(root: &Path, id: VolumeId, parameters: &BTreeMap<String, String>) -> Result<PathBuf, String> {
    let attr = attr(parameters)?;
    let name = PathBuf::from(id.to_string());
    let root = Dir::trusted(root).map_err(|e| crate::chain(&e))?;
    match root.dir(&name) {
        Ok(_) => {}
        Err(error) if error.not_found() => drop(root.make_dir(&name, attr).map_err(|e| crate::chain(&e))?),
        Err(error) => return Err(crate::chain(&error)),
    }
    Ok(root.path().join(name))
}

/// Removes the directory with all that tasks wrote there; one that is not there is gone already.
pub fn delete(root: &Path, id: VolumeId) -> Result<(), String> {
    let root = Dir::trusted(root).map_err(|e| crate::chain(&e))?;
    root.remove_tree(Path::new(&id.to_string())).map_err(|e| crate::chain(&e))
}

fn attr(parameters: &BTreeMap<String, String>) -> Result<Attr, String> {
    let mut attr = Attr::mode(MODE);
    for (key, value) in parameters {
        let number = || value.parse().map(Some).map_err(|_| format!("parameter {key} is a number, not {value:?}"));
        match key.as_str() {
            "mode" => {
                let mode = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777);
                attr.mode = mode.ok_or_else(|| format!("parameter mode is octal such as \"0755\", not {value:?}"))?;
            }
            "uid" => attr.uid = number()?,
            "gid" => attr.gid = number()?,
            other => return Err(format!("plugin mkdir has no parameter {other:?}: it has mode, uid and gid")),
        }
    }
    Ok(attr)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "directories of the test")]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_directory_is_made_kept_and_removed() {
        let root = tempfile::tempdir().expect("a directory");
        let id = VolumeId(uuid::Uuid::from_u128(7));
        let path = create(root.path(), id, &parameters(&[])).expect("made");
        assert_eq!(path, root.path().join(id.to_string()));
        assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o7777, 0o700);
        std::fs::write(path.join("kept"), "x").expect("written");
        create(root.path(), id, &parameters(&[("mode", "0755")])).expect("there already");
        assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o7777, 0o700, "it stays as it is");
        assert!(path.join("kept").exists());
        std::os::unix::fs::symlink("/etc", path.join("link")).expect("linked");
        delete(root.path(), id).expect("removed");
        assert!(!path.exists() && Path::new("/etc/passwd").exists());
        delete(root.path(), id).expect("gone already");
    }

    #[test]
    fn parameters_are_read_or_refused() {
        let root = tempfile::tempdir().expect("a directory");
        let make =
            |n, pairs: &[(&str, &str)]| create(root.path(), VolumeId(uuid::Uuid::from_u128(n)), &parameters(pairs));
        let path = make(1, &[("mode", "2750"), ("uid", "7"), ("gid", "8")]).expect("made");
        let meta = std::fs::metadata(path).expect("there");
        assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (0o2750, 7, 8));
        for (n, pairs, why) in [
            (2, [("mode", "rwx")], "octal"),
            (3, [("mode", "17777")], "octal"),
            (4, [("uid", "-1")], "a number"),
            (5, [("size", "1")], "no parameter \"size\""),
        ] {
            assert!(make(n, &pairs).expect_err(why).contains(why));
            assert!(!root.path().join(VolumeId(uuid::Uuid::from_u128(n)).to_string()).exists());
        }
    }

    /// Somebody put a link where the directory was to be.
    #[test]
    fn a_link_is_not_taken_for_the_volume() {
        let root = tempfile::tempdir().expect("a directory");
        let id = VolumeId(uuid::Uuid::from_u128(9));
        std::os::unix::fs::symlink("/etc", root.path().join(id.to_string())).expect("linked");
        assert!(create(root.path(), id, &parameters(&[])).is_err());
    }
}
