//! Constraints, affinities and spreads.

use tarpan_model_derive::Block;

/// The `constraint` block, in job, group, task, device.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "Constraint")]
pub struct Constraint {
    /// left side; must be `${…}` for most operators.
    #[field(json = "LTarget", hcl = "attribute", zero, interpolated)]
    pub l_target: Option<String>,
    /// right side.
    #[field(json = "RTarget", hcl = "value", zero, interpolated)]
    pub r_target: Option<String>,
    /// = == is, != not, > >= < <= (numeric then lexical), regexp, version, semver, set_contains, set_contains_all, set_contains_any, distinct_hosts, distinct_property, is_set, is_not_set; shortcut keys set both.
    #[field(json = "Operand", hcl = "operator", default = "=", zero)]
    pub operand: Option<String>,
}

/// The `affinity` block, in job, group, task, device.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "Affinity")]
pub struct Affinity {
    /// The `attribute` of this affinity.
    #[field(json = "LTarget", hcl = "attribute", zero, interpolated)]
    pub l_target: Option<String>,
    /// The `value` of this affinity.
    #[field(json = "RTarget", hcl = "value", zero, interpolated)]
    pub r_target: Option<String>,
    /// = == is != not > >= < <= regexp version semver set_contains set_contains_all set_contains_any.
    #[field(json = "Operand", hcl = "operator", default = "=", zero)]
    pub operand: Option<String>,
    /// -100..100, not 0.
    #[field(json = "Weight", hcl = "weight", default = "50")]
    pub weight: Option<i64>,
}

/// The `spread` block, in job, group.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "Spread")]
pub struct Spread {
    /// required.
    #[field(json = "Attribute", hcl = "attribute", zero, interpolated)]
    pub attribute: Option<String>,
    /// 1..100 (API default 0→50).
    #[field(json = "Weight", hcl = "weight", default = "50")]
    pub weight: Option<i64>,
    /// repeatable label=value.
    #[field(json = "SpreadTarget", hcl = "target")]
    pub spread_target: Option<Vec<SpreadTarget>>,
}

/// The `target` block, in spread (label).
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "SpreadTarget")]
pub struct SpreadTarget {
    /// The block's label.
    /// attribute value; unique; `*` = rest.
    #[field(json = "Value", label, zero)]
    pub value: Option<String>,
    /// 0..100, sum ≤100.
    #[field(json = "Percent", hcl = "percent", default = "0", unit = "%", zero)]
    pub percent: Option<i64>,
}
