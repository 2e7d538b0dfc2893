//! The typed client as journeys use it: over plain HTTP, and waiting for each answer.

use std::io::{self, Read as _};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures::executor::{block_on, block_on_stream};
use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use serde::de::DeserializeOwned;
use tarpan_api::client::Raw;
use tarpan_api::{ByteStream, Call, Client, Error, Fut, Transport};
use ureq::RequestExt as _;

/// A connection for each request: none outlives the agent that it was made to.
pub struct Http {
    /// `http://127.0.0.1:PORT`
    addr: String,
    /// How long an answer may take, to its last byte.
    limit: Option<Duration>,
}

impl Http {
    /// The typed client of the agent at `addr`.
    pub fn client(addr: &str) -> Client {
        Client::new(Http { addr: addr.to_owned(), limit: None })
    }

    /// The same for who waits no longer than `limit` for an answer.
    pub fn client_within(addr: &str, limit: Duration) -> Client {
        Client::new(Http { addr: addr.to_owned(), limit: Some(limit) })
    }

    fn open(&self, request: http::Request<Bytes>) -> Result<http::Response<ureq::Body>, Error> {
        let (mut parts, body) = request.into_parts();
        let unreachable =
            |why: &dyn std::fmt::Display| Error::Unreachable(format!("no answer from {}: {why}", self.addr));
        parts.uri = format!("{}{}", self.addr, parts.uri).parse().map_err(|e| unreachable(&e))?;
        let request = http::Request::from_parts(parts, body.to_vec()).with_default_agent().configure();
        request.http_status_as_error(false).timeout_global(self.limit).run().map_err(|e| unreachable(&e))
    }
}

impl Transport for Http {
    fn send(&self, request: http::Request<Bytes>) -> Fut<'_, Result<http::Response<Bytes>, Error>> {
        Box::pin(async move {
            let (parts, body) = self.open(request)?.into_parts();
            Ok(http::Response::from_parts(parts, whole(body)?))
        })
    }

    fn stream(&self, request: http::Request<Bytes>) -> Fut<'_, Result<ByteStream, Error>> {
        Box::pin(async move {
            let (parts, body) = self.open(request)?.into_parts();
            if parts.status.is_success() {
                return Ok(parts_of(body));
            }
            let message = String::from_utf8_lossy(&whole(body)?).trim().to_owned();
            Err(Error::Status { code: parts.status.as_u16(), message })
        })
    }
}

fn whole(body: ureq::Body) -> Result<Bytes, Error> {
    let mut bytes = Vec::new();
    body.into_reader().read_to_end(&mut bytes).map_err(cut_off)?;
    Ok(bytes.into())
}

/// The body as it arrives. Who reads waits for each part.
fn parts_of(body: ureq::Body) -> ByteStream {
    let mut reader = body.into_reader();
    let next = move || {
        let mut part = [0; 8192];
        let read = reader.read(&mut part).map_err(cut_off);
        read.map(|n| (n > 0).then(|| Bytes::copy_from_slice(&part[..n]))).transpose()
    };
    futures::stream::iter(std::iter::from_fn(next)).boxed()
}

fn cut_off(error: io::Error) -> Error {
    Error::Unreachable(format!("the answer was cut off: {error}"))
}

/// Asks, and waits for the answer. An error names the request and says what the server said.
pub fn ask<T: DeserializeOwned>(client: &Client, call: &Call<T>) -> Result<T> {
    Ok(block_on(client.call(call)).map_err(|error| of_call(call, error))?.value)
}

/// The lines of an answer as they come.
pub fn lines(client: &Client, call: &Call<Raw>) -> Result<impl Iterator<Item = io::Result<String>> + use<>> {
    let stream = block_on(client.open(call)).map_err(|error| of_call(call, error))?;
    Ok(block_on_stream(stream.map_err(io::Error::other).into_async_read().lines()))
}

fn of_call<T>(call: &Call<T>, error: Error) -> anyhow::Error {
    let asked = match &error {
        Error::Status { code, .. } => format!("{call:?} answered {code}"),
        _ => format!("{call:?}"),
    };
    anyhow::Error::new(error).context(asked)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use tarpan_api::{Query, calls};

    use super::*;

    /// A server of one answer; it gives what it was asked.
    fn answers(text: &'static str) -> (Client, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = Http::client(&format!("http://{}", listener.local_addr().expect("bound")));
        let asked = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a request");
            let mut reader = BufReader::new(stream);
            let mut asked = String::new();
            while !asked.ends_with("\r\n\r\n") {
                reader.read_line(&mut asked).expect("a line");
            }
            reader.get_mut().write_all(text.as_bytes()).expect("somebody who listens");
            asked
        });
        (client, asked)
    }

    #[test]
    fn an_error_names_the_request_and_keeps_the_sentence() {
        let (client, asked) = answers("HTTP/1.1 404 Not Found\r\nContent-Length: 14\r\n\r\njob not found\n");
        let error = ask(&client, &calls::job(&Query::new(), "a/b")).expect_err("there is none");
        assert_eq!(format!("{error:#}"), "GET /v1/job/a%2Fb answered 404: job not found");
        assert!(error.downcast_ref::<Error>().is_some_and(Error::is_not_found), "its kind is kept");
        assert!(asked.join().expect("asked").starts_with("GET /v1/job/a%2Fb HTTP/1.1\r\n"));
    }

    #[test]
    fn lines_come_whole() {
        let chunks = "8\r\n{}\n{\"Ind\r\n7\r\nex\":3}\n\r\n0\r\n\r\n";
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let (client, _) = answers(answer.leak());
        let lines = lines(&client, &calls::events(&Query::new(), &[], 0)).expect("a stream");
        assert_eq!(lines.map(|l| l.expect("a line")).collect::<Vec<_>>(), ["{}", "{\"Index\":3}"]);
    }
}
