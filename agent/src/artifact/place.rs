//! From what was fetched to files where the job wants them.
//!
//! What lies in the scratch directory was made by a process that read strangers' bytes, and is trusted no more than they are:
//! only regular files of one name, directories, and links that stay inside are taken, without set-id bits. Each gets its owner
//! and is moved to the destination, entry by entry and without following a link. What fails leaves nothing behind.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::owner::Owner;
use super::request::{FILE, Made, TREE};
use super::unpack::UnpackError;
use super::{Artifact, ArtifactError, Parsed, Watch};
use crate::alloc_dir::{TaskDirs, below};
use crate::ground::{self, Dir, Kind};
use crate::options::ArtifactLimits;

/// Levels of a tree that is moved: each holds two directories open.
const DEPTH: usize = 100;

/// What is left to do when everything was fetched.
pub(super) struct Job<'a> {
    pub artifact: &'a Artifact,
    pub parsed: &'a Parsed,
    pub scratch: &'a Dir,
    /// Below the allocation's directory.
    pub target: PathBuf,
    pub limits: &'a ArtifactLimits,
    pub watch: &'a Watch,
}

impl Job<'_> {
    pub fn run(&self, made: &Made, owner: Owner, dirs: &TaskDirs) -> Result<(), ArtifactError> {
        let alloc = dirs.open()?;
        match made {
            Made::File { name } => self.put(&alloc, name, owner),
            Made::Tree => {
                let from = self.subdirectory(self.scratch.dir(Path::new(TREE))?)?;
                let moving = self.moving(owner, Some(from.again()?));
                // Nothing is moved before all of it was looked at.
                moving.look(&from, Path::new(""), 0)?;
                let target = alloc.make_dirs(&self.target, owner.attr(0o755))?;
                moving.tree(&from, &target, 0)
            }
        }
    }

    fn moving(&self, owner: Owner, top: Option<Dir>) -> Moving<'_> {
        Moving { watch: self.watch, limits: self.limits, owner, top }
    }

    /// One file. In `file` mode the destination names it; otherwise it is the directory that the file goes into.
    fn put(&self, alloc: &Dir, name: &str, owner: Owner) -> Result<(), ArtifactError> {
        let path = match self.artifact.mode.as_str() {
            "file" => self.target.clone(),
            _ => below(&self.target, name).map_err(|_| ArtifactError::Destination(name.to_owned()))?,
        };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(ArtifactError::Destination(name.to_owned()));
        };
        let moving = self.moving(owner, None);
        moving.own(self.scratch, OsStr::new(FILE), Some(0o644))?;
        let to = alloc.make_dirs(parent, owner.attr(0o755))?;
        moving.file(self.scratch, OsStr::new(FILE), &to, name)
    }

    fn subdirectory(&self, out: Dir) -> Result<Dir, ArtifactError> {
        let Some(name) = &self.parsed.subdirectory else { return Ok(out) };
        let found = out.find(Path::new(name)).and_then(ground::Found::into_dir);
        found.map_err(|_| ArtifactError::NoSubdirectory(name.clone()))
    }
}

/// Moves what is whole to where it belongs.
struct Moving<'a> {
    watch: &'a Watch,
    limits: &'a ArtifactLimits,
    owner: Owner,
    /// No link may lead out of it.
    top: Option<Dir>,
}

