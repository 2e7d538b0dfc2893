//! `operator api`: one request to `/v1`, as curl would send it.

use std::io::{IsTerminal as _, Read as _, Write as _};

use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{HeaderName, HeaderValue};

use crate::client::ClientFlags;
use crate::command::{Command, Doing as _, Fail, Outcome};

#[derive(Debug, clap::Args)]
pub struct OperatorApi {
    #[command(flatten)]
    client: ClientFlags,
    /// Print the curl command instead of sending the request.
    #[arg(long)]
    dryrun: bool,
    /// A filter expression to add to the query.
    #[arg(long, value_name = "expression")]
    filter: Option<String>,
    /// Print request and status lines on stderr.
    #[arg(long)]
    verbose: bool,
    /// The method; GET, or POST when standard input has a body.
    #[arg(long = "X", value_name = "method")]
    method: Option<String>,
    /// A header "Name: value"; may be repeated.
    #[arg(long = "H", value_name = "header")]
    headers: Vec<String>,
    args: Vec<String>,
}

impl Command for OperatorApi {
    const PATH: &'static str = "operator api";
    const USAGE: &'static str = "<path>";
    const ABOUT: &'static str = "Sends one request to the API and prints the answer's body.";
    const DETAILS: &'static str = "A path without a slash at its start is completed: \"jobs\" means /v1/jobs.";

    async fn run(self) -> Outcome {
        let [path] = self.args.as_slice() else {
            return Err(Fail::usage("This command takes one argument: <path>"));
        };
        let path = self.path(path);
        let body = self.body()?;
        let method = match (&self.method, body.is_empty()) {
            (Some(method), _) => method.to_ascii_uppercase(),
            (None, true) => "GET".to_owned(),
            (None, false) => "POST".to_owned(),
        };
        let http = self.client.transport()?;
        if self.dryrun {
            println!("curl{} -X {method} {:?}", self.client.caller().as_curl(), http.url(&path));
            return Ok(0);
        }
        let mut request = http::Request::builder().method(method.as_str()).uri(&path);
        for header in &self.headers {
            let (name, value) =
                header.split_once(':').ok_or_else(|| Fail::new(format!("header {header:?} has no colon")))?;
            let name: HeaderName = name.trim().parse().map_err(|e| Fail::new(format!("header {header:?}: {e}")))?;
            let value: HeaderValue = value.trim().parse().map_err(|e| Fail::new(format!("header {header:?}: {e}")))?;
            request = request.header(name, value);
        }
        if self.verbose {
            eprintln!("> {method} {}", http.url(&path));
        }
        let request = request.body(body).map_err(|e| Fail::new(format!("Error making request: {e}")))?;
        let response = http.open(request).await.doing("Error performing request")?;
        let status = response.status();
        if self.verbose {
            eprintln!("< {status}");
        }
        let mut parts = response.bytes_stream();
        let mut out = std::io::stdout().lock();
        while let Some(part) = parts.next().await {
            let part = part.map_err(|e| Fail::new(format!("Error reading the answer: {e}")))?;
            out.write_all(&part).and_then(|()| out.flush()).map_err(Fail::new)?;
        }
        if status.is_success() {
            Ok(0)
        } else {
            Err(Fail::new(format!("Unexpected response code: {}", status.as_u16())))
        }
    }
}

impl OperatorApi {
    fn path(&self, path: &str) -> String {
        let mut path = if path.starts_with('/') { path.to_owned() } else { format!("/v1/{path}") };
        if let Some(filter) = &self.filter {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(&format!("filter={}", tarpan_api::client::escape(filter)));
        }
        path
    }

    fn body(&self) -> Result<Bytes, Fail> {
        let mut body = Vec::new();
        let given = self.method.as_deref().is_none_or(|m| !m.eq_ignore_ascii_case("GET"));
        if given && !std::io::stdin().is_terminal() {
            std::io::stdin().read_to_end(&mut body).map_err(|e| Fail::new(format!("Error reading the body: {e}")))?;
        }
        Ok(body.into())
    }
}
