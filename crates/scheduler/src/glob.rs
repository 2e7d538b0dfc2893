//! Datacenter patterns: `*` stands for any run of characters.

use tarpan_model::glob;

/// A list of patterns; a text matches when one of them does.
#[derive(Clone, Debug)]
pub struct Globs(Vec<String>);

impl Globs {
    /// An empty list is `*`.
    pub fn new(patterns: &[String]) -> Globs {
        if patterns.is_empty() { Globs(vec!["*".to_owned()]) } else { Globs(patterns.to_vec()) }
    }

    pub fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|pattern| glob::matches(pattern, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pattern_means_all() {
        assert!(Globs::new(&[]).matches("anything"));
        assert!(!Globs::new(&["dc*".to_owned()]).matches("us"));
    }
}