impl Moving<'_> {
    /// Looks at everything below, gives it to its owner, and refuses what has no business in a task's directory.
    fn look(&self, from: &Dir, path: &Path, depth: usize) -> Result<(), ArtifactError> {
        if depth > DEPTH {
            return Err(UnpackError::Deep(DEPTH).into());
        }
        for name in from.names()? {
            self.watch.check()?;
            let here = path.join(&name);
            match from.entry(&name)?.kind() {
                Kind::Dir => self.look(&from.dir(Path::new(&name))?, &here, depth + 1)?,
                Kind::File => self.own(from, &name, None)?,
                Kind::Link => self.link(&here)?,
                kind => return Err(ground::Error::Kind { path: here, kind }.into()),
            }
        }
        Ok(())
    }

    /// A link may lead to nothing, but not out.
    fn link(&self, path: &Path) -> Result<(), ArtifactError> {
        let (Some(top), false) = (&self.top, self.limits.disable_inspection) else { return Ok(()) };
        match top.find(path) {
            Err(ground::Error::Escapes) => Err(UnpackError::Escapes(path.to_string_lossy().into_owned()).into()),
            _ => Ok(()),
        }
    }

    /// Owner and permissions: those that it has, without a stranger's set-id bits, or the ones given.
    fn own(&self, from: &Dir, name: &OsStr, mode: Option<u32>) -> Result<(), ArtifactError> {
        let found = from.find_plain(Path::new(name))?;
        if found.meta().links() > 1 {
            return Err(ground::Error::SeveralNames { path: name.into() }.into());
        }
        let attr = self.owner.attr(mode.unwrap_or(found.meta().mode() & 0o777));
        if attr.is(found.meta()) {
            return Ok(());
        }
        attr.set(found.file()?).map_err(ArtifactError::Write)
    }

    /// Everything in a directory; what is there already is replaced, directories are entered.
    fn tree(&self, from: &Dir, to: &Dir, depth: usize) -> Result<(), ArtifactError> {
        if depth > DEPTH {
            return Err(UnpackError::Deep(DEPTH).into());
        }
        for name in from.names()? {
            self.watch.check()?;
            if from.entry(&name)?.is_dir() {
                let (inner, target) =
                    (from.dir(Path::new(&name))?, to.make_dirs(Path::new(&name), self.owner.attr(0o755))?);
                self.tree(&inner, &target, depth + 1)?;
            } else {
                self.file(from, &name, to, &name)?;
            }
        }
        Ok(())
    }

    fn file(&self, from: &Dir, name: &OsStr, to: &Dir, as_name: &OsStr) -> Result<(), ArtifactError> {
        match from.rename(name, to, as_name) {
            // The destination is a file system of its own.
            Err(ground::Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::CrossesDevices => {
                self.copy(from, name, to, as_name)
            }
            moved => Ok(moved?),
        }
    }

    fn copy(&self, from: &Dir, name: &OsStr, to: &Dir, as_name: &OsStr) -> Result<(), ArtifactError> {
        let found = from.find_plain(Path::new(name))?;
        let (mode, mut source) = (found.meta().mode(), found.file()?);
        let (mut copy, temporary) = to.temporary("artifact")?;
        let written = pump(&mut source, &mut copy, self.watch)
            .and_then(|()| self.owner.attr(mode).set(&copy).map_err(ArtifactError::Write));
        let done = written.and_then(|()| Ok(to.rename(&temporary, to, as_name)?));
        if done.is_err() {
            let _ = to.remove_file(Path::new(&temporary));
        }
        done
    }
}

