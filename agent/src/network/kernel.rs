//! Settings of the kernel that a bridge network needs, in the namespace of the calling thread.

#![allow(clippy::disallowed_methods, reason = "files of the kernel below /proc/sys")]

use std::path::{Path, PathBuf};

const V4: &str = "/proc/sys/net/ipv4";
const V6: &str = "/proc/sys/net/ipv6/conf";

/// Lets packets go from one interface to another, and mapped ports of `bridge` be reached from the node's own loopback.
pub fn forward(bridge: &str, v6: bool) -> Result<(), String> {
    set(&Path::new(V4).join("ip_forward"), "1")?;
    set(&Path::new(V4).join("conf").join(bridge).join("route_localnet"), "1")?;
    if v6 {
        keep_listening_to_routers();
        set(&Path::new(V6).join("all/forwarding"), "1")?;
    }
    Ok(())
}

/// Whether packets are forwarded, or may be made to be. The error is a sentence.
pub fn can_forward() -> Result<(), String> {
    let path = Path::new(V4).join("ip_forward");
    if read(&path).as_deref() == Some("1") {
        return Ok(());
    }
    let writable = std::fs::OpenOptions::new().write(true).open(&path);
    writable.map(drop).map_err(|error| format!("{} is 0 and can't be set: {error}", path.display()))
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn set(path: &Path, value: &str) -> Result<(), String> {
    if read(path).as_deref() == Some(value) {
        return Ok(());
    }
    std::fs::write(path, value).map_err(|error| format!("setting {} to {value}: {error}", path.display()))
}

/// A machine that forwards IPv6 takes no route from routers any more, and would lose its own: unless it is told to go on.
fn keep_listening_to_routers() {
    let all = std::fs::read_dir(V6).into_iter().flatten().flatten();
    let settings: Vec<PathBuf> = all.map(|entry| entry.path().join("accept_ra")).collect();
    for setting in settings.iter().filter(|path| read(path).as_deref() == Some("1")) {
        if let Err(error) = set(setting, "2") {
            tracing::warn!("routes that routers tell of may get lost: {error}");
        }
    }
}
