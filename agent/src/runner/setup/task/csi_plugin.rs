//! A task that is a CSI plugin: the directory of its socket and that of its volumes are made before it starts, and it is asked how it is as
//! long as it lives.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use tarpan_model::name;

use super::{Hook, Making, Notes, TaskScope, unrecoverable};
use crate::csi::{Kind, Supervised, supervise};
use crate::ground::{Attr, Dir};
use crate::runner::event;
use crate::runner::inbox::Message;
use crate::runner::request::csi_dirs;
use crate::runner::task;

/// Bytes of a socket's path that the kernel takes.
const LONGEST_SOCKET: usize = 107;

pub(super) struct CsiPlugin;

impl Hook<TaskScope> for CsiPlugin {
    fn name(&self) -> &'static str {
        "csi-plugin"
    }

    fn wanted(&self, scope: &TaskScope) -> bool {
        scope.task.csi_plugin_config.is_some()
    }

    fn make<'a>(&'a self, scope: &'a TaskScope, _: Notes<'a>) -> Making<'a, TaskScope> {
        Box::pin(async move {
            let what = supervised(scope).map_err(|text| unrecoverable(&text))?;
            let (root, dir, volumes) =
                (scope.context.csi.root().to_owned(), what.dir.clone(), scope.context.csi.volumes_dir(&what.plugin));
            let running = scope.running;
            let made =
                scope.beside.run(move || make_dirs(&root, &dir, &volumes, running).map_err(|e| crate::chain(&e)));
            made.await.map_err(|text| unrecoverable(&format!("the directories of a CSI plugin: {text}")))?;
            let (inbox, index) = (scope.inbox.clone(), scope.index);
            let unwell = move |text: String| {
                tokio::spawn(async move {
                    let restart = task::Input::Restart { event: event::restart_signaled(&text), failure: true };
                    inbox.tell(Message::Task(index, restart)).await;
                });
            };
            // One that looked after an earlier start would take what is known of this one with it.
            scope.live.end_supervision();
            let context = Arc::downgrade(&scope.context);
            let tell = Arc::new(move || {
                if let Some(context) = context.upgrade() {
                    context.volumes_changed();
                }
            });
            scope.live.supervise(supervise(&scope.context.csi, what, tell, unwell));
            Ok(())
        })
    }

    fn undo<'a>(&'a self, scope: &'a TaskScope, _: Notes<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            scope.live.end_supervision();
            let root = scope.context.csi.root().to_owned();
            let dir = scope.context.csi.socket_dir(scope.alloc.id, scope.task.name());
            let remove = move || match (Dir::trusted(&root), dir.strip_prefix(&root)) {
                (Ok(root), Ok(below)) => root.remove_tree(below).map_err(|e| crate::chain(&e)),
                _ => Ok(()),
            };
            if let Err(text) = scope.beside.run(remove).await {
                tracing::warn!(alloc_id = %scope.alloc.id, "removing the directory of a CSI plugin's socket: {text}");
            }
        })
    }
}

fn supervised(scope: &TaskScope) -> Result<Supervised, String> {
    let config = scope.task.csi_plugin_config.clone().unwrap_or_default();
    let plugin = config.id.clone().unwrap_or_default();
    name::part(&plugin).map_err(|wrong| format!("the id {} of a CSI plugin {wrong}", name::quoted(&plugin)))?;
    let kind = config.type_.as_deref().unwrap_or_default();
    let kind = Kind::parse(kind)
        .ok_or_else(|| format!("CSI plugin {plugin:?} has the type {kind:?}: it is controller, node or monolith"))?;
    let dirs = csi_dirs(&scope.context, &scope.alloc, &scope.task).ok_or("the task is no CSI plugin")?;
    let socket = dirs.socket_seen.join("csi.sock");
    if socket.as_os_str().len() > LONGEST_SOCKET {
        let text = format!(
            "the path {} of its socket is longer than the {LONGEST_SOCKET} bytes that the system allows: give this agent a shorter \
             data_dir, or the task a driver that mounts it at mount_dir",
            socket.display()
        );
        return Err(text);
    }
    Ok(Supervised {
        plugin,
        kind,
        alloc: scope.alloc.id,
        task: scope.task.name().to_owned(),
        dir: dirs.socket,
        seen: dirs.volumes_seen,
        health_timeout: config.health_timeout.map_or(std::time::Duration::from_secs(30), |dur| dur.to_std()),
        started: scope.live.started(),
    })
}

/// A socket that an earlier start left is in the way of the next; that of a running task stays.
fn make_dirs(root: &Path, socket: &Path, volumes: &Path, running: bool) -> Result<(), crate::ground::Error> {
    let below = |path: &Path| path.strip_prefix(root).map_or_else(|_| PathBuf::from(path), Path::to_path_buf);
    let root = Dir::trusted(root)?;
    let dir = root.make_dirs(&below(socket), Attr::mode(0o755))?;
    if !running {
        for name in dir.names()? {
            dir.remove_tree(name.as_ref())?;
        }
    }
    root.make_dirs(&below(volumes), Attr::mode(0o755)).map(drop)
}
