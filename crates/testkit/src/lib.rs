//! Fixtures and generators for tests of any crate; knows the model only.
