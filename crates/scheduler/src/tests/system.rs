//! Jobs that run on every node.
