//! Which files of `plugin_dir` are run: regular ones that nobody but root and the agent's user can write.

#![allow(clippy::disallowed_methods, reason = "the operator's directory of plugins, which no task sees")]

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Programs that are looked at: more in one directory is a mistake.
const MOST: usize = 64;

/// A program that may be run, and which file it is: one that was replaced is another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Program {
    pub path: PathBuf,
    device: u64,
    inode: u64,
    changed_ns: i128,
}

/// Names of the programs there, sorted. A directory that is not there has none.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let runs = |path: &Path| path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    let names = entries.filter(|entry| runs(&entry.path())).filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| is_name(name)).collect();
    names.sort();
    names.truncate(MOST);
    names
}

/// Letters, digits, `-` and `_`: it becomes part of paths and attributes.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}

/// The program of that name, if it may be run. The error is a sentence.
pub(super) fn trusted(dir: &Path, name: &str) -> Result<Program, String> {
    if !is_name(name) {
        return Err(format!("{name:?} is no name of a plugin: letters, digits, - and _, at most 64"));
    }
    let named = dir.join(name);
    let path = named.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no program {name:?} in plugin_dir ({})", dir.display()),
        _ => format!("{}: {error}", named.display()),
    })?;
    let meta = path.metadata().map_err(|error| format!("{}: {error}", path.display()))?;
    if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
        return Err(format!("{} is no file that can be run", path.display()));
    }
    for (depth, part) in path.ancestors().enumerate() {
        let meta = part.metadata().map_err(|error| format!("{}: {error}", part.display()))?;
        // In a directory like /tmp nobody can replace what is somebody else's.
        let guarded = depth > 1 && meta.permissions().mode() & 0o1000 != 0;
        if let Some(who) = writable(&meta).filter(|_| !guarded) {
            return Err(format!(
                "{} is not run: {} can be written by {who}. Only root and the agent's own user may: chown and chmod go-w it",
                path.display(),
                part.display()
            ));
        }
    }
    let changed_ns = i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec());
    Ok(Program { path, device: meta.dev(), inode: meta.ino(), changed_ns })
}

/// Who can write it beside root and us.
fn writable(meta: &std::fs::Metadata) -> Option<String> {
    let (mode, owner) = (meta.permissions().mode(), meta.uid());
    let trusted = |uid: u32| uid == 0 || uid == nix::unistd::geteuid().as_raw();
    match () {
        () if !trusted(owner) => Some(format!("user {owner}, whose it is")),
        () if mode & 0o002 != 0 => Some("everybody".to_owned()),
        () if mode & 0o020 != 0 && meta.gid() != 0 => Some(format!("group {}", meta.gid())),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, mode: u32) {
        std::fs::write(path, "#!/bin/sh\n").expect("written");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    }

    #[test]
    fn only_what_root_and_the_agent_can_write_is_run() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        for (name, mode) in [("good", 0o755), ("open", 0o757), ("plain", 0o644), ("shared", 0o775), ("odd.name", 0o755)]
        {
            put(&at(name), mode);
        }
        let refused = |name: &str| trusted(dir.path(), name).expect_err(name);
        assert!(trusted(dir.path(), "good").is_ok_and(|program| program.path.ends_with("good")));
        assert!(refused("open").contains("can be written by everybody"), "{}", refused("open"));
        assert!(refused("plain").contains("can be run"));
        assert!(refused("odd.name").contains("is no name of a plugin"));
        assert!(refused("absent").contains("there is no program \"absent\" in plugin_dir"));
        assert!(refused("../good").contains("is no name"));
        assert_eq!(names(dir.path()), ["good", "open", "shared"]);
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(at("shared"), None, Some(7)).expect("changed");
            assert!(refused("shared").contains("can be written by group 7"));
            std::os::unix::fs::chown(at("good"), Some(7), None).expect("changed");
            assert!(refused("good").contains("can be written by user 7"));
            put(&at("again"), 0o755);
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).expect("set");
            assert!(refused("again").contains(&format!(
                "{} can be written by everybody",
                dir.path().canonicalize().expect("there").display()
            )));
        }
    }

    #[test]
    fn a_file_that_was_replaced_is_another_program() {
        let dir = tempfile::tempdir().expect("a directory");
        put(&dir.path().join("p"), 0o755);
        let first = trusted(dir.path(), "p").expect("good");
        assert_eq!(trusted(dir.path(), "p"), Ok(first.clone()));
        put(&dir.path().join("new"), 0o755);
        std::fs::rename(dir.path().join("new"), dir.path().join("p")).expect("renamed");
        assert_ne!(trusted(dir.path(), "p"), Ok(first));
    }
}
