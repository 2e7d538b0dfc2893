//! What a server asks of a node's dynamic host volumes, and what it is answered: JSON over the node's session.

use serde::{Deserialize, Serialize};

/// Where an agent answers its server, and nobody else; behind it stand `create`, `register` and `delete`. The body is the
/// volume's row.
pub const HOST_VOLUME: &str = "/internal/host-volume";

/// What came of it. An answer begins at once and this comes when the plugin is done, so that no wait for a head ends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostVolumeAnswer {
    Made {
        path: String,
        /// 0: nobody says.
        bytes: u64,
    },
    Deleted,
    /// A sentence.
    Failed(String),
}
