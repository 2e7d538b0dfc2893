//! Addresses: of our pages, and of what they ask of `/v1`. Pure.

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
    format!("/ui/jobs/{}{query}", encode(id, true))
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
    format!("/ui/allocations/{id}")
}

pub fn alloc_logs(id: &str, task: &str) -> String {
    format!("/ui/allocations/{id}?tab=logs&task={}", encode(task, false))
}

pub fn client(id: &str) -> String {
    format!("/ui/clients/{id}")
}

pub fn eval(id: &str) -> String {
    format!("/ui/evaluations/{id}")
}

/// `/v1/job/<id><rest>?namespace=…`; `rest` may carry a query of its own.
pub fn v1_job(namespace: &str, id: &str, rest: &str) -> String {
    let separator = if rest.contains('?') { '&' } else { '?' };
    let namespace = if namespace.is_empty() { "default" } else { namespace };
    format!("/v1/job/{}{rest}{separator}namespace={}", encode(id, false), encode(namespace, false))
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

    #[test]
    fn api() {
        assert_eq!(v1_job("default", "a/dispatch-1", ""), "/v1/job/a%2Fdispatch-1?namespace=default");
        assert_eq!(v1_job("shop", "web", "/versions?diffs=true"), "/v1/job/web/versions?diffs=true&namespace=shop");
    }
}
