//! The architecture's promises that a compiler does not keep: arrows between crates, and no IO in the pure ones.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tarpan_end2end::lab::root;

/// Which crate knows which, as the manifests say: of the program, not of its tests.
fn arrows_of_manifests() -> BTreeSet<(String, String)> {
    let members = ["crates", "app", "."].map(|folder| fs::read_dir(root().join(folder)).expect("a readable folder"));
    let manifests = members.into_iter().flatten().flatten().map(|entry| entry.path().join("Cargo.toml"));
    let mut arrows = BTreeSet::new();
    for manifest in manifests.filter(|path| path.is_file()) {
        let text = fs::read_to_string(&manifest).expect("readable");
        let folder = manifest.parent().and_then(|dir| dir.strip_prefix(root()).ok()).expect("below the root");
        let of = folder.to_string_lossy().trim_start_matches("crates/").to_owned();
        let normal = text.split("[dev-dependencies]").next().unwrap_or_default();
        let known = normal.lines().filter_map(|line| line.strip_prefix("tarpan-")?.split(['.', ' ', '=']).next());
        arrows.extend(known.map(|name| (of.clone(), name.to_owned())));
    }
    arrows
}

/// The rows of the table in ARCHITECTURE.md, `crate -> crate, crate`, one after the other from the line that begins with "Arrows".
fn arrows_drawn() -> BTreeSet<(String, String)> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("readable");
    let rows = text.lines().skip_while(|line| !line.starts_with("Arrows")).skip(1);
    let rows = rows.skip_while(|line| line.is_empty()).take_while(|line| line.starts_with("    "));
    let row = |line: &str| {
        let (from, to) = line.trim().split_once(" -> ").expect("crate -> crate, crate");
        to.split(", ").map(|to| (from.trim().to_owned(), to.trim().to_owned())).collect::<Vec<_>>()
    };
    rows.flat_map(row).collect()
}

#[test]
fn what_is_drawn_is_what_the_manifests_have() {
    let (drawn, real) = (arrows_drawn(), arrows_of_manifests());
    let undrawn: Vec<_> = real.difference(&drawn).collect();
    assert!(undrawn.is_empty(), "draw these arrows in ARCHITECTURE.md, or do without: {undrawn:?}");
    let imagined: Vec<_> = drawn.difference(&real).collect();
    assert!(imagined.is_empty(), "ARCHITECTURE.md draws arrows that no manifest has: {imagined:?}");
}

/// Clippy reads the nearest `clippy.toml` alone: the agent's, which adds to the workspace's, has all of it.
#[test]
fn the_agents_bans_begin_with_everybodys() {
    let bans = |path: &str| {
        let text = fs::read_to_string(root().join(path)).expect("readable");
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    let (everybody, agent) = (bans("clippy.toml"), bans("agent/clippy.toml"));
    assert!(everybody.len() > 4, "{everybody:?}");
    let missing: Vec<_> = everybody.iter().filter(|line| !agent.contains(line)).collect();
    assert!(missing.is_empty(), "agent/clippy.toml lacks {missing:?}");
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
    for name in ["model", "api", "body", "jobspec", "state", "scheduler", "control", "sim"] {
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

/// The same of the command line, but for the command that sends any path, and for the table of the field's routes.
#[test]
fn commands_spell_no_paths() {
    let free = ["field.rs", "commands/operator_api.rs"].map(|file| root().join("crates/cli/src").join(file));
    visit(&root().join("crates/cli/src"), &mut |path, text| {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let hit = code.lines().find(|l| l.contains("/v1/") && !l.trim_start().starts_with("//"));
        assert!(free.iter().any(|f| f == path) || hit.is_none(), "{}: {}", path.display(), hit.unwrap_or_default());
    });
}

/// Journeys and tools ask as everybody does. Raw by intention, because the wire itself is what they test:
const RAW: &[&str] = &[
    // Strangers: names the agent is not known by, pages of other sites, half a request.
    "end2end/tests/gate.rs",
    // A WebSocket by hand, which types on while the command ends.
    "end2end/tests/exec.rs",
    // Statuses and texts that are no success, within a limit of time: a pipe would have the answer wait for ever.
    "end2end/tests/hostile_tasks.rs",
    // What watches an agent from outside reads: health by its status, the trouble, the metrics as a text.
    "end2end/tests/unlucky.rs",
    // These words.
    "end2end/tests/arrows.rs",
];

#[test]
fn journeys_and_tools_spell_no_paths() {
    let raw: Vec<_> = RAW.iter().map(|file| root().join(file)).collect();
    let mut spelling = BTreeSet::new();
    for folder in ["end2end/src", "end2end/tests", "xtask/src"] {
        visit(&root().join(folder), &mut |path, text| {
            let code = text.split("\n#[cfg(test)]").next().unwrap_or_default();
            if let Some(hit) = code.lines().find(|l| l.contains("/v1/") && !l.trim_start().starts_with("//")) {
                assert!(raw.iter().any(|file| file == path), "{}: {hit}", path.display());
                spelling.insert(path.to_owned());
            }
        });
    }
    let tame: Vec<_> = raw.iter().filter(|file| !spelling.contains(*file)).collect();
    assert!(tame.is_empty(), "spell no path any more: {tame:?}");
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
