//! What an open handle says of itself.

use std::os::fd::AsFd;

use rustix::fs::{FileType, Stat};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Dir,
    Link,
    Pipe,
    Socket,
    CharDevice,
    BlockDevice,
    Unknown,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::File => "a file",
            Kind::Dir => "a directory",
            Kind::Link => "a symbolic link",
            Kind::Pipe => "a named pipe",
            Kind::Socket => "a socket",
            Kind::CharDevice => "a character device",
            Kind::BlockDevice => "a block device",
            Kind::Unknown => "of an unknown kind",
        })
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Meta(Stat);

impl Meta {
    pub(super) fn of(fd: impl AsFd) -> rustix::io::Result<Meta> {
        rustix::fs::fstat(fd).map(Meta)
    }

    /// Of a file that is open already.
    pub fn of_file(file: &std::fs::File) -> std::io::Result<Meta> {
        Ok(Meta::of(file)?)
    }

    pub fn kind(&self) -> Kind {
        match FileType::from_raw_mode(self.0.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Dir,
            FileType::Symlink => Kind::Link,
            FileType::Fifo => Kind::Pipe,
            FileType::Socket => Kind::Socket,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            FileType::Unknown => Kind::Unknown,
        }
    }

    pub fn is_file(&self) -> bool {
        self.kind() == Kind::File
    }

    pub fn is_dir(&self) -> bool {
        self.kind() == Kind::Dir
    }

    /// Permission bits, with set-id and sticky.
    pub fn mode(&self) -> u32 {
        self.0.st_mode & 0o7777
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        u64::try_from(self.0.st_size).unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Nanoseconds since 1970.
    pub fn modified_ns(&self) -> i64 {
        let nanos = i64::try_from(self.0.st_mtime_nsec).unwrap_or(0);
        self.0.st_mtime.saturating_mul(1_000_000_000).saturating_add(nanos)
    }

    pub fn uid(&self) -> u32 {
        self.0.st_uid
    }

    pub fn gid(&self) -> u32 {
        self.0.st_gid
    }

    /// In how many places it has a name.
    #[allow(clippy::useless_conversion, reason = "its width depends on the machine")]
    pub fn links(&self) -> u64 {
        u64::try_from(self.0.st_nlink).unwrap_or(u64::MAX)
    }

    /// Device and inode: the same pair is the same thing, while a handle on it is held.
    pub fn identity(&self) -> (u64, u64) {
        (self.0.st_dev, self.0.st_ino)
    }

    pub(super) fn device(&self) -> u64 {
        self.0.st_dev
    }
}

impl From<Stat> for Meta {
    fn from(stat: Stat) -> Meta {
        Meta(stat)
    }
}
