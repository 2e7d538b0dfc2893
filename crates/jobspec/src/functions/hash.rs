//! Digests, identifiers, RSA.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use num_bigint::BigUint;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use uuid::Uuid;

use super::{Call, Outcome, Problem, bad, functions, int_at, str_at};
use crate::value::Value;

functions! {
    bcrypt(str: Str; cost: Num) "A salted hash of a password." = bcrypt;
    md5(str: Str) "The MD5 digest in hexadecimal." = |a, _| Ok(hex(&Md5::digest(str_at(a, 0))));
    rsadecrypt(ciphertext: Str, privatekey: Str) "The text that was encrypted by RSA (PKCS #1 v1.5, in base64) with a key in PEM." = rsadecrypt;
    sha1(str: Str) "The SHA-1 digest in hexadecimal." = |a, _| Ok(hex(&Sha1::digest(str_at(a, 0))));
    sha256(str: Str) "The SHA-256 digest in hexadecimal." = |a, _| Ok(hex(&Sha256::digest(str_at(a, 0))));
    sha512(str: Str) "The SHA-512 digest in hexadecimal." = |a, _| Ok(hex(&Sha512::digest(str_at(a, 0))));
    uuidv4() "A fresh identifier." = |_, c| {
        Ok(Value::str(uuid::Builder::from_random_bytes(random(c)).into_uuid().to_string()))
    };
    uuidv5(namespace: Str, name: Str) "The identifier of a name in a namespace: dns, url, oid, x500 or an identifier." = |a, _| {
        let namespace = match str_at(a, 0) {
            "dns" => Uuid::NAMESPACE_DNS,
            "url" => Uuid::NAMESPACE_URL,
            "oid" => Uuid::NAMESPACE_OID,
            "x500" => Uuid::NAMESPACE_X500,
            other => other.parse().map_err(|_| bad(0, "neither a UUID nor one of dns, url, oid, x500"))?,
        };
        Ok(Value::str(Uuid::new_v5(&namespace, str_at(a, 1).as_bytes()).to_string()))
    };
}

fn hex(digest: &[u8]) -> Value {
    Value::str(digest.iter().map(|b| format!("{b:02x}")).collect::<String>())
}

/// Bytes from the seed that was handed in; every call moves it on.
fn random(call: &mut Call<'_>) -> [u8; 16] {
    *call.seed = call.seed.wrapping_add(1);
    let digest = Sha256::digest(call.seed.to_le_bytes());
    std::array::from_fn(|i| digest[i])
}

fn bcrypt(args: &[Value], call: &mut Call<'_>) -> Outcome {
    let cost = if args.len() > 1 { int_at(args, 1)? } else { 10 };
    if !(4..=12).contains(&cost) {
        return Err(bad(1, "the cost must lie between 4 and 12"));
    }
    // Cost 10 takes some 50 ms.
    call.budget.spend(500 << cost)?;
    let salt = random(call);
    let hash = bcrypt::hash_with_salt(str_at(args, 0), cost as u32, salt).map_err(|e| bad(0, e.to_string()))?;
    Ok(Value::str(hash.format_for_version(bcrypt::Version::TwoA)))
}

fn rsadecrypt(args: &[Value], call: &mut Call<'_>) -> Outcome {
    let cipher = STANDARD.decode(str_at(args, 0).trim()).map_err(|_| bad(0, "must be base64-encoded"))?;
    let key = private_key(str_at(args, 1))?;
    let length = key.modulus.bits().div_ceil(8) as usize;
    let number = BigUint::from_bytes_be(&cipher);
    if cipher.len() > length || number >= key.modulus || key.modulus.bits() > 16_384 {
        return Err(bad(0, "the ciphertext does not fit the key"));
    }
    let words = key.modulus.bits() / 64;
    call.budget.spend(words * words * words)?;
    let plain = number.modpow(&key.exponent, &key.modulus).to_bytes_be();
    // 0x00 0x02, at least eight bytes that are not zero, 0x00, the text; the first zero is not in the number.
    let separator = plain.iter().skip(1).position(|b| *b == 0).filter(|n| *n >= 8);
    match separator {
        Some(n) if plain.len() + 1 == length && plain[0] == 2 => String::from_utf8(plain[n + 2..].to_vec())
            .map(Value::str)
            .map_err(|_| bad(0, "the decrypted bytes are not UTF-8 text")),
        _ => Err(bad(0, "decryption error")),
    }
}

struct PrivateKey {
    modulus: BigUint,
    exponent: BigUint,
}

/// A key in PEM: PKCS #1, or PKCS #8 around it.
fn private_key(pem: &str) -> Result<PrivateKey, Problem> {
    let wrong = |why: &str| bad(1, format!("failed to parse key: {why}"));
    let body: String = pem.lines().filter(|l| !l.contains("-----")).map(str::trim).collect();
    if !pem.contains("PRIVATE KEY-----") || pem.contains("ENCRYPTED") {
        return Err(wrong("no unencrypted private key in PEM form"));
    }
    let der = STANDARD.decode(body).map_err(|_| wrong("not base64"))?;
    let numbers = |bytes: &[u8]| -> Option<PrivateKey> {
        let (_, inside, _) = der_item(bytes)?;
        let (_, _version, rest) = der_item(inside)?;
        let (tag, modulus, rest) = der_item(rest)?;
        if tag == 0x30 {
            return None;
        }
        let (_, _public, rest) = der_item(rest)?;
        let (_, private, _) = der_item(rest)?;
        Some(PrivateKey { modulus: BigUint::from_bytes_be(modulus), exponent: BigUint::from_bytes_be(private) })
    };
    let wrapped = || -> Option<&[u8]> {
        let (_, inside, _) = der_item(&der)?;
        let (_, _version, rest) = der_item(inside)?;
        let (_, _algorithm, rest) = der_item(rest)?;
        der_item(rest).map(|(_, key, _)| key)
    };
    let key = numbers(&der).or_else(|| numbers(wrapped()?));
    key.filter(|k| k.modulus.bits() > 0).ok_or_else(|| wrong("not an RSA key"))
}

/// Tag, content and rest of the first DER item.
fn der_item(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, first) = (*bytes.first()?, *bytes.get(1)?);
    let (length, start) = match first {
        0..=0x7f => (usize::from(first), 2),
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let digits = bytes.get(2..2 + count)?;
            (digits.iter().fold(0, |n, b| n << 8 | usize::from(*b)), 2 + count)
        }
        _ => return None,
    };
    let end = start.checked_add(length)?;
    Some((tag, bytes.get(start..end)?, bytes.get(end..)?))
}
