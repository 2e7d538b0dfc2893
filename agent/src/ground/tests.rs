//! Both ways (`openat2`, step by step) against what a task can put in the way.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::*;

const WAYS: [Ways; 2] = [Ways { openat2: true, links_guarded: true }, Ways { openat2: false, links_guarded: true }];

/// A directory that a task owns, and beside it something of the host.
struct Place {
    base: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let base = tempfile::tempdir().expect("a directory");
        for dir in ["root/sub", "host"] {
            std::fs::create_dir_all(base.path().join(dir)).expect("made");
        }
        std::fs::write(base.path().join("host/secret"), "the host's").expect("written");
        std::fs::write(base.path().join("root/sub/file"), "the task's").expect("written");
        Place { base }
    }

    fn root(&self) -> PathBuf {
        self.base.path().join("root")
    }

    fn host(&self) -> PathBuf {
        self.base.path().join("host")
    }

    fn dirs(&self) -> [Dir; 2] {
        WAYS.map(|ways| Dir::with(&self.root(), ways).expect("opened"))
    }

    fn host_is_untouched(&self) {
        let names: Vec<_> = std::fs::read_dir(self.host()).expect("there").flatten().map(|e| e.file_name()).collect();
        assert_eq!(names, ["secret"]);
        assert_eq!(std::fs::read_to_string(self.host().join("secret")).expect("there"), "the host's");
    }
}

fn text(dir: &Dir, path: &str) -> Result<String, Error> {
    let mut text = String::new();
    dir.read(Path::new(path))?.read_to_string(&mut text).expect("text");
    Ok(text)
}

fn pipe(path: &Path) {
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o666)).expect("made");
}

#[test]
fn this_machine_is_tried_both_ways() {
    assert!(walk::has_openat2(), "the kernel that tests run on has openat2");
}

#[test]
fn links_inside_are_followed_and_links_out_are_not() {
    let place = Place::new();
    let root = place.root();
    symlink("sub", root.join("current")).expect("linked");
    symlink(root.join("sub/file"), root.join("absolute")).expect("linked");
    symlink("../current/../sub/./file", root.join("sub/round")).expect("linked");
    symlink(".", root.join("self")).expect("linked");
    symlink("../host/secret", root.join("out")).expect("linked");
    symlink(place.host(), root.join("sub/host")).expect("linked");
    symlink("loop", root.join("loop")).expect("linked");
    symlink("nothing", root.join("dangling")).expect("linked");
    for dir in place.dirs() {
        for path in [
            "sub/file",
            "/sub/file",
            "current/file",
            "absolute",
            "sub/round",
            "self/self/current/round",
            "x/../sub/file",
        ] {
            assert_eq!(text(&dir, path).expect(path), "the task's", "{path}");
        }
        for path in ["out", "sub/host/secret", "..", "../host/secret", "sub/../../host/secret", "current/host/secret"] {
            assert!(matches!(text(&dir, path), Err(Error::Escapes)), "{path}");
        }
        assert!(matches!(text(&dir, "loop"), Err(Error::Links { .. })));
        assert!(text(&dir, "dangling").expect_err("leads nowhere").not_found());
        assert!(text(&dir, "nothing").expect_err("is not there").not_found());
        let found = dir.find(Path::new("current/round")).expect("found");
        assert_eq!(found.real(), Path::new("sub/file"));
        assert_eq!(found.link().map(Meta::kind), Some(Kind::Link));
        assert!(dir.find(Path::new("current/file")).expect("found").link().is_none());
        let itself = dir.find(Path::new("self")).expect("found");
        assert!(itself.meta().is_dir() && itself.real() == Path::new(""));
    }
}

#[test]
fn pipes_sockets_and_devices_are_never_opened() {
    let place = Place::new();
    let root = place.root();
    pipe(&root.join("pipe"));
    symlink("pipe", root.join("to-pipe")).expect("linked");
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).expect("bound");
    let mut cases = vec![("pipe", Kind::Pipe), ("to-pipe", Kind::Pipe), ("socket", Kind::Socket)];
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o666);
    let zero = nix::sys::stat::makedev(1, 5);
    if nix::sys::stat::mknod(&root.join("zero"), nix::sys::stat::SFlag::S_IFCHR, mode, zero).is_ok() {
        assert!(std::fs::metadata(root.join("zero")).expect("there").file_type().is_char_device());
        cases.push(("zero", Kind::CharDevice));
    }
    for dir in place.dirs() {
        for (path, kind) in &cases {
            assert!(matches!(text(&dir, path), Err(Error::Kind { kind: k, .. }) if k == *kind), "{path}");
            assert_eq!(dir.find(Path::new(path)).expect("looked at").meta().kind(), *kind);
            if !path.starts_with("to-") {
                assert!(matches!(dir.append(Path::new(path), 0o644), Err(Error::Kind { .. })), "{path}");
            }
        }
        assert!(matches!(text(&dir, "sub"), Err(Error::IsADirectory { .. })));
    }
}

