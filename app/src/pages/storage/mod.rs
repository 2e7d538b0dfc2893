//! Storage: the volumes of every type, each type a table of its own.

mod ask;
mod csi;
mod host;
mod volume;

use leptos::prelude::*;

use crate::lang::t;
use crate::parts::title::Title;

pub use volume::VolumePage;

#[component]
pub fn Storage() -> impl IntoView {
    let texts = t();
    view! {
        <Title text=texts.storage/>
        <main id="main" class="page">
            <div class="page-head"><div class="title"><h1>{texts.storage}</h1>{host::states()}<div class="actions">{host::create()}</div></div></div>
            <div class="pad stack stack-4">
                <host::HostVolumes/>
                {csi::section()}
            </div>
        </main>
    }
}
