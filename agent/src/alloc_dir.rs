//! Directories of allocations and their tasks, and paths that must stay within them.
//!
//! `<alloc_dir>/<alloc id>/alloc/{data,logs,tmp}` and `<task>/{local,secrets,private,tmp}`: `reference/semantics.md` 17.7.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use tarpan_model::{AllocId, name};

use crate::driver::TaskDirs;

/// Why a directory could not be made.
#[derive(Debug, thiserror::Error)]
#[error("creating {path}")]
pub struct DirError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// The paths of one allocation.
#[derive(Clone, Debug)]
pub struct AllocDir {
    pub root: PathBuf,
}

impl AllocDir {
    pub fn new(alloc_dir: &Path, id: AllocId) -> AllocDir {
        AllocDir { root: alloc_dir.join(id.to_string()) }
    }

    pub fn shared(&self) -> PathBuf {
        self.root.join("alloc")
    }

    pub fn logs(&self) -> PathBuf {
        self.shared().join("logs")
    }

    /// The paths of a task. A name that leads elsewhere, as an older server may have let through, stands for a directory that
    /// is never made: [`AllocDir::create_task`] refuses it.
    pub fn task(&self, task: &str) -> TaskDirs {
        let root = self.root.join(if name::part(task).is_ok() { task } else { "no task's name" });
        TaskDirs {
            alloc: self.root.clone(),
            shared: self.shared(),
            local: root.join("local"),
            secrets: root.join("secrets"),
            task: root,
        }
    }

    /// Makes what all tasks share. Doing it again changes nothing.
    pub fn create(&self) -> Result<(), DirError> {
        make(&self.root, 0o755)?;
        for dir in ["alloc", "alloc/data", "alloc/logs", "alloc/tmp"] {
            make(&self.root.join(dir), 0o777)?;
        }
        Ok(())
    }

