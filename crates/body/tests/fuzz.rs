//! Any bytes as a body: what is wrong is said exactly when something is.

use serde::de::IgnoredAny;
use tarpan_body::check;
use tarpan_testkit::fuzz::{Fuzz, JSON};

#[test]
fn syntax() {
    let seeds = [r#"{"a": [1, -0.5e+3, "é\u00e9\n", null, {}]}"#, "[[[[]]]]", "01", "\"\\x\"", " 1 "];
    Fuzz::new(env!("CARGO_MANIFEST_DIR"), "syntax").words(JSON).seeds(seeds).bytes(|bytes| match check(bytes) {
        Some(wrong) => {
            assert!(!wrong.is_empty());
            let deep = wrong == "exceeded max depth";
            assert!(deep || serde_json::from_slice::<IgnoredAny>(bytes).is_err(), "this is JSON, and not {wrong}");
            wrong
        }
        None => {
            assert!(serde_json::from_slice::<IgnoredAny>(bytes).is_ok(), "what is wrong is not said");
            String::new()
        }
    });
}
