//! Whatever bytes are called an archive: what becomes of them stays below the destination and within its limits.

use std::io::Seek;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tarpan_testkit::fuzz::Fuzz;
use tempfile::TempDir;

use super::tests::{add, bz2, gzip, tar_of, xz, zip_of, zst};
use super::unpack::{Kind, Packing, Unpacking};
use super::*;
use crate::ground::Dir;

const KINDS: [Kind; 8] = [
    Kind::Tar(Packing::None),
    Kind::Zip,
    Kind::Tar(Packing::Gzip),
    Kind::Single(Packing::Gzip),
    Kind::Single(Packing::Bzip2),
    Kind::Single(Packing::Xz),
    Kind::Single(Packing::Zstd),
    Kind::Tar(Packing::Zstd),
];
const BYTES: u64 = 64 << 10;
const FILES: u64 = 20;
const SECRET: &str = "the host's";

/// The first byte says how the rest is packed.
fn seeds() -> Vec<Vec<u8>> {
    let tar = tar_of(&[("a/b", None, "text"), ("a/link", Some("b"), ""), ("out", Some("../host"), "")]);
    let mut more = tar::Builder::new(Vec::new());
    add(&mut more, tar::EntryType::Regular, "file", "", 0o4755, b"content");
    add(&mut more, tar::EntryType::Link, "second", "file", 0o644, b"");
    add(&mut more, tar::EntryType::GNULongName, "long", "", 0o644, &[b'n'; 200]);
    add(&mut more, tar::EntryType::Directory, "dir/", "", 0o755, b"");
    add(&mut more, tar::EntryType::XHeader, "pax", "", 0o644, b"18 path=pax/name\n");
    add(&mut more, tar::EntryType::GNUSparse, "sparse", "", 0o644, b"");
    let more = more.into_inner().expect("in memory");
    let zip = zip_of(&[("a/b", b"text"), ("../c", &[b'z'; 300]), ("d/", b"")]);
    let zstd_tar = zst(&tar);
    let kinds = [
        (0, tar.clone()),
        (0, more),
        (1, zip),
        (2, gzip(&tar)),
        (3, gzip(&[0; 9_000])),
        (4, bz2(b"text")),
        (5, xz(b"text")),
        (6, zst(&[b'x'; 3_000])),
        (7, zstd_tar),
    ];
    kinds.into_iter().map(|(kind, bytes)| [vec![kind], bytes].concat()).collect()
}

/// A tar's headers carry sums, which no mutation gets right.
fn with_sums(mut bytes: Vec<u8>) -> Vec<u8> {
    for block in bytes.as_chunks_mut::<512>().0 {
        if block[257..262] == *b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    bytes
}

struct Place {
    base: TempDir,
}

impl Place {
    fn new() -> Place {
        let base = tempfile::tempdir().expect("a directory");
        for dir in ["host", "task"] {
            std::fs::create_dir(base.path().join(dir)).expect("made");
        }
        std::fs::write(base.path().join("host/secret"), SECRET).expect("written");
        Place { base }
    }

    fn unpack(&self, kind: Kind, bytes: &[u8]) -> Result<(), String> {
        let mut file = tempfile::tempfile().expect("a file");
        std::io::Write::write_all(&mut file, bytes).expect("written");
        file.rewind().expect("at its start");
        let limits =
            ArtifactLimits { decompression_bytes: BYTES, decompression_file_count: FILES, ..ArtifactLimits::default() };
        let (watch, _waiting) = Watch::new(std::time::Duration::from_secs(60));
        let out = Dir::trusted(&self.base.path().join("task")).expect("there");
        let mut unpacking = Unpacking::new(&limits, &watch, u64::MAX);
        let done = match kind.single() {
            true => unpacking.single(kind, file, &out, Path::new("single")),
            false => unpacking.archive(kind, file, &out),
        };
        done.map_err(|error| crate::chain(&error))
    }

    /// Nothing beside the destination changed. Gives files and bytes in it.
    fn look(&self) -> (u64, u64) {
        let names = |dir: &Path| std::fs::read_dir(dir).expect("listed").count();
        assert_eq!((names(self.base.path()), names(&self.base.path().join("host"))), (2, 1));
        let secret = self.base.path().join("host/secret");
        assert_eq!(std::fs::read_to_string(&secret).expect("readable"), SECRET);
        assert_eq!(secret.metadata().expect("there").nlink(), 1);
        count(&self.base.path().join("task"))
    }
}

fn count(dir: &Path) -> (u64, u64) {
    let (mut files, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(dir).expect("listed").flatten() {
        let meta = entry.path().symlink_metadata().expect("there");
        assert!(meta.is_dir() || meta.mode() & 0o7000 == 0 || meta.is_symlink(), "a right of a stranger's");
        if meta.is_dir() {
            let below = count(&entry.path());
            (files, bytes) = (files + below.0, bytes + below.1);
        } else {
            assert!(meta.is_file() || meta.is_symlink(), "{entry:?} is neither a file nor a link");
            (files, bytes) = (files + 1, bytes + if meta.is_file() { meta.len() } else { 0 });
        }
    }
    (files, bytes)
}

#[test]
fn fuzz_any_archive_stays_below_its_destination() {
    let words =
        ["../host/secret", "../host", "/etc", "a/b", "a/link/c", "ustar", "PK\u{1}\u{2}", "PK\u{3}\u{4}", "\0\0\0\0"];
    let fuzz = Fuzz::new(env!("CARGO_MANIFEST_DIR"), "archives").words(&words).seeds(seeds()).longest(6_000);
    fuzz.bytes(|input| {
        let Some((first, rest)) = input.split_first() else { return String::new() };
        let kind = KINDS[usize::from(*first) % KINDS.len()];
        let bytes = if kind == KINDS[0] { with_sums(rest.to_vec()) } else { rest.to_vec() };
        let place = Place::new();
        let done = place.unpack(kind, &bytes);
        let (files, bytes) = place.look();
        assert!(files <= FILES && bytes <= BYTES, "{files} files of {bytes} bytes");
        format!("{kind:?} {} {}", files.min(3), done.err().unwrap_or_default())
    });
}
