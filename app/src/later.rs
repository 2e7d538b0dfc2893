//! What pages show and do not carry: it comes when it is wanted, from parts that stand above them. [`crate::App`] hands it down.

use std::collections::BTreeSet;

use leptos::prelude::*;

use crate::rows::{JobRow, Key};
use crate::usage::Samples;

/// What the lines of the list of jobs need besides their job.
#[derive(Clone, Copy)]
pub struct Around {
    pub usage: RwSignal<Samples<Key>>,
    pub selected: RwSignal<BTreeSet<Key>>,
}

/// In the context of every page.
#[derive(Clone, Copy)]
pub struct Later {
    /// What may be done with the selected jobs.
    pub selected: fn(Memo<Vec<JobRow>>, Around) -> AnyView,
    /// The palette's dialog.
    pub palette: fn(RwSignal<bool>) -> AnyView,
}

pub fn later() -> Later {
    expect_context()
}
