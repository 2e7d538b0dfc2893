//! Why a group could not be placed: the field's lines, then our sentence with what was asked, free and there in all.

use std::collections::BTreeMap;

use tarpan_model::metric::AllocMetric;

use super::{Table, count};

/// The lines of one group, each after `prefix` (blanks).
pub fn lines(metric: &AllocMetric, prefix: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut say = |text: String| out.push(format!("{prefix}* {text}"));
    if metric.nodes_evaluated == 0 {
        say("No nodes were eligible for evaluation".to_owned());
    }
    for (datacenter, available) in &metric.nodes_available {
        if *available == 0 {
            say(format!("No nodes are available in datacenter \"{datacenter}\""));
        }
    }
    for (class, n) in &metric.class_filtered {
        say(format!("Class \"{class}\": {n} nodes excluded by filter"));
    }
    for (constraint, n) in &metric.constraint_filtered {
        say(format!("Constraint \"{constraint}\": {n} nodes excluded by filter"));
    }
    if metric.nodes_exhausted > 0 {
        say(format!("Resources exhausted on {} nodes", metric.nodes_exhausted));
    }
    for (class, n) in &metric.class_exhausted {
        say(format!("Class \"{class}\" exhausted on {n} nodes"));
    }
    for (dimension, n) in &metric.dimension_exhausted {
        say(format!("Dimension \"{dimension}\" exhausted on {n} nodes"));
    }
    for quota in &metric.quota_exhausted {
        say(format!("Quota limit hit \"{quota}\""));
    }
    if !metric.shortfalls.is_empty() && !super::as_the_field() {
        let sentence = metric.sentence().unwrap_or_default();
        say(format!("{}.", first_upper(&sentence)));
    }
    out
}

fn first_upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// `Task Group "g" (failed to place 2 allocations):` and its lines, for every group.
pub fn failures(failed: &BTreeMap<String, AllocMetric>, indent: &str, between: &str) -> String {
    let groups = failed.iter().map(|(group, metric)| {
        let number = count(metric.coalesced_failures + 1, "allocation");
        let mut text = vec![format!("{indent}Task Group {group:?} (failed to place {number}):")];
        text.extend(lines(metric, &format!("{indent}  ")));
        text.join("\n")
    });
    groups.collect::<Vec<_>>().join(between)
}

/// The scores of the best nodes; empty when none were kept.
pub fn scores(metric: &AllocMetric) -> String {
    let mut names: Vec<&str> = ["binpack", "job-anti-affinity", "node-affinity", "node-reschedule-penalty"].to_vec();
    for score in &metric.scores {
        for name in score.scores.keys() {
            if !names.contains(&&**name) && &**name != "normalized-score" {
                names.push(name);
            }
        }
    }
    names.retain(|n| *n != "binpack" || !metric.scores.iter().any(|s| s.scores.contains_key("spread")));
    if metric.scores.is_empty() {
        return String::new();
    }
    let mut table = Table::new(std::iter::once("Node").chain(names.iter().copied()).chain(["final score"]));
    for score in &metric.scores {
        let mut row = vec![score.node_id.to_string()];
        row.extend(names.iter().map(|n| number(score.scores.get(*n).copied().unwrap_or(0.0))));
        row.push(number(score.norm_score));
        table.row(row);
    }
    table.render()
}

/// Three significant digits, none after a whole number.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use tarpan_model::metric::Shortfall;

    use super::*;

    #[test]
    fn the_fields_lines_come_before_our_sentence() {
        let mut metric = AllocMetric { nodes_evaluated: 1, nodes_exhausted: 1, ..AllocMetric::default() };
        metric.dimension_exhausted.insert("memory".into(), 1);
        metric.shortfalls.push(Shortfall {
            dimension: "memory".into(),
            asked: 9000,
            most_free: 700,
            most_total: 8000,
            nodes: 1,
        });
        let failed = BTreeMap::from([("g".to_owned(), metric)]);
        insta::assert_snapshot!(failures(&failed, "", "\n"), @r#"
        Task Group "g" (failed to place 1 allocation):
          * Resources exhausted on 1 nodes
          * Dimension "memory" exhausted on 1 nodes
          * The only client has too little memory: 9000 MB asked, 700 MB free of 8000 MB in all.
        "#);
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [(0.0, "0"), (1.0, "1"), (0.12345, "0.123"), (-0.5, "-0.5"), (18.0, "18")] {
            assert_eq!(number(value), text);
        }
    }
}
