//! A request on its way through its handler: who asks, what for, and the state it reads or writes.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::http::{HeaderMap, Method, request};
use bytes::Bytes;
use serde::Serialize;
use tarpan_api::convert::Shown;
use tarpan_api::routes::{Captures, Route};
use tarpan_body::Request;
use tarpan_model::ids::{IdSource, NamespacedId};
use tarpan_model::{Namespace, NodeId, UnixNanos};
use tarpan_state::{Command, Reply, State};
use tokio::time::Instant;

use super::caller::{Caller, Capability};
use super::error::ApiError;
use super::heavy::Heavy;
use super::lines::Lines;
use super::local::Local;
use super::object;
use super::params::{Pairs, Standard};
use super::reply::{self, Meta, Outcome, Style};
use crate::server::Server;
use crate::watch::Watch;

/// Everything a handler is given.
pub struct Context {
    pub server: Server,
    /// What the agent around this server adds to its answers.
    pub local: Arc<Local>,
    pub route: &'static Route,
    pub caller: Caller,
    /// The node that has to answer, where the route says that one has to.
    pub node: Option<NodeId>,
    /// Names of the path, decoded.
    pub path: Captures,
    pub query: Pairs,
    pub std: Standard,
    pub parts: request::Parts,
    pub body: Bytes,
    /// The caller has left: long work ends. Set for what runs on a thread of its own.
    pub gone: Arc<AtomicBool>,
    /// Where long work goes; `None` for a handler that runs there already.
    pub heavy: Option<Arc<Heavy>>,
    /// What is kept for the list of jobs.
    pub lines: Arc<Lines>,
}

/// How long a request that needs a leader waits for one.
const LEADER_WAIT: Duration = Duration::from_secs(5);

impl Context {
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// Job `name` of the path in the request's namespace.
    pub fn job_key(&self) -> NamespacedId {
        NamespacedId::new(self.std.namespace.as_str(), self.path.get("job"))
    }

    pub fn namespace(&self) -> Namespace {
        Namespace::new(&self.std.namespace)
    }

    /// The node of the agent around this server: the one that answers at the same address.
    pub fn local_node(&self) -> Option<NodeId> {
        let here = &self.server.options().http_advertise;
        let same = |state: &State| state.nodes().find(|n| !here.is_empty() && n.http_addr == *here).map(|n| n.id);
        self.local.node.or_else(|| same(&self.server.state()))
    }

    /// May the caller do what `needs` names in `namespace`? For what a route's own capability does not cover.
    pub fn allows(&self, needs: Capability, namespace: &str) -> bool {
        self.caller.may(needs, namespace)
    }

    /// May the caller do everything? What an operator switches off for others stays on for them.
    pub fn manages(&self) -> bool {
        self.allows(Capability::Management, &self.std.namespace)
    }

    /// 403 unless the caller may do what `needs` names in the request's namespace.
    pub fn demand(&self, needs: Capability) -> Result<(), ApiError> {
        if self.allows(needs, &self.std.namespace) { Ok(()) } else { Err(ApiError::denied()) }
    }

    /// 403 unless the caller may do what the route is for in `namespace`: that of something which the body names.
    pub fn object(&self, namespace: &str) -> Result<(), ApiError> {
        if self.allows(self.route.needs, namespace) { Ok(()) } else { Err(ApiError::denied()) }
    }

    /// Does something of `namespace` belong to the answer: was it asked for, and may the caller know of it?
    pub fn sees(&self, namespace: &str) -> bool {
        self.sees_as(self.route.needs, namespace)
    }

    /// Are the rows of every namespace asked for, by somebody who sees them all?
    pub fn sees_all(&self) -> bool {
        self.std.all_namespaces() && self.caller == Caller::Management
    }

    /// The same as [`Context::sees`] for what needs something else than the route itself.
    pub fn sees_as(&self, needs: Capability, namespace: &str) -> bool {
        self.std.asks_for(namespace) && self.allows(needs, namespace)
    }

    /// The newest state, for a handler that decides on it. What the path names in it, the caller may have to do with.
    pub fn state(&self) -> Result<Arc<State>, ApiError> {
        let state = self.server.state();
        object::check(&self.caller, self.route, &self.path, &state)?;
        Ok(state)
    }

    pub fn style(&self) -> Style {
        Style { pretty: self.std.pretty }
    }

