//! README's table of what is there, partly there and not yet: made from the command table, the route table and the configuration's
//! schema, so that it can't say what is not so.
//!
//! `TARPAN_WRITE=1 cargo test -p tarpan-cli readme` writes it anew.

use std::collections::BTreeSet;
use std::path::Path;

use tarpan_api::routes::{Name, ROUTES};
use tarpan_config::schema::{AGENT, Block, Effect, Kind};

use super::{PARTS, Part, commands, lines, part_of};
use crate::commands::table;

const BEGIN: &str = "<!-- kept by crates/cli/src/field/readme.rs -->\n";
const END: &str = "<!-- end -->";

/// How much of one kind of a part is there: commands, routes or settings.
#[derive(Default)]
struct Share {
    there: usize,
    missing: Vec<String>,
}

impl Share {
    fn add(&mut self, name: String, there: bool) {
        if there { self.there += 1 } else { self.missing.push(name) }
    }

    fn all(&self) -> usize {
        self.there + self.missing.len()
    }

    /// `12`, `3 of 12`, `none of 12`; a dash where the field has nothing of the kind.
    fn text(&self) -> String {
        match (self.there, self.all()) {
            (_, 0) => "–".to_owned(),
            (there, all) if there == all => all.to_string(),
            (0, all) => format!("none of {all}"),
            (there, all) => format!("{there} of {all}"),
        }
    }
}

#[derive(Default)]
struct State {
    commands: Share,
    routes: Share,
    settings: Share,
}

fn state(part: &'static Part) -> State {
    let mut state = State::default();
    let built = table();
    let mine = |found: &Part| std::ptr::eq(found, part);
    for known in commands().filter(|known| mine(part_of(known.name, |p| p.commands))) {
        state.commands.add(known.name.to_owned(), built.iter().any(|e| e.path == known.name));
    }
    let ours = our_routes();
    for route in lines(include_str!("routes.txt")) {
        let (path, methods) = route.split_once(' ').expect("a path and its methods");
        if mine(part_of(path, |p| p.routes)) {
            for method in methods.split(' ') {
                state.routes.add(format!("{method} {path}"), ours.contains(&(shape(path), method.to_owned())));
            }
        }
    }
    settings("", &AGENT, &mut |path, read| {
        if mine(part_of(path, |p| p.settings)) {
            state.settings.add(path.to_owned(), read);
        }
    });
    state
}

/// Routes that do something, with names left out of their paths.
fn our_routes() -> BTreeSet<(String, String)> {
    let real = ROUTES.iter().filter(|route| !matches!(route.name, Name::Unsupported(_)));
    real.flat_map(|r| r.methods.iter().map(|m| (shape(r.path), m.to_string()))).collect()
}

fn shape(path: &str) -> String {
    let segment = |s: &str| if s.starts_with([':', '*']) { "*".to_owned() } else { s.to_owned() };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Every key that is no block, with whether anything reads it.
fn settings(path: &str, block: &'static Block, see: &mut impl FnMut(&str, bool)) {
    for key in block.keys() {
        let (kind, effect) = block.entry(key).expect("a key of the block");
        let full = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match (kind, effect) {
            (Kind::Block(inner) | Kind::Labelled(inner) | Kind::Options(inner), Effect::Read) => {
                settings(&full, inner, see)
            }
            (_, effect) => see(&full, matches!(effect, Effect::Read)),
        }
    }
}

fn rendered() -> String {
    let mut out =
        "| Part | | Commands | Routes | Settings | Commands not there yet |\n|---|---|---|---|---|---|\n".to_owned();
    for part in PARTS {
        let state = state(part);
        let shares = [&state.commands, &state.routes, &state.settings];
        let (there, all) = shares.iter().fold((0, 0), |(there, all), s| (there + s.there, all + s.all()));
        let word = match there {
            0 => "not yet",
            _ if there == all => "there",
            _ => "partly",
        };
        let missing = match (word, state.commands.there) {
            ("partly", n) if n > 0 => some(&state.commands.missing),
            _ => String::new(),
        };
        let [commands, routes, settings] = shares.map(Share::text);
        out.push_str(&format!("| {} | {word} | {commands} | {routes} | {settings} | {missing} |\n", part.title));
    }
    out
}

/// Names, the first of them where there are many.
fn some(names: &[String]) -> String {
    let (shown, rest) = names.split_at(names.len().min(4));
    let shown = shown.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if rest.is_empty() { shown } else { format!("{shown} and {} more", rest.len()) }
}

#[test]
fn the_table_is_what_is_there() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = std::fs::read_to_string(&path).expect("README.md");
    let (before, rest) = text.split_once(BEGIN).expect("the table begins");
    let (kept, after) = rest.split_once(END).expect("the table ends");
    let right = rendered();
    if std::env::var_os("TARPAN_WRITE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{right}{END}{after}")).expect("written");
        return;
    }
    assert!(kept == right, "README's table should be this (TARPAN_WRITE=1 writes it):\n{right}");
}

/// What is counted is what is meant: nothing of the field stands outside of the parts, and rows of ours are known to be ours.
#[test]
fn every_part_counts() {
    for part in PARTS {
        let state = state(part);
        assert!(state.commands.all() + state.routes.all() + state.settings.all() > 0, "{} is empty", part.title);
    }
    let of = |title: &str| state(PARTS.iter().find(|p| p.title == title).expect("a part"));
    assert!(of("Variables").commands.there == 0 && of("Variables").commands.all() == 6);
    assert!(of("Jobs: run, plan, versions, dispatch, periodic").commands.there > 20);
    // What is refused or warned of is not there.
    assert!(of("Access control").settings.there < of("Access control").settings.all());
    assert!(of("TLS").settings.there > 5 && of("TLS").commands.there == 4);
}
