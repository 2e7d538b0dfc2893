//! The few things asked of the browser itself. On the server nothing here is called: pages call it from event handlers and effects.

use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

pub fn document() -> Option<web_sys::Document> {
    web_sys::window()?.document()
}

/// In lower case. The browser has the tables that this takes, so its module need not bring them.
pub fn lower(text: &str) -> String {
    if cfg!(feature = "hydrate") { js_sys::JsString::from(text).to_lower_case().into() } else { text.to_lowercase() }
}

/// An attribute of `<html>`.
pub fn root_attribute(name: &str) -> Option<String> {
    document()?.document_element()?.get_attribute(name)
}

pub fn set_root_attribute(name: &str, value: Option<&str>) {
    if let Some(root) = document().and_then(|d| d.document_element()) {
        // Neither fails for a constant attribute name.
        let _ = match value {
            Some(value) => root.set_attribute(name, value),
            None => root.remove_attribute(name),
        };
    }
}

#[wasm_bindgen(inline_js = r#"
export const load = (url) => import(url);
export const keep_percents = () => addEventListener("click", (event) => {
  const link = event.composedPath().find((node) => node instanceof HTMLAnchorElement);
  if (link && link.origin === location.origin && link.pathname.includes("%25")) link.rel = "external";
}, true);
export const set_cookie = (text) => { document.cookie = text; };
export async function copy_text(text) {
  if (navigator.clipboard && isSecureContext) { await navigator.clipboard.writeText(text); return; }
  const area = document.createElement("textarea");
  area.value = text; area.setAttribute("readonly", ""); area.className = "vh";
  document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
}
export const download_text = (name, text) => {
  const a = document.createElement("a");
  a.href = URL.createObjectURL(new Blob([text], { type: "text/plain" })); a.download = name; a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 1000);
};
"#)]
extern "C" {
    /// `import(url)`.
    #[wasm_bindgen(catch)]
    pub async fn load(url: &str) -> Result<JsValue, JsValue>;
    fn set_cookie(text: &str);
    /// The browser itself follows links that have a percent sign in their path: the router would write them decoded into the
    /// history, and a page that is loaded again from there would be another one.
    pub fn keep_percents();
    #[wasm_bindgen(catch)]
    pub async fn copy_text(text: &str) -> Result<JsValue, JsValue>;
    pub fn download_text(name: &str, text: &str);
}

/// Keeps `value` for a year.
pub fn remember(name: &str, value: &str) {
    set_cookie(&format!("{name}={value}; path=/; max-age=31536000; samesite=strict"));
}

pub fn reload() {
    if let Some(window) = web_sys::window() {
        let _ = window.location().reload();
    }
}

/// Nanoseconds since the epoch.
pub fn now_ns() -> i64 {
    (js_sys::Date::now() * 1e6) as i64
}

/// Minutes to add to UTC for the local time at `ms` since the epoch.
pub fn zone_minutes(ms: f64) -> i64 {
    -(js_sys::Date::new(&JsValue::from_f64(ms)).get_timezone_offset() as i64)
}

/// Waits.
pub async fn sleep_ms(ms: i32) {
    let promise = js_sys::Promise::new(&mut |resolve, _| {
        if let Some(window) = web_sys::window() {
            let _ = window.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, ms);
        }
    });
    let _ = JsFuture::from(promise).await;
}

/// Whether the page is on screen.
pub fn visible() -> bool {
    document().is_none_or(|d| !d.hidden())
}

/// `ws://host/path` of this page's server.
pub fn websocket_url(path: &str) -> Option<String> {
    let location = web_sys::window()?.location();
    let scheme = if location.protocol().ok()? == "https:" { "wss" } else { "ws" };
    Some(format!("{scheme}://{}{path}", location.host().ok()?))
}

/// What a thrown value says.
pub fn js_text(error: &JsValue) -> String {
    error
        .dyn_ref::<js_sys::Error>()
        .map(|e| String::from(e.message()))
        .or_else(|| error.as_string())
        .unwrap_or_else(|| format!("{error:?}"))
}

/// The path of the page's address.
pub fn path() -> String {
    web_sys::window().and_then(|w| w.location().pathname().ok()).unwrap_or_default()
}
