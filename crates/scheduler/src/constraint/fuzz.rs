//! Constraints come from strangers' jobs: whatever they say, they are compiled and asked in bounded time.

use std::sync::Arc;
use std::time::Duration;

use tarpan_testkit::fuzz::Fuzz;

use super::version::{SemverRange, VersionRange};
use super::*;

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn versions() {
    let words = [">=", "<=", "!=", "~>", ">", "<", "=", ",", ".", "-", "+", "v", "beta", "rc.1", "1.2.3", "007"];
    let seeds =
        [">= 1.2, < 2.0|1.5", "~> 1.2.3|1.2.9", "= v1.2.3-beta.2+x|1.2.3-beta.2", "!= 1|2", "18446744073709551615|1"];
    Fuzz::new(CRATE, "version").words(&words).seeds(seeds).longest(400).texts(|text| {
        let (range, version) = text.split_once('|').unwrap_or((text, "1.2.3"));
        let lenient = VersionRange::parse(range).map(|r| r.matches(version));
        let strict = SemverRange::parse(range).map(|r| r.matches(version));
        // A version is within what is said of itself.
        let plain = !version.contains([',', '=', '<', '>', '~', '!']);
        if plain && VersionRange::parse(version).is_some() {
            for (sign, expected) in
                [("=", true), (">=", true), ("<=", true), ("~>", true), ("!=", false), ("<", false), (">", false)]
            {
                let range = VersionRange::parse(&format!("{sign} {version}")).expect("with a sign too");
                assert_eq!(range.matches(version), expected, "{sign} {version:?}");
            }
        }
        if plain && SemverRange::parse(version).is_some() {
            assert!(VersionRange::parse(version).is_some(), "{version:?} is strict and not lenient");
            for (sign, expected) in [("=", true), (">=", true), ("!=", false), ("<", false)] {
                let range = SemverRange::parse(&format!("{sign} {version}")).expect("with a sign too");
                assert_eq!(range.matches(version), expected, "{sign} {version:?}");
            }
        }
        format!("{lenient:?} {strict:?} {plain} {}", range.split(',').count().min(3))
    });
}

#[test]
fn operators() {
    let words = [
        "regexp",
        "set_contains",
        "set_contains_any",
        "version",
        "semver",
        "is_set",
        "=",
        "<",
        ">=",
        "(a|b)*",
        "{1000}",
        "\\pL",
        "[^a]",
        "(?i)",
        "\\b",
        "${attr.a}",
        "${meta.b}",
        "${node.class}",
        "${",
        "}",
        "\n",
        "NaN",
        "inf",
        "1e9",
    ];
    let seeds = [
        "${attr.a}\nregexp\n^(a+)+$",
        "${meta.b}\nset_contains\na,b",
        "a\n<\n1",
        "x\nregexp\n(a{1000}){1000}",
        "NaN\n<\nNaN",
        "${attr.a}\nregexp\n(((a{9}){9}){9}){9}",
        "x\nregexp\n\\pL{200}",
    ];
    let mut node = Node::new(tarpan_model::NodeId::from(uuid::Uuid::from_u128(7)), "n7", "dc1");
    node.attributes.insert("a".into(), "a".repeat(2_000).into());
    node.meta.insert("b".into(), "a, b,c".into());
    let fuzz = Fuzz::new(CRATE, "operator").words(&words).seeds(seeds).longest(1_000);
    fuzz.limit(Duration::from_secs(2)).texts(|text| {
        let mut parts = text.splitn(3, '\n').map(|p| Some(p.to_owned()));
        let mut part = || parts.next().flatten();
        let (left, operand, right) = (part(), part(), part());
        let constraint = Constraint::from_parts(&left, &operand, &right);
        let holds = constraint.holds(&node);
        // What is written in the job's findings and in the UI.
        assert!(constraint.reason.len() >= left.as_deref().unwrap_or_default().len());
        if let (Target::Literal(l), Operator::Equal, Target::Literal(r)) =
            (&constraint.left, &constraint.operator, &constraint.right)
        {
            let unequal = Operator::parse("!=", &constraint.right);
            assert_ne!(holds, unequal.holds(Some(Arc::clone(l)), Some(Arc::clone(r))));
        }
        let kind = format!("{:?} {:?}", constraint.operator, constraint.right);
        let kind: String = kind.chars().take_while(|c| c.is_alphabetic() || *c == '(').take(16).collect();
        format!("{kind} {holds} {}", constraint.unique)
    });
}
