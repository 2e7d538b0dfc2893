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
    /// It shows as nothing, or has the text around it shown in another order: two names that look the same.
    #[error("cannot include the invisible character U+{:04X}", u32::from(*.0))]
    Invisible(char),
    #[error("cannot include slashes")]
    Slash,
    #[error("is not a name: as a directory it would lead elsewhere")]
    Dots,
    #[error("cannot have \".\" or \"..\" for itself or between slashes: in an address that would lead elsewhere")]
    Address,
    #[error("cannot include {0:?}: a header's name has letters, digits and !#$%&'*+-.^_`|~")]
    Header(char),
    #[error("must have letters, digits and dashes only, no dash at its ends, and 63 at most")]
    Service,
}

/// A name of at most `max` bytes without control characters and without what is invisible; it may be empty.
pub fn text(name: &str, max: usize) -> Result<(), NameError> {
    if name.len() > max {
        return Err(NameError::Long { length: name.len(), max });
    }
    control(name)?;
    visible(name)
}

/// Like [`text`], of what stands in addresses of the API and of pages: clients and browsers go up where `..` is a step.
pub fn address(name: &str, max: usize) -> Result<(), NameError> {
    text(name, max)?;
    if name.split('/').any(|step| matches!(step, "." | "..")) { Err(NameError::Address) } else { Ok(()) }
}

/// No mark that turns the order of text around, nothing that takes no room. Two of those are letters' business: joiners
/// between characters beyond ASCII, as Persian and emoji have them.
fn visible(name: &str) -> Result<(), NameError> {
    if name.is_ascii() {
        return Ok(());
    }
    let mut before = None;
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        let foreign = |c: Option<&char>| c.is_some_and(|c| !c.is_ascii() && !is_invisible(*c) && !is_joiner(*c));
        let joins = is_joiner(c) && foreign(before.as_ref()) && foreign(chars.peek());
        if is_invisible(c) || (is_joiner(c) && !joins) {
            return Err(NameError::Invisible(c));
        }
        before = Some(c);
    }
    Ok(())
}

fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Unicode's marks of direction, its separators of lines, and the default-ignorable characters that no name is written with.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
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

/// The name in quotes, its control and invisible characters spelt out, its tail left out where it is long: fit for a sentence.
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
            ("a\u{202e}b", NameError::Invisible('\u{202e}')),
        ] {
            assert_eq!(part(bad), Err(why), "{bad:?}");
        }
        assert_eq!(part(&"x".repeat(201)).unwrap_err().to_string(), "is 201 bytes long; 200 are the most");
        assert_eq!(part("\u{7f}").unwrap_err().to_string(), "cannot include the control character U+007F");
    }

    #[test]
    fn what_nobody_sees_is_no_part_of_a_name() {
        for range in [0x202a..=0x202e, 0x2066..=0x2069, 0x200b..=0x200f, 0x2060..=0x2064, 0xfeff..=0xfeff, 0xad..=0xad]
        {
            for c in range.map(|c| char::from_u32(c).expect("a character")) {
                for name in [format!("web{c}"), format!("{c}web"), format!("w{c}eb"), format!("größe{c}")] {
                    assert_eq!(text(&name, 100), Err(NameError::Invisible(c)), "{name:?}");
                }
            }
        }
        assert_eq!(text("é\u{200d}\u{200d}é", 100), Err(NameError::Invisible('\u{200d}')), "one joins, two hide");
        for name in ["می\u{200c}خواهم", "👩\u{200d}💻", "क\u{94d}\u{200d}ष", "❤\u{fe0f}", "שלום", "größe 任务"]
        {
            assert_eq!(text(name, 100), Ok(()), "{name}");
        }
        let said = NameError::Invisible('\u{202e}').to_string();
        assert_eq!(said, "cannot include the invisible character U+202E");
    }

    #[test]
    fn addresses() {
        for name in [".", "..", "a/..", "../a", "a/./b", "a/../../b"] {
            assert_eq!(address(name, 100), Err(NameError::Address), "{name}");
        }
        for name in ["", "...", "a..b", ".a", "team/web", "a/.b/..c", "100%", "%2e%2e"] {
            assert_eq!(address(name, 100), Ok(()), "{name}");
        }
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