    pub fn now(&self) -> UnixNanos {
        self.server.now()
    }

    /// Fresh ids, for what makes rows.
    pub fn ids(&self) -> impl IdSource + use<> {
        let server = self.server.clone();
        move || server.new_id()
    }

    /// The body as JSON; 400 when there is none.
    pub fn decode<T: Request>(&self) -> Result<T, ApiError> {
        T::read(&self.body).map_err(ApiError::bad_request)
    }

    /// The body as JSON, the default without one.
    pub fn decode_optional<T: Request + Default>(&self) -> Result<T, ApiError> {
        tarpan_body::read_optional(&self.body).map_err(ApiError::bad_request)
    }

    /// The state to answer from.
    ///
    /// With `index` in the query this waits until `index_of` is past it or the wait is over; one of `watch` has to change
    /// for that.
    pub async fn read(&self, watch: &[Watch], index_of: impl Fn(&State) -> u64) -> Result<Read, ApiError> {
        let mut state = self.server.state();
        let mut index = index_of(&state);
        if self.std.index > 0 {
            let wait = self.std.wait + self.std.wait.mul_f64(rand::random::<f64>() / 16.0);
            let until = Instant::now() + wait;
            // A restored state may never get there: it is shown as it is.
            let replaced = self.server.replacements();
            while index <= self.std.index && Instant::now() < until && self.server.replacements() == replaced {
                state = self.server.wait(watch, state.index(), until).await;
                index = index_of(&state);
            }
        }
        // What the path names may have come only now.
        object::check(&self.caller, self.route, &self.path, &state)?;
        let meta = Meta {
            index: Some(index),
            known_leader: Some(self.server.knows_leader()),
            contact: self.server.last_contact(),
            next_token: None,
        };
        Ok(Read { state, meta, style: self.style() })
    }

    /// Waits until this server's state holds all that was acknowledged before: there is a leader, and it leads for certain.
    pub(super) async fn leader(&self) -> Result<(), ApiError> {
        self.server.fresh_state(Instant::now() + LEADER_WAIT).await?;
        Ok(())
    }

    /// Commits a command. What state refuses becomes the error that it stands for.
    ///
    /// Returns once this server has applied it: whoever wrote reads what was written.
    pub async fn propose(&self, command: Command) -> Result<(u64, Reply), ApiError> {
        let (index, answer) = self.server.propose(command).await?;
        if let Reply::Refused(why) = answer {
            return Err(why.into());
        }
        Ok((index, answer))
    }

    /// The answer to a write.
    pub fn written<T: Serialize>(&self, index: u64, value: &T) -> Outcome {
        reply::json(self.style(), value, &Meta { index: Some(index), ..Meta::default() })
    }

    /// The answer to a write that has nothing to say.
    pub fn written_empty(&self, index: u64) -> Outcome {
        reply::empty(&Meta { index: Some(index), ..Meta::default() })
    }

    /// An answer that is not about state.
    pub fn plain<T: Serialize + ?Sized>(&self, value: &T) -> Outcome {
        reply::json(self.style(), value, &Meta::default())
    }
}

/// A snapshot, and what the answer's headers will say of it.
pub struct Read {
    pub state: Arc<State>,
    pub meta: Meta,
    style: Style,
}

impl Read {
    pub fn index(&self) -> u64 {
        self.meta.index.unwrap_or(0)
    }

    pub fn json<T: Serialize + ?Sized>(&self, value: &T) -> Outcome {
        reply::json(self.style, value, &self.meta)
    }

    /// What there is much of.
    pub fn show<T: Shown + ?Sized>(&self, value: &T) -> Outcome {
        reply::shown(self.style, value, &self.meta)
    }

    /// One page of a list.
    pub fn page<T>(&self, rows: &[T], next_token: Option<String>) -> Outcome
    where
        [T]: Shown,
    {
        reply::shown(self.style, rows, &Meta { next_token, ..self.meta.clone() })
    }

    /// 404, with the index that was looked at.
    pub fn missing(&self, message: &str) -> ApiError {
        ApiError { meta: self.meta.clone(), ..ApiError::not_found(message) }
    }

    /// The value as JSON, or 404.
    pub fn found<T: Shown>(&self, value: Option<T>, message: &str) -> Outcome {
        match value {
            Some(value) => self.show(&value),
            None => Err(self.missing(message)),
        }
    }
}
