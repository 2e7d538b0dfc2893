//! One agent's session: a task that sleeps until the agent speaks or something of its node changes.

use std::sync::Arc;

use tarpan_control::nodes;
use tarpan_model::alloc::AllocUpdate;
use tarpan_model::service::ServiceRegistration;
use tarpan_model::{Dur, Node, NodeId};
use tarpan_rpc::agent::{Ack, FromAgent, FromServer, HeartbeatAck, Report, Services, Welcome, from_agent, from_server};
use tarpan_state::Command;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::bounds;
use super::host::Host;
use super::orders::Sent;
use super::register::{self, register};
use super::standing::{self, Have};
use super::{Down, Held};
use crate::chance::ids;
use crate::clock::now;

/// Messages that may wait for a slow agent.
pub(super) const DOWN_QUEUE: usize = 16;

struct Session {
    host: Arc<Host>,
    node: NodeId,
    secret: Uuid,
    held: Arc<Held>,
    down: mpsc::Sender<Down>,
    sent: Sent,
}

/// Runs a session from its first message to its end.
pub(super) async fn run(host: Arc<Host>, mut up: Streaming<FromAgent>, down: mpsc::Sender<Down>) {
    // What a session needs for its start or for one message does not stay in its task: there is a task a node.
    let session = match Box::pin(hello(&host, &mut up, &down)).await {
        Ok(session) => session,
        Err(status) => {
            tracing::info!(reason = status.message(), "refused an agent");
            let _ = down.send(Box::new(Err(status))).await;
            return;
        }
    };
    let (node, number) = (session.node, session.held.number);
    tracing::debug!(node_id = %node, "session begins");
    let end = session.run(up).await;
    host.sessions.leave(node, number);
    tracing::debug!(node_id = %node, reason = end.as_ref().map(Status::message), "session ends");
    if let Some(status) = end {
        let _ = down.try_send(Box::new(Err(status)));
    }
}

/// The first message: registers the node and answers Welcome and all orders.
async fn hello(host: &Arc<Host>, up: &mut Streaming<FromAgent>, down: &mpsc::Sender<Down>) -> Result<Session, Status> {
    let first = up.message().await?.and_then(|m| m.body);
    let Some(from_agent::Body::Hello(hello)) = first else {
        return Err(Status::invalid_argument("a session begins with hello"));
    };
    let node: Node = unpack(&hello.node)?;
    bounds::node(&node)?;
    bounds::have(&hello.have)?;
    let (id, secret) = (node.id, node.secret_id);
    register::check_secret(&host.state(), id, secret)?;
    let (_, forked_at) = standing::caught_up(host, &standing::seen(&hello)).await?;
    register(host, node).await?;
    wake(host, id).await?;
    let state = standing::settled(host).await?;
    let held = host.sessions.enter(id, down.clone());
    let mut session = Session { host: host.clone(), node: id, secret, held, down: down.clone(), sent: Sent::default() };
    session.sent.holds(hello.have.iter().filter_map(Have::of));
    session.sent.told(&state);
    if let Some(at) = forked_at {
        session.sent.part(at);
        let astray = session.sent.astray(&state).len();
        tracing::warn!(node_id = %id, astray, index = at, "the agent was told things that this state does not know");
        standing::note(host, id, astray).await?;
    }
    let ttl = host.holding.beat(id);
    let welcome = Welcome {
        heartbeat_ttl_ms: millis(ttl),
        servers: host.rpc_servers(),
        region: host.region.clone(),
        index: state.index(),
        epochs: standing::told(state.lineage().newest()),
        forked_at,
    };
    session.send(from_server::Body::Welcome(welcome)).await?;
    session.send_all().await?;
    Ok(session)
}

/// A sign of life of a node that is not ready makes it so, or brings it nearer.
///
/// Before anything that its agent reports: what runs on a node that is taken for disconnected is marked unknown again at once.
async fn wake(host: &Host, node: NodeId) -> Result<(), Status> {
    let Some(command) = nodes::heartbeat(&host.state(), node, now(), &mut ids()) else { return Ok(()) };
    host.propose(command).await.map(drop).map_err(|error| Status::unavailable(error.to_string()))
}

impl Session {
    /// Until the agent goes, or is told to: then the status it is told.
    async fn run(mut self, mut up: Streaming<FromAgent>) -> Option<Status> {
        loop {
            let held = self.held.clone();
            let done = tokio::select! {
                message = up.message() => match message {
                    Ok(Some(FromAgent { body: Some(body) })) => Box::pin(self.hear(body)).await,
                    Ok(Some(FromAgent { body: None })) => Ok(()),
                    Ok(None) | Err(_) => return None,
                },
                () = held.wake.notified() => Box::pin(self.look()).await,
            };
            if let Err(status) = done {
                return Some(status);
            }
        }
    }

    /// Something of the node changed.
    async fn look(&mut self) -> Result<(), Status> {
        let news = self.held.take_news();
        if let Some(orders) = news.purged.then(|| self.sent.purged()).flatten() {
            self.send(from_server::Body::Orders(orders)).await?;
        }
        if let Some(status) = news.end {
            return Err(status);
        }
        if news.all {
            return self.send_all().await;
        }
        let state = standing::settled(&self.host).await?;
        for orders in self.sent.some(&state, self.node, news.allocs) {
            self.send(from_server::Body::Orders(orders)).await?;
        }
        Ok(())
    }

