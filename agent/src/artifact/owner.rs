//! Who the files of an artifact belong to.

use super::{Artifact, ArtifactError};
use crate::ground::Attr;

/// Who the files belong to; nobody named: the agent.
#[derive(Clone, Copy, Default)]
pub struct Owner(Option<(u32, u32)>);

impl Owner {
    pub(super) fn of(artifact: &Artifact) -> Result<Owner, ArtifactError> {
        if artifact.owner.is_empty() {
            return Ok(Owner(None));
        }
        let unknown = || ArtifactError::Owner(artifact.owner.clone());
        let user = nix::unistd::User::from_name(&artifact.owner).ok().flatten().ok_or_else(unknown)?;
        Ok(Owner(Some((user.uid.as_raw(), user.gid.as_raw()))))
    }

    pub fn attr(self, mode: u32) -> Attr {
        match self.0 {
            Some((uid, gid)) => Attr::mode(mode).owned(uid, gid),
            None => Attr::mode(mode),
        }
    }
}
