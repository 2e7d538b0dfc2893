//! Whether two blocks say the same. What was read from a server and comes back says zeros that its author left out.
//!
//! Walks both by their schema, so that a field added to the Job tree is compared without a line here.

use crate::schema::{Block, Field, Slot};

/// Equal, but that an unset field is its zero value wherever servers show it so, and an empty list or map an absent one. A block that is
/// absent is not one that says nothing: `vault {}` asks for something.
pub fn alike(a: &dyn Block, b: &dyn Block) -> bool {
    a.schema().fields.iter().enumerate().all(|(i, field)| values_alike(field, &a.slot(i), &b.slot(i)))
}

fn values_alike(field: &Field, a: &Slot<'_>, b: &Slot<'_>) -> bool {
    match (a, b) {
        (Slot::Block(None), Slot::Block(None)) => true,
        (Slot::Block(Some(a)), Slot::Block(Some(b))) => alike(*a, *b),
        (Slot::Block(_), _) => false,
        _ if a.is_zero() && b.is_zero() => a.is_none() == b.is_none() || field.shows_zero() || holds_many(a),
        (Slot::Str(a), Slot::Str(b)) => a == b,
        (Slot::Int(a), Slot::Int(b)) => a == b,
        (Slot::Uint(a), Slot::Uint(b)) => a == b,
        (Slot::Bool(a), Slot::Bool(b)) => a == b,
        (Slot::Duration(a), Slot::Duration(b)) => a == b,
        (Slot::Strs(a), Slot::Strs(b)) => a == b,
        (Slot::Ints(a), Slot::Ints(b)) => a == b,
        (Slot::Map(a), Slot::Map(b)) => a == b,
        (Slot::Lists(a), Slot::Lists(b)) => a == b,
        (Slot::Free(a), Slot::Free(b)) => a == b,
        (Slot::Blocks(Some(a)), Slot::Blocks(Some(b))) => {
            a.len() == b.len() && (0..a.len()).all(|i| alike(a.get(i), b.get(i)))
        }
        (Slot::Named(Some(a)), Slot::Named(Some(b))) => {
            let (a, b) = (a.entries(), b.entries());
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && alike(a.1, b.1))
        }
        // The same field of two blocks has one type: what is left is a list that one of them lacks.
        _ => false,
    }
}

fn holds_many(slot: &Slot<'_>) -> bool {
    !matches!(slot, Slot::Str(_) | Slot::Int(_) | Slot::Uint(_) | Slot::Bool(_) | Slot::Duration(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Job, Task, Template, Vault};

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
        assert_eq!(with(|task| task.templates = Some(vec![Template::default()])), (false, false));
        assert_eq!(with(|task| task.vault = Some(Vault::default())), (false, false));
        let (unset, none) = (Job::default(), Job { priority: Some(0), ..Job::default() });
        assert!(!alike(&unset, &none), "no priority is not the lowest one");
    }
}
