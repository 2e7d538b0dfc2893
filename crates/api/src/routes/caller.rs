//! Who asks: a request's token becomes a [`Caller`], and a caller may do what the route table says that it needs.
//!
//! Access control is off so far: whoever asks is [`Caller::Management`]. A server asks in one place, an agent without the server
//! role in another: each before a handler is called.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::{Access, Capability};

/// Who asks, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Everything: holders of a management token, and everybody while access control is off.
    Management,
    /// What these give. Without any: somebody without a token, who may do what is open to anyone.
    Granted(Vec<Grant>),
}

/// One thing that a policy gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    Namespace { namespace: String, capability: String },
    Node(Access),
    NodePool(Access),
    Agent(Access),
    Operator(Access),
    Plugin(Access),
}

impl Caller {
    pub fn anonymous() -> Caller {
        Caller::Granted(Vec::new())
    }

    /// May this caller do what `needs` names? In `namespace`, where it is about one; in any at all when that is `*`.
    pub fn may(&self, needs: Capability, namespace: &str) -> bool {
        let grants = match self {
            Caller::Management => return true,
            Caller::Granted(grants) => grants,
        };
        let any = |gives: &dyn Fn(&Grant) -> bool| grants.iter().any(gives);
        match needs {
            Capability::Open | Capability::ByContent => true,
            Capability::Management => false,
            Capability::Namespace(names) => any(&|grant| match grant {
                Grant::Namespace { namespace: own, capability } => {
                    (namespace == "*" || own == namespace) && names.contains(&capability.as_str())
                }
                _ => false,
            }),
            Capability::Node(wanted) => any(&|grant| matches!(grant, Grant::Node(given) if *given >= wanted)),
            Capability::NodePool(wanted) => any(&|grant| matches!(grant, Grant::NodePool(given) if *given >= wanted)),
            Capability::Agent(wanted) => any(&|grant| matches!(grant, Grant::Agent(given) if *given >= wanted)),
            Capability::Operator(wanted) => any(&|grant| matches!(grant, Grant::Operator(given) if *given >= wanted)),
            Capability::Plugin(wanted) => any(&|grant| matches!(grant, Grant::Plugin(given) if *given >= wanted)),
        }
    }
}

/// What a request carries to say who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Of `X-Nomad-Token`, or of a bearer's `Authorization`.
    pub fn of(headers: &HeaderMap) -> Option<Token> {
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().trim().to_owned();
        let own = headers.get("x-nomad-token").map(text);
        let bearer = || {
            let value = text(headers.get(AUTHORIZATION)?);
            let (kind, token) = value.split_once(' ')?;
            kind.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        };
        own.filter(|token| !token.is_empty()).or_else(bearer).filter(|token| !token.is_empty()).map(Token)
    }

    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Tells who a token stands for.
pub type Identify = fn(Option<&Token>) -> Caller;

/// No access control: any token, and none, may do everything.
pub fn everybody(_: Option<&Token>) -> Caller {
    Caller::Management
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        for (name, value, token) in [
            ("x-nomad-token", " abc ", Some("abc")),
            ("x-nomad-token", " ", None),
            ("authorization", "Bearer abc", Some("abc")),
            ("authorization", "bearer  abc", Some("abc")),
            ("authorization", "Basic abc", None),
            ("authorization", "Bearer ", None),
        ] {
            let headers = HeaderMap::from_iter([(name.parse().expect("a name"), HeaderValue::from_static(value))]);
            assert_eq!(Token::of(&headers).as_ref().map(Token::text), token, "{name}: {value:?}");
        }
    }

    #[test]
    fn grants() {
        let caller = Caller::Granted(vec![
            Grant::Namespace { namespace: "a".to_owned(), capability: "read-job".to_owned() },
            Grant::Node(Access::Write),
            Grant::Plugin(Access::List),
        ]);
        let read = Capability::Namespace(&["read-fs", "read-job"]);
        for (needs, namespace, may) in [
            (read, "a", true),
            (read, "*", true),
            (read, "b", false),
            (Capability::Namespace(&["submit-job"]), "a", false),
            (Capability::Node(Access::Read), "b", true),
            (Capability::Plugin(Access::Read), "a", false),
            (Capability::Agent(Access::Read), "a", false),
            (Capability::Management, "a", false),
            (Capability::Open, "b", true),
        ] {
            assert_eq!(caller.may(needs, namespace), may, "{needs:?} in {namespace}");
            assert!(Caller::Management.may(needs, namespace));
            assert_eq!(Caller::anonymous().may(needs, namespace), needs == Capability::Open, "{needs:?}");
        }
    }
}
