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
}
