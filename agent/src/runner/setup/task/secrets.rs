//! Keeps a task's secrets in memory: no disk, no backup and no copy of the directory has them.
//!
//! A file system of its own over the directory of the task's secrets, while there is anything to run. It is the node's
//! mount, found again by its place: an agent that comes back unmounts what a dead one mounted. Without root there is none.

use futures::future::BoxFuture;

use super::{Hook, Making, Notes, TaskScope, secrets_reader, unrecoverable};
use crate::alloc_dir::DEFAULT_SECRETS_MB;
use crate::runner::request::isolation;

pub(super) struct Secrets;

impl Hook<TaskScope> for Secrets {
    fn name(&self) -> &'static str {
        "secrets"
    }

    fn wanted(&self, _: &TaskScope) -> bool {
        nix::unistd::geteuid().is_root()
    }

    fn make<'a>(&'a self, scope: &'a TaskScope, _: Notes<'a>) -> Making<'a, TaskScope> {
        Box::pin(async move {
            // What a running task sees there is its own by now.
            if scope.running {
                return Ok(());
            }
            let size = scope.task.resources.as_ref().and_then(|r| r.secrets_mb).filter(|mb| *mb > 0);
            let (dir, task) = (scope.dir.clone(), scope.task.name().to_owned());
            let (isolation, user) = (isolation(&scope.context, &scope.task), scope.user());
            let mount = move || {
                let mb = size.unwrap_or(DEFAULT_SECRETS_MB).cast_unsigned();
                dir.mount_secrets(&task, secrets_reader(isolation, &user), mb).map_err(|e| crate::chain(&e))
            };
            scope.beside.run(mount).await.map_err(|text| unrecoverable(&text))?;
            crate::crash::point("secrets-mounted");
            Ok(())
        })
    }

    fn undo<'a>(&'a self, scope: &'a TaskScope, _: Notes<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let (dir, task) = (scope.dir.clone(), scope.task.name().to_owned());
            let unmounted = scope.beside.run(move || dir.unmount_secrets(&task).map_err(|e| crate::chain(&e))).await;
            if let Err(text) = unmounted {
                tracing::warn!(alloc_id = %scope.alloc.id, task = scope.task.name(), "taking a task's secrets away: {text}");
            }
        })
    }
}
