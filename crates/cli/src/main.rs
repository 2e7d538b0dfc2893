//! `tarpan`: the agent in any role, and the command line of `/v1`.

fn main() {}
