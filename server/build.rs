//! The UI that `cargo xtask ui` built is embedded: a new build of it must compile this crate again.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../dist/ui");
}
