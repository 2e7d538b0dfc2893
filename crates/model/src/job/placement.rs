//! Constraints, affinities and spreads.

use tarpan_model_derive::Block;

/// The `constraint` block, in job, group, task, device.
#[derive(Clone, Debug, Default, PartialEq, Block)]
#[block(json = "Constraint")]
pub struct Constraint {
    /// What is looked at, as `${attr.kernel.name}`, `${node.class}` or `${meta.rack}`.
    #[field(json = "LTarget", hcl = "attribute", zero, interpolated)]
    pub l_target: Option<String>,
    /// What it is compared with.
    #[field(json = "RTarget", hcl = "value", zero, interpolated)]
    pub r_target: Option<String>,
    /// How the two are compared; each operator but the plain ones may also be written as the name of the argument that holds the value.
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
    /// Attribute over whose values allocations are spread.
    #[field(json = "Attribute", hcl = "attribute", zero, interpolated)]
    pub attribute: Option<String>,
    /// How much this spread counts beside others, 1 to 100.
    #[field(json = "Weight", hcl = "weight", default = "50")]
    pub weight: Option<i64>,
    /// A value and the part of all allocations that it should get.
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
