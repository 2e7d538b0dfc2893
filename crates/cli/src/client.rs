//! The typed client over HTTP: where the agent is, who asks, and how the connection is made.
//!
//! Reads the shared flags and the environment (`NOMAD_ADDR`, `NOMAD_TOKEN`, …). Gives a [`Client`].

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tarpan_api::{ByteStream, Client, Error, Fut, Transport};
use tarpan_tls::caller::Caller;

use crate::command::Fail;

const DEFAULT_ADDRESS: &str = "http://127.0.0.1:4646";

/// Flags that every command of the API understands.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ClientFlags {
    /// The address of the agent to ask. NOMAD_ADDR says the same; the default is http://127.0.0.1:4646.
    #[arg(long, value_name = "addr")]
    pub address: Option<String>,
    /// The region to ask, when it is not the agent's own. NOMAD_REGION says the same.
    #[arg(long, value_name = "region")]
    pub region: Option<String>,
    /// The namespace to work in; "*" means all where a list is asked for. NOMAD_NAMESPACE says the same.
    #[arg(long, value_name = "namespace")]
    pub namespace: Option<String>,
    /// Print without colours. NOMAD_CLI_NO_COLOR says the same.
    #[arg(long)]
    pub no_color: bool,
    /// Print with colours even when the output is not a terminal. NOMAD_CLI_FORCE_COLOR says the same.
    #[arg(long)]
    pub force_color: bool,
    /// A PEM file with the certificate authority of the servers. NOMAD_CACERT says the same.
    #[arg(long, value_name = "path")]
    pub ca_cert: Option<PathBuf>,
    /// A directory of PEM files with certificate authorities. NOMAD_CAPATH says the same.
    #[arg(long, value_name = "path")]
    pub ca_path: Option<PathBuf>,
    /// A PEM file with this caller's certificate; needs -client-key. NOMAD_CLIENT_CERT says the same.
    #[arg(long, value_name = "path")]
    pub client_cert: Option<PathBuf>,
    /// The unencrypted PEM key of -client-cert. NOMAD_CLIENT_KEY says the same.
    #[arg(long, value_name = "path")]
    pub client_key: Option<PathBuf>,
    /// The name to expect in the server's certificate. NOMAD_TLS_SERVER_NAME says the same.
    #[arg(long, value_name = "value")]
    pub tls_server_name: Option<String>,
    /// Do not check the server's certificate. NOMAD_SKIP_VERIFY says the same.
    #[arg(long, alias = "insecure")]
    pub tls_skip_verify: bool,
    /// The secret of an access token. NOMAD_TOKEN says the same.
    #[arg(long, value_name = "token")]
    pub token: Option<String>,
}

impl ClientFlags {
    /// The address asked, without a slash at its end.
    pub fn address(&self) -> String {
        let address = flag_or_env(self.address.as_deref(), "NOMAD_ADDR");
        address.unwrap_or_else(|| DEFAULT_ADDRESS.to_owned()).trim_end_matches('/').to_owned()
    }

    /// The namespace asked for; `default` when nobody said one.
    pub fn namespace(&self) -> String {
        self.chosen_namespace().unwrap_or_else(|| "default".to_owned())
    }

    /// The namespace that a flag or the environment names.
    pub fn chosen_namespace(&self) -> Option<String> {
        flag_or_env(self.namespace.as_deref(), "NOMAD_NAMESPACE")
    }

    /// The client; errors name the file or the address that can't be used.
    pub fn client(&self) -> Result<Client, Fail> {
        Ok(Client::new(self.transport()?))
    }

    pub fn transport(&self) -> Result<Http, Fail> {
        let address = self.address();
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(10))
            .default_headers(self.headers()?);
        let base = match address.strip_prefix("unix://") {
            Some(path) => {
                builder = builder.unix_socket(PathBuf::from(path));
                "http://127.0.0.1".to_owned()
            }
            None => address.clone(),
        };
        let caller = self.caller();
        if base.starts_with("https://") {
            let config = caller.config().map_err(|e| Fail::new(format!("Error initializing client: {e}")))?;
            builder = builder.tls_backend_preconfigured(config);
        }
        let client = builder.build().map_err(|e| Fail::new(format!("Error initializing client: {}", chain(&e))))?;
        Ok(Http {
            client,
            base,
            address,
            caller,
            region: flag_or_env(self.region.as_deref(), "NOMAD_REGION"),
            namespace: self.chosen_namespace(),
        })
    }

    /// The secret of the access token, if there is one.
    pub fn token(&self) -> Option<String> {
        flag_or_env(self.token.as_deref(), "NOMAD_TOKEN")
    }

    fn headers(&self) -> Result<HeaderMap, Fail> {
        let mut headers = HeaderMap::new();
        if let Some(token) = self.token() {
            headers.insert(HeaderName::from_static("x-nomad-token"), secret(&token)?);
        }
        if let Some(auth) = flag_or_env(None, "NOMAD_HTTP_AUTH") {
            use base64::Engine as _;
            let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(auth));
            headers.insert(reqwest::header::AUTHORIZATION, secret(&basic)?);
        }
        Ok(headers)
    }

    /// With which files, and as whom, an address of https is called.
    pub fn caller(&self) -> Caller {
        let skip = flag_or_env(None, "NOMAD_SKIP_VERIFY").is_some_and(|v| tarpan_model::go::boolean(&v) == Some(true));
        Caller {
            ca_cert: path_or_env(self.ca_cert.as_ref(), "NOMAD_CACERT"),
            ca_path: path_or_env(self.ca_path.as_ref(), "NOMAD_CAPATH"),
            client_cert: path_or_env(self.client_cert.as_ref(), "NOMAD_CLIENT_CERT"),
            client_key: path_or_env(self.client_key.as_ref(), "NOMAD_CLIENT_KEY"),
            server_name: flag_or_env(self.tls_server_name.as_deref(), "NOMAD_TLS_SERVER_NAME"),
            skip_verify: self.tls_skip_verify || skip,
        }
    }
}

