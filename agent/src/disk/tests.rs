//! Disks from one directory to another, whole ones, cut ones and hostile ones.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

struct Place {
    home: tempfile::TempDir,
    kept: Vec<(PathBuf, &'static str)>,
}

impl Place {
    fn new() -> Place {
        let home = tempfile::tempdir().expect("a directory");
        for root in ["old", "new"] {
            let dir = AllocDir { root: home.path().join(root) };
            dir.create().expect("made");
            dir.create_task("web").expect("made");
        }
        Place { home, kept: vec![("alloc".into(), "data"), ("web".into(), "local")] }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn sent(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        send::write(&Dir::trusted(&self.path("old")).expect("there"), &self.kept, &mut bytes).expect("in memory");
        bytes
    }

    fn receive(&self, bytes: &[u8]) -> Result<(), String> {
        let (sender, pipe) = receive::pipe();
        let bytes = bytes.to_vec();
        let feeding = std::thread::spawn(move || {
            for piece in bytes.chunks(1000) {
                if sender.blocking_send(piece.to_vec().into()).is_err() {
                    break;
                }
            }
        });
        let placed = place(&self.path("new"), &self.kept, pipe).map_err(|e| crate::chain(&e));
        feeding.join().expect("no panic");
        assert!(!self.path("new").join(INCOMING).exists(), "nothing is left");
        placed
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path("new").join(name)).ok()
    }
}

fn filled() -> Place {
    let place = Place::new();
    let (data, local) = (place.path("old/alloc/data"), place.path("old/web/local"));
    std::fs::create_dir_all(data.join("deep/er")).expect("made");
    std::fs::write(data.join("deep/er/file"), "data").expect("written");
    std::fs::write(data.join("large"), vec![7; 300_000]).expect("written");
    std::fs::write(local.join(format!("{}x", "long".repeat(50))), "a long name").expect("written");
    std::fs::write(local.join("run"), "#!").expect("written");
    std::fs::set_permissions(local.join("run"), PermissionsExt::from_mode(0o4711)).expect("set");
    symlink("run", local.join("link")).expect("linked");
    symlink("/local/run", local.join("as-the-task-sees-it")).expect("linked");
    nix::unistd::mkfifo(&local.join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("made");
    std::fs::write(place.path("old/web/secrets/key"), "secret").expect("written");
    place
}

#[test]
fn a_disk_arrives_as_it_was_and_nothing_else_does() {
    let place = filled();
    let root = nix::unistd::geteuid().is_root();
    if root {
        std::os::unix::fs::chown(place.path("old/alloc/data/large"), Some(4711), Some(12)).expect("set");
    }
    place.receive(&place.sent()).expect("taken over");
    assert_eq!(place.read("alloc/data/deep/er/file").as_deref(), Some("data"));
    assert_eq!(place.read(&format!("web/local/{}x", "long".repeat(50))).as_deref(), Some("a long name"));
    let meta = |name: &str| place.path("new").join(name).symlink_metadata();
    let large = meta("alloc/data/large").expect("there");
    assert_eq!(large.len(), 300_000);
    assert!(!root || (large.uid(), large.gid()) == (4711, 12));
    let before = place.path("old/alloc/data/large").metadata().expect("there");
    assert_eq!(large.mtime(), before.mtime());
    assert_eq!(meta("web/local/run").expect("there").mode() & 0o7777, 0o711, "no set-id bits");
    let link = std::fs::read_link(place.path("new/web/local/as-the-task-sees-it")).expect("a link");
    assert_eq!(link, Path::new("/local/run"));
    assert_eq!(place.read("web/local/link").as_deref(), Some("#!"));
    assert!(meta("web/local/pipe").is_err() && meta("web/secrets/key").is_err());
}

#[test]
fn what_is_cut_off_anywhere_changes_nothing() {
    let place = filled();
    let whole = place.sent();
    let end = whole.len() - 3 * 512;
    for at in (0..end).step_by(whole.len() / 40) {
        let error = place.receive(&whole[..at]).expect_err("cut");
        assert_eq!(error, "it was cut off", "at {at} of {}", whole.len());
        assert!(place.read("alloc/data/deep/er/file").is_none());
    }
    place.receive(&whole).expect("taken over");
}

#[test]
fn what_another_node_sends_stays_below_and_is_bounded() {
    let place = Place::new();
    let tar = |kind: tar::EntryType, name: &str, target: &str, content: &[u8]| {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().expect("gnu").name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_gnu_mut().expect("gnu").linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).expect("in memory");
        builder.into_inner().expect("in memory")
    };
    use tar::EntryType as T;
    for (kind, name, target) in [
        (T::Regular, "../evil", ""),
        (T::Regular, "alloc/data/../../../evil", ""),
        (T::Regular, "/etc/evil", ""),
        (T::Regular, "web/secrets/key", ""),
        (T::Regular, "alloc/logs/x", ""),
        (T::Regular, "other/local/x", ""),
        (T::Link, "alloc/data/x", "/etc/passwd"),
        (T::Char, "alloc/data/null", ""),
        (T::Fifo, "alloc/data/pipe", ""),
    ] {
        let error = place.receive(&tar(kind, name, target, b"")).expect_err(name);
        assert!(error.contains("which is no part of a disk"), "{name}: {error}");
    }
    assert!(!place.path("evil").exists() && place.read("web/secrets/key").is_none());
    // A link in place of a directory: nothing is written through it.
    let outside = place.path("outside");
    std::fs::create_dir(&outside).expect("made");
    let mut through = tar(T::Symlink, "alloc/data/l", &outside.to_string_lossy(), b"");
    through.truncate(512);
    through.extend(tar(T::Regular, "alloc/data/l/f", "", b"x"));
    let error = place.receive(&through).expect_err("through a link");
    assert!(error.contains("nothing is written through links"), "{error}");
    assert_eq!(std::fs::read_dir(&outside).expect("listed").count(), 0);
    // A name of eight megabytes.
    let long = tar(T::GNULongName, "long", "", &vec![b'n'; 8 << 20]);
    let error = place.receive(&long).expect_err("too long");
    assert!(error.contains("names and attributes in it are too long"), "{error}");
    let told = tar(T::Regular, send::END, "", b"its disk is gone");
    assert_eq!(place.receive(&told).expect_err("told"), "the node it is on says: its disk is gone");
}

#[test]
fn fuzz_any_disk_stays_below_its_directory() {
    let place = filled();
    let whole = place.sent();
    let small = &whole[..whole.len().min(6_000)];
    let words = ["../", "/etc", "alloc/data", "web/local", "ustar", send::END];
    let fuzz = tarpan_testkit::fuzz::Fuzz::new(env!("CARGO_MANIFEST_DIR"), "disks").words(&words);
    let fuzz = fuzz.seeds([small.to_vec()]).longest(8_000);
    fuzz.bytes(|input| {
        let mut bytes = input.to_vec();
        // Headers carry sums, which no mutation gets right.
        for block in bytes.as_chunks_mut::<512>().0 {
            if block[257..262] == *b"ustar" {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        let place = Place::new();
        let done = place.receive(&bytes);
        let names = std::fs::read_dir(place.home.path()).expect("listed").count();
        assert_eq!(names, 2, "nothing beside the two directories");
        format!("{:.30}", done.err().unwrap_or_default())
    });
}
