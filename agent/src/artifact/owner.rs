//! Who the files of an artifact belong to.

use super::{Artifact, ArtifactError};
use crate::ground::Attr;

/// Who the files belong to; nobody named: the agent.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    pub(super) fn of(artifact: &Artifact) -> Result<Owner, ArtifactError> {
        if artifact.owner.is_empty() {
            let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
            return Ok(Owner { uid, gid });
        }
        let unknown = || ArtifactError::Owner(artifact.owner.clone());
        let user = nix::unistd::User::from_name(&artifact.owner).ok().flatten().ok_or_else(unknown)?;
        Ok(Owner { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
    }

    pub(super) fn attr(self, mode: u32) -> Attr {
        Attr::mode(mode).owned(self.uid, self.gid)
    }
}
