//! The route table of `/v1`: what a request may be, what its caller needs, and where it is answered. Data only.
//!
//! Servers and agents read the same rows and bind their own handlers to them by [`Name`]; a row without a handler does not
//! compile. Start at [`Route`], a row; [`table`] has all of them, [`Table`] finds the one of a request.
//! Nothing of the browser's part may name it: a first page has no room for it.

pub mod caller;
mod find;
mod table;

use http::Method;

pub use find::{Captures, Found, Table};
pub use table::*;

/// Where a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// Any server, from its own state once that holds all that was acknowledged before; with `stale` as it is, without a leader, too.
    Server,
    /// Any server once there is a leader, which commits what it decides: the command travels, not the request.
    Leader,
    /// The leader itself, which alone knows: the request travels.
    Lead,
    /// This very agent, about itself or about what it was given.
    Agent,
    /// The node that is asked about, through its session.
    Node,
    /// Any server, for as long as the caller listens; the route reads `index` itself.
    Stream,
}

/// What a route needs. Texts are the names of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Anyone may ask.
    Open,
    /// Any one of these on the namespace of the request, and on that of the object it is about.
    Namespace(&'static [&'static str]),
    Node(Access),
    NodePool(Access),
    Agent(Access),
    Operator(Access),
    Plugin(Access),
    /// Anyone may ask; each thing that is asked for, such as a topic of the event stream, needs what it needs.
    ByContent,
    Management,
}

/// Each gives those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    List,
    Read,
    Write,
}

/// One row of the table.
#[derive(Debug)]
pub struct Route {
    pub name: Name,
    pub methods: &'static [Method],
    pub path: &'static str,
    pub needs: Capability,
    pub answered: Where,
    /// Does something even when it is asked by GET: no page of another site may ask for that.
    pub acts: bool,
}

pub const GET: &[Method] = &[Method::GET];
pub const PUT: &[Method] = &[Method::PUT, Method::POST];
pub const PUT_ONLY: &[Method] = &[Method::PUT];
pub const POST_ONLY: &[Method] = &[Method::POST];
pub const DELETE: &[Method] = &[Method::DELETE];
pub const GET_POST: &[Method] = &[Method::GET, Method::POST];
pub const ANY: &[Method] = &[Method::GET, Method::PUT, Method::POST];
