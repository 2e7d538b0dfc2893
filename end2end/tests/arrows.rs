//! The architecture's promises that a compiler does not keep: arrows between crates, and no IO in the pure ones.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tarpan_end2end::lab::root;

/// A crate, and the crates of this workspace it may know.
const ARROWS: &[(&str, &[&str])] = &[
    ("crates/model", &["model-derive"]),
    ("crates/api", &["model"]),
    ("crates/jobspec", &["api", "model"]),
    ("crates/state", &["model"]),
    ("crates/scheduler", &["model", "state"]),
    ("crates/control", &["model", "scheduler", "state"]),
    ("crates/rpc", &["model"]),
    ("app", &["api", "model"]),
    ("agent", &["api", "model", "rpc"]),
];

#[test]
fn crates_know_only_what_they_may() {
    for (folder, allowed) in ARROWS {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect(folder);
        let normal = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        let known: BTreeSet<&str> =
            normal.lines().filter_map(|line| line.strip_prefix("tarpan-")?.split(['.', ' ', '=']).next()).collect();
        for name in known {
            assert!(allowed.contains(&name), "{folder} knows tarpan-{name}: draw that arrow in ARCHITECTURE.md first");
        }
    }
}

#[test]
fn pure_crates_look_at_no_clock_and_open_no_file() {
    const IMPURE: &[&str] = &[
        "Instant::now",
        "SystemTime::now",
        "std::fs",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "std::process",
        "std::thread",
        "tokio::",
        "rand::rng(",
    ];
    for name in ["model", "api", "jobspec", "state", "scheduler", "control"] {
        visit(&root().join("crates").join(name).join("src"), &mut |path, text| {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for word in IMPURE {
                let hit = code.lines().find(|l| l.contains(word) && !l.trim_start().starts_with("//"));
                assert!(hit.is_none(), "{} uses {word}: {}", path.display(), hit.unwrap_or_default());
            }
        });
    }
}

fn visit(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).expect("a readable source folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            visit(&path, look);
        } else if path.extension().is_some_and(|e| e == "rs") {
            look(&path, &fs::read_to_string(&path).expect("readable source"));
        }
    }
}
