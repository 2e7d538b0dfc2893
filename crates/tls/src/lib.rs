//! TLS between agents, servers and whoever calls them: certificates read, checked, taken anew and made, and what is said of one
//! that is refused.
//!
//! Reads: the files that [`Settings`] name, and the wall clock against their dates. Gives: [`Tls`], which all listeners and
//! connections of a process share and which [`Tls::reload`] brings new files into; [`caller`], what a command line speaks
//! TLS with; [`make`], new authorities and certificates; [`view`], what a certificate says.
//! Start at [`Tls`]. Behind it: `files` reads, `settings` judges, `material` is what rustls takes, `stream` a connection of
//! either sort, `accept` and `dial` its two ends, `said` the sentences.
//! Source: `reference/agent-config.md`, block `tls`; why it is as it is: `docs/decisions/0027-tls.md`.

mod accept;
pub mod caller;
mod dial;
mod files;
pub mod make;
mod material;
mod said;
mod settings;
mod stream;
mod suites;
mod tls;
mod verify;
pub mod view;

#[cfg(test)]
mod tests;

pub use accept::{Port, Refused};
pub use dial::Dialer;
pub use files::FileError;
pub use settings::{Roles, Settings, SettingsError};
pub use stream::Stream;
pub use tls::Tls;
pub use view::Certified;
