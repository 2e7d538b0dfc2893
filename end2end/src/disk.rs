//! A small disk that a test may fill.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// A file system of its own.
pub struct Disk(PathBuf);

impl Disk {
    /// `None` where this process may not mount one.
    pub fn mount(path: PathBuf, size: &str) -> Result<Option<Disk>> {
        std::fs::create_dir_all(&path)?;
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&path).status();
        Ok(mount.is_ok_and(|s| s.success()).then_some(Disk(path)))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Takes all that is left. Once more takes what was given back since.
    pub fn fill(&self) -> Result<()> {
        let path = self.filler();
        let mut file = File::options().create(true).append(true).open(&path).context("filling a disk")?;
        while file.write_all(&[0; 4096]).is_ok() {}
        Ok(())
    }

    /// Gives back what [`Disk::fill`] took.
    pub fn free(&self) -> Result<()> {
        match std::fs::remove_file(self.filler()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("freeing a disk"),
            _ => Ok(()),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
