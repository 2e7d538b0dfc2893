//! Where an artifact comes from, by its text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Artifact, ArtifactError};

/// Where the bytes come from, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parsed {
    pub url: String,
    pub subdirectory: Option<String>,
    pub options: BTreeMap<String, String>,
}

/// Takes `//subdirectory` and the getter's own query options out of the source.
pub(super) fn parse(artifact: &Artifact) -> Parsed {
    let source = artifact.source.trim();
    let (mut path, query) = source.split_once('?').unwrap_or((source, ""));
    let mut subdirectory = None;
    let scheme_end = path.find("://").map_or(0, |i| i + 3);
    if let Some(at) = path[scheme_end..].find("//") {
        subdirectory = Some(path[scheme_end + at + 2..].trim_matches('/').to_owned()).filter(|s| !s.is_empty());
        path = &path[..scheme_end + at];
    }
    let mut options = BTreeMap::new();
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "archive" | "checksum" | "filename" => drop(options.insert(key.to_owned(), value.replace("%3A", ":"))),
            _ => kept.push(pair),
        }
    }
    options.extend(artifact.options.clone());
    let mut url = path.to_owned();
    if !kept.is_empty() {
        url.push('?');
        url.push_str(&kept.join("&"));
    }
    Parsed { url, subdirectory, options }
}

/// The address behind a forced getter's prefix. Nothing of the node itself can be named by one.
pub(super) fn web_address(url: &str) -> Option<&str> {
    let url = ["http::", "https::"].iter().find_map(|p| url.strip_prefix(p)).unwrap_or(url);
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase())?;
    matches!(scheme.as_str(), "http" | "https").then_some(url)
}

pub(super) fn refused(artifact: &Artifact) -> ArtifactError {
    let source = artifact.source.clone();
    let lower = source.trim().to_ascii_lowercase();
    match lower.starts_with("file:") || lower.starts_with(['/', '.', '~']) {
        true => ArtifactError::NodeFile(source),
        false => ArtifactError::Source(source),
    }
}

pub(super) fn file_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').find(|p| !p.is_empty()).unwrap_or("artifact").to_owned()
}
