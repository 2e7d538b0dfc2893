//! Texts of the model that anybody may send: durations and names.

use tarpan_model::{Dur, name};
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