    pub fn create_task(&self, task: &str) -> Result<TaskDirs, DirError> {
        let dirs = self.task(task);
        if let Err(wrong) = name::part(task) {
            let text = format!("the task name {} {wrong}", name::quoted(task));
            let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, text);
            return Err(DirError { path: dirs.task, source });
        }
        make(&dirs.task, 0o777)?;
        make(&dirs.local, 0o777)?;
        make(&dirs.secrets, 0o777)?;
        make(&dirs.task.join("private"), 0o777)?;
        make(&dirs.task.join("tmp"), 0o1777)?;
        Ok(dirs)
    }

    /// Ends mounts below it and removes everything.
    pub fn destroy(&self) -> std::io::Result<()> {
        unmount_below(&self.root);
        match std::fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn make(path: &Path, mode: u32) -> Result<(), DirError> {
    let failed = |source| DirError { path: path.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)
}

/// Takes away mounts that a crash may have left, deepest first: removing a directory must never reach into them.
fn unmount_below(root: &Path) {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mut points: Vec<PathBuf> =
        mounts.lines().filter_map(|l| l.split(' ').nth(1)).map(PathBuf::from).filter(|p| p.starts_with(root)).collect();
    points.sort_by_key(|p| std::cmp::Reverse(p.components().count()));
    for point in points {
        let _ = nix::mount::umount2(&point, nix::mount::MntFlags::MNT_DETACH);
    }
}

/// A path that leaves the directory it must stay in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Path escapes the alloc directory")]
pub struct Escapes;

/// `path` below `root`, as text: a leading `/` means the root, `..` may not climb above it. Symbolic links are not looked
/// at: use [`resolve`] where the file exists.
pub fn below(root: &Path, path: &str) -> Result<PathBuf, Escapes> {
    let mut inside = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::ParentDir if !inside.pop() => return Err(Escapes),
            Component::ParentDir | Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Ok(root.join(inside))
}

/// Like [`below`], and what is there must lie below `root` after links are followed.
pub fn resolve(root: &Path, path: &str) -> Result<PathBuf, Escapes> {
    let joined = below(root, path)?;
    confined(root, &joined).map(|()| joined)
}

/// The deepest part of `path` that exists, links followed, lies below `root`.
pub fn confined(root: &Path, path: &Path) -> Result<(), Escapes> {
    let Ok(root) = root.canonicalize() else { return Ok(()) };
    let mut existing = path;
    loop {
        if let Ok(real) = existing.canonicalize() {
            return if real.starts_with(&root) { Ok(()) } else { Err(Escapes) };
        }
        // A link that leads nowhere now may lead anywhere later.
        if existing.symlink_metadata().is_ok_and(|m| m.file_type().is_symlink()) {
            return Err(Escapes);
        }
        match existing.parent() {
            Some(parent) => existing = parent,
            None => return Ok(()),
        }
    }
}

/// The same as [`destination`], by its text alone and from the allocation's directory on: to be opened below
/// [`TaskDirs::open`], which looks at what is really there.
pub fn inside(dirs: &TaskDirs, path: &str) -> Result<PathBuf, Escapes> {
    let as_path = Path::new(path);
    let relative = |dir: &Path, path: &Path| {
        let whole = below(dir, &path.to_string_lossy())?;
        whole.strip_prefix(&dirs.alloc).map(Path::to_owned).map_err(|_| Escapes)
    };
    if let Ok(inside) = as_path.strip_prefix(&dirs.alloc) {
        return relative(&dirs.alloc, inside);
    }
    match as_path.strip_prefix("/alloc").or_else(|_| as_path.strip_prefix("../alloc")) {
        Ok(inside) => relative(&dirs.shared, inside),
        Err(_) => relative(&dirs.task, as_path),
    }
}

/// Where a template or an artifact goes: below the task's directory. A path as the task sees it (`/local/x`, `/alloc/x`,
/// `/secrets/x`) is taken as such; `${NOMAD_ALLOC_DIR}` and friends that name the node's own directories too.
pub fn destination(dirs: &TaskDirs, path: &str) -> Result<PathBuf, Escapes> {
    let as_path = Path::new(path);
    if let Ok(inside) = as_path.strip_prefix(&dirs.alloc) {
        return resolve(&dirs.alloc, &inside.to_string_lossy());
    }
    let shared = as_path.strip_prefix("/alloc").or_else(|_| as_path.strip_prefix("../alloc"));
    if let Ok(inside) = shared {
        return resolve(&dirs.shared, &inside.to_string_lossy());
    }
    resolve(&dirs.task, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below() {
        let root = Path::new("/r");
        for (path, expected) in
            [("a/b", Some("/r/a/b")), ("/a/../b", Some("/r/b")), ("..", None), ("a/../../b", None), ("./", Some("/r"))]
        {
            assert_eq!(below(root, path).ok(), expected.map(PathBuf::from), "{path}");
        }
    }

    #[test]
    fn links_are_followed_before_they_are_trusted() {
        let dir = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink("/etc", dir.path().join("out")).expect("linked");
        std::os::unix::fs::symlink("/nowhere", dir.path().join("dangling")).expect("linked");
        assert_eq!(resolve(dir.path(), "out/passwd"), Err(Escapes));
        assert_eq!(resolve(dir.path(), "dangling"), Err(Escapes));
        assert!(resolve(dir.path(), "new/file").is_ok());
    }

    #[test]
    fn a_task_name_never_leads_out_of_the_allocation() {
        let base = tempfile::tempdir().expect("a directory");
        let dir = AllocDir::new(base.path(), AllocId(uuid::Uuid::from_u128(7)));
        dir.create().expect("made");
        let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o7777;
        let before = (mode(base.path()), mode(&dir.root));
        for name in ["..", ".", "../other", "/etc", "a/b", "a\0b", ""] {
            assert!(dir.task(name).task.parent() == Some(&dir.root), "{name:?}");
            let refused = dir.create_task(name).expect_err(name);
            let text = crate::chain(&refused);
            assert!(text.contains("the task name"), "{text}");
        }
        assert_eq!((mode(base.path()), mode(&dir.root)), before);
        assert_eq!(std::fs::read_dir(&dir.root).expect("listed").count(), 1, "nothing but the shared directory");
    }

    #[test]
    fn directories_are_made_and_removed() {
        let base = tempfile::tempdir().expect("a directory");
        let dir = AllocDir::new(base.path(), AllocId(uuid::Uuid::from_u128(7)));
        dir.create().expect("made");
        let task = dir.create_task("web").expect("made");
        assert!(task.local.is_dir() && task.secrets.is_dir() && dir.logs().is_dir());
        for (path, expected) in
            [("local/x", "web/local/x"), ("/alloc/data/x", "alloc/data/x"), ("/secrets/../x", "web/x")]
        {
            assert_eq!(inside(&task, path), Ok(PathBuf::from(expected)), "{path}");
        }
        assert_eq!(inside(&task, &task.secrets.join("k").to_string_lossy()), Ok(PathBuf::from("web/secrets/k")));
        assert_eq!(inside(&task, "../other/secrets"), Err(Escapes));
        assert_eq!(destination(&task, "local/x"), Ok(task.local.join("x")));
        assert_eq!(destination(&task, "/alloc/data/x"), Ok(dir.shared().join("data/x")));
        assert_eq!(destination(&task, &task.secrets.join("k").to_string_lossy()), Ok(task.secrets.join("k")));
        dir.destroy().expect("removed");
        assert!(!dir.root.exists());
    }
}
