//! Who asks. Every handler gets a [`Caller`]; with access control off it may do everything.

/// What a route needs. Texts are the names of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Anyone may ask.
    Open,
    /// Any one of these on the request's namespace.
    Namespace(&'static [&'static str]),
    Node(Access),
    NodePool(Access),
    Agent(Access),
    Operator(Access),
    Plugin(Access),
    /// Decided by the handler from what is asked for, such as topics of the event stream.
    ByContent,
    Management,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    List,
    Read,
    Write,
}

/// Who asks, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    grants: Grants,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Grants {
    /// Access control is off.
    Everything,
}

impl Caller {
    /// May do all there is.
    pub fn unrestricted() -> Caller {
        Caller { grants: Grants::Everything }
    }

    /// May this caller do what `capability` names in `namespace`?
    pub fn may(&self, capability: Capability, namespace: &str) -> bool {
        let _ = (capability, namespace);
        match self.grants {
            Grants::Everything => true,
        }
    }
}
