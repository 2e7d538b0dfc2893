//! Mounts below a directory that a task can write: made and taken away by handles, never by a whole path.

use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags};

use super::{Dir, Error, Found};

/// Mounts over one another that are taken away at one time.
const MOST_MOUNTS: usize = 64;

impl Dir {
    /// Takes away mounts that a crash may have left below here, deepest first: removing a tree must never reach into them.
    pub fn unmount_below(&self) {
        let mut points = mount_points();
        points.retain(|p| p != self.path() && p.starts_with(self.path()));
        points.sort_by_key(|p| std::cmp::Reverse(p.components().count()));
        for point in points {
            let Ok(inside) = point.strip_prefix(self.path()) else { continue };
            let _ = self.detach(inside);
        }
    }

    /// Lays an empty file system that is held in memory over a directory below, unless something is mounted there already.
    /// Its programs do not run, and its files are no devices.
    pub fn mount_memory(&self, path: &Path, bytes: u64) -> Result<(), Error> {
        if self.is_mounted(path)? {
            return Ok(());
        }
        let found = self.find_plain(path)?;
        let options = format!("size={bytes},mode=0700");
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        nix::mount::mount(Some("tmpfs"), &by_handle(&found), Some("tmpfs"), flags, Some(options.as_str()))
            .map_err(|e| Error::Io { doing: "mounting memory at", path: self.path().join(path), source: e.into() })
    }

    /// Takes away what is mounted over a directory below, however often.
    pub fn unmount(&self, path: &Path) -> Result<(), Error> {
        for _ in 0..MOST_MOUNTS {
            match self.is_mounted(path) {
                Ok(true) => self.detach(path)?,
                Ok(false) => return Ok(()),
                Err(error) if error.not_found() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether another file system begins there.
    fn is_mounted(&self, path: &Path) -> Result<bool, Error> {
        Ok(self.find_plain(path)?.meta().device() != self.meta()?.device())
    }

    /// By a handle: on the way to the mount a link may have appeared.
    #[allow(clippy::disallowed_methods, reason = "by the name of a handle of our own")]
    fn detach(&self, path: &Path) -> Result<(), Error> {
        let found = self.find_plain(path)?;
        nix::mount::umount2(&by_handle(&found), MntFlags::MNT_DETACH).map_err(|e| Error::Io {
            doing: "unmounting",
            path: self.path().join(path),
            source: e.into(),
        })
    }
}

/// The kernel's name for a handle of our own.
fn by_handle(found: &Found) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()))
}

/// Whether something is mounted right there, by what the kernel lists.
pub fn is_mount_point(path: &Path) -> bool {
    mount_points().iter().any(|point| point == path)
}

#[allow(clippy::disallowed_methods, reason = "a file of the kernel, which no task writes")]
fn mount_points() -> Vec<PathBuf> {
    points_in(&std::fs::read("/proc/self/mounts").unwrap_or_default())
}

/// As bytes: a name that is no text must not hide the others.
fn points_in(mounts: &[u8]) -> Vec<PathBuf> {
    let point = |line: &[u8]| line.split(|b| *b == b' ').nth(1).map(unescaped);
    mounts.split(|b| *b == b'\n').filter_map(point).collect()
}

/// A path as the kernel lists mounts: blanks and the like are written as `\040`.
fn unescaped(text: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok());
        match (first, octal) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_whose_name_is_no_text_hides_no_other() {
        let mounts = b"dev / ext4 rw 0 0\ntmp /a/\xff\xfe tmpfs rw 0 0\ntmp /a/b\\040c tmpfs rw 0 0\nbroken\n";
        let expected = [&b"/"[..], b"/a/\xff\xfe", b"/a/b c"].map(|p| PathBuf::from(OsString::from_vec(p.to_vec())));
        assert_eq!(points_in(mounts), expected);
    }
}
