//! Whatever a configuration or an address template holds, reading it ends, with sentences in place of panics.

use std::path::Path;

use proptest::prelude::*;
use tarpan_config::load;
use tarpan_config::sockaddr::Interfaces;

/// Pieces of configurations, so that random texts get further than the first character.
const PIECES: [&str; 32] = [
    "client",
    "server",
    "ports",
    "plugin",
    "\"docker\"",
    "{",
    "}",
    "[",
    "]",
    "=",
    ":",
    ",",
    "\"x\"",
    "\"${env \"",
    "\"\\u12\"",
    "true",
    "1",
    "-0x1F",
    "1e999",
    "010",
    "<<EOF\n",
    "\nEOF\n",
    "<<-",
    "/*",
    "*/",
    "#",
    "//",
    "\n",
    "\u{feff}",
    "é",
    "retry_join",
    "host_volume",
];

const TEMPLATE: [&str; 24] = [
    "{{",
    "}}",
    "GetPrivateIP",
    "GetInterfaceIP",
    "GetAllInterfaces",
    "\"eth0\"",
    "|",
    "include",
    "exclude",
    "\"name\"",
    "\"network\"",
    "\"10.0.0.0/8\"",
    "sort",
    "\"-size,+name\"",
    "limit",
    "offset",
    "-1",
    "99999999999999999999",
    "attr",
    "\"address\"",
    "join",
    "math",
    "\"address\" \"+9999999999\"",
    " ",
];

fn read(text: &str) {
    let _ = load::read(Path::new("agent.hcl"), text);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn on_any_text(text in ".{0,200}") {
        read(&text);
    }

    #[test]
    fn on_pieces_of_configurations(pieces in prop::collection::vec(0..PIECES.len(), 0..60)) {
        read(&pieces.iter().map(|i| PIECES[*i]).collect::<Vec<_>>().join(" "));
    }

    #[test]
    fn on_pieces_of_address_templates(pieces in prop::collection::vec(0..TEMPLATE.len(), 0..20)) {
        let text = pieces.iter().map(|i| TEMPLATE[*i]).collect::<Vec<_>>().join(" ");
        let interfaces = Interfaces { addresses: Vec::new(), default: None };
        let _ = interfaces.fill(&text);
        let _ = interfaces.fill(&format!("{{{{ {text} }}}}"));
    }
}

#[test]
fn deep_texts_are_refused_not_suffered() {
    for open in ["{", "[", "a {\n", "a = [", "a = {\n b = ", "{\"a\":", "\"${", "/*"] {
        let text = open.repeat(100_000);
        let reader = std::thread::Builder::new().stack_size(1 << 20).spawn(move || read(&text));
        reader.expect("a thread").join().expect("no overflow");
    }
}
