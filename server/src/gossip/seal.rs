//! Datagrams as they travel: sealed with a key that the servers share (AES-GCM), or open where there is none.
//!
//! A datagram: a version byte, a kind byte, and what the kind says. Sealed: a nonce of twelve bytes and the ciphertext with its
//! tag; version and kind are authenticated with it. A refusal is never sealed: who gets it may have no key that fits.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const VERSION: u8 = 1;
const OPEN: u8 = 0;
const SEALED: u8 = 1;
const REFUSED: u8 = 2;
const HEAD: usize = 2;
const TAG: usize = 16;
/// What sealing adds to a datagram.
pub const OVERHEAD: usize = HEAD + NONCE_LEN + TAG;

/// Why a datagram is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is open, and this server has a key.
    Open,
    /// It is sealed, and this server has no key.
    Sealed,
    /// It is sealed with a key that this server does not have, or was changed on its way.
    Key,
    /// It is of another release.
    Version,
}

/// A datagram that was taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened {
    Said(Vec<u8>),
    /// The other side took none of ours, and why.
    Refused(Refusal),
}

/// Why a text is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the gossip key is not base64")]
    Base64,
    #[error("the gossip key has {0} bytes; 16, 24 or 32 are needed (`operator gossip keyring generate` makes one)")]
    Length(usize),
}

/// A key, as configurations hold it.
#[derive(Clone)]
pub struct Key {
    text: String,
    aead: std::sync::Arc<LessSafeKey>,
}

impl Key {
    /// Reads the base64 of 16, 24 or 32 bytes.
    pub fn parse(text: &str) -> Result<Key, KeyError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| KeyError::Base64)?;
        let algorithm: &Algorithm = match bytes.len() {
            16 => &AES_128_GCM,
            24 => &AES_192_GCM,
            32 => &AES_256_GCM,
            other => return Err(KeyError::Length(other)),
        };
        let key = UnboundKey::new(algorithm, &bytes).map_err(|_| KeyError::Length(bytes.len()))?;
        Ok(Key { text: STANDARD.encode(&bytes), aead: std::sync::Arc::new(LessSafeKey::new(key)) })
    }

    /// The key itself, as base64.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// The keys that are taken; what is sent is sealed with the first. Empty: nothing is sealed.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    pub keys: Vec<Key>,
}

impl Ring {
    /// The datagram that says `said`.
    pub fn seal(&self, said: &[u8]) -> Vec<u8> {
        let Some(key) = self.keys.first() else { return [&[VERSION, OPEN], said].concat() };
        let head = [VERSION, SEALED];
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).expect("the system has random bytes");
        let mut sealed = said.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        key.aead.seal_in_place_append_tag(unique, Aad::from(head), &mut sealed).expect("a datagram is short");
        [&head[..], &nonce, &sealed].concat()
    }

    /// What a datagram says. `None`: it is none of ours, whoever sent it.
    pub fn open(&self, datagram: &[u8]) -> Option<Result<Opened, Refusal>> {
        let (head, rest) = datagram.split_first_chunk::<HEAD>()?;
        match (head, self.keys.is_empty()) {
            ([VERSION, OPEN], true) => Some(Ok(Opened::Said(rest.to_vec()))),
            ([VERSION, OPEN], false) => Some(Err(Refusal::Open)),
            ([VERSION, SEALED], true) => Some(Err(Refusal::Sealed)),
            ([VERSION, SEALED], false) => {
                let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
                let opened = self.keys.iter().find_map(|key| {
                    let mut bytes = sealed.to_vec();
                    let nonce = Nonce::assume_unique_for_key(*nonce);
                    let said = key.aead.open_in_place(nonce, Aad::from(*head), &mut bytes).ok()?;
                    Some(said.to_vec())
                });
                Some(opened.map(Opened::Said).ok_or(Refusal::Key))
            }
            ([VERSION, REFUSED], _) => Some(Ok(Opened::Refused(Refusal::of(*rest.first()?)?))),
            ([_, OPEN | SEALED], _) => Some(Err(Refusal::Version)),
            _ => None,
        }
    }
}

