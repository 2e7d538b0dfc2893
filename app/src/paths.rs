//! Addresses of our pages. Pure.

/// Percent-encodes a text for a path segment or a query value; `/` stays where `keep_slash`.
pub fn encode(text: &str, keep_slash: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b'/' if keep_slash => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The text that [`encode`] was given; what is no encoding stays as it is.
pub fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The names and values of an address's query, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// `search` as it stands in the address, without its `?`.
    pub fn parse(search: &str) -> Query {
        // Forms that are sent without JavaScript write a space as a plus.
        let plain = |text: &str| decode(&text.replace('+', " "));
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (plain(name), plain(value))
        };
        Query(search.split('&').filter(|p| !p.is_empty()).map(pair).collect())
    }

    pub fn get(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
    }
}

/// The page of a job; the namespace is left out where it is the default one.
pub fn job(namespace: &str, id: &str) -> String {
    job_tab(namespace, id, "")
}

/// A tab of a job's page.
pub fn job_tab(namespace: &str, id: &str, tab: &str) -> String {
    let mut query = Vec::new();
    if !tab.is_empty() {
        query.push(format!("tab={tab}"));
    }
    // An id with an `@` would be read as one that ends in its namespace.
    if (!namespace.is_empty() && namespace != "default") || id.contains('@') {
        query.push(format!("namespace={}", encode(namespace, false)));
    }
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    // A browser takes empty segments and dots for a way to another place.
    let plain = id.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    format!("/ui/jobs/{}{query}", encode(id, plain))
}

/// Namespace and id of the job that `/ui/jobs/…` asks for: the command line's links, as the field's, end in `@namespace`.
pub fn job_of(asked: &str, namespace: Option<String>) -> (String, String) {
    match (namespace, asked.rsplit_once('@')) {
        (Some(namespace), _) => (namespace, asked.to_owned()),
        (None, Some((id, namespace))) if !id.is_empty() && !namespace.is_empty() => {
            (namespace.to_owned(), id.to_owned())
        }
        _ => ("default".to_owned(), asked.to_owned()),
    }
}

pub fn alloc(id: &str) -> String {
    format!("/ui/allocations/{}", encode(id, false))
}

pub fn alloc_logs(id: &str, task: &str) -> String {
    format!("{}?tab=logs&task={}", alloc(id), encode(task, false))
}

pub fn alloc_terminal(id: &str, task: &str) -> String {
    format!("{}?tab=terminal&task={}", alloc(id), encode(task, false))
}

/// The directory or file at `path` of an allocation.
pub fn alloc_files(id: &str, path: &str) -> String {
    format!("{}?tab=files&path={}", alloc(id), encode(path, true))
}

pub fn client(id: &str) -> String {
    format!("/ui/clients/{}", encode(id, false))
}

pub fn host_volume(id: &str) -> String {
    format!("/ui/storage/{}", encode(id, false))
}

/// The host volumes of a client.
pub fn volumes_of(client: &str) -> String {
    format!("/ui/storage?node={}", encode(client, false))
}

pub fn eval(id: &str) -> String {
    format!("/ui/evaluations/{}", encode(id, false))
}

/// Where a browser finds what listens at `host:port`; `None` where that is no such address: services call theirs what they like.
pub fn web(address: &str) -> Option<String> {
    let host = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    address.chars().all(host).then(|| format!("http://{address}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        assert_eq!(job("default", "web"), "/ui/jobs/web");
        assert_eq!(job("shop", "a/periodic-1"), "/ui/jobs/a/periodic-1?namespace=shop");
        assert_eq!(job_tab("default", "50 %", "versions"), "/ui/jobs/50%20%25?tab=versions");
    }

    #[test]
    fn what_is_written_is_read() {
        for id in ["web", "p%20q", "100%", "a/b c", "é&?#=+", "</title>", "a//b", "a/../b"] {
            let link = job("default", id);
            assert!(!link.contains("//") && !link.contains("/../"), "{link}");
            assert_eq!(decode(link.strip_prefix("/ui/jobs/").expect("a job's page")), id);
            let query = Query::parse(&format!("a=b&job={}", encode(id, false)));
            assert_eq!(query.get("job").as_deref(), Some(id));
        }
        assert_eq!(job("default", "p%20q"), "/ui/jobs/p%2520q");
        assert_eq!((decode("%zz%4"), decode("%")), ("%zz%4".to_owned(), "%".to_owned()));
        let form = Query::parse("q=two+words&&empty=&flag");
        let got = ["q", "empty", "flag", "none"].map(|name| form.get(name));
        assert_eq!(got, [Some("two words".to_owned()), Some(String::new()), Some(String::new()), None]);
    }

    #[test]
    fn addresses_of_services() {
        assert_eq!(web("10.0.0.1:5000").as_deref(), Some("http://10.0.0.1:5000"));
        assert_eq!(web("[fd00::1]:80").as_deref(), Some("http://[fd00::1]:80"));
        assert_eq!([web("a@b:1"), web("a/b:1"), web("<a>:1"), web("a b:1")], [None, None, None, None]);
        assert_eq!(alloc("../x?"), "/ui/allocations/..%2Fx%3F");
    }

    #[test]
    fn links_of_the_field() {
        let check = |asked: &str, given: Option<&str>, namespace: &str, id: &str| {
            assert_eq!(job_of(asked, given.map(str::to_owned)), (namespace.to_owned(), id.to_owned()), "{asked}");
        };
        check("web", None, "default", "web");
        check("web@shop", None, "shop", "web");
        check("a/periodic-1@default", None, "default", "a/periodic-1");
        check("a@b", Some("default"), "default", "a@b");
        check("a@", None, "default", "a@");
        assert_eq!(job("default", "a@b"), "/ui/jobs/a%40b?namespace=default");
    }
}
