//! Agent configuration: HCL1 and JSON files, merged in order, under the flags of `tarpan agent`.
