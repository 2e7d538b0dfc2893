//! Named points at which a test lets this process die, as by SIGKILL: what follows must be right wherever an agent ends.
//!
//! Builds without debug assertions have none of it.

/// Dies here when `TARPAN_DIE_AT` names this point.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    if std::env::var_os("TARPAN_DIE_AT").is_some_and(|wanted| wanted == *name) {
        // SAFETY: our own process.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
}

#[cfg(not(debug_assertions))]
pub(crate) fn point(_: &str) {}
