//! Address templates: `{{ GetDefaultInterfaces | attr "name" }}`, `{{ GetInterfaceIP "eth0" }}` and their kin.
//!
//! Reads a template and the machine's addresses ([`Interfaces`]); gives text. The functions are those of go-sockaddr that
//! agent configurations use: the `Get…` family, `attr`, `join`, `include`, `exclude`, `sort`, `limit`, `offset`, `unique`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use gotmpl::{Template, TemplateError, Value};

/// One address of one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub interface: String,
    pub ip: IpAddr,
    /// Bits of the network part.
    pub prefix: u8,
    pub up: bool,
    pub loopback: bool,
}

/// The machine's addresses, in the kernel's order.
#[derive(Clone, Debug, Default)]
pub struct Interfaces {
    pub addresses: Vec<Address>,
    /// The interface that the default route leaves by.
    pub default: Option<String>,
}

/// Why a template gives no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SockaddrError {
    #[error("the address template {template:?} does not work: {reason}")]
    Template { template: String, reason: String },
    #[error("the address template {0:?} finds nothing on this machine")]
    Empty(String),
}

impl Interfaces {
    /// Asks the kernel. What can't be learnt is left out.
    pub fn of_this_machine() -> Interfaces {
        let mut addresses = Vec::new();
        for entry in nix::ifaddrs::getifaddrs().into_iter().flatten() {
            use nix::net::if_::InterfaceFlags;
            let ip_of = |storage: &nix::sys::socket::SockaddrStorage| {
                let v4 = storage.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
                v4.or_else(|| storage.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
            };
            let Some(ip) = entry.address.as_ref().and_then(ip_of) else { continue };
            let prefix = entry.netmask.as_ref().and_then(ip_of).map_or(0, |mask| match mask {
                IpAddr::V4(mask) => mask.to_bits().count_ones() as u8,
                IpAddr::V6(mask) => mask.to_bits().count_ones() as u8,
            });
            addresses.push(Address {
                interface: entry.interface_name,
                ip,
                prefix,
                up: entry.flags.contains(InterfaceFlags::IFF_UP),
                loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
            });
        }
        let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
        Interfaces { addresses, default: default_interface(&routes) }
    }

    /// Fills `text` when it is a template; other texts are returned as they are.
    pub fn fill(&self, text: &str) -> Result<String, SockaddrError> {
        if !text.contains("{{") {
            return Ok(text.trim().to_owned());
        }
        let failed = |e: TemplateError| SockaddrError::Template { template: text.to_owned(), reason: e.to_string() };
        let filled = self
            .functions(Template::new("address"))
            .parse(text)
            .and_then(|t| t.execute_to_string(&Value::Nil))
            .map_err(failed)?;
        let filled = filled.split_whitespace().collect::<Vec<_>>().join(" ");
        if filled.is_empty() { Err(SockaddrError::Empty(text.to_owned())) } else { Ok(filled) }
    }

    /// The address that others can reach this machine at: private before public, of the default interface first.
    pub fn advertisable(&self) -> Option<IpAddr> {
        let v4 = |a: &&Address| a.ip.is_ipv4();
        let of_default: Vec<&Address> = self.on_default().collect();
        let others = self.usable().filter(|a| !a.loopback);
        let find = |wanted: fn(IpAddr) -> bool| {
            let mut all = of_default.iter().copied().chain(others.clone());
            all.clone().filter(v4).find(|a| wanted(a.ip)).or_else(|| all.find(|a| wanted(a.ip))).map(|a| a.ip)
        };
        find(is_private).or_else(|| find(is_public))
    }

    /// The first IPv4 address of an interface.
    pub fn ip_of(&self, interface: &str) -> Option<IpAddr> {
        let mut of = self.addresses.iter().filter(|a| a.interface == interface);
        of.clone().find(|a| a.ip.is_ipv4()).or_else(|| of.next()).map(|a| a.ip)
    }

    fn usable(&self) -> impl Iterator<Item = &Address> + Clone {
        self.addresses.iter().filter(|a| a.up)
    }

    fn on_default(&self) -> impl Iterator<Item = &Address> + Clone {
        self.usable().filter(|a| Some(&a.interface) == self.default.as_ref())
    }

    fn functions(&self, mut template: Template) -> Template {
        let all: Vec<Address> = self.usable().cloned().collect();
        let default: Vec<Address> = self.on_default().cloned().collect();
        let private = forwardable(&all, self.default.as_deref(), is_private);
        let public = forwardable(&all, self.default.as_deref(), is_public);
        for (name, list) in [("Default", &default), ("Private", &private), ("Public", &public), ("All", &all)] {
            let interfaces = to_list(list.iter());
            template = template.func(&format!("Get{name}Interfaces"), move |_| Ok(interfaces.clone()));
            let ips: Vec<String> = list.iter().map(|a| a.ip.to_string()).collect();
            let first = ips.first().cloned().unwrap_or_default();
            template = template.func(&format!("Get{name}IP"), move |_| Ok(text(&first)));
            template = template.func(&format!("Get{name}IPs"), move |_| Ok(text(&ips.join(" "))));
        }
        let by_name = all.clone();
        template = template.func("GetInterfaceIP", move |args| {
            let name = word(args, 0)?;
            let mut of = by_name.iter().filter(|a| a.interface == name);
            let first = of.clone().find(|a| a.ip.is_ipv4()).or_else(|| of.next());
            Ok(text(&first.map(|a| a.ip.to_string()).unwrap_or_default()))
        });
        template = template.func("GetInterfaceIPs", move |args| {
            let name = word(args, 0)?;
            let ips: Vec<String> = all.iter().filter(|a| a.interface == name).map(|a| a.ip.to_string()).collect();
            Ok(text(&ips.join(" ")))
        });
        list_functions(template, self.default.clone())
    }
}

/// Functions from lists to lists or texts.
fn list_functions(template: Template, default: Option<String>) -> Template {
    template
        .func("attr", |args| {
            let key = word(args, 0)?;
            let first = match args.last() {
                Some(Value::List(items)) => items.first().cloned(),
                other => other.cloned(),
            };
            Ok(text(&first.map(|item| field(&item, &key)).unwrap_or_default()))
        })
        .func("join", |args| {
            let (key, between) = (word(args, 0)?, word(args, 1)?);
            let values: Vec<String> = items(args)?.iter().map(|item| field(item, &key)).collect();
            Ok(text(&values.join(&between)))
        })
        .func("include", |args| choose(args, true))
        .func("exclude", |args| choose(args, false))
        .func("limit", |args| {
            let n = number(args, 0)?;
            Ok(Value::List(items(args)?.into_iter().take(n).collect()))
        })
        .func("offset", |args| {
            let n = number(args, 0)?;
            Ok(Value::List(items(args)?.into_iter().skip(n).collect()))
        })
        .func("unique", |args| {
            let key = word(args, 0)?;
            let mut seen = Vec::new();
            let mut list = items(args)?;
            list.retain(|item| {
                let value = field(item, &key);
                let fresh = !seen.contains(&value);
                seen.push(value);
                fresh
            });
            Ok(Value::List(list.into()))
        })
        .func("sort", move |args| {
            let keys = word(args, 0)?;
            let mut list = items(args)?;
            for key in keys.split(',').map(str::trim).rev() {
                let (name, down) = key.strip_prefix('-').map_or((key.trim_start_matches('+'), false), |n| (n, true));
                list.sort_by_cached_key(|item| rank(item, name, default.as_deref()));
                if down {
                    list.reverse();
                }
            }
            Ok(Value::List(list.into()))
        })
}

/// What a list is sorted by; addresses compare as numbers.
fn rank(item: &Value, key: &str, default: Option<&str>) -> String {
    let ip = field(item, "address").parse::<IpAddr>();
    match key {
        "default" => u8::from(Some(field(item, "name").as_str()) != default).to_string(),
        "private" => u8::from(!ip.is_ok_and(is_private)).to_string(),
        "type" => field(item, "type").replace("IPv4", "1").replace("IPv6", "2"),
        "size" => format!("{:03}", 200 - field(item, "prefix").parse::<i64>().unwrap_or(0)),
        "address" => match ip {
            Ok(IpAddr::V4(ip)) => format!("{:039}", ip.to_bits()),
            Ok(IpAddr::V6(ip)) => format!("{:039}", ip.to_bits()),
            Err(_) => String::new(),
        },
        other => field(item, other),
    }
}

/// `include "type" "IPv4"`: items whose property is the value (`name`: matches it as a simple pattern).
fn choose(args: &[Value], wanted: bool) -> Result<Value, TemplateError> {
    let (key, value) = (word(args, 0)?, word(args, 1)?);
    let mut list = items(args)?;
    list.retain(|item| {
        let hit = match key.as_str() {
            "name" | "address" => value.split('|').any(|pattern| pattern_matches(pattern, &field(item, &key))),
            "type" => {
                let kind = field(item, "type");
                kind.eq_ignore_ascii_case(&value) || value.eq_ignore_ascii_case("ip")
            }
            "flag" | "flags" => value.split('|').all(|flag| field(item, "flags").split('|').any(|f| f == flag)),
            "network" => value.split('|').any(|network| in_network(&field(item, "address"), network)),
            "rfc" => match value.as_str() {
                "1918" => field(item, "address").parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_private()),
                _ => field(item, "address").parse().is_ok_and(|ip| !is_public(ip)),
            },
            other => field(item, other) == value,
        };
        hit == wanted
    });
    Ok(Value::List(list.into()))
}

