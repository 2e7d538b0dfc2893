//! A time of day that a test can step, for one process alone.
//!
//! A small library (`wall.c`, made by the machine's C compiler) stands before the C library in the process and adds what a file says
//! to the time of day. Time that passes (the monotonic clock) is left as it is.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The library, made.
pub struct Shim(PathBuf);

impl Shim {
    /// Into `folder`. `None` where there is no C compiler.
    pub fn make(folder: &Path) -> Result<Option<Shim>> {
        let (source, library) = (folder.join("wall.c"), folder.join("wall.so"));
        std::fs::write(&source, include_str!("wall.c")).context("writing wall.c")?;
        let mut command = Command::new("cc");
        let Ok(status) = command.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status() else {
            return Ok(None);
        };
        ensure!(status.success(), "cc does not compile wall.c: {status}");
        Ok(Some(Shim(library)))
    }
}

/// The time of day of one process.
pub struct Wall {
    file: File,
    path: PathBuf,
    seconds: i64,
}

impl Wall {
    /// What the process is told is in `path`.
    pub fn new(path: PathBuf) -> Result<Wall> {
        let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
        let mut wall = Wall { file, path, seconds: 0 };
        wall.step(0)?;
        Ok(wall)
    }

    /// Variables of the process's environment.
    pub fn env(&self, shim: &Shim) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        vec![("LD_PRELOAD".to_owned(), text(&shim.0)), ("TARPAN_WALL".to_owned(), text(&self.path))]
    }

    /// Steps it, back if negative.
    pub fn step(&mut self, seconds: i64) -> Result<()> {
        self.seconds += seconds;
        self.file.write_all_at(&self.seconds.to_ne_bytes(), 0).context("stepping a clock")
    }
}
