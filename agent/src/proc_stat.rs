//! What the kernel says of a process in `/proc/PID/stat`.
//!
//! The name in it is the process's own choice, and any bytes will do: blanks, brackets, what is no text. A reader that can't
//! make sense of a name takes a living process for none. So the fields are counted from the last bracket, and as bytes before.

use std::path::Path;

/// The fields behind the name.
pub(crate) struct Stat(String);

impl Stat {
    /// `None`: there is no such process.
    #[allow(clippy::disallowed_methods, reason = "a file of the kernel")]
    pub fn of(pid: u32) -> Option<Stat> {
        Stat::parse(&std::fs::read(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?)
    }

    /// From what stands in the file.
    pub fn parse(bytes: &[u8]) -> Option<Stat> {
        let name_end = bytes.iter().rposition(|b| *b == b')')?;
        Some(Stat(String::from_utf8_lossy(&bytes[name_end + 1..]).into_owned()))
    }

    /// A zombie has ended, though it is still there.
    pub fn ended(&self) -> bool {
        self.field(3).is_none_or(|state| matches!(state, "Z" | "X"))
    }

    /// By the numbers of proc(5), from the state (3) on.
    pub fn number<T: std::str::FromStr>(&self, field: usize) -> Option<T> {
        self.field(field)?.parse().ok()
    }

    fn field(&self, number: usize) -> Option<&str> {
        self.0.split_ascii_whitespace().nth(number.checked_sub(3)?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    /// A shell that has given itself this name, and says so before it waits for its input to end.
    fn named(name: &str) -> std::process::Child {
        let script = format!("printf '{name}' > /proc/self/comm; echo named; read _");
        let mut command = Command::new("sh");
        let child = command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("a shell");
        let mut said = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut said).expect("readable");
        assert_eq!(said, "named\n");
        child
    }

    #[test]
    fn no_name_hides_a_process() {
        for name in ["plain", "a) Z 1 1", "\\377\\376", "\\303) ", ")\\n) X 0"] {
            let mut child = named(name);
            let stat = Stat::of(child.id()).expect(name);
            assert!(!stat.ended(), "{name}");
            assert_eq!(stat.number(4), Some(std::process::id()), "{name}");
            assert!(crate::supervisor::start_time(child.id()).is_some(), "{name}");
            drop(child.stdin.take());
            child.wait().expect("ended");
            assert!(crate::supervisor::start_time(child.id()).is_none(), "{name}");
        }
    }

    #[test]
    fn fuzz_fields_are_those_behind_the_name() {
        let words = [") ", " (", "R", "Z", "1", "-1", "\u{fffd}", "\n"];
        let seeds = ["sh", "a) Z 1 1", "(", ")", "a\nb"];
        let fuzz = tarpan_testkit::fuzz::Fuzz::new(env!("CARGO_MANIFEST_DIR"), "stat").words(&words).seeds(seeds);
        fuzz.bytes(|name| {
            let _ = Stat::parse(name).map(|stat| (stat.ended(), stat.number::<u64>(22)));
            let text = [&b"7 ("[..], name, b") S 5 6 7 0 -1 4194304 1"].concat();
            let stat = Stat::parse(&text).expect("it has a name");
            assert_eq!((stat.ended(), stat.number(4), stat.number(6)), (false, Some(5), Some(7)));
            assert_eq!((stat.number(8), stat.number::<u64>(22), stat.number::<u64>(2)), (Some(-1), None, None));
            std::str::from_utf8(name).is_ok().to_string()
        });
    }
}
