//! What a rule of the job found, and how many findings read as one text.
//!
//! A finding knows where it is (a path of wire names) and inside of which things (its context, outermost first).
//! [`text`] nests findings under their contexts the way the field prints them.

use serde::Serialize;

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Wire names from the job down, as in `TaskGroups[0].Tasks[1].Driver`; empty for the job itself.
    pub path: String,
    /// What the rule was looking at, outermost first, as in `Task group web validation failed`.
    /// An empty text is a level without a name.
    pub context: Vec<String>,
    pub message: String,
}

/// All findings as one text: `N errors occurred:` and a bullet for each, nested by context.
pub fn text(findings: &[Finding]) -> String {
    let refs: Vec<&Finding> = findings.iter().collect();
    level(&refs, 0)
}

/// One text for each finding at the outermost level.
pub fn top_level(findings: &[Finding]) -> Vec<String> {
    let refs: Vec<&Finding> = findings.iter().collect();
    points(&refs, 0)
}

fn level(findings: &[&Finding], depth: usize) -> String {
    let points = points(findings, depth);
    let count = if points.len() == 1 { "1 error".to_owned() } else { format!("{} errors", points.len()) };
    let bullets: Vec<String> = points.iter().map(|p| format!("* {p}")).collect();
    format!("{count} occurred:\n\t{}\n\n", bullets.join("\n\t"))
}

/// Neighbours that share the context at `depth` become one point.
fn points(findings: &[&Finding], depth: usize) -> Vec<String> {
    let mut points = Vec::new();
    let mut rest = findings;
    while let Some(first) = rest.first() {
        let Some(context) = first.context.get(depth) else {
            points.push(first.message.clone());
            rest = &rest[1..];
            continue;
        };
        let same = rest.iter().take_while(|f| f.context.get(depth) == Some(context)).count();
        let (inside, after) = rest.split_at(same);
        let inner = level(inside, depth + 1);
        points.push(if context.is_empty() { inner } else { format!("{context}: {inner}") });
        rest = after;
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_nest_under_their_context() {
        let finding = |context: &[&str], message: &str| Finding {
            path: String::new(),
            context: context.iter().map(|c| (*c).to_owned()).collect(),
            message: message.to_owned(),
        };
        let all = [
            finding(&[], "Job ID contains a space"),
            finding(&["Task group g validation failed"], "Missing tasks for task group"),
            finding(&["Task group g validation failed", "Task t validation failed"], "Missing task driver"),
        ];
        assert_eq!(
            text(&all),
            "2 errors occurred:\n\t* Job ID contains a space\n\t* Task group g validation failed: 2 errors occurred:\n\t\
             * Missing tasks for task group\n\t* Task t validation failed: 1 error occurred:\n\t* Missing task driver\n\n\n\n\n\n"
        );
        assert_eq!(top_level(&all).len(), 2);
    }
}
