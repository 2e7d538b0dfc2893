//! Files do not know each other in circles: whoever reads one need not have read what uses it.
//!
//! The page in front of a folder (`mod.rs`, or `x.rs` beside `x/`) and the files behind it count as one room: it lists them, and
//! they use what it declares. What is read are paths, not meanings: `use`, and `crate::`, `super::`, `self::` elsewhere. Tests
//! may use whom they like.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use tarpan_end2end::lab::root;

/// Where there are none left. A crate that has none comes to this list.
const UNTANGLED: &[&str] = &[
    "agent",
    "app",
    "crates/api",
    "crates/cli",
    "crates/config",
    "crates/control",
    "crates/jobspec",
    "crates/model",
    "crates/rpc",
    "crates/scheduler",
    "crates/state",
    "crates/testkit",
    "server",
    "xtask",
];

type Module = Vec<String>;

#[test]
fn files_know_each_other_in_one_direction() {
    let mut read_in_all = 0;
    for folder in UNTANGLED {
        let files = read(&root().join(folder).join("src"));
        let arrows = arrows(&files);
        read_in_all += arrows.len();
        if let Some(circle) = circle(&arrows) {
            panic!("{folder}: these files know each other in a circle: {}", circle.join(" -> "));
        }
    }
    assert!(read_in_all > 100, "{read_in_all} files use another: hardly anything was read");
}

#[test]
fn a_circle_is_seen() {
    let files = |a: &str, b: &str| {
        let module = |path: &str| path.split("::").filter(|w| !w.is_empty()).map(str::to_owned).collect::<Module>();
        BTreeMap::from([
            (module(""), "mod front; mod b;".to_owned()),
            (module("front"), "pub mod a; pub use self::a::Thing;".to_owned()),
            (module("front::a"), a.to_owned()),
            (module("b"), b.to_owned()),
        ])
    };
    let seen = |a: &str, b: &str| circle(&arrows(&files(a, b))).is_some();
    assert!(
        seen("use crate::b::{self, Other};", "fn f(_: crate::front::Thing) {}"),
        "through a name that is handed on"
    );
    assert!(seen("use super::super::b;", "use crate::front::a::Thing;"));
    assert!(!seen("use super::Thing; // crate::b", "use crate::front::{Thing};"), "the front page, and a comment");
}

/// The sources by module, without comments and tests.
fn read(src: &Path) -> BTreeMap<Module, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![src.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).expect("a readable folder").flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(src).expect("below").with_extension("");
            let mut module: Module = name.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if path.extension().is_none_or(|e| e != "rs") || module.iter().any(|part| is_test(part)) {
                continue;
            }
            module.pop_if(|last| last == "mod" || last == "lib" || last == "main");
            let text = fs::read_to_string(&path).expect("readable");
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            files.insert(module, code.to_owned());
        }
    }
    files
}

fn is_test(part: &str) -> bool {
    part.contains("tests") || matches!(part, "fuzz" | "faults" | "harness")
}

/// Words, `::`, and single characters, without comments. Texts are read like code: what stands in them makes no path.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    for line in code.lines() {
        let mut rest = line.split("//").next().unwrap_or_default().trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                c if c.is_alphanumeric() || c == '_' => {
                    rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
                }
                ':' if rest.starts_with("::") => 2,
                c => c.len_utf8(),
            };
            tokens.push(&rest[..length]);
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

#[derive(Default)]
struct Paths {
    used: Vec<Module>,
    /// With the name under which it is handed on.
    handed_on: Vec<(Module, String)>,
}

fn paths(code: &str) -> Paths {
    let tokens = tokens(code);
    let is_word = |token: &str| token.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let (mut paths, mut public, mut at) = (Paths::default(), false, 0);
    while at < tokens.len() {
        match tokens[at] {
            "pub" => public = true,
            ";" | "{" | "}" => public = false,
            "use" => {
                let mut found = Vec::new();
                at += 1;
                tree(&tokens, &mut at, &[], &mut found);
                match public {
                    true => paths.handed_on.extend(found),
                    false => paths.used.extend(found.into_iter().map(|(path, _)| path)),
                }
                continue;
            }
            word if is_word(word) => {
                let mut path = vec![word.to_owned()];
                while tokens.get(at + 1) == Some(&"::") && tokens.get(at + 2).is_some_and(|next| is_word(next)) {
                    path.push(tokens[at + 2].to_owned());
                    at += 2;
                }
                paths.used.extend((path.len() > 1).then_some(path));
            }
            _ => {}
        }
        at += 1;
    }
    paths
}

