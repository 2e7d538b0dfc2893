//! Joins the style sheets into one text, so that pages have their look even before the UI was built for the browser.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    // Where the sources are now, not where they were when this was compiled: a target folder may be used by several trees.
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../style");
    let index = root.join("index.css");
    println!("cargo:rerun-if-changed={}", root.display());
    let order = fs::read_to_string(&index).unwrap_or_else(|e| panic!("{}: {e}", index.display()));
    let mut all = String::new();
    for name in order.lines().filter_map(|l| l.strip_prefix("@import \"")?.strip_suffix("\";")) {
        let path = root.join(name);
        println!("cargo:rerun-if-changed={}", path.display());
        all += &fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("style.css"), all).expect("writing into OUT_DIR");
}
