//! The names that an agent is known by: hosts of requests that are meant for it.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// Names of an agent. Every IP address and loopback's names are always among them: nobody can point those elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Names {
    exact: BTreeSet<String>,
    /// `.corp.example`, for `*.corp.example`.
    endings: Vec<String>,
    any: bool,
}

impl Names {
    /// `own` is what the agent and its machine are called, `allowed` what its configuration adds: names, `*.corp.example` for
    /// all names below one, `*` for all there are. Errors are sentences.
    pub fn new(own: impl IntoIterator<Item = String>, allowed: &[String]) -> Result<Names, String> {
        let mut names = Names { exact: own.into_iter().map(|n| bare(&n)).collect(), ..Names::default() };
        for text in allowed {
            let name = bare(text);
            match name.strip_prefix('*') {
                Some("") if text.trim() == "*" => names.any = true,
                Some(ending) if ending.starts_with('.') && is_name(&ending[1..]) => {
                    names.endings.push(ending.to_owned())
                }
                None if is_name(&name) || is_address(&name) => drop(names.exact.insert(name)),
                _ => {
                    return Err(format!(
                        "\"http_allowed_hosts\": {text:?} is no host name; write one such as \"tarpan.example.com\", without \
                         scheme and port, or \"*.example.com\" for all names below it"
                    ));
                }
            }
        }
        Ok(names)
    }

    /// Is `name`, as [`bare`] gives it, one of them?
    pub fn know(&self, name: &str) -> bool {
        let loopback = name == "localhost" || name.ends_with(".localhost") || name == "localhost.localdomain";
        let below = |ending: &String| name.len() > ending.len() && name.ends_with(ending.as_str());
        self.any || loopback || is_address(name) || self.exact.contains(name) || self.endings.iter().any(below)
    }
}

/// A host as it is compared: in lower case, without the final dot of a full name.
pub fn bare(host: &str) -> String {
    let host = host.trim().to_ascii_lowercase();
    host.strip_suffix('.').map_or(host.clone(), str::to_owned)
}

fn is_address(name: &str) -> bool {
    let inner = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    // An IPv6 address may name the interface that it is reached by.
    let inner = inner.split_once('%').map_or(inner, |(address, _)| address);
    inner.parse::<IpAddr>().is_ok()
}

fn is_name(name: &str) -> bool {
    let label = |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let allowed = ["tarpan.example.com", "*.Corp.example."].map(str::to_owned);
        let names = Names::new(["Box".to_owned()], &allowed).expect("names");
        for (name, known) in [
            ("box", true),
            ("tarpan.example.com", true),
            ("x.tarpan.example.com", false),
            ("a.corp.example", true),
            ("a.b.corp.example", true),
            ("corp.example", false),
            ("evilcorp.example", false),
            ("fe80::1%eth0", true),
            ("[fe80::1]", true),
            ("1.2.3", false),
        ] {
            assert_eq!(names.know(name), known, "{name}");
        }
        assert!(Names::new([], &["*".to_owned()]).expect("names").know("anything.example"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "http://a", "a:4646", "*a", "*.", "a b", "a..b", "**"] {
            assert!(Names::new([], &[text.to_owned()]).is_err(), "{text:?}");
        }
    }
}
