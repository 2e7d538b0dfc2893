//! A CSI plugin for tests: volumes are directories of one folder, mounted by binding them. Not for anything that is to last.
//!
//! `csi-hostpath FOLDER NODE`: listens where `CSI_ENDPOINT` says, keeps everything in FOLDER, and calls its node NODE.

#![allow(clippy::disallowed_methods, reason = "a plugin of tests: everything below its folder is its own")]

#[path = "../src/csi/tests/hostpath.rs"]
mod hostpath;

use std::path::PathBuf;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, node] = arguments.as_slice() else {
        eprintln!("csi-hostpath FOLDER NODE");
        std::process::exit(2);
    };
    let endpoint = std::env::var("CSI_ENDPOINT").expect("CSI_ENDPOINT says where to listen");
    let socket = PathBuf::from(endpoint.strip_prefix("unix://").expect("a unix socket"));
    hostpath::Plugin::new(PathBuf::from(folder), node).serve(&socket).await;
}
