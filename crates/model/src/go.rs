//! What the field leaves to the library of its language, whose habits people know by now.

/// A boolean as that library reads one, everywhere that text stands for it: parameters, flags, options, attributes.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans() {
        for (text, expected) in [("t", Some(true)), ("False", Some(false)), ("tRUE", None), ("yes", None), ("", None)] {
            assert_eq!(boolean(text), expected, "{text:?}");
        }
    }
}
