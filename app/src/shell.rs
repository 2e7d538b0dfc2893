//! The document around the pages: head, assets, the line that starts the browser's side.

use leptos::prelude::*;
use leptos_meta::MetaTags;
use serde::{Deserialize, Serialize};

use crate::prefs::{Prefs, Region};
use crate::{App, dom};

/// Where the built browser files are. Written by `cargo xtask ui` as `manifest.json`; empty when the UI was not built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Assets {
    /// The folder's address: `/ui/assets/<hash>`.
    pub base: String,
    /// File names below it; empty: not there.
    pub js: String,
    pub wasm: String,
    pub css: String,
    pub editor: String,
    pub terminal: String,
    pub worker: String,
}

impl Assets {
    pub fn is_built(&self) -> bool {
        !self.js.is_empty()
    }
    /// The address of a file; `None` when it was not built.
    pub fn url(&self, file: &str) -> Option<String> {
        (!file.is_empty()).then(|| format!("{}/{file}", self.base))
    }
    /// As the shell wrote it on `<html data-assets>`.
    pub fn from_document() -> Assets {
        dom::root_attribute("data-assets").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }
}

/// Where the style sheet is served when the UI was not built.
pub const PLAIN_CSS: &str = "/ui/assets/plain/app.css";

const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 20 20'%3E%3Cpath d='M4 17.5V9.25L9.5 3l1.25 2.5 5.25 6-2 2.5-4-1.25-.75 4.75z' \
fill='%23fff' stroke='%231c1915' stroke-width='1.5' stroke-linejoin='round'/%3E%3Cpath d='M4 9.25 2 12M4 12.5 2 15.25M6.25 6.7 3.75 9' fill='none' stroke='%231e59cd' stroke-width='1.5'/%3E%3C/svg%3E";

/// The whole document. `nonce` is the one of the answer's content security policy.
pub fn shell(assets: Assets, prefs: Prefs, nonce: Option<String>) -> impl IntoView {
    let css = assets.url(&assets.css).unwrap_or_else(|| PLAIN_CSS.to_owned());
    let js = assets.url(&assets.js);
    let wasm = assets.url(&assets.wasm);
    let boot = js
        .clone()
        .zip(wasm.clone())
        .map(|(js, wasm)| format!("import init from '{js}';init({{module_or_path:'{wasm}'}}).then(m=>m.start());"));
    let data = serde_json::to_string(&assets).unwrap_or_default();
    let region = use_context::<Region>().unwrap_or_default().attribute();
    provide_context(prefs);
    provide_context(assets);
    view! {
        <!DOCTYPE html>
        <html lang=prefs.lang.tag() data-theme=prefs.theme.attribute() data-region=region data-assets=data>
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1"/>
                <meta name="color-scheme" content="light dark"/>
                <link rel="icon" href=ICON/>
                <link rel="stylesheet" href=css/>
                {js.map(|href| view! { <link rel="modulepreload" href=href nonce=nonce.clone()/> })}
                {wasm.map(|href| view! { <link rel="preload" href=href r#as="fetch" r#type="application/wasm" crossorigin="anonymous"/> })}
                <MetaTags/>
            </head>
            <body>
                <App/>
                {boot.map(|text| view! { <script type="module" nonce=nonce>{text}</script> })}
            </body>
        </html>
    }
}
