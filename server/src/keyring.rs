//! Makes root keys and signs with them. The only place that sees their secrets in the clear.
//!
//! A key is made sealed ([`generate`]) and goes through raft so; [`Keyring`] opens one when it has to sign and keeps it open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::json;
use tarpan_model::UnixNanos;
use tarpan_model::ids::KeyId;
use tarpan_model::root_key::{Bytes, RootKey, RootKeyState, RsaPublicKey, WrappedKey};

/// The wrapping key lies beside what it wraps.
const AEAD: &str = "aead";
const AES_KEY: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyringError {
    #[error("the cryptographic library refused to {0}")]
    Refused(&'static str),
    #[error("root key {0} can't be opened: it is damaged, or its provider is not known")]
    Closed(KeyId),
}

/// A fresh root key, sealed. Takes about a tenth of a second.
pub(crate) fn generate(id: KeyId, create_time: UnixNanos) -> Result<RootKey, KeyringError> {
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyringError::Refused("make an RSA key"))?;
    let pkcs8 = AsDer::as_der(&pair).map_err(|_| KeyringError::Refused("write an RSA key"))?;
    let public = RsaPublicKey {
        modulus: Bytes(pair.public_key().modulus().big_endian_without_leading_zero().to_vec()),
        exponent: Bytes(pair.public_key().exponent().big_endian_without_leading_zero().to_vec()),
    };
    let (data_key, wrapping_key) = (random()?, random()?);
    let wrapped = WrappedKey {
        provider: AEAD.to_owned(),
        data_key: seal(&wrapping_key, id, &data_key)?,
        signing_key: seal(&wrapping_key, id, pkcs8.as_ref())?,
        wrapping_key: Bytes(wrapping_key.to_vec()),
    };
    let state = RootKeyState::Active;
    Ok(RootKey { id, state, create_time, public, wrapped, active_since: 0, create_index: 0, modify_index: 0 })
}

fn random() -> Result<[u8; AES_KEY], KeyringError> {
    let mut bytes = [0; AES_KEY];
    rand::fill(&mut bytes).map_err(|_| KeyringError::Refused("draw random bytes"))?;
    Ok(bytes)
}

/// Nonce, encrypted text, tag.
fn seal(key: &[u8], id: KeyId, clear: &[u8]) -> Result<Bytes, KeyringError> {
    let refused = |_| KeyringError::Refused("encrypt a key");
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(refused)?;
    let mut text = clear.to_vec();
    let nonce = key.seal_in_place_append_tag(Aad::from(id.0.as_bytes()), &mut text).map_err(refused)?;
    Ok(Bytes([nonce.as_ref(), text.as_slice()].concat()))
}

fn open(key: &[u8], id: KeyId, sealed: &Bytes) -> Result<Vec<u8>, KeyringError> {
    let closed = |_| KeyringError::Closed(id);
    let (nonce, text) = sealed.0.split_first_chunk::<NONCE_LEN>().ok_or(KeyringError::Closed(id))?;
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(closed)?;
    let mut text = text.to_vec();
    let clear = key.open_in_place(Nonce::from(nonce), Aad::from(id.0.as_bytes()), &mut text).map_err(closed)?;
    Ok(clear.to_vec())
}

/// The keys that this server has opened.
#[derive(Default)]
pub(crate) struct Keyring(Mutex<HashMap<KeyId, Arc<KeyPair>>>);

impl Keyring {
    /// `claims` as a JSON web token, signed by `key`.
    pub(crate) fn sign<T: Serialize>(&self, key: &RootKey, claims: &T) -> Result<String, KeyringError> {
        let pair = self.opened(key)?;
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let header = json!({"alg": "RS256", "kid": key.id.to_string(), "typ": "JWT"});
        let claims = serde_json::to_vec(claims).map_err(|_| KeyringError::Refused("write the claims"))?;
        let text = format!("{}.{}", part(header.to_string().as_bytes()), part(&claims));
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| KeyringError::Refused("sign"))?;
        Ok(format!("{text}.{}", part(&signature)))
    }

    fn opened(&self, key: &RootKey) -> Result<Arc<KeyPair>, KeyringError> {
        if let Some(pair) = self.lock().get(&key.id) {
            return Ok(pair.clone());
        }
        let wrapped = &key.wrapped;
        if wrapped.provider != AEAD {
            return Err(KeyringError::Closed(key.id));
        }
        let pkcs8 = open(&wrapped.wrapping_key.0, key.id, &wrapped.signing_key)?;
        let pair = Arc::new(KeyPair::from_pkcs8(&pkcs8).map_err(|_| KeyringError::Closed(key.id))?);
        self.lock().insert(key.id, pair.clone());
        Ok(pair)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<KeyId, Arc<KeyPair>>> {
        self.0.lock().expect("no panic while held")
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;

    fn key(n: u128) -> RootKey {
        generate(KeyId(Uuid::from_u128(n)), UnixNanos(1)).expect("a key")
    }

    #[test]
    fn what_is_signed_is_checked_by_the_public_part_alone() {
        let key = key(7);
        let token = Keyring::default().sign(&key, &json!({"sub": "a"})).expect("a token");
        let parts: Vec<&str> = token.split('.').collect();
        let read = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64");
        let header: Value = serde_json::from_slice(&read(parts[0])).expect("a header");
        assert_eq!(header, json!({"alg": "RS256", "kid": key.id.to_string(), "typ": "JWT"}));
        assert_eq!(read(parts[1]), br#"{"sub":"a"}"#);
        let public = RsaPublicKeyComponents { n: &key.public.modulus.0, e: &key.public.exponent.0 };
        let signed = format!("{}.{}", parts[0], parts[1]);
        public.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &read(parts[2])).expect("its signature");
        assert!(public.verify(&RSA_PKCS1_2048_8192_SHA256, b"other", &read(parts[2])).is_err());
    }

    #[test]
    fn a_key_is_opened_by_what_wraps_it_and_under_its_own_name() {
        let (one, other) = (key(1), key(2));
        let keyring = Keyring::default();
        let closed = |key: &RootKey| keyring.sign(key, &json!({})).is_err();
        let swapped = |change: &dyn Fn(&mut RootKey)| {
            let mut key = one.clone();
            change(&mut key);
            closed(&key)
        };
        assert!(swapped(&|key| key.wrapped.wrapping_key = other.wrapped.wrapping_key.clone()));
        assert!(swapped(&|key| key.wrapped.signing_key.0[20] ^= 1));
        assert!(swapped(&|key| key.wrapped.signing_key.0.truncate(5)));
        assert!(swapped(&|key| key.wrapped.provider = "transit".to_owned()));
        assert!(swapped(&|key| key.id = other.id));
        assert!(!closed(&one));
    }

    #[test]
    fn no_text_of_a_key_shows_its_secrets() {
        let key = key(3);
        let shown = format!("{key:?}");
        assert!(shown.contains("wrapping_key: (32 bytes)"), "{shown}");
        assert!(shown.len() < 700, "{shown}");
    }
}
