//! What the headers of an answer say beside its status.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tarpan_model::Dur;
use tarpan_model::duration::MILLISECOND;

/// What the `X-Nomad-…` headers say.
#[derive(Clone, Debug, Default)]
pub struct Meta {
    /// Index of the state that was read, or of the write.
    pub index: Option<u64>,
    /// `Some` for reads: whether there is a leader.
    pub known_leader: Option<bool>,
    /// How long ago the leader was heard of.
    pub contact: Dur,
    pub next_token: Option<String>,
}

impl Meta {
    pub fn write(&self, headers: &mut HeaderMap) {
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        if let Some(index) = self.index {
            set("x-nomad-index", &index.to_string());
        }
        if let Some(known) = self.known_leader {
            set("x-nomad-knownleader", if known { "true" } else { "false" });
            set("x-nomad-lastcontact", &(self.contact.0 / MILLISECOND).to_string());
        }
        if let Some(token) = &self.next_token {
            set("x-nomad-nexttoken", token);
        }
    }
}
