//! Texts of the model that anybody may send: durations and names.

use tarpan_model::{Dur, glob, name};
use tarpan_testkit::fuzz::Fuzz;

#[test]
fn durations() {
    let words =
        ["1", "h", "m", "s", "ms", "us", "µs", "μs", "ns", ".", "-", "+", "170141183460469231731687303715884105"];
    let seeds = [
        "170141183460469231731687303715884105.9us",
        "1h2m3.5s",
        "-1.5h",
        "0",
        "250ms",
        "9223372036854775807ns",
        "0.000000001s",
        "10µs",
    ];
    Fuzz::new(env!("CARGO_MANIFEST_DIR"), "duration").words(&words).seeds(seeds).texts(|text| {
        let json = serde_json::from_str::<Dur>(&serde_json::Value::from(text).to_string());
        match text.parse::<Dur>() {
            Ok(dur) => {
                assert_eq!(dur.to_string().parse(), Ok(dur), "{text:?} is shown as another");
                assert_eq!(json.expect("as text in JSON too"), dur);
                assert_eq!(Dur::from(dur.to_std()).0, dur.0.max(0));
                format!("{} {}", dur.0.signum(), dur.to_string().trim_start_matches(|c: char| c.is_ascii_digit()))
            }
            Err(error) => {
                assert!(json.is_err());
                error.to_string()
            }
        }
    });
}

#[test]
fn names() {
    let words = ["/", "\\", "..", "\u{85}", "\u{202e}", "-", "_", "X-Header", "ünï", "\0", "%2e%2e"];
    Fuzz::new(env!("CARGO_MANIFEST_DIR"), "name").words(&words).seeds(["web", "..", "a/b", "a b"]).texts(|text| {
        let quoted = name::quoted(text);
        assert!(!quoted.chars().any(char::is_control) && quoted.chars().count() < 700, "{quoted}");
        if name::part(text).is_ok() {
            let path = std::path::Path::new("/a").join(text);
            assert_eq!(path.parent(), Some(std::path::Path::new("/a")), "{text:?} leads elsewhere");
            assert_eq!(path.file_name().and_then(|n| n.to_str()), Some(text));
        }
        if name::service(text).is_ok() {
            assert_eq!(name::part(text), Ok(()), "a label of DNS is a name too");
        }
        if name::header(text).is_ok() {
            assert!(!text.contains([':', ' ', '\r', '\n']));
        }
        let said =
            [name::text(text, 20), name::control(text), name::part(text), name::service(text), name::header(text)];
        let said = said.map(|s| s.map_or_else(|wrong| wrong.to_string(), |()| "fine".to_owned()));
        assert!(said.iter().all(|s| !s.is_empty() && !s.chars().any(char::is_control)));
        said.join(" ")
    });
}

#[test]
fn fuzz_globs_as_the_obvious_way_has_them() {
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
    let fuzz = Fuzz::new(env!("CARGO_MANIFEST_DIR"), "glob").words(&["*", "a", "ab", "|"]);
    fuzz.seeds(seeds).longest(24).texts(|given| {
        let (pattern, text) = given.split_once('|').unwrap_or((given, "dc1"));
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        let holds = glob::matches(pattern, text);
        assert_eq!(holds, slowly(&chars(pattern), &chars(text)), "{pattern:?} {text:?}");
        format!("{holds} {}", "*".repeat(pattern.matches('*').count()))
    });
}
