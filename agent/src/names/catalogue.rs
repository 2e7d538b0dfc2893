//! What the servers know of services, kept for those that are asked for: each is watched from its first question on, until
//! nobody has asked for a while. While no server can be reached, what was heard last stands.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tarpan_model::UnixNanos;
use tarpan_model::service::ServiceRegistration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::context::Context;
use crate::services::follow;

/// How long a first answer of the servers is waited for. Resolvers ask again after five seconds.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a service is watched that nobody asks for.
const IDLE: Duration = Duration::from_secs(300);
/// Services that are watched at a time: each is a stream of the session's connection. Tasks may ask for any name.
const MOST: usize = 512;

type Instances = Arc<Vec<ServiceRegistration>>;

struct Watched {
    instances: watch::Receiver<Option<Instances>>,
    asked: UnixNanos,
    following: JoinHandle<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.following.abort();
    }
}

pub struct Catalogue {
    context: Arc<Context>,
    watched: Mutex<BTreeMap<(String, String), Watched>>,
}

impl Catalogue {
    pub fn new(context: Arc<Context>) -> Catalogue {
        Catalogue { context, watched: Mutex::default() }
    }

    /// Every instance of a service; `None`: the servers have not said yet.
    pub async fn instances(&self, namespace: &str, name: &str) -> Option<Instances> {
        let mut instances = self.watch(namespace, name);
        let heard = tokio::time::timeout(PATIENCE, instances.wait_for(Option::is_some)).await;
        heard.ok()?.ok()?.clone()
    }

    fn watch(&self, namespace: &str, name: &str) -> watch::Receiver<Option<Instances>> {
        let now = crate::now();
        let mut watched = self.watched.lock().expect("no panic while held");
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(known) = watched.get_mut(&key) {
            known.asked = now;
            return known.instances.clone();
        }
        watched.retain(|_, w| now.since(w.asked).to_std() < IDLE);
        if watched.len() >= MOST
            && let Some(oldest) = watched.iter().min_by_key(|(_, w)| w.asked).map(|(key, _)| key.clone())
        {
            watched.remove(&oldest);
        }
        let (sender, instances) = watch::channel(None);
        let tell = move |rows| drop(sender.send_replace(Some(Arc::new(rows))));
        let following = tokio::spawn(follow(self.context.clone(), key.0.clone(), key.1.clone(), tell));
        watched.insert(key, Watched { instances: instances.clone(), asked: now, following });
        instances
    }
}
