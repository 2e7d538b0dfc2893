//! Directories of allocations and their tasks, and paths that must stay within them.
//!
//! `<alloc_dir>/<alloc id>/alloc/{data,logs,tmp}` and `<task>/{local,secrets,private,tmp}`: `reference/semantics.md` 17.7.

use std::path::{Component, Path, PathBuf};

use tarpan_model::{AllocId, name};

use crate::ground::{self, Attr, Dir};

/// Where the rotated logs are, below an allocation's directory.
pub const LOGS: &str = "alloc/logs";

/// Of a task's secrets, where its resources say nothing. Source: `reference/semantics.md` 17.7.
pub const DEFAULT_SECRETS_MB: i64 = 1;

/// Why a directory could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// The task's name can't be that of a directory.
    #[error("{0}")]
    Name(String),
    #[error("preparing {path}")]
    Make {
        path: PathBuf,
        #[source]
        source: ground::Error,
    },
}

/// Who must be able to enter a task's secrets besides the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reader {
    /// A process of the agent's own user.
    #[default]
    Agent,
    User {
        uid: u32,
        gid: u32,
    },
    /// A container. Which user its image runs as, and what that user is called outside, only the engine knows: the door
    /// is then the directory around, which nobody but the agent and the engine passes.
    Container,
}

impl Reader {
    fn around(self) -> Attr {
        match self {
            Reader::Agent | Reader::User { .. } => Attr::mode(0o777),
            Reader::Container => Attr::mode(0o700),
        }
    }

    fn secrets(self) -> Attr {
        match self {
            Reader::Agent => Attr::mode(0o700),
            Reader::User { uid, gid } => Attr::mode(0o700).owned(uid, gid),
            Reader::Container => Attr::mode(0o777),
        }
    }
}

/// A task's directories on the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskDirs {
    /// `<alloc_dir>/<alloc id>`.
    pub alloc: PathBuf,
    /// `alloc/` of the allocation, shared by its tasks.
    pub shared: PathBuf,
    /// The task's own root.
    pub task: PathBuf,
    pub local: PathBuf,
    pub secrets: PathBuf,
}

impl TaskDirs {
    /// The allocation's directory, to open things below it.
    pub fn open(&self) -> Result<Dir, ground::Error> {
        Dir::trusted(&self.alloc)
    }
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

    fn failed(&self, name: &str) -> impl FnOnce(ground::Error) -> DirError + use<> {
        let path = self.root.join(name);
        move |source| DirError::Make { path, source }
    }

    /// The agent's own directory of allocations, and the name of this one in it.
    fn place(&self) -> Result<(Dir, &Path), ground::Error> {
        let (parent, name) = (self.root.parent(), self.root.file_name());
        Ok((Dir::trusted(parent.unwrap_or(Path::new("/")))?, Path::new(name.unwrap_or_default())))
    }

    /// Makes what all tasks share. Doing it again changes nothing.
    pub fn create(&self) -> Result<(), DirError> {
        let root = self.place().and_then(|(parent, name)| parent.make_dir(name, Attr::mode(0o755)));
        let root = root.map_err(self.failed(""))?;
        for dir in ["alloc", "alloc/data", LOGS, "alloc/tmp"] {
            root.renew_dir(Path::new(dir), Attr::mode(0o777)).map_err(self.failed(dir))?;
        }
        Ok(())
    }

    /// The directories of a task that the agent's own user runs.
    pub fn create_task(&self, task: &str) -> Result<TaskDirs, DirError> {
        self.create_task_for(task, Reader::Agent)
    }

    /// The directories of a task. Nobody else than it and the agent comes to its secrets.
    pub fn create_task_for(&self, task: &str, reader: Reader) -> Result<TaskDirs, DirError> {
        let dirs = self.task(task);
        if let Err(wrong) = name::part(task) {
            let text = format!("the task name {} {wrong}", name::quoted(task));
            return Err(DirError::Name(text));
        }
        let (around, secrets) = (reader.around(), reader.secrets());
        let root = Dir::trusted(&self.root).map_err(self.failed(""))?;
        let own = root.renew_dir(Path::new(task), around).map_err(self.failed(task))?;
        for (name, attr) in
            [("local", Attr::mode(0o777)), ("secrets", secrets), ("private", secrets), ("tmp", Attr::mode(0o1777))]
        {
            own.renew_dir(Path::new(name), attr).map_err(self.failed(&format!("{task}/{name}")))?;
        }
        Ok(dirs)
    }

