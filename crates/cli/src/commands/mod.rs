//! The commands, one file each; [`table`] lists them.

use crate::command::Entry;

mod operator_api;
mod version;

/// Every command of the program.
pub fn table() -> Vec<Entry> {
    vec![Entry::of::<operator_api::OperatorApi>(), Entry::of::<version::Version>()]
}
