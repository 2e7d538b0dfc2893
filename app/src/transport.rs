//! The browser's transport: `fetch`, with the cookies of the page, in the region that the page shows.

use bytes::Bytes;
use futures::Stream;
use js_sys::Uint8Array;
use send_wrapper::SendWrapper;
use std::pin::Pin;
use std::task::{Context, Poll};
use tarpan_api::{
    ByteStream, Error, Fut,
    transport::{INDEX, NEXT_TOKEN, Transport},
};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, ReadableStreamDefaultReader, RequestInit, Response};

use crate::dom::js_text;
use crate::prefs::Region;

pub struct Fetch;

impl Transport for Fetch {
    fn send(&self, request: http::Request<Bytes>) -> Fut<'_, Result<http::Response<Bytes>, Error>> {
        Box::pin(SendWrapper::new(async move {
            let response = fetch(request, None).await?;
            let buffer =
                JsFuture::from(response.array_buffer().map_err(unreachable_error)?).await.map_err(unreachable_error)?;
            let mut answer = http::Response::builder().status(response.status());
            for name in [&INDEX, &NEXT_TOKEN] {
                if let Ok(Some(value)) = response.headers().get(name.as_str()) {
                    answer = answer.header(name, value);
                }
            }
            let body = Bytes::from(Uint8Array::new(&buffer).to_vec());
            answer.body(body).map_err(|e| Error::Decode(e.to_string()))
        }))
    }

    fn stream(&self, request: http::Request<Bytes>) -> Fut<'_, Result<ByteStream, Error>> {
        Box::pin(SendWrapper::new(async move {
            let abort = AbortController::new().map_err(unreachable_error)?;
            let response = fetch(request, Some(&abort)).await?;
            if !response.ok() {
                let text =
                    JsFuture::from(response.text().map_err(unreachable_error)?).await.map_err(unreachable_error)?;
                let message = text.as_string().unwrap_or_default().trim().to_owned();
                return Err(Error::Status { code: response.status(), message });
            }
            let body = response.body().ok_or_else(|| Error::Decode("an answer without a body".to_owned()))?;
            let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
            Ok(Box::pin(SendWrapper::new(Chunks { reader, abort, next: None })) as ByteStream)
        }))
    }
}

async fn fetch(request: http::Request<Bytes>, abort: Option<&AbortController>) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let init = RequestInit::new();
    init.set_method(parts.method.as_str());
    if !body.is_empty() {
        init.set_body(&Uint8Array::from(&body[..]));
    }
    init.set_signal(abort.map(|a| a.signal()).as_ref());
    let window = web_sys::window().ok_or_else(|| Error::Unreachable("no window".to_owned()))?;
    let promise = window.fetch_with_str_and_init(&Region::from_document().on(&parts.uri.to_string()), &init);
    let response =
        JsFuture::from(promise).await.map_err(|_| Error::Unreachable("the server does not answer".to_owned()))?;
    Ok(response.unchecked_into())
}

fn unreachable_error(error: JsValue) -> Error {
    Error::Unreachable(js_text(&error))
}

/// The body's chunks; dropping it ends the request.
struct Chunks {
    reader: ReadableStreamDefaultReader,
    abort: AbortController,
    next: Option<Pin<Box<JsFuture>>>,
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

impl Stream for Chunks {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let next = this.next.get_or_insert_with(|| Box::pin(JsFuture::from(this.reader.read())));
        let Poll::Ready(answer) = next.as_mut().poll(cx) else { return Poll::Pending };
        this.next = None;
        Poll::Ready(match answer {
            Err(error) => Some(Err(unreachable_error(error))),
            Ok(chunk) => {
                let field =
                    |name: &str| js_sys::Reflect::get(&chunk, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED);
                if field("done").is_truthy() {
                    None
                } else {
                    Some(Ok(Bytes::from(Uint8Array::new(&field("value")).to_vec())))
                }
            }
        })
    }
}
