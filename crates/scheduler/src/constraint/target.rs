//! What a constraint, an affinity or a spread looks at.

use std::sync::Arc;

use tarpan_model::Node;

/// A side of a constraint.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    Literal(Arc<str>),
    NodeId,
    NodeName,
    Datacenter,
    NodeClass,
    NodePool,
    Attribute(Arc<str>),
    Meta(Arc<str>),
    /// `${…}` that names nothing.
    Unknown,
}

impl Target {
    /// Literal unless it starts with `${`.
    pub fn parse(text: &str) -> Target {
        let Some(inner) = text.strip_prefix("${") else { return Target::Literal(Arc::from(text)) };
        let inner = inner.strip_suffix('}').unwrap_or(inner).trim();
        match inner {
            "node.unique.id" => Target::NodeId,
            "node.unique.name" => Target::NodeName,
            "node.datacenter" => Target::Datacenter,
            "node.class" => Target::NodeClass,
            "node.pool" => Target::NodePool,
            _ => match (inner.strip_prefix("attr."), inner.strip_prefix("meta.")) {
                (Some(key), _) => Target::Attribute(Arc::from(key)),
                (_, Some(key)) => Target::Meta(Arc::from(key)),
                _ => Target::Unknown,
            },
        }
    }

    /// Names something that differs between nodes of one class.
    pub fn is_unique(&self) -> bool {
        match self {
            Target::NodeId | Target::NodeName => true,
            Target::Attribute(key) | Target::Meta(key) => key.starts_with("unique."),
            _ => false,
        }
    }

    /// The text on this node; `None` where the node has none.
    pub fn resolve(&self, node: &Node) -> Option<Arc<str>> {
        match self {
            Target::Literal(text) => Some(text.clone()),
            Target::NodeId => Some(Arc::from(node.id.to_string())),
            Target::NodeName => Some(node.name.clone()),
            Target::Datacenter => Some(node.datacenter.clone()),
            Target::NodeClass => Some(node.node_class.clone()),
            Target::NodePool => Some(node.node_pool.clone()),
            Target::Attribute(key) => node.attributes.get(key).cloned(),
            Target::Meta(key) => node.meta.get(key).cloned(),
            Target::Unknown => None,
        }
    }
}
