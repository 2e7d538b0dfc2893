//! The server role: the shell around the pure control plane.
