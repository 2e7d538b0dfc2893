//! How a release of either program is linked: smaller, by what the linker and the C library at hand know. The build script of both.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

const SMALLER: [&str; 2] = [
    // Addresses to be filled in at the start are packed: 3.6 MB. Known to glibc since 2.36.
    "-Wl,-z,pack-relative-relocs",
    // Functions that came out alike are one: 0.7 MB. Nothing here tells functions apart by their addresses, which the compiler does not
    // keep apart either.
    "-Wl,--icf=all",
];

fn main() {
    println!("cargo::rerun-if-changed=../launch/smaller.rs");
    let release = env::var("PROFILE").as_deref() == Ok("release");
    for flag in SMALLER.iter().filter(|flag| release && starts_with(flag)) {
        println!("cargo::rustc-link-arg-bins={flag}");
    }
}

/// Whether a program that is linked with this flag is linked at all, and starts where it is for this machine.
fn starts_with(flag: &str) -> bool {
    let var = |name: &str| env::var(name).unwrap_or_default();
    let folder = var("OUT_DIR");
    let (source, program) = (Path::new(&folder).join("probe.rs"), Path::new(&folder).join("probe"));
    if fs::write(&source, "fn main() {}").is_err() {
        return false;
    }
    let mut rustc = Command::new(var("RUSTC"));
    rustc.args(["--crate-name", "probe", "--target", &var("TARGET")]).arg(&source).arg("-o").arg(&program);
    rustc.args(var("CARGO_ENCODED_RUSTFLAGS").split('\x1f').filter(|flag| !flag.is_empty()));
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={}", linker.display()));
    }
    rustc.arg(format!("-Clink-arg={flag}"));
    let linked = rustc.output().is_ok_and(|out| out.status.success());
    linked && (var("TARGET") != var("HOST") || Command::new(&program).status().is_ok_and(|status| status.success()))
}
