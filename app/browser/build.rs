//! How the browser's module is linked: flags of this one crate, so that it is built in one command with the worker and shares all
//! that both stand on.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        // Splitting needs the relocations of the last link.
        println!("cargo::rustc-link-arg-cdylib=--emit-relocs");
        // Unoptimised, a page nests more deeply than the 1 MiB that the linker gives by itself.
        println!("cargo::rustc-link-arg-cdylib=-zstack-size=8388608");
    }
}
