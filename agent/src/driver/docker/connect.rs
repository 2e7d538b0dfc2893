//! The way to the engine: its socket, or TCP, with TLS where the operator named certificates.
//!
//! The engine's client library speaks TLS only with all authorities of the machine, and panics without a provider of the whole
//! process; [`tarpan_tls::caller`] is what everything else here calls with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error as ApiError;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tarpan_tls::caller::Caller;

use super::config::{PluginConfig, TlsFiles};
use super::text;

/// Seconds that the engine has to begin an answer.
const PATIENCE: u64 = 120;
/// How long a connection that carries nothing has to say why.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A client for the engine that the plugin's block names. Nothing is asked of it yet. Errors are sentences.
#[allow(clippy::disallowed_methods, reason = "looks whether the engine's socket is there")]
pub(super) fn client(plugin: &PluginConfig) -> Result<Docker, String> {
    let host = plugin.endpoint();
    if let Some(path) = host.strip_prefix("unix://") {
        if !std::path::Path::new(path).exists() {
            return Err(format!("the Docker daemon is not running: {path} is missing"));
        }
    } else if let Some(address) = secure(&host, &plugin.tls) {
        return over_tls(address, &plugin.tls);
    }
    Docker::connect_with_host(&host).map_err(|e| format!("failed to connect to the Docker daemon: {}", text(&e)))
}

/// Host and port, where TLS is to be spoken.
fn secure<'a>(endpoint: &'a str, files: &TlsFiles) -> Option<&'a str> {
    let named = !(files.cert.is_empty() && files.key.is_empty() && files.ca.is_empty());
    match endpoint.split_once("://") {
        Some(("https", address)) => Some(address),
        Some(("tcp", address)) if named => Some(address),
        _ => None,
    }
}

fn over_tls(address: &str, files: &TlsFiles) -> Result<Docker, String> {
    let path = |text: &String| (!text.is_empty()).then(|| PathBuf::from(text));
    for (given, there, missing, absent) in
        [("cert", &files.cert, "key", &files.key), ("key", &files.key, "cert", &files.cert)]
    {
        if !there.is_empty() && absent.is_empty() {
            return Err(format!("plugin \"docker\": tls.{given} needs tls.{missing}, too"));
        }
    }
    let caller = Caller {
        ca_cert: path(&files.ca),
        client_cert: path(&files.cert),
        client_key: path(&files.key),
        ..Caller::default()
    };
    // Files that can't be used are told of now; they are read again for each connection, so that new ones count.
    caller.config().map_err(|e| format!("plugin \"docker\": tls: {}", crate::chain(&e)))?;
    let caller = Arc::new(caller);
    let transport = move |request: BollardRequest| {
        let caller = caller.clone();
        async move { send(&caller, request).await }
    };
    let connected = Docker::connect_with_custom_transport(
        transport,
        Some(format!("https://{address}")),
        PATIENCE,
        API_DEFAULT_VERSION,
    );
    connected.map_err(|e| text(&e))
}

/// One request on a connection of its own, as the library does it on a socket.
async fn send(caller: &Caller, request: BollardRequest) -> Result<http::Response<Incoming>, ApiError> {
    let refused = |why: String| ApiError::from(std::io::Error::other(why));
    let stream = caller.connect(request.uri()).await.map_err(refused)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection.with_upgrades());
    let (mut parts, body) = request.into_parts();
    // To a server, a request names the path alone; the host stands in its header.
    if let Some(authority) = parts.uri.authority()
        && let Ok(host) = http::HeaderValue::from_str(authority.as_str())
    {
        parts.headers.entry(http::header::HOST).or_insert(host);
    }
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    parts.uri = path.parse().map_err(|_| refused(format!("{path:?} is no path")))?;
    let error = match sender.send_request(http::Request::from_parts(parts, body)).await {
        Ok(answer) => return Ok(answer),
        Err(error) => error,
    };
    // Who does not take our certificate says so only when everything seems agreed on.
    match tokio::time::timeout(LAST_WORDS, connection).await {
        Ok(Ok(Err(ended))) => Err(caller.why(&ended).map_or_else(|| ended.into(), refused)),
        _ => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_spoken_where_certificates_are_named_and_mistakes_are_sentences() {
        let files = |cert: &str, key: &str, ca: &str| TlsFiles { cert: cert.into(), key: key.into(), ca: ca.into() };
        assert_eq!(secure("tcp://a:2376", &files("c", "k", "")), Some("a:2376"));
        assert_eq!(secure("tcp://a:2375", &TlsFiles::default()), None);
        assert_eq!(secure("https://a:2376", &TlsFiles::default()), Some("a:2376"));
        assert_eq!(secure("unix:///x", &files("c", "k", "")), None);
        let with = |tls: TlsFiles| {
            let plugin = PluginConfig { endpoint: Some("tcp://127.0.0.1:1".into()), tls, ..PluginConfig::default() };
            client(&plugin).expect_err("a sentence")
        };
        assert_eq!(with(files("/c", "", "")), "plugin \"docker\": tls.cert needs tls.key, too");
        let missing = with(files("", "", "/nowhere/ca.pem"));
        assert!(missing.starts_with("plugin \"docker\": tls: ca-cert: /nowhere/ca.pem"), "{missing}");
    }
}