/// `^eth`, `eth0$`, `eth.*`, `eth`: anchors and `.*`, found anywhere without anchors.
fn pattern_matches(pattern: &str, text: &str) -> bool {
    let from_start = pattern.starts_with('^');
    let to_end = pattern.ends_with('$') && pattern.len() > 1;
    let body = pattern.trim_start_matches('^').trim_end_matches('$').replace('\\', "");
    let parts: Vec<&str> = body.split(".*").collect();
    let starts: Vec<usize> = if from_start { vec![0] } else { text.char_indices().map(|(i, _)| i).collect() };
    starts.into_iter().any(|start| {
        let mut at = start;
        for (n, part) in parts.iter().enumerate() {
            let rest = &text[at..];
            let found = if n == 0 { rest.starts_with(part).then_some(0) } else { rest.rfind(part) };
            let Some(found) = found else { return false };
            at += found + part.len();
        }
        !to_end || at == text.len()
    })
}

fn in_network(address: &str, network: &str) -> bool {
    let Some((base, prefix)) = network.split_once('/') else { return false };
    let (Ok(prefix), Ok(address), Ok(base)) = (prefix.parse::<u32>(), address.parse(), base.parse()) else {
        return false;
    };
    match (address, base) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            (a.to_bits() ^ b.to_bits()).checked_shr(32 - prefix.min(32)).unwrap_or(0) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            (a.to_bits() ^ b.to_bits()).checked_shr(128 - prefix.min(128)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// Addresses of a kind that can be forwarded, those of the default interface and IPv4 first.
fn forwardable(all: &[Address], default: Option<&str>, wanted: fn(IpAddr) -> bool) -> Vec<Address> {
    let mut list: Vec<Address> = all.iter().filter(|a| !a.loopback && wanted(a.ip)).cloned().collect();
    list.sort_by_key(|a| (Some(a.interface.as_str()) != default, a.ip.is_ipv6()));
    list
}

/// Private by RFC 1918, 4193 and 6598.
pub fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64),
        IpAddr::V6(ip) => ip.segments()[0] & 0xfe00 == 0xfc00,
    }
}

