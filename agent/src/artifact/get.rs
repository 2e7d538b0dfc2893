//! Downloads over http(s), in the process that fetches.

use std::fs::File;
use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio::io::AsyncWriteExt;

use super::request::Progress;
use super::{Artifact, ArtifactError, or_endless, room};
use crate::ground::Dir;
use crate::options::ArtifactLimits;

/// Progress is said so often.
const TELL: Duration = Duration::from_secs(1);

/// What the downloads of one artifact share.
pub(super) struct Getting<'a> {
    pub http: &'a reqwest::Client,
    pub limits: &'a ArtifactLimits,
    /// It is written below.
    pub scratch: &'a Dir,
    pub tell: &'a (dyn Fn(Progress) + Sync),
}

impl Getting<'_> {
    /// What is at `url`, in a file of the scratch directory.
    pub async fn get(&self, artifact: &Artifact, url: &str, to: File) -> Result<File, ArtifactError> {
        let mut request = self.http.get(url).timeout(self.limits.http_read_timeout);
        for (name, value) in &artifact.headers {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(ArtifactError::Download)?;
        if !response.status().is_success() {
            return Err(ArtifactError::Status { status: response.status().as_u16() });
        }
        let (most, room) = (or_endless(self.limits.http_max_bytes), room(self.scratch));
        let fits = |size: u64| match size {
            size if size > most => Err(ArtifactError::TooLarge(most)),
            size if size > room => Err(ArtifactError::NoRoom(room)),
            _ => Ok(()),
        };
        let of = response.content_length().filter(|length| *length > 0);
        fits(of.unwrap_or_default())?;
        let mut file = tokio::fs::File::from_std(to);
        let mut stream = response.bytes_stream();
        let (mut bytes, mut told) = (0u64, Instant::now());
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(ArtifactError::Download)?;
            bytes += chunk.len() as u64;
            fits(bytes)?;
            file.write_all(&chunk).await.map_err(ArtifactError::Write)?;
            if told.elapsed() >= TELL {
                told = Instant::now();
                (self.tell)(Progress { bytes, of });
            }
        }
        file.flush().await.map_err(ArtifactError::Write)?;
        Ok(file.into_std().await)
    }
}

/// A client for artifacts: redirects stay on the web and never fall back from https to http.
pub(super) fn client(insecure: bool) -> reqwest::Result<reqwest::Client> {
    const REDIRECTS: usize = 10;
    let policy = reqwest::redirect::Policy::custom(|attempt| {
        let secure = attempt.previous().iter().any(|url| url.scheme() == "https");
        match attempt.url().scheme() {
            _ if attempt.previous().len() > REDIRECTS => attempt.error("more than 10 redirects"),
            "https" => attempt.follow(),
            "http" if !secure => attempt.follow(),
            scheme => {
                let text = format!("a redirect to {scheme}:, which is not followed");
                attempt.error(text)
            }
        }
    });
    reqwest::Client::builder().user_agent("tarpan").redirect(policy).danger_accept_invalid_certs(insecure).build()
}
