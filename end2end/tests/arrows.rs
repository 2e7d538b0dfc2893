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

/// Texts become markup in one place, which escapes them: the `view!` macro. What would get around it, and where it may stand.
const MARKUP: &[(&str, &[&str])] = &[
    // The sheet of our own icons, a constant.
    ("inner_html", &["app/src/parts/bits.rs"]),
    ("innerHTML", &[]),
    ("outerHTML", &[]),
    ("insertAdjacentHTML", &[]),
    ("document.write", &[]),
    ("createContextualFragment", &[]),
    ("parseFromString", &[]),
    ("srcdoc", &[]),
    ("set_inner_html", &[]),
    // A test that such an answer of a node is passed on as something that runs nowhere.
    // And the constant that stands behind the redirect to our pages.
    ("text/html", &["server/src/http/client.rs", "server/src/http/mod.rs"]),
    ("response::Html", &[]),
    // Writes what it is given as it is: `parts::title` escapes.
    ("leptos_meta::", &["app/src/parts/title.rs", "app/src/shell.rs", "app/src/lib.rs"]),
    // Decode twice: `place` decodes once.
    ("use_params", &[]),
    ("use_query", &[]),
];

#[test]
fn no_place_makes_markup_from_texts() {
    for folder in ["app/src", "app/web", "app/worker/src", "app/browser/src", "server/src", "agent/src", "crates"] {
        visit_all(&root().join(folder), &["rs", "js", "ts"], &mut |path, text| {
            for (word, allowed) in MARKUP {
                let here = path.strip_prefix(root()).expect("below the root");
                let hit = text.lines().find(|l| l.contains(word) && !l.trim_start().starts_with("//"));
                let may = allowed.iter().any(|file| here == Path::new(file));
                assert!(may || hit.is_none(), "{} uses {word}: {}", here.display(), hit.unwrap_or_default());
            }
        });
    }
}

/// What a page asks for is a question of the typed client, where path and shape stand once. The made-up server of the UI's own tests
/// reads paths.
#[test]
fn pages_spell_no_paths_and_no_route_table() {
    visit(&root().join("app/src"), &mut |path, text| {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code = code.split("#[cfg(all(test").next().unwrap_or_default();
        for word in ["\"/v1", "/v1/", "tarpan_api::routes", "serde(rename"] {
            let hit = code.lines().find(|l| l.contains(word) && !l.trim_start().starts_with("//"));
            let may = path.ends_with("app/src/fixtures.rs") || hit.is_none();
            assert!(may, "{} spells {word}: {}", path.display(), hit.unwrap_or_default());
        }
    });
}

fn visit(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
    visit_all(folder, &["rs"], look);
}

/// Every file with one of these endings; what npm and cargo bring is not ours.
fn visit_all(folder: &Path, endings: &[&str], look: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).expect("a readable source folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            if !path.ends_with("node_modules") && !path.ends_with("target") {
                visit_all(&path, endings, look);
            }
        } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| endings.contains(&e)) {
            look(&path, &fs::read_to_string(&path).expect("readable source"));
        }
    }
}
