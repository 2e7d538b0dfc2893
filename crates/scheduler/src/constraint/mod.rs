//! Constraints and affinities in their dense form: targets parsed once, regular expressions and versions compiled once.
//!
//! Start at [`Constraint::compile`] and [`Constraint::holds`].

mod operator;
mod target;
mod version;

#[cfg(test)]
mod fuzz;

use std::sync::Arc;

use tarpan_model::Node;
use tarpan_model::job;

pub use operator::Operator;
pub use target::Target;

/// One condition on a node.
#[derive(Clone, Debug)]
pub struct Constraint {
    pub left: Target,
    pub right: Target,
    pub operator: Operator,
    /// `<left> <operand> <right>` as written: the key under which nodes that fail it are counted.
    pub reason: Arc<str>,
    /// Looks at something that only one node has, so that the answer for a class is not known from one of its nodes.
    pub unique: bool,
}

impl Constraint {
    pub fn compile(constraint: &job::Constraint) -> Constraint {
        Constraint::from_parts(&constraint.l_target, &constraint.operand, &constraint.r_target)
    }

    /// Texts that were left out read as empty, and an empty operand as `=`.
    pub fn from_parts(left: &Option<String>, operand: &Option<String>, right: &Option<String>) -> Constraint {
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let (left, mut operand, right) = (text(left), text(operand), text(right));
        if operand.is_empty() {
            operand = "=".to_owned();
        }
        let reason = match operand.as_str() {
            "is_set" | "is_not_set" => format!("{left} {operand}"),
            _ => format!("{left} {operand} {right}"),
        };
        let (left, right) = (Target::parse(&left), Target::parse(&right));
        let unique = left.is_unique() || right.is_unique();
        let operator = Operator::parse(&operand, &right);
        Constraint { left, right, operator, reason: Arc::from(reason), unique }
    }

    pub fn holds(&self, node: &Node) -> bool {
        self.operator.holds(self.left.resolve(node), self.right.resolve(node))
    }
}

/// A wish for nodes, with its weight from -100 to 100.
#[derive(Clone, Debug)]
pub struct Affinity {
    pub wish: Constraint,
    pub weight: f64,
}

impl Affinity {
    pub fn compile(affinity: &job::Affinity) -> Affinity {
        Affinity {
            wish: Constraint::from_parts(&affinity.l_target, &affinity.operand, &affinity.r_target),
            weight: affinity.weight.unwrap_or(50) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use tarpan_model::NodeId;

    use super::*;

    fn node() -> Node {
        let mut node = Node::new(NodeId::from(uuid::Uuid::from_u128(7)), "n7", "dc1");
        for (key, value) in [
            ("kernel.name", "linux"),
            ("kernel.version", "6.1.0"),
            ("cpu.numcores", "8"),
            ("nomad.version", "2.0.6"),
            ("os.signals", "SIGHUP,SIGINT, SIGTERM"),
            ("beta", "1.4.0-beta.2"),
        ] {
            node.attributes.insert(key.into(), value.into());
        }
        node.meta.insert("rack".into(), "r1".into());
        node
    }

    fn check(left: &str, operand: &str, right: &str, expected: bool) {
        let some = |text: &str| Some(text.to_owned());
        let constraint = Constraint::from_parts(&some(left), &some(operand), &some(right));
        assert_eq!(constraint.holds(&node()), expected, "{left} {operand} {right}");
    }

    #[test]
    fn operators() {
        check("${attr.kernel.name}", "", "linux", true);
        check("${attr.kernel.name}", "is", "windows", false);
        check("${attr.kernel.name}", "!=", "windows", true);
        check("${attr.absent}", "!=", "x", true);
        check("${attr.absent}", "=", "", false);
        check("${attr.absent}", "not", "", false);
        check("${node.datacenter}", "=", "dc1", true);
        check("${node.unique.name}", "=", "n7", true);
        check("${meta.rack}", "=", "r1", true);
        check("${attr.cpu.numcores}", ">", "10", false);
        check("${attr.cpu.numcores}", "<=", "8.0", true);
        check("${attr.kernel.name}", ">", "aix", true);
        check("${attr.absent}", "<", "1", false);
        check("${meta.rack}", "is_set", "", true);
        check("${meta.absent}", "is_set", "", false);
        check("${meta.absent}", "is_not_set", "", true);
        check("${attr.kernel.name}", "regexp", "^li.*x$", true);
        check("${attr.kernel.name}", "regexp", "(", false);
        check("${attr.os.signals}", "set_contains", "SIGTERM, SIGHUP", true);
        check("${attr.os.signals}", "set_contains_all", "SIGTERM,SIGKILL", false);
        check("${attr.os.signals}", "set_contains_any", "SIGTERM,SIGKILL", true);
        check("${attr.kernel.name}", "distinct_hosts", "true", true);
        check("${attr.kernel.name}", "sounds_like", "linux", false);
    }

    #[test]
    fn versions() {
        check("${attr.kernel.version}", "version", ">= 5.4", true);
        check("${attr.kernel.version}", "version", ">= 5.4, < 6.1", false);
        check("${attr.kernel.version}", "version", "~> 6.0", true);
        check("${attr.kernel.version}", "version", "~> 6.0.1", false);
        check("${attr.kernel.name}", "version", ">= 1", false);
        check("${attr.beta}", "version", "> 1.0", false);
        check("${attr.beta}", "version", "> 1.4.0-beta.1", true);
        check("${attr.beta}", "semver", "> 1.0.0", true);
        check("${attr.beta}", "semver", ">= 1.4.0", false);
        check("${attr.nomad.version}", "semver", ">= 1.7.0-a", true);
        check("${attr.nomad.version}", "semver", "~> 1.7.0", false);
        check("${attr.nomad.version}", "semver", ">= 1.7", true);
        for (value, operator, range, expected) in [
            ("4.18", "semver", ">= 4.2", true),
            ("4.18", "semver", "< 4.18.1", true),
            ("27", "semver", ">= 20.10", true),
            ("1.2.3.4", "semver", "> 1.2.3", true),
            ("1.2.3-rc.1", "semver", "< 1.2.3", true),
            ("1.2", "semver", "= 1.2.0", true),
            ("4.18.0-553.el8_10.x86_64", "semver", ">= 4", false),
            ("4.18.0-553.el8_10.x86_64", "version", ">= 4", false),
            ("5.15.0-91-generic", "semver", ">= 4.2", true),
            ("1.2.3+a_b", "semver", ">= 1", false),
            ("5.4rc1", "semver", ">= 5", false),
            ("5.4rc1", "version", "= 5.4rc1", true),
            ("1.2.", "semver", ">= 1", false),
            ("", "semver", ">= 1", false),
        ] {
            let matched = match operator {
                "semver" => version::SemverRange::parse(range).expect("a range").matches(value),
                _ => version::VersionRange::parse(range).expect("a range").matches(value),
            };
            assert_eq!(matched, expected, "{value} {operator} {range}");
        }
    }

    #[test]
    fn unique_targets_escape_classes() {
        let unique = |left: &str| Constraint::from_parts(&Some(left.to_owned()), &None, &None).unique;
        assert!(unique("${node.unique.id}") && unique("${attr.unique.hostname}") && unique("${meta.unique.x}"));
        assert!(!unique("${attr.kernel.name}") && !unique("${node.class}"));
    }
}
