//! Configurations and what else is written in the older HCL: whatever the text, reading it ends with sentences.

use std::path::Path;

use tarpan_config::sockaddr::Interfaces;
use tarpan_config::{hcl1, load};
use tarpan_testkit::fuzz::Fuzz;

const WORDS: [&str; 46] = [
    "client",
    "server",
    "ports",
    "plugin",
    "\"docker\"",
    "{",
    "}",
    "[",
    "]",
    " = ",
    ":",
    ",",
    "\"x\"",
    "\"${env \"",
    "\"\\u12\"",
    "true",
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
    "limits",
    "telemetry",
    "\"10s\"",
    "\"30d\"",
    "\"5GB\"",
    "reserved",
    "reserved_ports",
    "\"1-5,9\"",
    "addresses",
    "advertise",
    "\"{{ GetPrivateIP }}\"",
    "name",
    "meta",
    "data_dir",
    "log_rotate_bytes",
];

#[test]
fn configurations() {
    let seeds = [
        "data_dir = \"/x\"\nclient {\n  enabled = true\n  meta { a = \"b\" }\n  reserved { cpu = 500 reserved_ports = \"22,80-90\" }\n}\n",
        "plugin \"docker\" { config { volumes { enabled = true } extra_labels = [\"job_name\"] } }",
        "{\"server\": {\"enabled\": true, \"bootstrap_expect\": 3, \"retry_join\": [\"10.0.0.1:4648\"]}}",
        "limits { http_max_conns_per_client = 100 }\nports { http = 4646 rpc = \"4647\" }",
        "a = <<EOF\ntext\nEOF\n",
    ];
    let fuzz = Fuzz::new(env!("CARGO_MANIFEST_DIR"), "configurations").words(&WORDS).seeds(seeds).longest(3_000);
    fuzz.texts(|text| {
        let whole = load::read(Path::new("agent.hcl"), text);
        match hcl1::parse(text) {
            Ok(_) => format!("read {}", whole.is_ok()),
            Err(error) => {
                assert!(whole.is_err(), "what is no HCL is no configuration");
                error.to_string()
            }
        }
    });
}

#[test]
fn address_templates() {
    let words = [
        "{{",
        "}}",
        "GetPrivateIP",
        "GetInterfaceIP ",
        "GetAllInterfaces",
        "\"eth0\"",
        " | ",
        "include ",
        "exclude ",
        "\"name\" ",
        "\"network\" ",
        "\"10.0.0.0/8\"",
        "sort ",
        "\"-size,+name\"",
        "limit ",
        "offset ",
        "-1",
        "99999999999999999999",
        "attr ",
        "\"address\"",
        "join ",
        "math ",
        "\"+9999999999\"",
        "\"[\"",
        "\"rfc\" \"1918\"",
        "\"flags\" \"up\"",
    ];
    let seeds = [
        "{{ GetPrivateIP }}:4646",
        "{{ GetAllInterfaces | include \"network\" \"10.0.0.0/8\" | sort \"-size\" | limit 1 | attr \"address\" }}",
        "{{ GetAllInterfaces | math \"address\" \"+2\" | join \"address\" \" \" }}",
    ];
    let machine = Interfaces::of_this_machine();
    let none = Interfaces { addresses: Vec::new(), default: None };
    let fuzz = Fuzz::new(env!("CARGO_MANIFEST_DIR"), "addresses").words(&words).seeds(seeds).longest(600);
    fuzz.texts(|text| {
        let said = [&machine, &none].map(|interfaces| match interfaces.fill(text) {
            Ok(filled) => format!("{}", filled == text),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                error.to_string()
            }
        });
        said.concat()
    });
}

#[test]
fn deep_texts_are_refused_not_suffered() {
    for open in ["{", "[", "a {\n", "a = [", "a = {\n b = ", "{\"a\":", "\"${", "/*"] {
        let text = open.repeat(100_000);
        let reader = std::thread::Builder::new()
            .stack_size(1 << 20)
            .spawn(move || drop(load::read(Path::new("agent.hcl"), &text)));
        reader.expect("a thread").join().expect("no overflow");
    }
}
