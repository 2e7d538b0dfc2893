//! `tls …`: authorities and certificates for the `tls` block, as files in the current folder.

mod ca;
mod cert;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use tarpan_tls::Certified;
use tarpan_tls::make::Made;

use crate::command::{Entry, Fail};

/// Larger than any bundle of certificates that people use.
const MOST_BYTES: u64 = 4 << 20;

pub fn table() -> Vec<Entry> {
    vec![Entry::of::<ca::Create>(), Entry::of::<ca::Info>(), Entry::of::<cert::Create>(), Entry::of::<cert::Info>()]
}

/// Errors where one of the files is there already.
fn are_free(files: [&str; 2]) -> Result<(), Fail> {
    match files.into_iter().find(|file| Path::new(file).symlink_metadata().is_ok()) {
        Some(file) => Err(Fail::new(format!("{file} is there already; it is not written over"))),
        None => Ok(()),
    }
}

/// Writes both, the key for this user alone. `what` begins the lines that say so.
fn save(what: &str, made: &Made, certificate: &str, key: &str) -> Result<(), Fail> {
    write(key, &made.key, 0o600)?;
    write(certificate, &made.certificate, 0o644)?;
    println!("==> {what} saved to: {certificate}");
    println!("==> {what} key saved to: {key}");
    Ok(())
}

fn write(file: &str, text: &str, mode: u32) -> Result<(), Fail> {
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(file);
    let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()).and_then(|()| opened.sync_all()));
    written.map_err(|e| Fail::new(format!("Error writing {file}: {e}")))
}

fn read(file: &str) -> Result<String, Fail> {
    let failed = |e: std::io::Error| Fail::new(format!("Error reading {file}: {e}"));
    if std::fs::metadata(file).map_err(failed)?.len() > MOST_BYTES {
        return Err(Fail::new(format!("Error reading {file}: it is too large for a certificate")));
    }
    std::fs::read_to_string(file).map_err(failed)
}

/// The first certificate of a file.
fn look(file: &str) -> Result<Certified, Fail> {
    match Certified::of_pem(read(file)?.as_bytes()) {
        Some(Ok(certified)) => Ok(certified),
        Some(Err(why)) => Err(Fail::new(format!("Error reading {file}: {why}"))),
        None => Err(Fail::new(format!("Error reading {file}: it holds no certificate in PEM form"))),
    }
}

/// Texts as Go prints a list of them.
fn list<T: ToString>(all: &[T]) -> String {
    format!("[{}]", all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
}
