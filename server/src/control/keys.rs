//! The cluster's first root key, made by whoever leads a state that has none.

use std::sync::Arc;

use tarpan_model::ids::KeyId;
use tarpan_state::Command;
use uuid::Uuid;

use super::{Control, RETRY};
use crate::{clock, keyring};

impl Control {
    /// Ends when there is a key.
    pub(super) async fn first_key(self: Arc<Self>) {
        while self.published.state().active_root_key().is_none() {
            // A tenth of a second of arithmetic.
            let make = || keyring::generate(KeyId(Uuid::new_v4()), clock::wall());
            let made = tokio::task::spawn_blocking(make).await;
            let written = match made {
                Ok(Ok(key)) => self.propose("the first root key", Command::InitRootKey(Box::new(key))).await,
                Ok(Err(error)) => {
                    tracing::error!(%error, "no root key could be made");
                    false
                }
                Err(error) => {
                    tracing::error!(%error, "making a root key");
                    false
                }
            };
            if !written {
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