impl Refusal {
    const ALL: [Refusal; 4] = [Refusal::Open, Refusal::Sealed, Refusal::Key, Refusal::Version];

    fn of(code: u8) -> Option<Refusal> {
        Refusal::ALL.get(usize::from(code)).copied()
    }

    /// The datagram that tells the sender.
    pub fn datagram(self) -> Vec<u8> {
        let code = Refusal::ALL.iter().position(|r| *r == self).expect("all are listed");
        vec![VERSION, REFUSED, code as u8]
    }

    /// What this server has against the datagrams of another one.
    pub fn here(self) -> &'static str {
        match self {
            Refusal::Open => "they are not encrypted, and `server.encrypt` is set here",
            Refusal::Sealed => "they are encrypted, and `server.encrypt` is not set here",
            Refusal::Key => "they are encrypted with a key that is not in the keyring of this server",
            Refusal::Version => "they are of another release's kind",
        }
    }

    /// What the other one has against those of this server.
    pub fn there(self) -> &'static str {
        match self {
            Refusal::Open => "they are not encrypted, and its `server.encrypt` is set",
            Refusal::Sealed => "they are encrypted, and its `server.encrypt` is not set",
            Refusal::Key => "they are encrypted with a key that is not in its keyring",
            Refusal::Version => "they are of another release's kind",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(keys: &[&[u8]]) -> Ring {
        Ring { keys: keys.iter().map(|k| Key::parse(&STANDARD.encode(k)).expect("a key")).collect() }
    }

    fn said(text: &[u8]) -> Option<Result<Opened, Refusal>> {
        Some(Ok(Opened::Said(text.to_vec())))
    }

    #[test]
    fn what_one_key_seals_a_ring_with_that_key_opens() {
        let (old, new) = ([7; 16], [9; 32]);
        let sealed = ring(&[&old]).seal(b"hello");
        assert_eq!(sealed.len(), b"hello".len() + OVERHEAD);
        assert_eq!(ring(&[&new, &old]).open(&sealed), said(b"hello"));
        assert_ne!(sealed, ring(&[&old]).seal(b"hello"), "each has a nonce of its own");
        assert_eq!(ring(&[]).open(&ring(&[]).seal(b"hello")), said(b"hello"));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_the_sender_can_be_told() {
        let (one, other, open) = (ring(&[&[7; 16]]), ring(&[&[8; 16]]), ring(&[]));
        let refused = [
            (&one, other.seal(b"x"), Refusal::Key),
            (&one, open.seal(b"x"), Refusal::Open),
            (&open, one.seal(b"x"), Refusal::Sealed),
            (&one, [9, SEALED].to_vec(), Refusal::Version),
        ];
        for (ring, datagram, why) in refused {
            assert_eq!(ring.open(&datagram), Some(Err(why)));
            assert_eq!(ring.open(&why.datagram()), Some(Ok(Opened::Refused(why))));
        }
        let mut changed = one.seal(b"hello");
        for at in 2..changed.len() {
            changed[at] ^= 1;
            assert_eq!(one.open(&changed), Some(Err(Refusal::Key)), "byte {at}");
            changed[at] ^= 1;
        }
    }

    #[test]
    fn strangers_bytes_are_nobodys() {
        let one = ring(&[&[7; 16]]);
        for bytes in [&b""[..], b"\x01", b"\x01\x01short", b"\x01\x09", b"\x01\x02", b"\x01\x02\x77", b"GET / HTTP/1.1"]
        {
            assert_eq!(one.open(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn keys_that_are_none_say_what_is_wrong() {
        let error = |text: &str| Key::parse(text).expect_err("refused").to_string();
        assert_eq!(error("no base64!"), "the gossip key is not base64");
        assert!(error(&STANDARD.encode([1; 20])).starts_with("the gossip key has 20 bytes; 16, 24 or 32 are needed"));
        assert_eq!(Key::parse(" BwcHBwcHBwcHBwcHBwcHBw== ").expect("a key").text(), "BwcHBwcHBwcHBwcHBwcHBw==");
    }
}
