//! Patterns in which `*` stands for any run of characters: of datacenters, environment variables, devices, labels.

/// Whether the whole text is as the pattern has it. Takes steps by the length of both, however many stars there are.
pub fn matches(pattern: &str, text: &str) -> bool {
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
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("AWS_*", "AW", false),
            ("*_TOKEN", "A_TOKEN", true),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_their_text() {
        // Whoever tries every way to share the text out is not done in a lifetime.
        assert!(!matches(&"*a".repeat(60), &format!("{}b", "a".repeat(120))));
    }
}
