//! The browser's entry: takes over the page that the server rendered.

// Types of views nest as deeply as the pages do.
#![recursion_limit = "512"]

use wasm_bindgen::prelude::wasm_bindgen;

/// Called once by the page when the module is there.
#[wasm_bindgen]
pub fn start() {
    console_error_panic_hook::set_once();
    tarpan_app::hydrate();
}
