//! What a new version changes, as lines. The lines are computed by a plain function.

use leptos::prelude::*;
use tarpan_api::wire::{FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff};

use crate::format::span;
use crate::lang::{fill, t};

/// How a line changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Added,
    Deleted,
    Edited,
    None,
}

impl Change {
    fn from_type(text: &str) -> Change {
        match text {
            "Added" => Change::Added,
            "Deleted" => Change::Deleted,
            "Edited" => Change::Edited,
            _ => Change::None,
        }
    }
    fn class(self) -> &'static str {
        match self {
            Change::Added => "d add",
            Change::Deleted => "d del",
            Change::Edited => "d mod",
            Change::None => "d",
        }
    }
}

/// One line: a block's name, or an attribute with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub change: Change,
    pub depth: usize,
    pub text: String,
    /// Old and new value, of an attribute.
    pub values: Option<(String, String)>,
    /// What it means: `forces create/destroy update`.
    pub notes: Vec<String>,
}

/// The lines of a job's difference; unchanged parts are left out.
pub fn lines(diff: &JobDiff) -> Vec<Line> {
    let mut out = Vec::new();
    if Change::from_type(&diff.type_) == Change::None {
        return out;
    }
    out.push(block(Change::from_type(&diff.type_), 0, format!("job \"{}\"", diff.id), Vec::new()));
    fields(&mut out, 1, &diff.fields);
    objects(&mut out, 1, &diff.objects);
    diff.task_groups.iter().for_each(|g| group(&mut out, g));
    out
}

fn group(out: &mut Vec<Line>, diff: &TaskGroupDiff) {
    let change = Change::from_type(&diff.type_);
    if change == Change::None {
        return;
    }
    let counts = diff.updates.iter().map(|(what, n)| format!("{n} {what}")).collect();
    out.push(block(change, 1, format!("group \"{}\"", diff.name), counts));
    fields(out, 2, &diff.fields);
    objects(out, 2, &diff.objects);
    diff.tasks.iter().for_each(|t| task(out, t));
}

fn task(out: &mut Vec<Line>, diff: &TaskDiff) {
    let change = Change::from_type(&diff.type_);
    if change == Change::None {
        return;
    }
    out.push(block(change, 2, format!("task \"{}\"", diff.name), diff.annotations.clone()));
    fields(out, 3, &diff.fields);
    objects(out, 3, &diff.objects);
}

fn objects(out: &mut Vec<Line>, depth: usize, diffs: &[ObjectDiff]) {
    for diff in diffs {
        let change = Change::from_type(&diff.type_);
        if change != Change::None {
            out.push(block(change, depth, diff.name.clone(), Vec::new()));
            fields(out, depth + 1, &diff.fields);
            objects(out, depth + 1, &diff.objects);
        }
    }
}

fn fields(out: &mut Vec<Line>, depth: usize, diffs: &[FieldDiff]) {
    for diff in diffs {
        let change = Change::from_type(&diff.type_);
        if change != Change::None {
            let values = Some((readable(&diff.name, &diff.old), readable(&diff.name, &diff.new)));
            out.push(Line { change, depth, text: diff.name.clone(), values, notes: diff.annotations.clone() });
        }
    }
}

fn block(change: Change, depth: usize, text: String, notes: Vec<String>) -> Line {
    Line { change, depth, text, values: None, notes }
}

/// What a new job's outline shows: these attributes, and everything in these blocks.
const TELLING: &[&str] = &["Type", "Count", "Driver", "CPU", "MemoryMB", "Cores"];
const TELLING_BLOCKS: &[&str] = &["Config", "Periodic", "Parameterized", "Network", "Service", "Artifact"];

/// The lines of a new job that tell it from others; its defaults are left out.
pub fn outline(lines: &[Line]) -> Vec<Line> {
    let mut found = Vec::new();
    // The depth of the telling block that the line is in.
    let mut inside: Option<usize> = None;
    for line in lines {
        inside = inside.filter(|depth| line.depth > *depth);
        let named = line.values.is_none() && line.text.contains('"');
        if inside.is_none() && line.values.is_none() && TELLING_BLOCKS.contains(&line.text.as_str()) {
            inside = Some(line.depth);
        }
        let empty = line.values.as_ref().is_some_and(|(_, new)| matches!(new.as_str(), "" | "0" | "false"));
        if named
            || (inside.is_some() && !empty)
            || (line.values.is_some() && !empty && TELLING.contains(&line.text.as_str()))
        {
            found.push(line.clone());
        }
    }
    found
}