fn pump(from: &mut dyn Read, to: &mut dyn Write, watch: &Watch) -> Result<(), ArtifactError> {
    let mut buffer = vec![0u8; 64 << 10];
    loop {
        watch.check()?;
        match from.read(&mut buffer).map_err(ArtifactError::Write)? {
            0 => return Ok(()),
            n => to.write_all(&buffer[..n]).map_err(ArtifactError::Write)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::time::Duration;

    use super::*;
    use crate::alloc_dir::AllocDir;

    struct Place {
        home: tempfile::TempDir,
        dirs: TaskDirs,
    }

    impl Place {
        fn new() -> Place {
            let home = tempfile::tempdir().expect("a directory");
            let alloc = AllocDir { root: home.path().join("alloc-1") };
            alloc.create().expect("made");
            std::fs::create_dir_all(home.path().join("scratch/out/d")).expect("made");
            std::fs::write(home.path().join("host"), "the node's").expect("written");
            Place { dirs: alloc.create_task("t").expect("made"), home }
        }

        fn out(&self, name: &str) -> PathBuf {
            self.home.path().join("scratch/out").join(name)
        }

        fn run(&self, made: &Made, limits: &ArtifactLimits) -> Result<(), String> {
            let parsed = Parsed { url: String::new(), subdirectory: None, options: BTreeMap::new() };
            let (watch, _waiting) = Watch::new(Duration::from_secs(60));
            let scratch = Dir::trusted(&self.home.path().join("scratch")).expect("there");
            let artifact = Artifact { mode: "any".into(), ..Artifact::default() };
            let (parsed, artifact) = (&parsed, &artifact);
            let target = PathBuf::from("t/local/x");
            let job = Job { artifact, parsed, scratch: &scratch, target, limits, watch: &watch };
            let owner = Owner::of(artifact).expect("the agent");
            job.run(made, owner, &self.dirs).map_err(|e| crate::chain(&e))
        }

        fn placed(&self) -> bool {
            self.dirs.local.join("x").exists()
        }
    }

    /// What a process that strangers' bytes have taken over may leave behind.
    #[test]
    fn what_was_fetched_is_trusted_no_more_than_its_source() {
        type Plant = fn(&Place);
        let limits = ArtifactLimits::default();
        let plants: [(&str, Plant, &str); 6] = [
            (
                "absolute",
                |p| symlink("/etc/shadow", p.out("d/l")).expect("linked"),
                "would lead out of the destination",
            ),
            ("up", |p| symlink("../../..", p.out("d/l")).expect("linked"), "would lead out of the destination"),
            (
                "together",
                |p| {
                    symlink("d", p.out("a")).expect("linked");
                    symlink("a/../../scratch", p.out("b")).expect("linked");
                },
                "would lead out of the destination",
            ),
            (
                "a second name",
                |p| std::fs::hard_link(p.home.path().join("host"), p.out("d/f")).expect("linked"),
                "several names",
            ),
            (
                "a pipe",
                |p| nix::unistd::mkfifo(&p.out("d/p"), nix::sys::stat::Mode::S_IRWXU).expect("made"),
                "a named pipe",
            ),
            ("a socket", |p| drop(std::os::unix::net::UnixListener::bind(p.out("d/s")).expect("bound")), "a socket"),
        ];
        for (what, plant, why) in plants {
            let place = Place::new();
            plant(&place);
            let error = place.run(&Made::Tree, &limits).expect_err(what);
            assert!(error.contains(why), "{what}: {error}");
            assert!(!place.placed(), "{what}");
        }
    }

    #[test]
    fn files_are_given_to_their_owner_without_a_strangers_rights() {
        let place = Place::new();
        std::fs::write(place.out("d/f"), "x").expect("written");
        std::fs::set_permissions(place.out("d/f"), PermissionsExt::from_mode(0o6755)).expect("set");
        std::os::unix::fs::chown(place.out("d/f"), Some(65_534), Some(65_534)).expect("needs root");
        std::fs::set_permissions(place.out("d/f"), PermissionsExt::from_mode(0o6755)).expect("set");
        symlink("f", place.out("d/l")).expect("linked");
        place.run(&Made::Tree, &ArtifactLimits::default()).expect("placed");
        let meta = place.dirs.local.join("x/d/f").metadata().expect("there");
        assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (0o755, 0, 0));
        assert_eq!(std::fs::read_to_string(place.dirs.local.join("x/d/l")).expect("inside"), "x");
    }

    #[test]
    fn the_name_of_a_file_leads_nowhere_else() {
        let place = Place::new();
        std::fs::write(place.home.path().join("scratch/file"), "x").expect("written");
        for name in ["../../../evil", "..", "a/../../../../evil"] {
            let made = Made::File { name: name.to_owned() };
            let error = place.run(&made, &ArtifactLimits::default()).expect_err(name);
            assert!(error.contains("leaves the task's directory"), "{name}: {error}");
        }
        assert!(!place.dirs.alloc.join("evil").exists());
    }
}