#[test]
fn writing_follows_no_link() {
    let place = Place::new();
    let root = place.root();
    symlink(place.host().join("secret"), root.join("log")).expect("linked");
    symlink(place.host().join("planted"), root.join("new")).expect("linked");
    symlink(place.host(), root.join("dir")).expect("linked");
    symlink("sub", root.join("inside")).expect("linked");
    let attr = Attr::mode(0o777);
    for dir in place.dirs() {
        let path = Path::new;
        assert!(matches!(dir.append(path("log"), 0o644), Err(Error::Link { .. })));
        assert!(matches!(dir.append(path("new"), 0o644), Err(Error::Link { .. })));
        assert!(matches!(dir.change(path("log")), Err(Error::Link { .. })));
        assert!(dir.create_new(path("new"), 0o644).is_err());
        for below in ["dir/x", "inside/x"] {
            assert!(matches!(dir.append(path(below), 0o644), Err(Error::Link { .. })), "{below}");
            assert!(matches!(dir.create(path(below), 0o644), Err(Error::Link { .. })), "{below}");
            assert!(matches!(dir.replace(path(below), b"x", attr), Err(Error::Link { .. })), "{below}");
            assert!(matches!(dir.make_dir(path(below), attr), Err(Error::Link { .. })), "{below}");
            assert!(matches!(dir.make_dirs(path(below), attr), Err(Error::Link { .. })), "{below}");
            assert!(dir.remove_tree(path(below)).is_err(), "{below}");
        }
        assert!(matches!(dir.make_dir(path("dir"), attr), Err(Error::Link { .. })));
        let entries = |_: ()| dir.names().expect("listed").len();
        let before = entries(());
        // What has the name is replaced, not what it leads to.
        dir.replace(path("log"), b"mine", attr).expect("replaced");
        assert_eq!(text(&dir, "log").expect("a file now"), "mine");
        drop(dir.create(path("new"), 0o640).expect("made anew"));
        assert_eq!(std::fs::symlink_metadata(root.join("new")).expect("there").mode() & 0o7777, 0o640);
        assert_eq!(entries(()), before, "nothing is left lying");
        place.host_is_untouched();
        assert_eq!(std::fs::metadata(place.host()).expect("there").mode() & 0o777, 0o755);
        // For the other way.
        for (name, target) in [("log", "secret"), ("new", "planted")] {
            std::fs::remove_file(root.join(name)).expect("removed");
            symlink(place.host().join(target), root.join(name)).expect("linked");
        }
    }
}

#[test]
fn a_file_with_a_second_name_is_not_written() {
    let place = Place::new();
    std::fs::hard_link(place.host().join("secret"), place.root().join("log")).expect("linked");
    let path = Path::new("log");
    for dir in place.dirs() {
        assert!(matches!(dir.append(path, 0o644), Err(Error::SeveralNames { .. })));
        assert!(matches!(dir.change(path), Err(Error::SeveralNames { .. })));
        assert!(matches!(dir.find(path).expect("there").permit(0o111), Err(Error::SeveralNames { .. })));
        assert!(dir.read(path).is_ok(), "the kernel guards who may link it");
    }
    let unguarded = Dir::with(&place.root(), Ways { openat2: true, links_guarded: false }).expect("opened");
    assert!(matches!(unguarded.read(path), Err(Error::SeveralNames { .. })));
    drop(unguarded.create(path, 0o644).expect("another file of that name"));
    place.host_is_untouched();
}

