//! The text of a job's diff, as `job plan` and `job history -p` show it.
//!
//! Source of the form: recorded transcripts. Markers stand before names (`+`, `-`, `+/-`), names of fields are padded so
//! that their values line up, unchanged things are shown only where something around them changed.

use tarpan_model::diff::{FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff};

use super::paint;

/// The whole diff. `verbose` shows every field of what is new or gone.
pub fn job(diff: &JobDiff, verbose: bool) -> String {
    let mut out = format!("{}Job: {:?}\n", marker(&diff.type_), diff.id);
    if diff.type_ == "Edited" || verbose {
        out.push_str(&body(&diff.fields, &diff.objects, 0));
    }
    let marks = widest(diff.task_groups.iter().map(|g| g.type_.as_str()));
    for group in &diff.task_groups {
        out.push_str(&task_group(group, marks, verbose));
        out.push('\n');
    }
    out
}

fn task_group(group: &TaskGroupDiff, marks: usize, verbose: bool) -> String {
    let mut out = format!("{}Task Group: {:?}", padded(&group.type_, marks), group.name);
    let updates: Vec<String> =
        group.updates.iter().map(|(kind, n)| paint(update_color(kind), &format!("{n} {kind}"))).collect();
    if !updates.is_empty() {
        out.push_str(&format!(" ({})", updates.join(", ")));
    }
    out.push('\n');
    if group.type_ == "Edited" || verbose {
        out.push_str(&body(&group.fields, &group.objects, 2));
    }
    let marks = widest(group.tasks.iter().map(|t| t.type_.as_str()));
    for t in &group.tasks {
        out.push_str(&task(t, marks, verbose));
    }
    out
}

fn task(task: &TaskDiff, marks: usize, verbose: bool) -> String {
    let mut out = format!("  {}Task: {:?}{}\n", padded(&task.type_, marks), task.name, notes(&task.annotations));
    let gone_or_new = matches!(task.type_.as_str(), "Added" | "Deleted");
    if task.type_ != "None" && (!gone_or_new || verbose) {
        out.push_str(&body(&task.fields, &task.objects, 4));
    }
    out
}

/// Fields, then objects, all at `indent`, names behind markers of equal width.
fn body(fields: &[FieldDiff], objects: &[ObjectDiff], indent: usize) -> String {
    let lead = " ".repeat(indent);
    let names = fields.iter().map(|f| f.name.chars().count()).max().unwrap_or(0);
    let kinds = fields.iter().map(|f| f.type_.as_str()).chain(objects.iter().map(|o| o.type_.as_str()));
    let marks = widest(kinds);
    let mut out = String::new();
    for field in fields {
        let gap = " ".repeat(names - field.name.chars().count());
        let mark = padded(&field.type_, marks);
        out.push_str(&format!("{lead}{mark}{}: {gap}{}{}\n", field.name, value(field), notes(&field.annotations)));
    }
    for object in objects {
        out.push_str(&format!("{lead}{}{} {{\n", padded(&object.type_, marks), object.name));
        out.push_str(&body(&object.fields, &object.objects, indent + marks + 2));
        out.push_str(&format!("{lead}{}}}\n", " ".repeat(marks)));
    }
    out
}

fn value(field: &FieldDiff) -> String {
    match field.type_.as_str() {
        "Deleted" => format!("{:?}", Raw(&field.old)),
        "Edited" => format!("{:?} => {:?}", Raw(&field.old), Raw(&field.new)),
        _ => format!("{:?}", Raw(&field.new)),
    }
}

fn notes(annotations: &[String]) -> String {
    if annotations.is_empty() {
        return String::new();
    }
    let notes: Vec<String> = annotations.iter().map(|a| paint(note_color(a), a)).collect();
    format!(" ({})", notes.join(", "))
}

/// The marker, filled up with blanks.
fn padded(kind: &str, width: usize) -> String {
    format!("{}{}", marker(kind), " ".repeat(width.saturating_sub(marker_width(kind))))
}

fn widest<'a>(kinds: impl Iterator<Item = &'a str>) -> usize {
    kinds.map(marker_width).max().unwrap_or(0)
}

/// Go's `%q` for the texts of a diff: only quotes, backslashes and control characters are escaped.
struct Raw<'a>(&'a str);

impl std::fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                '\r' => f.write_str("\\r")?,
                c if c.is_control() => write!(f, "\\u{:04x}", c as u32)?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// With the blank behind it; nothing for what did not change.
fn marker(kind: &str) -> String {
    match kind {
        "Added" => format!("{} ", paint("32", "+")),
        "Deleted" => format!("{} ", paint("31", "-")),
        "Edited" => format!("{} ", paint("33", "+/-")),
        _ => String::new(),
    }
}

fn marker_width(kind: &str) -> usize {
    match kind {
        "Added" | "Deleted" => 2,
        "Edited" => 4,
        _ => 0,
    }
}

fn update_color(kind: &str) -> &'static str {
    match kind {
        "create" => "32",
        "destroy" => "31",
        "migrate" | "canary" | "in-place update" => "36",
        "create/destroy update" => "33",
        _ => "0",
    }
}

fn note_color(annotation: &str) -> &'static str {
    match annotation {
        "forces create" => "32",
        "forces destroy" => "31",
        "forces in-place update" => "36",
        _ => "33",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: &str, name: &str, old: &str, new: &str) -> FieldDiff {
        FieldDiff {
            type_: kind.to_owned(),
            name: name.to_owned(),
            old: old.to_owned(),
            new: new.to_owned(),
            ..FieldDiff::default()
        }
    }

    #[test]
    fn an_edited_job() {
        let task = TaskDiff {
            type_: "Edited".to_owned(),
            name: "t".to_owned(),
            annotations: vec!["forces create/destroy update".to_owned()],
            fields: vec![field("Edited", "Env[A]", "1", "9"), field("Deleted", "Env[B]", "2", "")],
            objects: vec![ObjectDiff {
                type_: "Edited".to_owned(),
                name: "Config".to_owned(),
                fields: vec![field("Edited", "args[0]", "5", "7"), field("None", "command", "/bin/a", "/bin/a")],
                ..ObjectDiff::default()
            }],
        };
        let added = TaskDiff {
            type_: "Added".to_owned(),
            name: "side".to_owned(),
            fields: vec![field("Added", "Driver", "", "raw_exec")],
            ..TaskDiff::default()
        };
        let group = TaskGroupDiff {
            type_: "Edited".to_owned(),
            name: "g".to_owned(),
            updates: [("create".to_owned(), 2), ("ignore".to_owned(), 1)].into(),
            fields: vec![field("Edited", "Count", "1", "3")],
            tasks: vec![added, task],
            ..TaskGroupDiff::default()
        };
        let diff = JobDiff {
            type_: "Edited".to_owned(),
            id: "app".to_owned(),
            fields: vec![field("Added", "Meta[extra]", "", "yes"), field("Edited", "Meta[release]", "1", "2")],
            task_groups: vec![group],
            ..JobDiff::default()
        };
        insta::assert_snapshot!(job(&diff, false), @r#"
        +/- Job: "app"
        +   Meta[extra]:   "yes"
        +/- Meta[release]: "1" => "2"
        +/- Task Group: "g" (2 create, 1 ignore)
          +/- Count: "1" => "3"
          +   Task: "side"
          +/- Task: "t" (forces create/destroy update)
            +/- Env[A]: "1" => "9"
            -   Env[B]: "2"
            +/- Config {
                  +/- args[0]: "5" => "7"
                      command: "/bin/a"
                }
        "#);
    }
}