fn secret(text: &str) -> Result<HeaderValue, Fail> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| Fail::new("the token has characters that no header may"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn flag_or_env(flag: Option<&str>, name: &str) -> Option<String> {
    let flag = flag.filter(|v| !v.is_empty()).map(str::to_owned);
    flag.or_else(|| std::env::var(name).ok().filter(|v| !v.is_empty()))
}

fn path_or_env(flag: Option<&PathBuf>, name: &str) -> Option<PathBuf> {
    flag.cloned().or_else(|| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from))
}

/// `/v1` over HTTP/1.1: TCP, TLS or a unix socket.
pub struct Http {
    client: reqwest::Client,
    base: String,
    address: String,
    caller: Caller,
    region: Option<String>,
    namespace: Option<String>,
}

impl Http {
    /// The whole address of `path`, with region and namespace when they were chosen and the path does not say them.
    pub fn url(&self, path: &str) -> String {
        let mut url = format!("{}{path}", self.base);
        for (key, value) in [("region", &self.region), ("namespace", &self.namespace)] {
            let Some(value) = value else { continue };
            let said = path.split(['?', '&']).skip(1).any(|pair| pair.split('=').next() == Some(key));
            if !said {
                url.push(if url.contains('?') { '&' } else { '?' });
                url.push_str(&format!("{key}={}", tarpan_api::client::escape(value)));
            }
        }
        url
    }

    /// Sends one request; the body of the answer is still to be read.
    pub async fn open(&self, request: http::Request<Bytes>) -> Result<reqwest::Response, Error> {
        let (parts, body) = request.into_parts();
        let url = self.url(&parts.uri.to_string());
        let request = self.client.request(parts.method, &url).headers(parts.headers).body(body);
        request.send().await.map_err(|e| {
            let why = self.caller.why(&e).unwrap_or_else(|| chain(&e));
            Error::Unreachable(format!("no answer from {}: {why}", self.address))
        })
    }
}

impl Transport for Http {
    fn send(&self, request: http::Request<Bytes>) -> Fut<'_, Result<http::Response<Bytes>, Error>> {
        Box::pin(async move {
            let response = self.open(request).await?;
            let mut answer = http::Response::builder().status(response.status());
            if let Some(headers) = answer.headers_mut() {
                headers.clone_from(response.headers());
            }
            let body = response.bytes().await.map_err(|e| Error::Unreachable(chain(&e)))?;
            answer.body(body).map_err(|e| Error::Decode(e.to_string()))
        })
    }

    fn stream(&self, request: http::Request<Bytes>) -> Fut<'_, Result<ByteStream, Error>> {
        Box::pin(async move {
            let response = self.open(request).await?;
            let status = response.status();
            if !status.is_success() {
                let message = response.text().await.unwrap_or_default().trim().to_owned();
                return Err(Error::Status { code: status.as_u16(), message });
            }
            let body = response.bytes_stream().map(|part| part.map_err(|e| Error::Unreachable(chain(&e))));
            Ok(Box::pin(body) as ByteStream)
        })
    }
}

/// The last cause of an error says what happened; the ones before only repeat the address.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_and_namespace_are_added_once() {
        let flags = ClientFlags {
            address: Some("http://host:1/".to_owned()),
            region: Some("west".to_owned()),
            namespace: Some("*".to_owned()),
            ..ClientFlags::default()
        };
        let http = flags.transport().expect("a plain address needs nothing");
        assert_eq!(http.url("/v1/jobs"), "http://host:1/v1/jobs?region=west&namespace=%2A");
        assert_eq!(http.url("/v1/jobs?namespace=a"), "http://host:1/v1/jobs?namespace=a&region=west");
    }
}
