//! The computed class of a node: equal classes are feasible alike, so constraints are looked at once a class.

use std::sync::Arc;

use tarpan_model::Node;

/// FNV-1a, 64 bits: the same text on every machine and release, as classes are stored in evaluations.
struct Hash(u64);

impl Hash {
    fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }
    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    /// A text and an end mark, so that `("a", "bc")` and `("ab", "c")` differ.
    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
        self.bytes(&[0xff]);
    }
    fn flag(&mut self, flag: bool) {
        self.bytes(&[u8::from(flag)]);
    }
}

/// Hash over what constraints can see of a node and what is not unique to it: `v1:` and a number.
///
/// Covers datacenter, node class, pool, attributes and meta without keys that start with `unique.`, drivers (found,
/// healthy) and devices (vendor, type, name, attributes). The server sets it when a node registers.
pub fn computed_class(node: &Node) -> Arc<str> {
    let mut hash = Hash::new();
    for text in [&node.datacenter, &node.node_class, &node.node_pool] {
        hash.text(text);
    }
    for map in [&node.attributes, &node.meta] {
        for (key, value) in map.iter().filter(|(key, _)| !key.starts_with("unique.")) {
            hash.text(key);
            hash.text(value);
        }
        hash.text("");
    }
    for (name, driver) in &node.drivers {
        hash.text(name);
        hash.flag(driver.detected);
        hash.flag(driver.healthy);
    }
    hash.text("");
    for device in &node.resources.devices {
        for text in [&device.vendor, &device.type_, &device.name] {
            hash.text(text);
        }
        for (key, value) in &device.attributes {
            hash.text(key);
            hash.text(value);
        }
        hash.text("");
    }
    Arc::from(format!("v1:{}", hash.0))
}

#[cfg(test)]
mod tests {
    use tarpan_model::NodeId;

    use super::*;

    #[test]
    fn unique_facts_do_not_count() {
        let mut a = Node::new(NodeId::NIL, "a", "dc1");
        a.attributes.insert("kernel.name".into(), "linux".into());
        let mut b = a.clone();
        b.name = "b".into();
        b.attributes.insert("unique.hostname".into(), "b".into());
        assert_eq!(computed_class(&a), computed_class(&b));
        b.meta.insert("rack".into(), "r1".into());
        assert_ne!(computed_class(&a), computed_class(&b));
        a.datacenter = "dc2".into();
        assert_ne!(computed_class(&a), computed_class(&Node { datacenter: "dc1".into(), ..a.clone() }));
    }
}