/// A job's difference as coloured lines; of a new job its outline, with the rest behind a button.
pub fn diff_view(diff: &JobDiff) -> AnyView {
    let lines = lines(diff);
    if lines.is_empty() {
        return view! { <p class="t2 pad">{t().no_difference}</p> }.into_any();
    }
    let drawn = |lines: Vec<Line>| view! { <div class="diff">{lines.into_iter().map(line_view).collect_view()}</div> };
    if Change::from_type(&diff.type_) != Change::Added {
        return drawn(lines).into_any();
    }
    let summary = fill(t().all_n_lines, &[&lines.len().to_string()]);
    view! { {drawn(outline(&lines))}<details class="rest"><summary class="btn ghost small">{summary}</summary>{drawn(lines)}</details> }
        .into_any()
}

/// A value as people read it: the wire's nanoseconds as a duration.
pub fn readable(name: &str, value: &str) -> String {
    const SPANS: [&str; 8] = ["Delay", "Interval", "Deadline", "Timeout", "Time", "Wait", "Window", "Splay"];
    let nanos = value.parse::<i64>().ok().filter(|n| *n >= 1_000_000 && SPANS.iter().any(|s| name.ends_with(s)));
    match nanos {
        Some(n) if n % 1_000_000_000 == 0 => span(n / 1_000_000_000),
        Some(n) => format!("{} ms", n / 1_000_000),
        None => value.to_owned(),
    }
}

fn line_view(line: Line) -> AnyView {
    let Line { change, depth, text, values, notes } = line;
    let start = format!("{}{text}", "  ".repeat(depth));
    let values = values.map(|(old, new)| match change {
        Change::Added => view! { "  "{new} }.into_any(),
        Change::Deleted => view! { "  "{old} }.into_any(),
        _ => view! { "  "<del>{old}</del>" → "<ins>{new}</ins> }.into_any(),
    });
    let notes = notes.into_iter().map(|n| view! { "  "<span class="tag">{n}</span> });
    view! { <div class=change.class()><span>{start}{values}{notes.collect_view()}</span></div> }.into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_job_is_told_in_few_lines() {
        let line = |depth: usize, text: &str, new: Option<&str>| Line {
            change: Change::Added,
            depth,
            text: text.into(),
            values: new.map(|n| (String::new(), n.to_owned())),
            notes: Vec::new(),
        };
        let all = [
            line(0, "job \"shop\"", None),
            line(1, "Priority", Some("50")),
            line(1, "group \"web\"", None),
            line(2, "Count", Some("2")),
            line(2, "RestartPolicy", None),
            line(3, "Attempts", Some("2")),
            line(2, "task \"t\"", None),
            line(3, "Config", None),
            line(4, "image", Some("web:1")),
            line(4, "force_pull", Some("false")),
            line(3, "KillTimeout", Some("5 s")),
        ];
        let kept: Vec<_> = outline(&all).into_iter().map(|l| l.text).collect();
        assert_eq!(kept, ["job \"shop\"", "group \"web\"", "Count", "task \"t\"", "Config", "image"]);
    }

    #[test]
    fn durations_are_read() {
        let check = |name: &str, value: &str, said: &str| assert_eq!(readable(name, value), said);
        check("HealthyDeadline", "300000000000", "5 m 00 s");
        check("Delay", "250000000", "250 ms");
        check("Count", "300000000000", "300000000000");
        check("KillTimeout", "0", "0");
        check("Interval", "", "");
    }

    #[test]
    fn only_what_changed() {
        let field = |type_: &str, name: &str, old: &str, new: &str| FieldDiff {
            type_: type_.into(),
            name: name.into(),
            old: old.into(),
            new: new.into(),
            ..Default::default()
        };
        let task = TaskDiff {
            type_: "Edited".into(),
            name: "web".into(),
            annotations: vec!["forces create/destroy update".into()],
            fields: vec![field("None", "Driver", "docker", "docker"), field("Added", "User", "", "nobody")],
            ..Default::default()
        };
        let diff = JobDiff {
            type_: "Edited".into(),
            id: "shop".into(),
            fields: vec![field("Edited", "Priority", "50", "60")],
            task_groups: vec![
                TaskGroupDiff { type_: "Edited".into(), name: "web".into(), tasks: vec![task], ..Default::default() },
                TaskGroupDiff { type_: "None".into(), name: "cache".into(), ..Default::default() },
            ],
            ..Default::default()
        };
        let text: Vec<String> = lines(&diff)
            .into_iter()
            .map(|l| format!("{:?} {}{} {:?} {}", l.change, "  ".repeat(l.depth), l.text, l.values, l.notes.join(", ")))
            .collect();
        assert_eq!(
            text,
            [
                "Edited job \"shop\" None ",
                "Edited   Priority Some((\"50\", \"60\")) ",
                "Edited   group \"web\" None ",
                "Edited     task \"web\" None forces create/destroy update",
                "Added       User Some((\"\", \"nobody\")) ",
            ]
        );
    }
}
