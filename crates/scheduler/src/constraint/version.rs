//! Version texts and ranges of them: with `~>` and prereleases apart (`version`), and by precedence alone (`semver`).

use std::cmp::Ordering;

/// A version as people write them: numbers with dots, perhaps a `v` in front, a prerelease and build data behind.
#[derive(Clone, Debug, PartialEq)]
struct Version {
    numbers: Vec<u64>,
    /// How many numbers were written: `~> 1.2` fixes one, `~> 1.2.3` two.
    written: usize,
    prerelease: String,
}

impl Version {
    /// Numbers with dots, as many as there are, then a prerelease and build data. A prerelease may follow at once
    /// (`5.4rc1`) only where `lenient`.
    fn parse(text: &str, lenient: bool) -> Option<Version> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let (core, rest) = text.split_at(end);
        let (prerelease, build) = rest.split_once('+').map_or((rest, None), |(pre, build)| (pre, Some(build)));
        let prerelease = match prerelease.strip_prefix('-') {
            Some("") => return None,
            Some(after) => after,
            None if prerelease.is_empty() || lenient => prerelease,
            None => return None,
        };
        if !(prerelease.is_empty() || is_suffix(prerelease)) || !build.is_none_or(is_suffix) {
            return None;
        }
        let mut numbers = core.split('.').map(|n| n.parse().ok()).collect::<Option<Vec<u64>>>()?;
        let written = numbers.len();
        numbers.resize(written.max(3), 0);
        Some(Version { numbers, written, prerelease: prerelease.to_owned() })
    }

    fn compare(&self, other: &Version) -> Ordering {
        let width = self.numbers.len().max(other.numbers.len());
        let at = |v: &Version, i: usize| v.numbers.get(i).copied().unwrap_or(0);
        (0..width)
            .map(|i| at(self, i).cmp(&at(other, i)))
            .find(|o| o.is_ne())
            .unwrap_or_else(|| compare_prereleases(&self.prerelease, &other.prerelease))
    }

    fn same_core(&self, other: &Version) -> bool {
        Version { prerelease: String::new(), ..self.clone() }
            .compare(&Version { prerelease: String::new(), ..other.clone() })
            == Ordering::Equal
    }
}

/// Words with dots between them: a suffix with any other character makes a text no version at all.
fn is_suffix(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'~');
    text.split('.').all(|word| !word.is_empty() && word.bytes().all(plain))
}

/// Precedence of semantic versioning, §11: none is greatest; numbers below words.
fn compare_prereleases(left: &str, right: &str) -> Ordering {
    match (left.is_empty(), right.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        _ => {}
    }
    let (mut ls, mut rs) = (left.split('.'), right.split('.'));
    loop {
        match (ls.next(), rs.next()) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(l), Some(r)) => {
                let order = match (l.parse::<u64>(), r.parse::<u64>()) {
                    (Ok(l), Ok(r)) => l.cmp(&r),
                    (Ok(_), Err(_)) => Ordering::Less,
                    (Err(_), Ok(_)) => Ordering::Greater,
                    _ => l.cmp(r),
                };
                if order.is_ne() {
                    return order;
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    Pessimistic,
}

impl Bound {
    /// Splits `>= 1.2` into its sign and the rest; no sign is `=`.
    fn split(text: &str) -> (Bound, &str) {
        let text = text.trim();
        for (sign, bound) in [
            ("~>", Bound::Pessimistic),
            (">=", Bound::GreaterEqual),
            ("<=", Bound::LessEqual),
            ("!=", Bound::NotEqual),
            (">", Bound::Greater),
            ("<", Bound::Less),
            ("=", Bound::Equal),
        ] {
            if let Some(rest) = text.strip_prefix(sign) {
                return (bound, rest.trim());
            }
        }
        (Bound::Equal, text)
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Bound::Equal => order.is_eq(),
            Bound::NotEqual => order.is_ne(),
            Bound::Greater => order.is_gt(),
            Bound::GreaterEqual | Bound::Pessimistic => order.is_ge(),
            Bound::Less => order.is_lt(),
            Bound::LessEqual => order.is_le(),
        }
    }
}

/// A comma list of bounds on lenient versions; `~>` allowed; a prerelease only matches a bound that has one on the same core.
#[derive(Clone, Debug)]
pub struct VersionRange(Vec<(Bound, Version)>);

impl VersionRange {
    pub fn parse(text: &str) -> Option<VersionRange> {
        let bound = |part: &str| {
            let (bound, version) = Bound::split(part);
            Some((bound, Version::parse(version, true)?))
        };
        text.split(',').map(bound).collect::<Option<_>>().map(VersionRange)
    }

    pub fn matches(&self, text: &str) -> bool {
        let Some(version) = Version::parse(text, true) else { return false };
        self.0.iter().all(|(bound, limit)| {
            let ordered = !matches!(bound, Bound::Equal | Bound::NotEqual);
            let prerelease_ok = match (version.prerelease.is_empty(), limit.prerelease.is_empty()) {
                (true, _) => true,
                (false, true) => !ordered,
                (false, false) => !ordered || version.same_core(limit),
            };
            let within = *bound != Bound::Pessimistic || {
                let fixed = limit.written.saturating_sub(1).max(1);
                version.numbers.iter().take(fixed).eq(limit.numbers.iter().take(fixed))
            };
            prerelease_ok && within && bound.holds(version.compare(limit))
        })
    }
}

/// A comma list of bounds on versions, prereleases by precedence; no `~>`. Despite its name two numbers, or four, are well.
#[derive(Clone, Debug)]
pub struct SemverRange(Vec<(Bound, Version)>);

impl SemverRange {
    pub fn parse(text: &str) -> Option<SemverRange> {
        let bound = |part: &str| {
            let (bound, version) = Bound::split(part);
            if bound == Bound::Pessimistic { None } else { Some((bound, Version::parse(version, false)?)) }
        };
        text.split(',').map(bound).collect::<Option<_>>().map(SemverRange)
    }

    pub fn matches(&self, text: &str) -> bool {
        let Some(version) = Version::parse(text, false) else { return false };
        self.0.iter().all(|(bound, limit)| bound.holds(version.compare(limit)))
    }
}