    async fn send_all(&mut self) -> Result<(), Status> {
        let state = standing::settled(&self.host).await?;
        for orders in self.sent.all(&state, self.node) {
            self.send(from_server::Body::Orders(orders)).await?;
        }
        Ok(())
    }

    async fn send(&self, body: from_server::Body) -> Result<(), Status> {
        let gone = |_| Status::cancelled("the agent is gone");
        self.down.send(Box::new(Ok(FromServer { body: Some(body) }))).await.map_err(gone)
    }

    async fn hear(&mut self, body: from_agent::Body) -> Result<(), Status> {
        bounds::message(&body)?;
        // Whatever it says, it is alive.
        let ttl = self.host.holding.beat(self.node);
        match body {
            from_agent::Body::Heartbeat(beat) => self.beat(beat.seq, ttl).await,
            from_agent::Body::Report(report) => self.report(report).await,
            from_agent::Body::Services(services) => self.services(services).await,
            from_agent::Body::Node(changed) => {
                let node: Node = unpack(&changed.node)?;
                bounds::node(&node)?;
                if node.id != self.node || node.secret_id != self.secret {
                    return Err(Status::permission_denied("that is another node"));
                }
                register(&self.host, node).await
            }
            from_agent::Body::Inventory(inventory) => {
                bounds::have(&inventory.have)?;
                self.sent.holds(inventory.have.iter().filter_map(Have::of));
                self.send_all().await
            }
            from_agent::Body::StreamFailed(failed) => {
                self.host.streams.failed(failed.stream_id, self.node, failed.code, failed.message);
                Ok(())
            }
            from_agent::Body::Hello(_) => Err(Status::invalid_argument("hello came twice")),
        }
    }

    /// In memory only, unless the node has to become ready again.
    async fn beat(&mut self, seq: u64, ttl: Dur) -> Result<(), Status> {
        let state = self.host.state();
        if state.node(self.node).is_none() {
            return Err(Status::not_found("node not found"));
        }
        wake(&self.host, self.node).await?;
        for orders in self.sent.some(&state, self.node, self.sent.astray(&state)) {
            self.send(from_server::Body::Orders(orders)).await?;
        }
        let ack = HeartbeatAck { seq, heartbeat_ttl_ms: millis(ttl), servers: self.host.rpc_servers() };
        self.send(from_server::Body::Heartbeat(ack)).await
    }

    /// Hands the states on; the acknowledgement follows the commit, and the session reads on meanwhile.
    async fn report(&mut self, report: Report) -> Result<(), Status> {
        let mut updates: Vec<AllocUpdate> = unpack(&report.updates)?;
        bounds::report(&mut updates)?;
        let state = self.host.state();
        let astray = self.sent.astray(&state);
        if updates.iter().any(|u| astray.contains(&u.id)) {
            let text = "the report is about allocations that this state does not know, though not by a decision";
            return Err(Status::failed_precondition(text));
        }
        // Of the others, what is not there was removed by a decision: the agent is told to forget it.
        updates.retain(|u| state.alloc(u.id).is_some_and(|a| a.node_id == self.node));
        let ack = FromServer { body: Some(from_server::Body::Ack(Ack { seq: report.seq })) };
        if updates.is_empty() {
            return self.down.send(Box::new(Ok(ack))).await.map_err(|_| Status::cancelled("the agent is gone"));
        }
        let written = self.host.reports.hand_in(updates).await;
        let down = self.down.clone();
        tokio::spawn(async move {
            // What was not written is sent again by the agent when it connects anew.
            let message = match written.await {
                Ok(true) => Ok(ack),
                _ => Err(Status::unavailable("the report could not be written")),
            };
            let _ = down.send(Box::new(message)).await;
        });
        Ok(())
    }

    async fn services(&mut self, services: Services) -> Result<(), Status> {
        if !services.upsert.is_empty() {
            let mut rows: Vec<ServiceRegistration> = unpack(&services.upsert)?;
            bounds::services(&rows)?;
            rows.retain(|row| row.node_id == self.node);
            if !rows.is_empty() {
                self.propose(Command::UpsertServices { services: rows }).await?;
            }
        }
        if !services.delete.is_empty() {
            let ids = services.delete.iter().map(|id| Arc::from(id.as_str())).collect();
            self.propose(Command::DeleteServices { ids, node: Some(self.node) }).await?;
        }
        self.send(from_server::Body::Ack(Ack { seq: services.seq })).await
    }

    async fn propose(&self, command: Command) -> Result<(), Status> {
        let done = self.host.propose(command).await;
        done.map(|_| ()).map_err(|error| Status::unavailable(error.to_string()))
    }
}

fn unpack<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Status> {
    tarpan_rpc::unpack(bytes).map_err(|error| {
        tracing::warn!(%error, source = ?std::error::Error::source(&error), "a message of an agent");
        Status::invalid_argument(error.to_string())
    })
}

fn millis(ttl: Dur) -> u64 {
    u64::try_from(ttl.0 / tarpan_model::duration::MILLISECOND).unwrap_or(0)
}
