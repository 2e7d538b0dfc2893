//! The built files of the UI, in the form that a caller takes.
//!
//! As they are shipped they are there once, as brotli: gzip beside it was as much again, and a twentieth of the program. Browsers ask for
//! brotli at `https://` and at localhost; what they take elsewhere is made when it is first asked for, and kept.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::{EmbeddedFile, RustEmbed};

/// The files that `cargo xtask ui` made.
#[derive(RustEmbed)]
#[folder = "../dist/ui"]
#[allow_missing = true]
pub struct Dist;

/// How a body is packed: the word of `Content-Encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Packing {
    Brotli,
    Gzip,
    /// As it is.
    Plain,
}

impl Packing {
    pub fn encoding(self) -> Option<&'static str> {
        match self {
            Packing::Brotli => Some("br"),
            Packing::Gzip => Some("gzip"),
            Packing::Plain => None,
        }
    }

    /// The best that `accept` (an `Accept-Encoding`) lets through.
    fn best(accept: &str) -> Packing {
        let takes = |name: &str| accept.split(',').any(|part| part.split(';').next().is_some_and(|n| n.trim() == name));
        [Packing::Brotli, Packing::Gzip].into_iter().find(|p| p.encoding().is_some_and(takes)).unwrap_or(Packing::Plain)
    }
}

/// What was made of files: as many as there are files, in two forms.
static MADE: Mutex<BTreeMap<(String, Packing), Bytes>> = Mutex::new(BTreeMap::new());

/// A file in the smallest form that the caller takes; `None`: there is no such file. Takes a tenth of a second the first time.
pub fn get(path: &str, accept: &str) -> Option<(Bytes, Packing)> {
    if let Some(file) = Dist::get(path) {
        return Some((bytes_of(file), Packing::Plain));
    }
    let small = Dist::get(&format!("{path}.br"))?;
    let packing = Packing::best(accept);
    if packing == Packing::Brotli {
        return Some((bytes_of(small), packing));
    }
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (path.to_owned(), packing);
    if let Some(known) = made.get(&key) {
        return Some((known.clone(), packing));
    }
    // Held meanwhile: many who ask at once wait for one.
    let bytes = repack(&small.data, packing).ok()?;
    made.insert(key, bytes.clone());
    Some((bytes, packing))
}

fn repack(brotli: &[u8], packing: Packing) -> io::Result<Bytes> {
    let mut plain = Vec::new();
    brotli_decompressor::Decompressor::new(brotli, 64 << 10).read_to_end(&mut plain)?;
    if packing == Packing::Plain {
        return Ok(plain.into());
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&plain)?;
    Ok(gzip.finish()?.into())
}

fn bytes_of(file: EmbeddedFile) -> Bytes {
    match file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_that_is_taken() {
        for (accept, best) in [
            ("gzip, deflate, br, zstd", Packing::Brotli),
            ("br;q=0.5", Packing::Brotli),
            ("gzip, deflate", Packing::Gzip),
            ("broom, zip", Packing::Plain),
            ("", Packing::Plain),
        ] {
            assert_eq!(Packing::best(accept), best, "{accept:?}");
        }
    }

    #[test]
    fn files_are_unpacked_and_packed_anew() {
        // "Tarpan " twenty times, as another implementation packs it.
        let small = [
            0x1b, 0x8b, 0x00, 0xf8, 0x8d, 0x94, 0xae, 0xa6, 0x4a, 0x28, 0xa9, 0xdc, 0xe4, 0x32, 0x0c, 0x04, 0x2e, 0x62,
            0x8b, 0x04, 0x7e, 0x5e, 0x01,
        ];
        let plain = repack(&small, Packing::Plain).expect("brotli");
        assert_eq!(plain, b"Tarpan ".repeat(20));
        let gzip = repack(&small, Packing::Gzip).expect("brotli");
        let mut again = Vec::new();
        flate2::read::GzDecoder::new(&*gzip).read_to_end(&mut again).expect("gzip");
        assert_eq!(again, plain);
        assert!(repack(b"not brotli", Packing::Gzip).is_err());
    }
}
