//! The commands, one file each; [`table`] lists them.

use crate::command::Entry;

mod agent;
mod config_validate;
mod job;
mod operator_api;
mod version;

/// Every command of the program.
pub fn table() -> Vec<Entry> {
    let mut table = vec![
        Entry::of::<agent::Agent>(),
        Entry::of::<config_validate::ConfigValidate>(),
        Entry::of::<operator_api::OperatorApi>(),
        Entry::of::<version::Version>(),
    ];
    table.extend(job::table());
    table
}
