//! Who a task is, as tokens that the servers sign: in its environment, in files among its secrets.
//!
//! Source: `reference/semantics.md` 18.10. Tokens are not renewed yet: one with a `ttl` ends with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tarpan_model::job::{Task, WorkloadIdentity};
use tarpan_rpc::agent::SignIdentitiesRequest;
use tokio::time::Instant;
use tonic::Code;

use super::{Hook, Making, Notes, TaskScope, Until, secrets_reader, unrecoverable};
use crate::alloc_dir::{Reader, TaskDirs, inside};
use crate::driver::Isolation;
use crate::ground::Attr;
use crate::runner::request::isolation;

/// How long a task waits for servers that do not answer. It starts without tokens after that.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(500);

/// What the identity that every task has is called.
const DEFAULT: &str = "default";

/// An identity that the task is to be given.
struct Wanted {
    name: String,
    /// Its variable.
    env: Option<String>,
    /// Its file, as a path of the task.
    file: Option<String>,
}

/// Files lie among the task's secrets, and go with them.
pub(super) struct Identities;

impl Hook<TaskScope> for Identities {
    fn name(&self) -> &'static str {
        "identities"
    }

    /// A task that runs has its tokens.
    fn wanted(&self, scope: &TaskScope) -> bool {
        !scope.running && !wanted(&scope.task).is_empty()
    }

    fn until(&self) -> Until {
        Until::Removed
    }

    fn make<'a>(&'a self, scope: &'a TaskScope, _: Notes<'a>) -> Making<'a, TaskScope> {
        Box::pin(async move {
            let wanted = wanted(&scope.task);
            let names = wanted.iter().map(|identity| identity.name.clone()).collect();
            let Some(tokens) = signed(scope, names).await? else { return Ok(()) };
            let (mut env, mut files) = (BTreeMap::new(), Vec::new());
            for (identity, token) in wanted.into_iter().zip(tokens) {
                if let Some(file) = identity.file {
                    files.push((file, token.clone()));
                }
                if let Some(variable) = identity.env {
                    env.insert(variable, token);
                }
            }
            scope.live.set_tokens(env);
            let (dirs, isolation) = (scope.dirs(), isolation(&scope.context, &scope.task));
            let user = scope.user();
            let write = move || {
                let attr = attr(isolation, &user);
                files.iter().try_for_each(|(file, token)| write(&dirs, file, token, attr))
            };
            scope.beside.run(write).await.map_err(|text| unrecoverable(&text))?;
            Ok(())
        })
    }
}

fn wanted(task: &Task) -> Vec<Wanted> {
    let named = task.identities.iter().flatten();
    let all = task.identity.iter().map(|identity| (DEFAULT, identity));
    let all = all.chain(named.map(|identity| (identity.name.as_deref().unwrap_or_default(), identity)));
    all.filter_map(|(name, identity)| of(name, identity)).collect()
}

fn of(name: &str, identity: &WorkloadIdentity) -> Option<Wanted> {
    let (variable, file) = match name {
        DEFAULT => ("NOMAD_TOKEN".to_owned(), "secrets/nomad_token".to_owned()),
        _ => (format!("NOMAD_TOKEN_{name}"), format!("secrets/nomad_{name}.jwt")),
    };
    let path = identity.filepath.clone().filter(|path| !path.is_empty()).unwrap_or(file);
    let env = (identity.env == Some(true)).then_some(variable);
    let file = (identity.file == Some(true)).then_some(path);
    (env.is_some() || file.is_some()).then(|| Wanted { name: name.to_owned(), env, file })
}

/// The tokens of `names` in their order; `None` when no server gave them in time.
async fn signed(scope: &TaskScope, names: Vec<String>) -> Result<Option<Vec<String>>, super::StartFailure> {
    let asked = SignIdentitiesRequest {
        alloc_id: scope.alloc.id.0.as_bytes().to_vec().into(),
        task: scope.task.name().to_owned(),
        names,
    };
    let until = Instant::now() + PATIENCE;
    let ask = async {
        let session = scope.context.session.wait().await.clone();
        loop {
            let answer = session.client().await.sign_identities(asked.clone()).await;
            match answer {
                Ok(answer) => return Ok(answer.into_inner().tokens),
                Err(status) if status.code() == Code::NotFound => return Err(unrecoverable(status.message())),
                Err(status) => tracing::debug!(task = asked.task, %status, "no tokens yet"),
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    match tokio::time::timeout_at(until, ask).await {
        Ok(answer) => answer.map(Some),
        Err(_) => {
            tracing::warn!(alloc_id = %scope.alloc.id, task = asked.task, "no server signed its identities: it starts without");
            Ok(None)
        }
    }
}

/// Who may read a token: as for the folder of secrets.
fn attr(isolation: Isolation, user: &str) -> Attr {
    match secrets_reader(isolation, user) {
        Reader::Agent => Attr::mode(0o600),
        Reader::User { uid, gid } => Attr::mode(0o600).owned(uid, gid),
        Reader::Container => Attr::mode(0o644),
    }
}

fn write(dirs: &TaskDirs, file: &str, token: &str, attr: Attr) -> Result<(), String> {
    let path: PathBuf = inside(dirs, file).map_err(|e| e.to_string())?;
    let written = dirs.open().and_then(|alloc| {
        alloc.make_dirs(path.parent().unwrap_or(Path::new("")), Attr::mode(0o755))?;
        alloc.replace(&path, token.as_bytes(), attr)
    });
    written.map_err(|e| crate::chain(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_where_the_job_says() {
        let identity = |name: &str, env, file| WorkloadIdentity {
            name: Some(name.to_owned()),
            env: Some(env),
            file: Some(file),
            ..WorkloadIdentity::default()
        };
        let custom = WorkloadIdentity { filepath: Some("local/me".to_owned()), ..identity("aws", false, true) };
        let task = Task {
            identity: Some(identity("default", true, true)),
            identities: Some(vec![custom, identity("quiet", false, false), identity("api", true, true)]),
            ..Task::default()
        };
        let all = wanted(&task).into_iter().map(|w| (w.name, w.env.unwrap_or_default(), w.file.unwrap_or_default()));
        let owned = |(a, b, c): (&str, &str, &str)| (a.to_owned(), b.to_owned(), c.to_owned());
        let expected = [
            ("default", "NOMAD_TOKEN", "secrets/nomad_token"),
            ("aws", "", "local/me"),
            ("api", "NOMAD_TOKEN_api", "secrets/nomad_api.jwt"),
        ];
        assert_eq!(all.collect::<Vec<_>>(), expected.map(owned));
    }
}