fn is_public(ip: IpAddr) -> bool {
    let special = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_documentation() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    };
    !(special || is_private(ip) || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

/// The interface of the IPv4 default route with the least metric, from `/proc/net/route`.
fn default_interface(routes: &str) -> Option<String> {
    let rows = routes.lines().skip(1).filter_map(|line| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let is_default = cells.get(1) == Some(&"00000000") && cells.get(7) == Some(&"00000000");
        is_default.then(|| (cells.get(6).and_then(|m| m.parse::<u64>().ok()).unwrap_or(0), cells[0].to_owned()))
    });
    rows.min().map(|(_, name)| name)
}

fn to_list<'a>(addresses: impl Iterator<Item = &'a Address>) -> Value {
    Value::List(addresses.map(to_map).collect())
}

fn to_map(address: &Address) -> Value {
    let flags = [("up", address.up), ("loopback", address.loopback)];
    let flags: Vec<&str> = flags.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    let kind = if address.ip.is_ipv4() { "IPv4" } else { "IPv6" };
    let entries = [
        ("name", address.interface.clone()),
        ("address", address.ip.to_string()),
        ("string", format!("{}/{}", address.ip, address.prefix)),
        ("prefix", address.prefix.to_string()),
        ("type", kind.to_owned()),
        ("flags", flags.join("|")),
    ];
    Value::Map(Arc::new(BTreeMap::from_iter(entries.map(|(key, value)| (Arc::from(key), text(&value))))))
}

