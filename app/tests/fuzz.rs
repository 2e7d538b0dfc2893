//! What browsers send to the pages: cookies, languages, addresses.
#![cfg(feature = "ssr")]

use tarpan_app::paths::{self, Query, decode, encode};
use tarpan_app::place;
use tarpan_app::prefs::{Lang, Prefs, Theme};
use tarpan_testkit::fuzz::Fuzz;

fn fuzz(name: &'static str) -> Fuzz {
    Fuzz::new(env!("CARGO_MANIFEST_DIR"), name)
}

#[test]
fn preferences() {
    let words = [
        "tarpan_lang",
        "tarpan_theme",
        "=",
        ";",
        " ",
        "dark",
        "contrast",
        "zh-CN",
        "en",
        "q=0.5",
        ",",
        "\n",
        "\"",
        "zh",
    ];
    let seeds = ["tarpan_lang=en; tarpan_theme=dark\nzh", "a=b\nde, zh;q=0.5", "tarpan_theme==light;;\n"];
    fuzz("preferences").words(&words).seeds(seeds).texts(|text| {
        let (cookie, accept) = text.split_once('\n').unwrap_or((text, ""));
        let prefs = Prefs::from_headers(cookie, accept);
        // As `<html>` says it, and as it is read from there.
        let theme = prefs.theme.attribute().map_or(Theme::System, Theme::from_text);
        assert_eq!((Lang::from_tag(prefs.lang.tag()), theme), (prefs.lang, prefs.theme));
        format!("{prefs:?}")
    });
}

#[test]
fn addresses() {
    let words = [
        "%2F", "%", "%zz", "%C3%A9", "%ff", "/", "//", "..", "@", "?", "#", "&", "=", "+", "page=", "é", "<script>",
        ":",
    ];
    let seeds = ["a/b@shop", "a//../b", "q=two+words&&page=2", "é&?#=+", "10.0.0.1:80", "%C3%28", "[::1]:80"];
    fuzz("addresses").words(&words).seeds(seeds).texts(|text| {
        assert_eq!(decode(&encode(text, false)), text);
        assert_eq!(decode(&encode(text, true)), text);
        let once = decode(text);
        assert!(once.len() <= 3 * text.len(), "{text:?} grows");
        for namespace in ["default", "a b"] {
            let link = paths::job(namespace, text);
            let (path, query) = link.split_once('?').unwrap_or((&link, ""));
            let inside = path.strip_prefix("/ui/jobs/").expect("a job's page");
            assert!(!path.contains("//") || text.is_empty(), "{link} leads elsewhere");
            assert!(path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~/%".contains(&b)), "{link}");
            let read = paths::job_of(&decode(inside), Query::parse(query).get("namespace"));
            assert_eq!(read, (namespace.to_owned(), text.to_owned()), "{link}");
        }
        let at = place::with("/ui/x", text, "page", "7");
        let query = Query::parse(at.strip_prefix("/ui/x?").expect("the same page"));
        assert!(query.get("page").is_some());
        if let Some(web) = paths::web(text) {
            assert!(!web["http://".len()..].contains(['/', '@', '"', '<', ' ']), "{web}");
        }
        format!("{} {} {}", once == text, paths::web(text).is_some(), text.contains('@'))
    });
}
