//! `node …`.

use crate::command::Entry;

mod drain;
mod eligibility;
mod meta;
mod one;
mod pool;
pub mod status;

pub fn table() -> Vec<Entry> {
    vec![
        Entry::of::<drain::Drain>(),
        Entry::of::<eligibility::Eligibility>(),
        Entry::of::<meta::Apply>(),
        Entry::of::<meta::Read>(),
        Entry::of::<pool::Info>(),
        Entry::of::<pool::Jobs>(),
        Entry::of::<pool::List>(),
        Entry::of::<pool::Nodes>(),
        Entry::of::<status::NodeStatus>(),
    ]
}
