//! The shapes of a diff on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::wire::{Reads, Wire};

/// Change of a whole job. `type_` is `None`, `Added`, `Deleted` or `Edited`, here and below.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Wire)]
#[serde(default, rename_all = "PascalCase")]
pub struct JobDiff {
    #[serde(rename = "Type")]
    pub type_: String,
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(serialize_with = "nullable", deserialize_with = "null_default")]
    pub fields: Vec<FieldDiff>,
    #[serde(serialize_with = "nullable", deserialize_with = "null_default")]
    pub objects: Vec<ObjectDiff>,
    #[serde(serialize_with = "nullable", deserialize_with = "null_default")]
    pub task_groups: Vec<TaskGroupDiff>,
}

/// In a list of diffs the first version has none, which stands there as `null`.
impl Reads<JobDiff> for Option<JobDiff> {}

/// Change of a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct TaskGroupDiff {
    #[serde(rename = "Type")]
    pub type_: String,
    pub name: String,
    #[serde(serialize_with = "nullable", deserialize_with = "null_default")]
    pub fields: Vec<FieldDiff>,
    #[serde(serialize_with = "nullable", deserialize_with = "null_default")]
    pub objects: Vec<ObjectDiff>,
    #[serde(serialize_with = "nullable", deserialize_with = "null_default")]
    pub tasks: Vec<TaskDiff>,
    /// Allocations by what will happen to them: `create`, `destroy`, `migrate`, `canary`, `in-place update`,
    /// `create/destroy update`, `ignore`. Filled by a dry run.
    #[serde(serialize_with = "nullable_map", deserialize_with = "null_default")]
    pub updates: BTreeMap<String, u64>,
}

/// Change of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct TaskDiff {
    #[serde(rename = "Type")]
    pub type_: String,
    pub name: String,
    #[serde(serialize_with = "nullable", deserialize_with = "null_default")]
    pub fields: Vec<FieldDiff>,
    #[serde(serialize_with = "nullable", deserialize_with = "null_default")]
    pub objects: Vec<ObjectDiff>,
    /// What the change means, as in `forces create`. Filled by [`super::annotate`].
    #[serde(serialize_with = "nullable", deserialize_with = "null_default")]
    pub annotations: Vec<String>,
}

/// Change of a nested block.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ObjectDiff {
    #[serde(rename = "Type")]
    pub type_: String,
    pub name: String,
    #[serde(serialize_with = "nullable", deserialize_with = "null_default")]
    pub fields: Vec<FieldDiff>,
    #[serde(serialize_with = "nullable", deserialize_with = "null_default")]
    pub objects: Vec<ObjectDiff>,
}

/// Change of one attribute; an absent side is the empty text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct FieldDiff {
    #[serde(rename = "Type")]
    pub type_: String,
    pub name: String,
    pub old: String,
    pub new: String,
    #[serde(serialize_with = "nullable", deserialize_with = "null_default")]
    pub annotations: Vec<String>,
}

fn nullable<T: Serialize, S: Serializer>(list: &[T], s: S) -> Result<S::Ok, S::Error> {
    if list.is_empty() { s.serialize_none() } else { list.serialize(s) }
}

fn nullable_map<S: Serializer>(map: &BTreeMap<String, u64>, s: S) -> Result<S::Ok, S::Error> {
    if map.is_empty() { s.serialize_none() } else { map.serialize(s) }
}

fn null_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}
