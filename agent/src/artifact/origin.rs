//! What kind of place a source names, and how it is spoken to.
//!
//! The spellings are the field's: a forced getter before `::`, addresses of well-known hosts without a scheme, and
//! `user@host:path`. Options stand in the address's query or in the job's `options`, which win.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::source::{Parsed, refused, web_address};
use super::{Artifact, ArtifactError};
use crate::options::ArtifactLimits;

/// Where the bytes come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Origin {
    /// An address of http or https.
    Web(String),
    Git(Git),
    S3(Box<S3>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Git {
    pub url: String,
    /// A branch, a tag or a commit; `None`: what the repository's HEAD names.
    pub reference: Option<String>,
    /// So many commits of history; `None`: all.
    pub depth: Option<u32>,
    /// A private key for ssh, in base64.
    pub ssh_key: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct S3 {
    /// Scheme, host and port.
    pub endpoint: String,
    /// The bucket is part of the host.
    pub virtual_host: bool,
    pub bucket: String,
    /// An object, or what the names of several begin with.
    pub key: String,
    pub region: String,
    pub version: Option<String>,
    pub access_key: Option<String>,
    pub secret_key: Option<String>,
    pub token: Option<String>,
}

impl Origin {
    /// How long fetching may take.
    pub fn timeout(&self, limits: &ArtifactLimits) -> Duration {
        match self {
            Origin::Web(_) => limits.http_read_timeout,
            Origin::Git(_) => limits.git_timeout,
            Origin::S3(_) => limits.s3_timeout,
        }
    }

    /// Whether programs of the machine have a part in it.
    pub fn programs(&self) -> bool {
        matches!(self, Origin::Git(_))
    }
}

/// Hosts of repositories whose addresses need no scheme.
const FORGES: [&str; 3] = ["github.com", "gitlab.com", "bitbucket.org"];
const DEFAULT_REGION: &str = "us-east-1";

/// Takes an address apart. The artifact is what the refusal shows.
pub(super) fn origin(artifact: &Artifact, parsed: &Parsed) -> Result<Origin, ArtifactError> {
    let url = parsed.url.as_str();
    let forced = url.split_once("::").filter(|(word, _)| word.bytes().all(|b| b.is_ascii_alphanumeric()));
    match forced.map(|(word, rest)| (word.to_ascii_lowercase(), rest)) {
        Some((word, rest)) => match word.as_str() {
            "http" | "https" => web(artifact, rest),
            "git" => git(artifact, parsed, rest),
            "s3" => s3(artifact, parsed, rest),
            "hg" => Err(ArtifactError::Getter {
                getter: "hg",
                instead: "publish an archive of the revision and fetch that over https",
            }),
            "gcs" => Err(ArtifactError::Getter {
                getter: "gcs",
                instead: "use the object's https address, or s3::https://storage.googleapis.com/BUCKET/OBJECT with an HMAC key",
            }),
            _ => Err(refused(artifact)),
        },
        None if web_address(url).is_some() => Ok(Origin::Web(url.to_owned())),
        None if url.starts_with("ssh://") || url.starts_with("git://") || scp(url).is_some() => {
            git(artifact, parsed, url)
        }
        None => match url.split_once('/') {
            Some((host, _)) if FORGES.contains(&host) => git(artifact, parsed, url),
            Some((host, _)) if amazon(host).is_some() => s3(artifact, parsed, &format!("https://{url}")),
            _ => Err(refused(artifact)),
        },
    }
}

fn web(artifact: &Artifact, url: &str) -> Result<Origin, ArtifactError> {
    web_address(url).map(|url| Origin::Web(url.to_owned())).ok_or_else(|| refused(artifact))
}

/// Options of the address's query and of the job, and the address without its query.
fn options<'a>(parsed: &Parsed, url: &'a str) -> (&'a str, BTreeMap<String, String>) {
    let (url, query) = url.split_once('?').unwrap_or((url, ""));
    let pairs = reqwest::Url::parse(&format!("x:/?{query}"));
    let pairs = pairs.iter().flat_map(|url| url.query_pairs().into_owned().collect::<Vec<_>>());
    let mut options: BTreeMap<String, String> = pairs.collect();
    options.extend(parsed.options.clone());
    options.retain(|_, value| !value.is_empty());
    (url, options)
}

/// `user@host:path` as an address of ssh.
fn scp(url: &str) -> Option<String> {
    let (user, rest) = url.split_once('@')?;
    let (host, path) = rest.split_once(':')?;
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    (plain(user) && plain(host) && !path.is_empty())
        .then(|| format!("ssh://{user}@{host}/{}", path.trim_start_matches('/')))
}

fn git(artifact: &Artifact, parsed: &Parsed, url: &str) -> Result<Origin, ArtifactError> {
    let (address, mut options) = options(parsed, url);
    let forge = address.split_once('/').filter(|(host, _)| FORGES.contains(host));
    let address = match (forge, scp(address)) {
        (Some(_), _) if address.ends_with(".git") => format!("https://{address}"),
        (Some(_), _) => format!("https://{}.git", address.trim_end_matches('/')),
        (None, Some(ssh)) => ssh,
        (None, None) => address.to_owned(),
    };
    let wrong = |what: String| ArtifactError::Option { source_text: shown(&artifact.source), what };
    let parsed = reqwest::Url::parse(&address).map_err(|_| refused(artifact))?;
    if !matches!(parsed.scheme(), "https" | "http" | "ssh" | "git") {
        return Err(match parsed.scheme() {
            "file" => ArtifactError::NodeFile(artifact.source.clone()),
            _ => refused(artifact),
        });
    }
    // A name that begins with a dash is an option to the programs that get it.
    let dashed = |text: &str| text.starts_with('-');
    if parsed.host_str().is_none_or(dashed) || dashed(parsed.username()) || dashed(parsed.path().trim_matches('/')) {
        return Err(refused(artifact));
    }
    let reference = options.remove("ref");
    if reference.as_deref().is_some_and(|r| dashed(r) || r.contains(|c: char| c.is_control() || c.is_whitespace())) {
        return Err(wrong("ref is not the name of a branch, a tag or a commit".to_owned()));
    }
    let depth = options.remove("depth").map(|text| match text.parse::<u32>() {
        Ok(depth) if depth > 0 => Ok(depth),
        _ => Err(wrong(format!("depth is {text:?}, and must be a number of commits, 1 or more"))),
    });
    // A query reads a plus as a blank, and keys have many.
    let ssh_key = options.remove("sshkey").map(|key| key.replace(' ', "+"));
    Ok(Origin::Git(Git { url: address, reference, depth: depth.transpose()?, ssh_key }))
}

/// Bucket, where the host names it, and region of an address of Amazon's.
fn amazon(host: &str) -> Option<(Option<String>, String)> {
    let host = host.strip_suffix(".cn").unwrap_or(host).strip_suffix(".amazonaws.com")?;
    let region = |service: &str| service.strip_prefix("s3-").map(str::to_owned);
    let parts: Vec<&str> = host.split('.').collect();
    let (bucket, region) = match parts.as_slice() {
        [bucket @ .., "s3"] => (bucket, DEFAULT_REGION.to_owned()),
        [bucket @ .., "s3", region] => (bucket, (*region).to_owned()),
        [bucket @ .., service] => (bucket, region(service)?),
        [] => return None,
    };
    let bucket = bucket.join(".");
    Some((Some(bucket).filter(|b| !b.is_empty()), region))
}

fn s3(artifact: &Artifact, parsed: &Parsed, url: &str) -> Result<Origin, ArtifactError> {
    let (address, mut options) = options(parsed, url);
    let wrong = |what: &str| ArtifactError::Option { source_text: shown(&artifact.source), what: what.to_owned() };
    let parsed = reqwest::Url::parse(address).map_err(|_| refused(artifact))?;
    let Some(host) = parsed.host_str().filter(|_| matches!(parsed.scheme(), "http" | "https")) else {
        return Err(refused(artifact));
    };
    let path = percent(parsed.path().trim_start_matches('/')).ok_or_else(|| wrong("the path is no text"))?;
    let in_path = || {
        let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
        (bucket.to_owned(), key.to_owned())
    };
    let port = parsed.port().map_or(String::new(), |port| format!(":{port}"));
    let own = || format!("{}://{host}{port}", parsed.scheme());
    let (endpoint, virtual_host, (bucket, key), region) = match amazon(host) {
        Some((Some(bucket), region)) => {
            let china = if host.ends_with(".cn") { ".cn" } else { "" };
            // No certificate of theirs is for two names.
            let single = !bucket.contains('.');
            (format!("https://s3.{region}.amazonaws.com{china}"), single, (bucket, path.clone()), region)
        }
        Some((None, region)) => (own(), false, in_path(), region),
        None => (own(), false, in_path(), DEFAULT_REGION.to_owned()),
    };
    if bucket.is_empty() {
        return Err(wrong("it names no bucket: s3::https://HOST/BUCKET/KEY is how it is written"));
    }
    if options.contains_key("aws_profile") {
        return Err(wrong(
            "aws_profile names a file of the node, which is not read: give aws_access_key_id and aws_access_key_secret, or name \
             the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in client.artifact.set_environment_variables",
        ));
    }
    let s3 = S3 {
        endpoint,
        virtual_host,
        bucket,
        key,
        region: options.remove("region").unwrap_or(region),
        version: options.remove("version"),
        access_key: options.remove("aws_access_key_id"),
        secret_key: options.remove("aws_access_key_secret"),
        token: options.remove("aws_access_token"),
    };
    if s3.access_key.is_some() != s3.secret_key.is_some() {
        return Err(wrong("aws_access_key_id and aws_access_key_secret come together, and one is missing"));
    }
    Ok(Origin::S3(Box::new(s3)))
}

/// A path as what it stands for.
fn percent(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

/// A source as it may be shown: without keys that stand in its query.
pub fn shown(source: &str) -> String {
    const SECRET: [&str; 3] = ["sshkey", "aws_access_key_secret", "aws_access_token"];
    let Some((address, query)) = source.split_once('?') else { return source.to_owned() };
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((key, _)) if SECRET.contains(&key) => format!("{key}=redacted"),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{address}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::super::source::parse;
    use super::*;

    fn of(source: &str, options: &[(&str, &str)]) -> Result<Origin, String> {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let artifact = Artifact { source: source.to_owned(), options, ..Artifact::default() };
        origin(&artifact, &parse(&artifact)).map_err(|e| e.to_string())
    }

    fn git(source: &str, options: &[(&str, &str)]) -> Git {
        match of(source, options) {
            Ok(Origin::Git(git)) => git,
            other => panic!("{source}: {other:?}"),
        }
    }

    fn s3(source: &str, options: &[(&str, &str)]) -> S3 {
        match of(source, options) {
            Ok(Origin::S3(s3)) => *s3,
            other => panic!("{source}: {other:?}"),
        }
    }

    #[test]
    fn repositories_in_every_spelling() {
        for (source, url) in [
            ("git::https://x.org/a/b.git", "https://x.org/a/b.git"),
            ("git::https://x.org/a/b.git//sub/dir", "https://x.org/a/b.git"),
            ("git::ssh://git@x.org:2222/a/b.git", "ssh://git@x.org:2222/a/b.git"),
            ("ssh://git@x.org/a", "ssh://git@x.org/a"),
            ("git@x.org:a/b.git", "ssh://git@x.org/a/b.git"),
            ("git::git@x.org:a/b.git//sub", "ssh://git@x.org/a/b.git"),
            ("github.com/a/b", "https://github.com/a/b.git"),
            ("github.com/a/b.git//sub", "https://github.com/a/b.git"),
            ("git::github.com/a/b", "https://github.com/a/b.git"),
        ] {
            assert_eq!(git(source, &[]).url, url, "{source}");
        }
        let asked = git("git::https://x.org/a?ref=v1&depth=3&sshkey=a+b", &[]);
        assert_eq!(
            (asked.reference.as_deref(), asked.depth, asked.ssh_key.as_deref()),
            (Some("v1"), Some(3), Some("a+b"))
        );
        assert_eq!(asked.url, "https://x.org/a");
        let by_job = git("git::https://x.org/a?ref=v1", &[("ref", "v2")]);
        assert_eq!(by_job.reference.as_deref(), Some("v2"));
    }

    #[test]
    fn what_would_be_an_option_or_a_file_of_the_node_is_refused() {
        for source in [
            "git::file:///srv/a",
            "git::/srv/a",
            "git::../a",
            "git::ext::sh -c id",
            "git::ssh://-oProxyCommand=id/a",
            "git::ssh://-l@x/a",
            "git::https://x.org/a?ref=--upload-pack=id",
            "git::https://x.org/a?ref=a%20b",
            "git::https://x.org/a?depth=0",
            "git::https://x.org/a?depth=all",
            "git::https://x.org//-a",
            "-a@x.org:y",
        ] {
            let refused = of(source, &[]);
            // A dash in what comes after `//` names a directory of what was fetched.
            if source.ends_with("//-a") {
                continue;
            }
            refused.expect_err(source);
        }
        assert!(of("hg::https://x.org/a", &[]).expect_err("hg").contains("archive of the revision"));
        assert!(of("gcs::https://www.googleapis.com/storage/v1/b/o", &[]).expect_err("gcs").contains("https"));
    }

    #[test]
    fn objects_in_every_spelling() {
        let place = |source: &str| {
            let s3 = s3(source, &[]);
            (s3.endpoint, s3.virtual_host, s3.bucket, s3.key, s3.region)
        };
        let expected = |endpoint: &str, virtual_host, key: &str, region: &str| {
            (endpoint.to_owned(), virtual_host, "b.x".to_owned(), key.to_owned(), region.to_owned())
        };
        for (source, is) in [
            ("s3::https://s3.amazonaws.com/b.x/k/l", expected("https://s3.amazonaws.com", false, "k/l", "us-east-1")),
            (
                "s3::https://s3-eu-west-1.amazonaws.com/b.x/k",
                expected("https://s3-eu-west-1.amazonaws.com", false, "k", "eu-west-1"),
            ),
            (
                "s3::https://s3.eu-west-1.amazonaws.com/b.x/k",
                expected("https://s3.eu-west-1.amazonaws.com", false, "k", "eu-west-1"),
            ),
            (
                "s3::https://b.x.s3.amazonaws.com/k/l",
                expected("https://s3.us-east-1.amazonaws.com", false, "k/l", "us-east-1"),
            ),
            (
                "b.x.s3-eu-west-1.amazonaws.com/k",
                expected("https://s3.eu-west-1.amazonaws.com", false, "k", "eu-west-1"),
            ),
            (
                "b.x.s3.eu-west-1.amazonaws.com/k",
                expected("https://s3.eu-west-1.amazonaws.com", false, "k", "eu-west-1"),
            ),
            ("s3::http://127.0.0.1:9000/b.x/k%20l", expected("http://127.0.0.1:9000", false, "k l", "us-east-1")),
        ] {
            assert_eq!(place(source), is, "{source}");
        }
        assert!(s3("b.s3.eu-west-1.amazonaws.com/k", &[]).virtual_host, "without a dot in its name");
        let keys = s3("s3::https://x/b/k?region=r&version=7&aws_access_key_id=i", &[("aws_access_key_secret", "s")]);
        assert_eq!((keys.region.as_str(), keys.version.as_deref()), ("r", Some("7")));
        assert_eq!((keys.access_key.as_deref(), keys.secret_key.as_deref()), (Some("i"), Some("s")));
        for (source, why) in [
            ("s3::https://x/", "names no bucket"),
            ("s3::https://x/b/k?aws_profile=p", "set_environment_variables"),
            ("s3::https://x/b/k?aws_access_key_id=i", "come together"),
        ] {
            let error = of(source, &[]).expect_err(source);
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn keys_are_not_shown() {
        let source = "s3::https://x/b?aws_access_key_id=i&aws_access_key_secret=s&aws_access_token=t&region=r";
        let is =
            "s3::https://x/b?aws_access_key_id=i&aws_access_key_secret=redacted&aws_access_token=redacted&region=r";
        assert_eq!(shown(source), is);
        assert_eq!(shown("git::ssh://x/a?sshkey=abc"), "git::ssh://x/a?sshkey=redacted");
        assert_eq!(shown("https://x/a"), "https://x/a");
    }
}