    /// Has the task's secrets held in memory, at most `mb` of them, for `reader`. Doing it again changes nothing.
    pub fn mount_secrets(&self, task: &str, reader: Reader, mb: u64) -> Result<(), DirError> {
        let shown = format!("{task}/secrets");
        let own = Dir::trusted(&self.root).and_then(|root| root.dir(Path::new(task))).map_err(self.failed(&shown))?;
        own.mount_memory(Path::new("secrets"), mb << 20).map_err(self.failed(&shown))?;
        own.renew_dir(Path::new("secrets"), reader.secrets()).map(drop).map_err(self.failed(&shown))
    }

    /// Takes them away. What is not there is gone already.
    pub fn unmount_secrets(&self, task: &str) -> Result<(), ground::Error> {
        match Dir::trusted(&self.root).and_then(|root| root.dir(Path::new(task))) {
            Ok(own) => own.unmount(Path::new("secrets")),
            Err(error) if error.not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Ends mounts below it and removes everything.
    pub fn destroy(&self) -> Result<(), ground::Error> {
        match Dir::trusted(&self.root) {
            Ok(root) => root.unmount_below(),
            Err(error) if error.not_found() => return Ok(()),
            Err(error) => return Err(error),
        }
        let (parent, name) = self.place()?;
        parent.remove_tree(name)
    }
}

/// The directory of the rotated logs below an allocation's, made anew where something else stands in its place.
pub(crate) fn logs_dir(alloc: &Dir) -> Result<Dir, ground::Error> {
    match alloc.dir(Path::new(LOGS)) {
        Ok(dir) => Ok(dir),
        Err(error) if error.not_found() || error.is_odd() => {
            alloc.renew_dir(Path::new("alloc"), Attr::mode(0o777))?;
            alloc.renew_dir(Path::new(LOGS), Attr::mode(0o777))
        }
        Err(error) => Err(error),
    }
}

/// A path that leaves the directory it must stay in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Path escapes the alloc directory")]
pub struct Escapes;

/// `path` below `root`, as text: a leading `/` means the root, `..` may not climb above it. Symbolic links are not looked
/// at: [`crate::ground`] does that where it opens.
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

/// Where a template or an artifact goes, from the allocation's directory on: below the task's own. A path as the task sees
/// it (`/local/x`, `/alloc/x`, `/secrets/x`) is taken as such; `${NOMAD_ALLOC_DIR}` and friends that name the node's own
/// directories too. By its text alone: it is opened below [`TaskDirs::open`], which looks at what is really there.
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

    fn mode(path: &Path) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        path.symlink_metadata().expect("there").permissions().mode() & 0o7777
    }

    #[test]
    fn secrets_are_the_tasks_alone() {
        use std::os::unix::fs::MetadataExt;
        let base = tempfile::tempdir().expect("a directory");
        let dir = AllocDir::new(base.path(), AllocId(uuid::Uuid::from_u128(7)));
        dir.create().expect("made");
        let user = dir.create_task_for("a", Reader::User { uid: 4711, gid: 12 }).expect("made");
        assert_eq!(mode(&user.secrets), 0o700);
        if nix::unistd::geteuid().is_root() {
            let meta = user.secrets.metadata().expect("there");
            assert_eq!((meta.uid(), meta.gid()), (4711, 12));
        }
        let container = dir.create_task_for("b", Reader::Container).expect("made");
        assert_eq!((mode(&container.task), mode(&container.secrets)), (0o700, 0o777));
    }

    #[test]
    fn links_in_place_of_directories_change_nothing_on_the_host() {
        let (base, host) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let dir = AllocDir::new(base.path(), AllocId(uuid::Uuid::from_u128(7)));
        dir.create().expect("made");
        dir.create_task("web").expect("made");
        let before = mode(host.path());
        let all = ["alloc/tmp", "alloc/logs", "web/tmp", "web/secrets", "web/local"];
        for name in all {
            std::fs::remove_dir(dir.root.join(name)).expect("removed");
            std::os::unix::fs::symlink(host.path(), dir.root.join(name)).expect("linked");
        }
        dir.create().expect("again");
        dir.create_task("web").expect("again");
        assert_eq!(mode(host.path()), before);
        for name in all {
            assert!(dir.root.join(name).symlink_metadata().expect("there").is_dir(), "{name}");
        }
        std::os::unix::fs::symlink(host.path(), dir.root.join("web/local/out")).expect("linked");
        std::fs::write(host.path().join("kept"), "x").expect("written");
        dir.destroy().expect("removed");
        assert!(!dir.root.exists() && host.path().join("kept").exists());
    }

