//! A snapshot of the state in one file, for people to keep: what it holds, whether it is whole, what it says of itself.
//!
//! A file: a gzipped tar archive of `meta.json` ([`Meta`]), `state.bin` (as `State::snapshot` wrote it) and `SHA256SUMS`, which has the
//! checksum of either, as `sha256sum` writes it. Start at [`write`] and [`read`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tarpan_state::State;

/// The newest form that this release reads.
const VERSION: u32 = 1;
const META: &str = "meta.json";
const STATE: &str = "state.bin";
const SUMS: &str = "SHA256SUMS";
/// What `meta.json` and the checksums may take.
const SMALL: u64 = 64 << 10;
/// The largest state that is read, in bytes: a hundred bytes of an archive can say that they are terabytes.
const LARGEST: u64 = 8 << 30;
/// How a gzip file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What a snapshot says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Meta {
    /// `<term>-<index>-<milliseconds since the epoch>`
    #[serde(rename = "ID")]
    pub id: String,
    pub index: u64,
    pub term: u64,
    pub version: u32,
    /// RFC 3339.
    pub created: String,
    /// Who wrote it, with the release.
    pub program: String,
}

/// A snapshot that is whole.
#[derive(Debug)]
pub struct Archive {
    pub meta: Meta,
    pub state: State,
    /// `state` as it stood there.
    pub bytes: Vec<u8>,
}

/// Why a file is not restored.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("this is not a snapshot: it is no gzip file")]
    Foreign,
    #[error("this is a snapshot of another program, whose state can't be read here")]
    OtherProgram,
    #[error("this snapshot was written by a later release ({0}), in a form that this one does not know")]
    Later(String),
    #[error("this snapshot is damaged or cut off: {0}")]
    Damaged(String),
}

/// The file that holds a state.
pub fn write(meta: &Meta, state: &State) -> io::Result<Vec<u8>> {
    packed(meta, &state.exported(false))
}

/// The same snapshot without keys.
pub fn redacted(archive: &Archive) -> io::Result<Vec<u8>> {
    packed(&archive.meta, &archive.state.exported(true))
}

fn packed(meta: &Meta, state: &[u8]) -> io::Result<Vec<u8>> {
    let meta = serde_json::to_vec(&Meta { version: VERSION, ..meta.clone() })?;
    let mut sums = String::new();
    for (name, bytes) in [(META, &*meta), (STATE, state)] {
        let _ = writeln!(sums, "{}  {name}", hex(bytes));
    }
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in [(META, &*meta), (STATE, state), (SUMS, sums.as_bytes())] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, name, bytes)?;
    }
    archive.into_inner()?.finish()
}

/// What a file holds, once every byte of it was checked.
pub fn read(file: &[u8]) -> Result<Archive, Unreadable> {
    if !file.starts_with(&GZIP) {
        return Err(Unreadable::Foreign);
    }
    let mut parts = parts(file).map_err(|e| Unreadable::Damaged(e.to_string()))?;
    let missing = |name: &str| Unreadable::Damaged(format!("it has no {name}"));
    let meta = parts.remove(META).ok_or_else(|| missing(META))?;
    let of: Meta = serde_json::from_slice(&meta).map_err(|e| Unreadable::Damaged(format!("{META}: {e}")))?;
    if of.program.is_empty() {
        return Err(Unreadable::OtherProgram);
    }
    let bytes = parts.remove(STATE).ok_or_else(|| missing(STATE))?;
    let sums = parts.remove(SUMS).ok_or_else(|| missing(SUMS))?;
    let sums = String::from_utf8_lossy(&sums);
    for (name, bytes) in [(META, &meta), (STATE, &bytes)] {
        let sum = sums.lines().filter_map(|line| line.split_once("  ")).find(|(_, of)| *of == name);
        if sum.map(|(sum, _)| sum) != Some(&*hex(bytes)) {
            return Err(Unreadable::Damaged(format!("the checksum of {name} does not match")));
        }
    }
    if of.version > VERSION {
        return Err(Unreadable::Later(of.program));
    }
    let state = State::restore(&bytes).map_err(|e| Unreadable::Damaged(format!("{STATE}: {}", chain(&e))))?;
    Ok(Archive { meta: of, state, bytes })
}

