//! The files by which a task with a root of its own finds names: `/etc/hosts` and `/etc/resolv.conf`. Pure.

use crate::driver::Dns;

/// Names of the task's own loopback and of the groups of IPv6, the allocation's own name, and what the task adds.
///
/// `extra`: `name:address`, as a container engine takes them.
pub fn hosts(address: &str, hostname: &str, extra: &[String]) -> String {
    let mut lines: Vec<String> = [
        ("127.0.0.1", "localhost"),
        ("::1", "localhost ip6-localhost ip6-loopback"),
        ("fe00::0", "ip6-localnet"),
        ("ff00::0", "ip6-mcastprefix"),
        ("ff02::1", "ip6-allnodes"),
        ("ff02::2", "ip6-allrouters"),
    ]
    .map(|(ip, names)| format!("{ip}\t{names}"))
    .to_vec();
    if !address.is_empty() && !hostname.is_empty() {
        lines.push(format!("{address}\t{hostname}"));
    }
    let pairs = extra.iter().filter_map(|entry| entry.split_once([':', '=']));
    lines.extend(pairs.map(|(name, ip)| format!("{}\t{name}", ip.trim_matches(['[', ']']))));
    lines.join("\n") + "\n"
}

/// `None`: nothing is said, and the task finds names as its node does.
pub fn resolv_conf(dns: &Dns) -> Option<String> {
    let mut lines: Vec<String> = dns.servers.iter().map(|server| format!("nameserver {server}")).collect();
    let joined = |word: &str, list: &[String]| (!list.is_empty()).then(|| format!("{word} {}", list.join(" ")));
    lines.extend(joined("search", &dns.searches));
    lines.extend(joined("options", &dns.options));
    (!lines.is_empty()).then(|| lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tasks_names() {
        let extra = ["db:10.0.0.7".to_owned(), "six:[fd00::7]".to_owned(), "nonsense".to_owned()];
        let text = hosts("172.26.64.2", "web", &extra);
        for line in ["127.0.0.1\tlocalhost", "172.26.64.2\tweb", "10.0.0.7\tdb", "fd00::7\tsix"] {
            assert!(text.lines().any(|l| l == line), "{line:?} in {text}");
        }
        assert!(!text.contains("nonsense"));
        assert!(!hosts("", "web", &[]).contains("web"), "a name without an address is none");
    }

    #[test]
    fn a_groups_resolvers() {
        assert_eq!(resolv_conf(&Dns::default()), None);
        let list = |text: &str| text.split(' ').map(str::to_owned).collect();
        let dns = Dns { servers: list("10.0.0.2 10.0.0.3"), searches: list("a.example b"), options: list("ndots:2") };
        let text = "nameserver 10.0.0.2\nnameserver 10.0.0.3\nsearch a.example b\noptions ndots:2\n";
        assert_eq!(resolv_conf(&dns).as_deref(), Some(text));
    }
}
