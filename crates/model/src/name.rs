//! What a name may be. Names become directories, variables, labels and headers, so all are held to one set of rules:
//! by the server before it takes them in, and by the agent again before it makes a path of one.
//!
//! The field bounds few of them. Our bounds leave room for what is put around a name: a file `<task>.stdout.<n>`, a
//! container `<task>-<allocation>` or a cgroup `<allocation>.<task>.scope` has to fit into the 255 bytes of a file's name.

/// Bytes of a name that stands inside a job: group, task, volume, port label and the like.
pub const MAX_PART: usize = 200;
/// Bytes of a job's id or name. Dots, slashes, percent signs and any letters are welcome in it.
pub const MAX_JOB_ID: usize = 512;
/// Bytes of the id of a job that another job launched: the parent's with the launch behind it.
pub const MAX_CHILD_ID: usize = 2 * MAX_JOB_ID;
/// Bytes of a name that the cluster knows: node, class, pool, datacenter, region, tag of a version.
pub const MAX_LABEL: usize = 255;
/// Bytes of a namespace's name; the field's bound.
pub const MAX_NAMESPACE: usize = 128;
/// Bytes of the name of a variable or of a key of metadata.
pub const MAX_KEY: usize = 512;
/// Bytes of a path; the kernel's bound.
pub const MAX_PATH: usize = 4096;
/// Bytes of a text that people read and nothing is made of, such as the name of a check.
pub const MAX_TITLE: usize = 1024;

/// What is wrong with a name. Reads on behind the name, as in `Task name "a/b" cannot include slashes`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("is missing")]
    Empty,
    #[error("is {length} bytes long; {max} are the most")]
    Long { length: usize, max: usize },
    #[error("cannot include the control character U+{:04X}", u32::from(*.0))]
    Control(char),
    #[error("cannot include slashes")]
    Slash,
    #[error("is not a name: as a directory it would lead elsewhere")]
    Dots,
    #[error("cannot include {0:?}: a header's name has letters, digits and !#$%&'*+-.^_`|~")]
    Header(char),
    #[error("must have letters, digits and dashes only, no dash at its ends, and 63 at most")]
    Service,
}

/// A name of at most `max` bytes without control characters; it may be empty.
pub fn text(name: &str, max: usize) -> Result<(), NameError> {
    if name.len() > max {
        return Err(NameError::Long { length: name.len(), max });
    }
    control(name)
}

/// A text of any length without control characters.
pub fn control(name: &str) -> Result<(), NameError> {
    name.chars().find(|c| c.is_control()).map_or(Ok(()), |c| Err(NameError::Control(c)))
}

/// A name that can be one directory or file below another, whatever the platform.
pub fn part(name: &str) -> Result<(), NameError> {
    text(name, MAX_PART)?;
    match name {
        "" => Err(NameError::Empty),
        "." | ".." => Err(NameError::Dots),
        name if name.contains(['/', '\\']) => Err(NameError::Slash),
        _ => Ok(()),
    }
}

/// The name of a service, which is a label of DNS.
pub fn service(name: &str) -> Result<(), NameError> {
    let edge = |c: Option<&u8>| c.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let fits = bytes.len() <= 63 && bytes.iter().all(|b| *b == b'-' || b.is_ascii_alphanumeric());
    if fits && edge(bytes.first()) && edge(bytes.last()) { Ok(()) } else { Err(NameError::Service) }
}

/// The name of an HTTP header.
pub fn header(name: &str) -> Result<(), NameError> {
    text(name, MAX_KEY)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    match name.chars().find(|c| !allowed(*c)) {
        _ if name.is_empty() => Err(NameError::Empty),
        Some(c) => Err(NameError::Header(c)),
        None => Ok(()),
    }
}

/// The name in quotes, its control characters spelt out, its tail left out where it is long: fit for a sentence.
pub fn quoted(name: &str) -> String {
    const SHOWN: usize = 60;
    let short: String = name.chars().take(SHOWN).collect();
    if short.len() < name.len() { format!("{:?}", short + "…") } else { format!("{name:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_paths() {
        for good in ["web", "web.1", "...", "ünïcode 任务", "100%", "-", "a:b", &"x".repeat(MAX_PART)] {
            assert_eq!(part(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", NameError::Empty),
            (".", NameError::Dots),
            ("..", NameError::Dots),
            ("a/b", NameError::Slash),
            ("a\\b", NameError::Slash),
            ("a\0b", NameError::Control('\0')),
            ("a\nb", NameError::Control('\n')),
            ("a\u{85}b", NameError::Control('\u{85}')),
        ] {
            assert_eq!(part(bad), Err(why), "{bad:?}");
        }
        assert_eq!(part(&"x".repeat(201)).unwrap_err().to_string(), "is 201 bytes long; 200 are the most");
        assert_eq!(part("\u{7f}").unwrap_err().to_string(), "cannot include the control character U+007F");
    }

    #[test]
    fn headers() {
        assert_eq!(header("X-Api_Key"), Ok(()));
        assert_eq!(header("a b"), Err(NameError::Header(' ')));
        assert_eq!(header("a\r\nb"), Err(NameError::Control('\r')));
    }

    #[test]
    fn quotes_are_fit_for_a_sentence() {
        assert_eq!(quoted("a\u{1b}[31m"), r#""a\u{1b}[31m""#);
        assert_eq!(quoted(&"é".repeat(500)), format!("\"{}…\"", "é".repeat(60)));
    }
}