    /// Needs root and a kernel that lets it mount.
    #[test]
    fn secrets_are_held_in_memory_and_bounded() {
        use std::os::unix::fs::MetadataExt;
        if !nix::unistd::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none(), "only root mounts");
            eprintln!("skipped: only root mounts");
            return;
        }
        let base = tempfile::tempdir().expect("a directory");
        let dir = AllocDir::new(&base.path().canonicalize().expect("there"), AllocId(uuid::Uuid::from_u128(7)));
        dir.create().expect("made");
        let reader = Reader::User { uid: 4711, gid: 12 };
        let task = dir.create_task_for("web", reader).expect("made");
        let mounts = || {
            let text = std::fs::read_to_string("/proc/self/mounts").expect("readable");
            let of = |line: &&str| line.contains(&*task.secrets.to_string_lossy());
            text.lines().filter(of).map(str::to_owned).collect::<Vec<_>>()
        };
        dir.mount_secrets("web", reader, 1).expect("mounted");
        std::fs::write(task.secrets.join("token"), "t").expect("written");
        // The next start of the task, and an agent that comes back.
        dir.create_task_for("web", reader).expect("again");
        dir.mount_secrets("web", reader, 1).expect("again");
        assert_eq!(std::fs::read_to_string(task.secrets.join("token")).expect("kept"), "t");
        let meta = task.secrets.metadata().expect("there");
        assert_eq!((meta.uid(), meta.gid(), mode(&task.secrets)), (4711, 12, 0o700));
        let [mount] = &mounts()[..] else { panic!("{:?}", mounts()) };
        assert!(mount.starts_with("tmpfs ") && mount.contains("nosuid,nodev,noexec"), "{mount}");
        assert!(std::fs::write(task.secrets.join("large"), vec![0; 2 << 20]).is_err(), "it is bounded");
        dir.unmount_secrets("web").expect("unmounted");
        dir.unmount_secrets("web").expect("nothing is there");
        assert!(mounts().is_empty() && !task.secrets.join("token").exists());
        dir.unmount_secrets("nobody").expect("nor such a task");
        dir.mount_secrets("web", reader, 1).expect("mounted");
        dir.destroy().expect("removed");
        assert!(mounts().is_empty() && !dir.root.exists());
    }

    /// Needs root and a kernel that lets it mount.
    #[test]
    fn mounts_are_not_reached_into() {
        let (base, host) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let base_path = base.path().canonicalize().expect("there");
        let dir = AllocDir::new(&base_path, AllocId(uuid::Uuid::from_u128(7)));
        dir.create().expect("made");
        std::fs::write(host.path().join("kept"), "x").expect("written");
        let point = dir.root.join("alloc/a mount");
        std::fs::create_dir(&point).expect("made");
        let none: Option<&str> = None;
        if nix::mount::mount(Some(host.path()), &point, none, nix::mount::MsFlags::MS_BIND, none).is_err() {
            eprintln!("skipped: mounting is not permitted here");
            return;
        }
        assert!(point.join("kept").exists());
        dir.destroy().expect("removed");
        assert!(!dir.root.exists() && host.path().join("kept").exists());
    }

    #[test]
    fn a_task_name_never_leads_out_of_the_allocation() {
        let base = tempfile::tempdir().expect("a directory");
        let dir = AllocDir::new(base.path(), AllocId(uuid::Uuid::from_u128(7)));
        dir.create().expect("made");
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
        assert_eq!((mode(&task.secrets), mode(&task.task), mode(&dir.shared().join("tmp"))), (0o700, 0o777, 0o777));
        for (path, expected) in
            [("local/x", "web/local/x"), ("/alloc/data/x", "alloc/data/x"), ("/secrets/../x", "web/x")]
        {
            assert_eq!(inside(&task, path), Ok(PathBuf::from(expected)), "{path}");
        }
        assert_eq!(inside(&task, &task.secrets.join("k").to_string_lossy()), Ok(PathBuf::from("web/secrets/k")));
        assert_eq!(inside(&task, "../other/secrets"), Err(Escapes));
        dir.destroy().expect("removed");
        assert!(!dir.root.exists());
    }
}
