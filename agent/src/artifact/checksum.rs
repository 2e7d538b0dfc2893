//! `checksum = "file:…"`: the checksum stands in a file on the web, as publishers put one beside what they publish.

use std::io::Read;
use std::path::Path;

use super::get::Getting;
use super::source::web_address;
use super::{Artifact, ArtifactError, file_name};
use crate::options::ArtifactLimits;

/// The largest file of checksums: one for every file of a large release.
const MAX_FILE: u64 = 1 << 20;

/// The checksum of what is at `url` as `TYPE:HEX`; one that is written out already stays as it is.
pub(super) async fn settle(
    getting: &Getting<'_>,
    artifact: &Artifact,
    url: &str,
    checksum: &str,
) -> Result<String, ArtifactError> {
    let Some(source) = checksum.trim().strip_prefix("file:") else { return Ok(checksum.to_owned()) };
    let from = web_address(source).ok_or_else(|| ArtifactError::ChecksumForm(checksum.to_owned()))?;
    let mut asked = artifact.clone();
    if origin(from) != origin(url) {
        // What opens one server's door is not shown to another.
        asked.headers.clear();
    }
    let to = getting.scratch.create_new(Path::new("checksums"), 0o600)?;
    let limits = ArtifactLimits { http_max_bytes: MAX_FILE, ..getting.limits.clone() };
    let mut file = Getting { limits: &limits, ..*getting }.get(&asked, from, to).await?;
    let mut text = Vec::new();
    std::io::Seek::rewind(&mut file).and_then(|()| file.read_to_end(&mut text)).map_err(ArtifactError::Write)?;
    let name = file_name(url);
    find(&String::from_utf8_lossy(&text), &name)
        .ok_or_else(|| ArtifactError::ChecksumFile { file: from.to_owned(), name })
}

/// Scheme, host and port.
fn origin(url: &str) -> Option<reqwest::Url> {
    reqwest::Url::parse(url).and_then(|u| u.join("/")).ok()
}

/// The checksum of `name`: in a line `HEX  name` or `SHA256 (name) = HEX`, or the only one, when no name stands beside it.
fn find(text: &str, name: &str) -> Option<String> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let is_it = |listed: &str| listed.trim_start_matches("./") == name || listed.rsplit('/').next() == Some(name);
    let named = lines().find_map(|line| {
        if let Some((head, hex)) = line.split_once(" = ") {
            let listed = head.split_once('(')?.1.strip_suffix(')')?;
            return if is_it(listed) { typed(hex) } else { None };
        }
        let (hex, listed) = line.split_once(char::is_whitespace)?;
        if is_it(listed.trim_start().trim_start_matches('*')) { typed(hex) } else { None }
    });
    let mut lines = lines();
    named.or_else(|| match (lines.next(), lines.next()) {
        (Some(only), None) => typed(only),
        _ => None,
    })
}

/// The length of a checksum says its type.
fn typed(hex: &str) -> Option<String> {
    let hex = hex.trim();
    let kind = match hex.len() {
        32 => "md5",
        40 => "sha1",
        64 => "sha256",
        128 => "sha512",
        _ => return None,
    };
    hex.bytes().all(|b| b.is_ascii_hexdigit()).then(|| format!("{kind}:{hex}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_file_is_found() {
        const MD5: &str = "900150983cd24fb0d6963f7d28e17f72";
        for (text, found) in [
            (format!("{MD5}\n"), true),
            (format!("{MD5}  a.zip\n"), true),
            (format!("# all\n00000000000000000000000000000000 *b.zip\n{MD5} *./dist/a.zip\n"), true),
            (format!("MD5 (a.zip) = {MD5}"), true),
            (format!("{MD5}  b.zip\n"), false),
            (format!("{MD5}\n{MD5}\n"), false),
            ("abc  a.zip\n".to_owned(), false),
            ("<html>not found</html>".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(find(&text, "a.zip"), found.then(|| format!("md5:{MD5}")), "{text:?}");
        }
        assert_eq!(typed(&"a".repeat(64)), Some(format!("sha256:{}", "a".repeat(64))));
        assert_eq!(typed(&"x".repeat(64)), None);
    }

    #[test]
    fn origins() {
        assert_eq!(origin("https://a.org/x?y"), origin("https://a.org/z"));
        assert_ne!(origin("https://a.org/x"), origin("http://a.org/x"));
        assert_ne!(origin("https://a.org/x"), origin("https://b.org/x"));
    }
}