/// One tree of a `use`, with the name that each of its leaves gets.
fn tree(tokens: &[&str], at: &mut usize, before: &[String], found: &mut Vec<(Module, String)>) {
    let mut path = before.to_vec();
    while let Some(token) = tokens.get(*at) {
        match *token {
            "::" => {}
            "{" => {
                while !matches!(tokens.get(*at), None | Some(&"}")) {
                    *at += 1;
                    if !matches!(tokens.get(*at), Some(&"}")) {
                        tree(tokens, at, &path, found);
                    }
                }
                *at += 1;
                return;
            }
            "as" => {
                found.push((path, tokens[*at + 1].to_owned()));
                *at += 2;
                return;
            }
            "," | "}" | ";" => break,
            "self" if !path.is_empty() => {}
            word => path.push(word.to_owned()),
        }
        *at += 1;
    }
    let name = path.last().cloned().unwrap_or_default();
    found.push((path, name));
}

/// The file that a path leads to, and the name that is wanted of it.
fn resolve(files: &BTreeMap<Module, String>, from: &Module, path: &[String]) -> Option<(Module, Option<String>)> {
    let mut module = from.clone();
    let mut words = path.iter().peekable();
    match words.peek()?.as_str() {
        "crate" => {
            module.clear();
            words.next();
        }
        "self" => drop(words.next()),
        "super" => {
            while words.next_if(|word| *word == "super").is_some() {
                module.pop();
            }
        }
        first => {
            let child = [&from[..], &[first.to_owned()]].concat();
            files.get(&child)?;
        }
    }
    while let Some(word) = words.peek() {
        let below = [&module[..], &[(*word).clone()]].concat();
        if !files.contains_key(&below) {
            break;
        }
        module = below;
        words.next();
    }
    Some((module, words.next().cloned()))
}

/// Which file uses which.
fn arrows(files: &BTreeMap<Module, String>) -> BTreeMap<Module, BTreeSet<Module>> {
    let paths: BTreeMap<&Module, Paths> = files.iter().map(|(module, code)| (module, paths(code))).collect();
    let handed = |(module, paths): (&&Module, &Paths)| {
        let one = |(path, name): &(Module, String)| {
            Some((((*module).clone(), name.clone()), resolve(files, module, path)?.0))
        };
        paths.handed_on.iter().filter_map(one).collect::<Vec<_>>()
    };
    let handed: BTreeMap<(Module, String), Module> = paths.iter().flat_map(handed).collect();
    let mut arrows: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (from, paths) in &paths {
        for path in &paths.used {
            let Some((to, name)) = resolve(files, from, path) else { continue };
            let to = name.and_then(|name| handed.get(&(to.clone(), name))).cloned().unwrap_or(to);
            if !from.starts_with(&to) {
                arrows.entry((*from).clone()).or_default().insert(to);
            }
        }
    }
    arrows
}

/// One circle, if there is any.
fn circle(arrows: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<String>> {
    fn visit<'a>(
        at: &'a Module,
        arrows: &'a BTreeMap<Module, BTreeSet<Module>>,
        way: &mut Vec<&'a Module>,
        done: &mut BTreeSet<&'a Module>,
    ) -> Option<Vec<String>> {
        if let Some(begin) = way.iter().position(|module| *module == at) {
            return Some(way[begin..].iter().chain([&at]).map(|module| module.join("::")).collect());
        }
        if done.contains(at) {
            return None;
        }
        way.push(at);
        let found = arrows.get(at).into_iter().flatten().find_map(|to| visit(to, arrows, way, done));
        way.pop();
        done.insert(at);
        found
    }
    let mut done = BTreeSet::new();
    arrows.keys().find_map(|module| visit(module, arrows, &mut Vec::new(), &mut done))
}
