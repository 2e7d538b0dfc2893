//! What pages have from around them: who answers what they ask, and who hears with which status they are shown.

use std::sync::Arc;

use leptos::prelude::*;
use tarpan_api::{Client, Error};

/// Sets the status of the answer while the server renders; in no context in the browser.
#[derive(Clone)]
pub struct SetStatus(pub Arc<dyn Fn(u16) + Send + Sync>);

/// The client of the context; outside of one (a list of routes is made without a request) nothing answers.
pub fn client() -> Client {
    use_context::<Client>().unwrap_or_else(|| Client::new(Nobody))
}

struct Nobody;

impl tarpan_api::Transport for Nobody {
    fn send(&self, _: http::Request<bytes::Bytes>) -> tarpan_api::Fut<'_, Result<http::Response<bytes::Bytes>, Error>> {
        Box::pin(async { Err(Error::Unreachable("no server".to_owned())) })
    }
    fn stream(&self, _: http::Request<bytes::Bytes>) -> tarpan_api::Fut<'_, Result<tarpan_api::ByteStream, Error>> {
        Box::pin(async { Err(Error::Unreachable("no server".to_owned())) })
    }
}
