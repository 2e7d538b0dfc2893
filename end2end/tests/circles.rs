//! In the crates that decide and in the server no files import each other in a circle: what stands below can be read alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use tarpan_end2end::lab::root;

/// A file, by the path of its module; the crate's root is empty.
type Module = Vec<String>;

/// A file and one that stands below it may know each other: they are one subject.
const TOGETHER: usize = 2;

#[test]
fn files_stand_above_each_other() {
    for folder in ["crates/state", "crates/scheduler", "crates/control", "server"] {
        let files = files(&root().join(folder).join("src"));
        let imports: BTreeMap<&Module, BTreeSet<&Module>> =
            files.iter().map(|(module, code)| (module, imported(module, code, &files))).collect();
        for circle in circles(&imports) {
            let below = |top: &Module| circle.iter().all(|file| file.starts_with(top));
            let together = circle.len() <= TOGETHER && circle.iter().any(|top| below(top));
            let names: Vec<String> = circle.iter().map(|file| file.join("/")).collect();
            assert!(together, "in {folder} these import each other: {}", names.join(", "));
        }
    }
}

#[test]
fn imports_are_found() {
    let files: BTreeMap<Module, String> = ["", "a", "a::b", "c"].map(|name| (path(name), String::new())).into();
    let of = |module: &str, code: &str| {
        imported(&path(module), &self::code(code), &files).into_iter().map(|m| m.join("::")).collect::<Vec<_>>()
    };
    assert_eq!(of("c", "use crate::a::{self, b::{X, Y}};\nuse std::a::b;"), ["a", "a::b"]);
    assert_eq!(of("a::b", "use super::Z;\nfn f() { super::super::c::g() }"), ["a", "c"]);
    assert_eq!(of("a", "mod b;\npub use b::X;\n// use crate::c;"), ["a::b"]);
    let edges = [("a", vec!["b"]), ("b", vec!["c"]), ("c", vec!["b"]), ("d", vec!["a"])];
    let edges: Vec<(Module, Vec<Module>)> =
        edges.map(|(from, to)| (path(from), to.into_iter().map(path).collect())).into();
    let edges = edges.iter().map(|(from, to)| (from, to.iter().collect())).collect();
    assert_eq!(circles(&edges), [BTreeSet::from([&path("b"), &path("c")])]);
}

fn path(text: &str) -> Module {
    text.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The code of every file below `src` that is not a test, without comments.
fn files(src: &Path) -> BTreeMap<Module, String> {
    fn visit(folder: &Path, module: &Module, found: &mut BTreeMap<Module, String>) {
        for entry in fs::read_dir(folder).expect("a readable source folder").flatten() {
            let path = entry.path();
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
            if matches!(name.as_str(), "tests" | "fuzz" | "faults" | "harness") {
                continue;
            }
            let own = matches!(name.as_str(), "mod" | "lib");
            let inner: Module = module.iter().cloned().chain((!own).then_some(name)).collect();
            if path.is_dir() {
                visit(&path, &inner, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.insert(inner, code(&fs::read_to_string(&path).expect("readable source")));
            }
        }
    }
    let mut found = BTreeMap::new();
    visit(src, &Module::new(), &mut found);
    found
}

fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The files that `code` names: in `use`, and in paths that begin with `crate` or `super`.
fn imported<'f>(module: &Module, code: &str, files: &'f BTreeMap<Module, String>) -> BTreeSet<&'f Module> {
    let mut paths = Vec::new();
    for statement in code.split(';') {
        if let Some((before, tree)) = statement.rsplit_once("use ")
            && before.chars().next_back().is_none_or(char::is_whitespace)
        {
            spread("", tree.trim(), &mut paths);
        }
    }
    for word in code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':') {
        if word.starts_with("crate::") || word.starts_with("super::") {
            paths.push(word.to_owned());
        }
    }
    let files = paths.iter().filter_map(|path| file_of(module, path, files));
    files.filter(|file| *file != module).collect()
}

/// The paths of a tree as `use` has it.
fn spread(prefix: &str, tree: &str, into: &mut Vec<String>) {
    let Some((head, rest)) = tree.split_once('{') else {
        return into.push(format!("{prefix}{}", tree.split(" as ").next().unwrap_or(tree).trim()));
    };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = inner[start..at].trim();
                if !part.is_empty() {
                    spread(&format!("{prefix}{}", head.trim()), part, into);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// The file that has the longest part of a path.
fn file_of<'f>(module: &Module, path: &str, files: &'f BTreeMap<Module, String>) -> Option<&'f Module> {
    let mut names = path.split("::").filter(|name| !name.is_empty()).peekable();
    let mut at = match *names.peek()? {
        "crate" => Module::new(),
        "self" | "super" => module.clone(),
        // A module of this file, as `use` may name it.
        own if files.contains_key(&[module.clone(), vec![own.to_owned()]].concat()) => module.clone(),
        _ => return None,
    };
    for name in names {
        match name {
            "crate" | "self" => {}
            "super" => drop(at.pop()),
            name => {
                at.push(name.to_owned());
                if !files.contains_key(&at) {
                    at.pop();
                    break;
                }
            }
        }
    }
    files.get_key_value(&at).map(|(file, _)| file)
}

/// Sets of more than one file of which each leads to each.
fn circles<'f>(imports: &BTreeMap<&'f Module, BTreeSet<&'f Module>>) -> Vec<BTreeSet<&'f Module>> {
    let reach = |from: &'f Module| {
        let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
        while let Some(file) = left.pop() {
            left.extend(imports.get(file).into_iter().flatten().copied().filter(|next| seen.insert(*next)));
        }
        seen
    };
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = imports.keys().map(|file| (*file, reach(file))).collect();
    let circle = |file: &&'f Module| -> BTreeSet<&'f Module> {
        reached[*file].iter().copied().filter(|other| reached.get(*other).is_some_and(|r| r.contains(*file))).collect()
    };
    let found: BTreeSet<BTreeSet<&Module>> = imports.keys().map(circle).collect();
    found.into_iter().filter(|circle| circle.len() > 1).collect()
}
