//! Commands as the log has them.

use bytes::Bytes;
use tarpan_state::{Command, CommandId, Envelope};

use super::types::encode;

/// A command with its id and bytes: encoding happens where there is time for it.
pub(crate) struct Encoded {
    pub(super) envelope: Envelope,
    pub(super) bytes: Bytes,
}

impl Encoded {
    pub fn new(command: Command) -> Encoded {
        let envelope = Envelope { id: CommandId(uuid::Uuid::new_v4().as_u128()), command };
        let bytes = encode(&envelope);
        Encoded { envelope, bytes }
    }
}
