//! The operators of constraints and affinities.

use std::cmp::Ordering;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::target::Target;
use super::version::{SemverRange, VersionRange};

/// What is asked of the two sides. A right side that is a literal is compiled once.
#[derive(Clone, Debug)]
pub enum Operator {
    Equal,
    NotEqual,
    /// `<`, `<=`, `>`, `>=`: which orders are good.
    Order(&'static [Ordering]),
    IsSet,
    IsNotSet,
    Regexp(Option<Regex>),
    Version(Option<VersionRange>),
    Semver(Option<SemverRange>),
    ContainsAll,
    ContainsAny,
    /// `distinct_hosts` and `distinct_property`: looked at elsewhere, always true here.
    Elsewhere,
    /// Not an operator: never true.
    Unknown,
}

/// Bytes that one compiled pattern may take: some 10 ms of compiling. Jobs come from strangers, and planning waits for this.
const PATTERN_SIZE: usize = 1 << 20;

/// A pattern that is none, or too large a one, matches nothing.
fn bounded(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).dfa_size_limit(PATTERN_SIZE).build().ok()
}

impl Operator {
    pub fn parse(operand: &str, right: &Target) -> Operator {
        let literal = match right {
            Target::Literal(text) => &**text,
            _ => "",
        };
        match operand {
            "=" | "==" | "is" => Operator::Equal,
            "!=" | "not" => Operator::NotEqual,
            "<" => Operator::Order(&[Ordering::Less]),
            "<=" => Operator::Order(&[Ordering::Less, Ordering::Equal]),
            ">" => Operator::Order(&[Ordering::Greater]),
            ">=" => Operator::Order(&[Ordering::Greater, Ordering::Equal]),
            "is_set" => Operator::IsSet,
            "is_not_set" => Operator::IsNotSet,
            "regexp" => Operator::Regexp(bounded(literal)),
            "version" => Operator::Version(VersionRange::parse(literal)),
            "semver" => Operator::Semver(SemverRange::parse(literal)),
            "set_contains" | "set_contains_all" => Operator::ContainsAll,
            "set_contains_any" => Operator::ContainsAny,
            "distinct_hosts" | "distinct_property" => Operator::Elsewhere,
            _ => Operator::Unknown,
        }
    }

    /// `None`: the node has no such thing.
    pub fn holds(&self, left: Option<Arc<str>>, right: Option<Arc<str>>) -> bool {
        let both = |good: &dyn Fn(&str, &str) -> bool| match (&left, &right) {
            (Some(l), Some(r)) => good(l, r),
            _ => false,
        };
        match self {
            Operator::Equal => both(&|l, r| l == r),
            Operator::NotEqual => left.as_deref().unwrap_or("") != right.as_deref().unwrap_or(""),
            Operator::Order(good) => both(&|l, r| good.contains(&order(l, r))),
            Operator::IsSet => left.is_some(),
            Operator::IsNotSet => left.is_none(),
            Operator::Regexp(regex) => both(&|l, _| regex.as_ref().is_some_and(|re| re.is_match(l))),
            Operator::Version(range) => both(&|l, _| range.as_ref().is_some_and(|range| range.matches(l))),
            Operator::Semver(range) => both(&|l, _| range.as_ref().is_some_and(|range| range.matches(l))),
            Operator::ContainsAll => both(&|l, r| items(r).all(|item| items(l).any(|have| have == item))),
            Operator::ContainsAny => both(&|l, r| items(r).any(|item| items(l).any(|have| have == item))),
            Operator::Elsewhere => true,
            Operator::Unknown => false,
        }
    }
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

/// As integers when both are, else as numbers, else as texts.
fn order(left: &str, right: &str) -> Ordering {
    if let (Ok(l), Ok(r)) = (left.parse::<i64>(), right.parse::<i64>()) {
        return l.cmp(&r);
    }
    if let (Ok(l), Ok(r)) = (left.parse::<f64>(), right.parse::<f64>()) {
        return l.partial_cmp(&r).unwrap_or(Ordering::Equal);
    }
    left.cmp(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job may bring any pattern; its planning must not wait for a program of gigabytes.
    #[test]
    fn patterns_are_bounded_when_they_are_compiled() {
        for pattern in ["(a{1000}){1000}", r"\w{30000}", "((((x{9}){9}){9}){9}){9}"] {
            let begin = std::time::Instant::now();
            assert!(bounded(pattern).is_none(), "{pattern}");
            assert!(begin.elapsed().as_secs() < 5, "{pattern} took {:?}", begin.elapsed());
        }
        assert!(bounded("(").is_none());
        let hosts: Vec<String> = (0..1000).map(|n| format!("rack-{n:04}")).collect();
        for pattern in [r"^\w+-\d{1,4}$", r"\p{Greek}{2,20}", &hosts.join("|")] {
            assert!(bounded(pattern).is_some(), "{pattern}");
        }
    }
}
