//! The node daemon: fingerprints, allocations, tasks, drivers.
