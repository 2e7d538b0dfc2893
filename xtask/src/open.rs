//! Lists of foreign cases that do not pass yet. Such a list only gets shorter: a case that fails and is not in it is a mistake, and
//! so is one that passes and still is.
//!
//! A case a line; lines that begin with `#` say why those below them are open. A case behind `?` passes on some machines.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

/// What is wrong with each case, by name; nothing: it passes.
pub type Cases = BTreeMap<String, Vec<String>>;

/// A list in the repository.
#[derive(Clone, Copy, Debug)]
pub struct List {
    pub path: &'static str,
    /// What takes passing cases out of it.
    pub shrink: &'static str,
}

impl List {
    /// Holds the cases against the list, or takes those that pass out of it.
    pub fn settle(self, cases: &Cases, shrink: bool) -> Result<()> {
        let path = tarpan_end2end::lab::root().join(self.path);
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", self.path))?;
        let passed = cases.values().filter(|problems| problems.is_empty()).count();
        println!("    {passed} of {} cases pass", cases.len());
        if shrink {
            return std::fs::write(&path, shorter(&text, cases)).with_context(|| format!("writing {}", self.path));
        }
        let wrong = self.judge(&text, cases);
        if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n")) }
    }

    fn judge(self, text: &str, cases: &Cases) -> Vec<String> {
        let (open, either) = (named(text), of_the_machine(text));
        let List { path, shrink } = self;
        let mut wrong = Vec::new();
        for (name, problems) in cases.iter().filter(|(name, _)| !either.contains(name.as_str())) {
            match (problems.is_empty(), open.contains(name.as_str())) {
                (false, false) => {
                    let shown: Vec<String> = problems.iter().take(SHOWN).map(|line| format!("\n    {line}")).collect();
                    wrong.push(format!("{name} fails:{}", shown.concat()));
                }
                (true, true) => wrong.push(format!("{name} passes: take it out of {path} ({shrink})")),
                _ => {}
            }
        }
        let gone = open.into_iter().filter(|name| !cases.contains_key(*name));
        wrong.extend(gone.map(|name| format!("{name} is in {path}, and there is no such case")));
        wrong
    }

    /// The names in it, whatever they are marked with.
    pub fn names(self) -> Result<BTreeSet<String>> {
        let path = tarpan_end2end::lab::root().join(self.path);
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", self.path))?;
        Ok(named(&text).into_iter().chain(of_the_machine(&text)).map(str::to_owned).collect())
    }
}

/// How many lines of what is wrong with a case are shown.
const SHOWN: usize = 12;

fn named(text: &str) -> BTreeSet<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '?'])).collect()
}

/// Cases whose outcome is the machine's.
fn of_the_machine(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(|line| line.strip_prefix('?')).map(str::trim).collect()
}

/// The list without what passes; reasons with nothing left below them go too.
fn shorter(text: &str, cases: &Cases) -> String {
    let fails = |name: &str| cases.get(name).is_some_and(|problems| !problems.is_empty());
    let (mut out, mut reasons, mut in_reasons) = (String::new(), Vec::new(), false);
    for line in text.lines() {
        let is_reason = line.starts_with('#');
        if is_reason {
            if !in_reasons {
                reasons.clear();
            }
            reasons.push(line);
        } else if line.trim().is_empty() || line.starts_with('?') || fails(line.trim()) {
            reasons.drain(..).chain([line]).for_each(|line| out.extend([line, "\n"]));
        }
        in_reasons = is_reason;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: List = List { path: "open.txt", shrink: "cargo xtask x -shrink" };
    const LIST: &str = "# What is open.\n\n# variables\ncli/vars#01\ncli/vars#02\n# volumes\nhttp/volumes#01\n";

    fn cases(failing: &[&str]) -> Cases {
        let all = ["cli/vars#01", "cli/vars#02", "http/volumes#01", "http/new#01"];
        all.map(|name| (name.to_owned(), failing.contains(&name).then(|| "text".to_owned()).into_iter().collect()))
            .into()
    }

    #[test]
    fn the_list_only_gets_shorter() {
        let all = ["cli/vars#01", "cli/vars#02", "http/volumes#01"];
        assert_eq!(OPEN.judge(LIST, &cases(&all)), [""; 0]);
        let passes = OPEN.judge(LIST, &cases(&all[..2]));
        assert!(passes.len() == 1 && passes[0].starts_with("http/volumes#01 passes: take it out of"), "{passes:?}");
        let fails = OPEN.judge(LIST, &cases(&[&all[..], &["http/new#01"]].concat()));
        assert_eq!(fails, ["http/new#01 fails:\n    text"]);
        let gone = OPEN.judge(&format!("{LIST}cli/old#09\n"), &cases(&all));
        assert!(gone.len() == 1 && gone[0].starts_with("cli/old#09 is in"), "{gone:?}");
        let either = format!("{LIST}? http/new#01\n");
        for failing in [&all[..], &[&all[..], &["http/new#01"]].concat()] {
            assert_eq!(OPEN.judge(&either, &cases(failing)), [""; 0]);
        }
    }

    #[test]
    fn what_passes_is_taken_out_with_its_reason() {
        assert_eq!(
            shorter(LIST, &cases(&["cli/vars#02", "http/new#01"])),
            "# What is open.\n\n# variables\ncli/vars#02\n"
        );
    }
}