fn text(value: &str) -> Value {
    Value::String(Arc::from(value))
}

fn field(item: &Value, key: &str) -> String {
    item.field(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn word(args: &[Value], at: usize) -> Result<String, TemplateError> {
    let value = args.get(at).and_then(Value::as_str);
    value.map(str::to_owned).ok_or_else(|| TemplateError::Exec(format!("argument {} has to be a text", at + 1)))
}

fn number(args: &[Value], at: usize) -> Result<usize, TemplateError> {
    let value = args.get(at).and_then(Value::as_int).and_then(|n| usize::try_from(n).ok());
    value.ok_or_else(|| TemplateError::Exec(format!("argument {} has to be a number", at + 1)))
}

/// The list that came through the pipe: the last argument.
fn items(args: &[Value]) -> Result<Vec<Value>, TemplateError> {
    match args.last() {
        Some(Value::List(list)) => Ok(list.to_vec()),
        _ => Err(TemplateError::Exec("the last argument has to be a list of addresses".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Interfaces {
        let address = |interface: &str, ip: &str, prefix| Address {
            interface: interface.to_owned(),
            ip: ip.parse().expect("an address"),
            prefix,
            up: true,
            loopback: interface == "lo",
        };
        Interfaces {
            addresses: vec![
                address("lo", "127.0.0.1", 8),
                address("eth1", "192.168.7.2", 24),
                address("eth0", "10.1.2.3", 16),
                address("eth0", "fd00::3", 64),
                address("wan", "8.8.4.4", 30),
            ],
            default: Some("eth0".to_owned()),
        }
    }

    #[track_caller]
    fn check(template: &str, expected: &str) {
        let got = machine().fill(template).unwrap_or_else(|e| e.to_string());
        assert_eq!(got, expected, "{template}");
    }

    #[test]
    fn templates_of_the_guides() {
        check("0.0.0.0", "0.0.0.0");
        check("{{ GetDefaultInterfaces | attr \"name\" }}", "eth0");
        check("{{ GetInterfaceIP \"eth0\" }}", "10.1.2.3");
        check("{{ GetPrivateIP }}", "10.1.2.3");
        check("{{GetPublicIP}}", "8.8.4.4");
        check("{{ GetDefaultIP }}", "10.1.2.3");
        check("{{ GetPrivateInterfaces | include \"network\" \"192.168.0.0/16\" | attr \"address\" }}", "192.168.7.2");
        check("{{ GetAllInterfaces | exclude \"name\" \"^lo|eth.*\" | attr \"name\" }}", "wan");
        check(
            "{{ GetAllInterfaces | exclude \"flags\" \"loopback\" | include \"type\" \"IPv4\" | sort \"address\" | join \"address\" \" \" }}",
            "8.8.4.4 10.1.2.3 192.168.7.2",
        );
        check("{{ GetAllInterfaces | sort \"-name\" | limit 1 | attr \"name\" }}", "wan");
        check(
            "{{ GetAllInterfaces | include \"name\" \"^eth\" | include \"type\" \"IPv4\" | offset 1 | attr \"name\" }}",
            "eth0",
        );
    }

    #[test]
    fn mistakes_are_said() {
        check(
            "{{ GetInterfaceIP \"eth9\" }}",
            "the address template \"{{ GetInterfaceIP \\\"eth9\\\" }}\" finds nothing on this machine",
        );
        assert!(machine().fill("{{ Nope }}").is_err());
        assert!(machine().fill("{{ GetPrivateIP").is_err());
    }

    #[test]
    fn the_default_route_names_the_interface() {
        let routes = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
            eth1 00000000 0101A8C0 0003 0 0 600 00000000 0 0 0\n\
            eth0 00000000 0101A8C0 0003 0 0 100 00000000 0 0 0\n\
            eth0 0001A8C0 00000000 0001 0 0 100 00FFFFFF 0 0 0\n";
        assert_eq!(default_interface(routes).as_deref(), Some("eth0"));
    }

    #[test]
    fn the_advertised_address_is_private_and_of_the_default_interface() {
        assert_eq!(machine().advertisable(), Some("10.1.2.3".parse().expect("an address")));
    }
}
