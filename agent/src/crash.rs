//! Named points at which a test lets this process die, as by SIGKILL: what follows must be right wherever an agent ends.
//!
//! Builds without debug assertions have none of it.

/// Dies here when the file that `TARPAN_DIE_AT` names holds the name of this point.
///
/// A file, so that a test can name the point once the agent is up: one that starts again may first have to finish what an
/// earlier death left, and would pass the same point for that.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    let Some(file) = std::env::var_os("TARPAN_DIE_AT") else { return };
    #[expect(clippy::disallowed_methods, reason = "a file of the test that runs this agent")]
    let wanted = std::fs::read_to_string(file);
    if wanted.is_ok_and(|wanted| wanted == name) {
        // SAFETY: our own process.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
}

#[cfg(not(debug_assertions))]
pub(crate) fn point(_: &str) {}
