//! Reads jobspecs: HCL2 and JSON text to the Job tree, with a position in every diagnostic. Pure.
