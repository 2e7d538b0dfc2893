//! CSI volumes and their plugins. Nothing of them is built yet, and their part of the page says so.

use leptos::prelude::*;

use crate::lang::t;
use crate::parts::panel;

pub fn section() -> AnyView {
    let texts = t();
    panel(texts.csi_volumes, (), (), view! { <p class="body t2">{texts.no_csi_volumes}</p> })
}
