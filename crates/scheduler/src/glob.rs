//! Datacenter patterns: `*` stands for any run of characters.

/// A list of patterns; a text matches when one of them does.
#[derive(Clone, Debug)]
pub struct Globs(Vec<String>);

impl Globs {
    /// An empty list is `*`.
    pub fn new(patterns: &[String]) -> Globs {
        if patterns.is_empty() { Globs(vec!["*".to_owned()]) } else { Globs(patterns.to_vec()) }
    }

    pub fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, text))
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*", "dc1", true),
            ("dc1", "dc1", true),
            ("dc1", "dc11", false),
            ("dc*", "dc11", true),
            ("*-east", "us-east", true),
            ("*-east", "us-east-1", false),
            ("us-*-1", "us-east-1", true),
            ("us-*-1*", "us-east-12", true),
            ("a*a", "a", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        assert!(Globs::new(&[]).matches("anything"));
    }

    #[test]
    fn fuzz_as_the_obvious_way_has_it() {
        /// By every way to share out the text.
        fn slowly(pattern: &[char], text: &[char]) -> bool {
            match pattern.split_first() {
                None => text.is_empty(),
                // One star says what many in a row say, and each would cost as much again.
                Some(('*', rest)) if rest.starts_with(&['*']) => slowly(rest, text),
                Some(('*', rest)) => (0..=text.len()).any(|n| slowly(rest, &text[n..])),
                Some((c, rest)) => text.split_first().is_some_and(|(t, text)| t == c && slowly(rest, text)),
            }
        }
        let seeds = ["us-*-1*|us-east-12", "a*a|a", "*a*b*|xaxbx", "é*é|éé"];
        let fuzz = tarpan_testkit::fuzz::Fuzz::new(env!("CARGO_MANIFEST_DIR"), "glob").words(&["*", "a", "ab", "|"]);
        fuzz.seeds(seeds).longest(24).texts(|given| {
            let (pattern, text) = given.split_once('|').unwrap_or((given, "dc1"));
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let holds = matches(pattern, text);
            assert_eq!(holds, slowly(&chars(pattern), &chars(text)), "{pattern:?} {text:?}");
            format!("{holds} {}", "*".repeat(pattern.matches('*').count()))
        });
    }
}