/// The files of the archive, read to its end, where gzip's own checksum is.
fn parts(file: &[u8]) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    let mut parts = BTreeMap::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let most = match name.as_str() {
            META | SUMS => SMALL,
            STATE => LARGEST,
            _ => return Err(io::Error::other(format!("it holds {name:?}, which no snapshot does"))),
        };
        let mut bytes = Vec::new();
        if entry.by_ref().take(most + 1).read_to_end(&mut bytes)? as u64 > most {
            return Err(io::Error::other(format!("{name} is larger than {most} bytes")));
        }
        parts.insert(name, bytes);
    }
    let mut rest = archive.into_inner();
    // Padding of the archive; there is little of it.
    if io::copy(&mut rest.by_ref().take(SMALL), &mut io::sink())? == SMALL {
        return Err(io::Error::other("something follows the archive"));
    }
    match rest.into_inner() {
        [] => Ok(parts),
        _ => Err(io::Error::other("something follows the archive")),
    }
}

/// A file's checksum, as the API's `Digest` header has it.
pub fn digest(file: &[u8]) -> String {
    format!("sha-256={}", STANDARD.encode(Sha256::digest(file)))
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |e| e.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tarpan_state::command::RegisterJob;
    use tarpan_state::{Command, CommandId, Envelope};
    use tarpan_testkit::{at, jobs};

    fn file() -> (State, Vec<u8>) {
        let mut state = State::default();
        for n in 1..=20 {
            let job = jobs::service(&format!("job-{n}"), 1);
            let command = Command::RegisterJob(Box::new(RegisterJob::of(job, None, at(0))));
            state.apply(n, &[Envelope { id: CommandId(n.into()), command }]);
        }
        state.take_events();
        let meta = Meta { id: "1-20-0".into(), index: 20, term: 1, program: "tarpan 1".into(), ..Meta::default() };
        let file = write(&meta, &state).expect("written");
        (state, file)
    }

    fn refusal(file: &[u8]) -> String {
        read(file).expect_err("refused").to_string()
    }

    #[test]
    fn what_was_written_is_read() {
        let (state, file) = file();
        let archive = read(&file).expect("whole");
        assert_eq!((archive.meta.index, archive.meta.version), (20, VERSION));
        assert_eq!((archive.bytes, archive.state.counts().jobs), (state.snapshot(), 20));
    }

    #[test]
    fn any_changed_bit_and_any_cut_is_seen() {
        let ((state, whole), mut seen) = (file(), 0);
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 8);
            match read(&changed) {
                // Some bits say nothing: of gzip's header, and between blocks.
                Ok(archive) => assert_eq!((archive.bytes, archive.meta.index), (state.snapshot(), 20), "byte {at}"),
                Err(Unreadable::Damaged(_) | Unreadable::Foreign) => seen += 1,
                Err(why) => panic!("byte {at}: {why}"),
            }
            assert!(
                refusal(&whole[..at]).contains(if at < 2 { "no gzip file" } else { "damaged or cut off" }),
                "cut at {at}"
            );
        }
        assert!(seen > whole.len() - 20, "{seen} of {}", whole.len());
        assert!(refusal(&[&whole[..], b"x"].concat()).contains("something follows"));
    }

    #[test]
    fn strangers_are_told_apart() {
        assert!(refusal(b"job \"web\" {}").contains("it is no gzip file") && refusal(b"").contains("no gzip file"));
        let packed = |files: &[(&str, &[u8])]| {
            let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
            for (name, bytes) in files {
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                archive.append_data(&mut header, name, *bytes).expect("appended");
            }
            archive.into_inner().and_then(GzEncoder::finish).expect("packed")
        };
        let theirs = packed(&[(META, br#"{"Version":1,"ID":"2-9-1","Index":9,"Term":2}"#), (STATE, b"x"), (SUMS, b"")]);
        assert!(refusal(&theirs).contains("of another program"));
        assert!(refusal(&packed(&[("etc/passwd", b"root")])).contains("which no snapshot does"));
        assert!(refusal(&packed(&[(META, &[b' '; 70_000])])).contains("larger than"));
        let meta = br#"{"Version":9,"Program":"tarpan 77"}"#;
        let sums = format!("{}  {META}\n{}  {STATE}\n", hex(meta), hex(b"new"));
        let later = packed(&[(META, meta), (STATE, b"new"), (SUMS, sums.as_bytes())]);
        assert!(refusal(&later).contains("a later release (tarpan 77)"));
    }
}