#[test]
fn permissions_go_where_the_handle_is() {
    let place = Place::new();
    for dir in place.dirs() {
        let made = dir.make_dirs(Path::new("a/b"), Attr::mode(0o750)).expect("made");
        drop(made.create_new(Path::new("run"), 0o600).expect("made"));
        made.find(Path::new("run")).expect("there").permit(0o111).expect("set");
        let tmp = dir.make_dir(Path::new("tmp"), Attr::mode(0o1777)).expect("made");
        dir.make_dir(Path::new("tmp"), Attr::mode(0o1777)).expect("again");
        tmp.set(Attr::mode(0o700)).expect("set");
        let mode =
            |path: &str| std::fs::metadata(place.root().join(path)).expect("there").permissions().mode() & 0o7777;
        assert_eq!((mode("a"), mode("a/b"), mode("a/b/run"), mode("tmp")), (0o750, 0o750, 0o711, 0o700));
        dir.remove_tree(Path::new("a")).expect("removed");
        assert!(!dir.has(Path::new("a")));
    }
}

/// A directory that becomes a link to the host's and back while it is read and written.
#[test]
fn no_race_is_won() {
    let place = Place::new();
    let root = place.root();
    std::fs::create_dir(root.join("real")).expect("made");
    std::fs::write(root.join("real/secret"), "the task's").expect("written");
    symlink(place.host(), root.join("bait")).expect("linked");
    for dir in place.dirs() {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::fs::rename(root.join("real"), root.join("x")).expect("moved");
                let exchange = |a: &str, b: &str| {
                    let flags = rustix::fs::RenameFlags::EXCHANGE;
                    rustix::fs::renameat_with(CWD, root.join(a), CWD, root.join(b), flags).expect("exchanged");
                };
                while !done.load(Ordering::Relaxed) {
                    exchange("x", "bait");
                }
                // Back to what it was, whichever is which now.
                if std::fs::symlink_metadata(root.join("x")).expect("there").is_symlink() {
                    exchange("x", "bait");
                }
                std::fs::rename(root.join("x"), root.join("real")).expect("moved");
            });
            let (mut read, mut refused, until) = (0, 0, Instant::now() + Duration::from_secs(60));
            for round in 0.. {
                // Long enough that both were seen often.
                if round >= 3000 && (read.min(refused) > 100 || Instant::now() > until) {
                    break;
                }
                match text(&dir, "x/secret") {
                    Ok(text) => {
                        assert_eq!(text, "the task's");
                        read += 1;
                    }
                    Err(_) => refused += 1,
                }
                if let Ok(found) = dir.find(Path::new("x/secret")) {
                    assert_eq!(found.meta().len(), 10, "a look at the host's file");
                }
                let planted = format!("x/planted-{round}");
                if let Ok(mut file) = dir.create(Path::new(&planted), 0o644) {
                    file.write_all(b"x").expect("written");
                }
                let _ = dir.make_dir(Path::new("x/dir"), Attr::mode(0o777));
                let _ = dir.remove_tree(Path::new("x/dir"));
            }
            done.store(true, Ordering::Relaxed);
            assert!(read.min(refused) > 100, "the race was run: {read} read, {refused} refused");
        });
        place.host_is_untouched();
    }
}

#[test]
fn deep_and_linked_trees_are_removed_whole_and_alone() {
    let place = Place::new();
    for dir in place.dirs() {
        let mut at = dir.make_dir(Path::new("deep"), Attr::mode(0o755)).expect("made");
        for level in 0..2000 {
            if level % 100 == 0 {
                at.symlink(Path::new("host"), &place.host()).expect("linked");
                drop(at.create_new(Path::new("file"), 0o600).expect("made"));
            }
            at = at.make_dir(Path::new("a-name-of-some-length"), Attr::mode(0o755)).expect("made");
        }
        pipe(&place.root().join("deep/pipe"));
        dir.remove_tree(Path::new("deep")).expect("removed");
        dir.remove_tree(Path::new("deep")).expect("gone already");
        assert_eq!(dir.names().expect("listed"), ["sub"]);
        place.host_is_untouched();
    }
}

#[test]
fn reading_is_bounded() {
    let place = Place::new();
    for dir in place.dirs() {
        let found = dir.find(Path::new("sub/file")).expect("there");
        assert_eq!(found.bytes(10).expect("fits"), b"the task's");
        assert!(matches!(found.bytes(9), Err(Error::TooLarge { most: 9, .. })));
    }
    let _: fn(&Dir, &Path) -> Result<File, Error> = Dir::read;
}
