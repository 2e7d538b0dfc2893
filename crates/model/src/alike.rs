//! Whether two blocks say the same. What was read from a server and comes back says zeros that its author left out.
//!
//! Walks both by their schema, so that a field added to the Job tree is compared without a line here.

use crate::schema::{Block, BlockList, BlockMap, Field, Slot};

/// Equal, but that an unset field is its zero value wherever servers show it so, and an empty list or map an absent one. A block that is
/// absent is not one that says nothing: `vault {}` asks for something.
pub fn alike(a: &dyn Block, b: &dyn Block) -> bool {
    a.schema().fields.iter().enumerate().all(|(i, field)| values_alike(field, a.slot(i), b.slot(i)))
}

fn values_alike(field: &Field, a: Slot<'_>, b: Slot<'_>) -> bool {
    let zero = field.shows_zero() && a.is_zero() && b.is_zero();
    match (a, b) {
        (Slot::Str(a), Slot::Str(b)) => zero || a == b,
        (Slot::Int(a), Slot::Int(b)) => zero || a == b,
        (Slot::Uint(a), Slot::Uint(b)) => zero || a == b,
        (Slot::Bool(a), Slot::Bool(b)) => zero || a == b,
        (Slot::Duration(a), Slot::Duration(b)) => zero || a == b,
        (Slot::Strs(a), Slot::Strs(b)) => a.unwrap_or_default() == b.unwrap_or_default(),
        (Slot::Ints(a), Slot::Ints(b)) => a.unwrap_or_default() == b.unwrap_or_default(),
        (Slot::Map(a), Slot::Map(b)) => a.into_iter().flatten().eq(b.into_iter().flatten()),
        (Slot::Lists(a), Slot::Lists(b)) => a.into_iter().flatten().eq(b.into_iter().flatten()),
        (Slot::Free(a), Slot::Free(b)) => a.into_iter().flat_map(|a| &a.0).eq(b.into_iter().flat_map(|b| &b.0)),
        (Slot::Block(a), Slot::Block(b)) => match (a, b) {
            (Some(a), Some(b)) => alike(a, b),
            (a, b) => a.is_none() && b.is_none(),
        },
        (Slot::Blocks(a), Slot::Blocks(b)) => {
            let blocks = |list: Option<&'_ dyn BlockList>| list.map_or(0, BlockList::len);
            blocks(a) == blocks(b) && a.zip(b).is_none_or(|(a, b)| (0..a.len()).all(|i| alike(a.get(i), b.get(i))))
        }
        (Slot::Named(a), Slot::Named(b)) => {
            let (a, b) = (a.map_or_else(Vec::new, BlockMap::entries), b.map_or_else(Vec::new, BlockMap::entries));
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && alike(a.1, b.1))
        }
        // The same field of two blocks has one type.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Job, Task, TaskGroup, Template, Vault};
    use crate::schema::Free;

    #[test]
    fn zeros_and_what_is_absent() {
        let task = Task { name: Some("t".to_owned()), ..Task::default() };
        let with = |change: fn(&mut Task)| {
            let mut other = task.clone();
            change(&mut other);
            (alike(&task, &other), alike(&other, &task))
        };
        assert_eq!(with(|_| {}), (true, true));
        assert_eq!(with(|task| task.user = Some(String::new())), (true, true));
        assert_eq!(with(|task| task.user = Some("root".to_owned())), (false, false));
        assert_eq!(with(|task| task.env = Some([].into())), (true, true));
        assert_eq!(with(|task| task.templates = Some(Vec::new())), (true, true));
        assert_eq!(with(|task| task.config = Some(Free::default())), (true, true));
        assert_eq!(with(|task| task.templates = Some(vec![Template::default()])), (false, false));
        assert_eq!(with(|task| task.vault = Some(Vault::default())), (false, false));
        let group = TaskGroup { volumes: Some([].into()), ..TaskGroup::default() };
        assert!(alike(&group, &TaskGroup::default()) && alike(&TaskGroup::default(), &group));
        let (unset, none) = (Job::default(), Job { priority: Some(0), ..Job::default() });
        assert!(!alike(&unset, &none), "no priority is not the lowest one");
    }
}
