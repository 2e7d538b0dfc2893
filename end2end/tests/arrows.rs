//! The architecture's promises that a compiler does not keep: arrows between crates, and no IO in the pure ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use tarpan_end2end::lab::root;

/// Crates, and the crates of this workspace that they know: all but the derive, which is a part of `model`.
type Arrows = BTreeMap<String, BTreeSet<String>>;

#[test]
fn arrows_are_those_that_are_drawn() {
    let (drawn, there) = (drawn(), there());
    for (name, knows) in &there {
        let drawn = drawn.get(name).cloned().unwrap_or_default();
        assert_eq!(
            *knows, drawn,
            "what {name} knows by its manifest, and by ARCHITECTURE.md: draw an arrow there first"
        );
    }
    let unknown: Vec<&String> = drawn.keys().filter(|name| !there.contains_key(*name)).collect();
    assert!(unknown.is_empty(), "ARCHITECTURE.md draws what there is not: {unknown:?}");
}

/// The block below "Arrows": `a, b -> c, d`, several a line with some blanks between.
fn drawn() -> Arrows {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let block = text.split("\nArrows").nth(1).expect("a paragraph about arrows");
    let lines = block.lines().skip_while(|line| !line.starts_with("    ")).take_while(|line| line.starts_with("    "));
    let mut arrows = Arrows::new();
    for arrow in lines.flat_map(|line| line.split("   ")).map(str::trim).filter(|arrow| !arrow.is_empty()) {
        let (from, to) = arrow.split_once(" -> ").expect(arrow);
        for name in from.split(", ") {
            arrows.entry(name.to_owned()).or_default().extend(to.split(", ").map(str::to_owned));
        }
    }
    arrows
}

/// By the manifests.
fn there() -> Arrows {
    let folders = fs::read_dir(root().join("crates")).expect("crates").flatten().map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, entry.path())
    });
    let others = ["agent", "app", "app/browser", "app/worker", "server", "xtask"];
    let all = folders.chain(others.map(|name| (name.to_owned(), root().join(name))));
    all.map(|(name, folder)| {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
        let normal = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        let names = normal.lines().filter_map(|line| line.strip_prefix("tarpan-")?.split(['.', ' ', '=']).next());
        (name, names.filter(|name| *name != "model-derive").map(str::to_owned).collect())
    })
    .filter(|(_, knows): &(String, BTreeSet<String>)| !knows.is_empty())
    .collect()
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
