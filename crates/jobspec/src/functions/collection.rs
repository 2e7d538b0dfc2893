//! Lists, sets and maps.

use std::collections::BTreeMap;

use super::{Call, Outcome, bad, failed, functions, int_at, num_at, seq_at, str_at};
use crate::number::Number;
use crate::value::{MapKind, SeqKind, Value, equal};

functions! {
    chunklist(list: Seq, size: Num) "The list cut into lists of at most that size." = |a, c| {
        let size = int_at(a, 1)?;
        let list = seq_at(a, 0);
        c.budget.hold(a[0].own() + 64 * list.len() as u64)?;
        let size = match size {
            0 => list.len().max(1),
            1.. => size as usize,
            _ => return Err(bad(1, "the size argument must be positive")),
        };
        Ok(Value::list(list.chunks(size).map(|c| Value::list(c.to_vec())).collect()))
    };
    coalesce(.. vals: Nullable) "The first of its arguments that is not null." = |a, _| {
        a.iter().find(|v| **v != Value::Null).cloned().ok_or_else(|| failed("no non-null arguments"))
    };
    coalescelist(.. vals: Nullable) "The first of its arguments that is a list with elements." = |a, _| {
        let full = a.iter().find(|v| matches!(v, Value::Seq(_, items) if !items.is_empty()));
        full.cloned().ok_or_else(|| failed("no non-null arguments"))
    };
    compact(list: Seq) "The list without empty texts." = |a, _| {
        let empty = |v: &&Value| !matches!(v, Value::Null) && v.to_text().is_none_or(|t| !t.is_empty());
        Ok(Value::list(seq_at(a, 0).iter().filter(empty).cloned().collect()))
    };
    concat(.. seqs: Seq) "All lists in one." = |a, _| {
        let all_lists = a.iter().all(|v| matches!(v, Value::Seq(SeqKind::List, _)));
        let items = (0..a.len()).flat_map(|i| seq_at(a, i)).cloned().collect();
        Ok(if all_lists { Value::list(items) } else { Value::tuple(items) })
    };
    contains(list: Seq, value: Nullable) "Whether the list has an element equal to the value." = |a, c| {
        c.budget.spend(a[0].size() / 32)?;
        Ok(Value::Bool(seq_at(a, 0).iter().any(|v| equal(v, &a[1]))))
    };
    distinct(list: Seq) "The list with each element once, in order of first appearance." = distinct;
    element(list: Seq, index: Num) "The element with that number, counting on from the start after the end." = |a, _| {
        let (list, index) = (seq_at(a, 0), int_at(a, 1)?);
        if list.is_empty() {
            return Err(bad(0, "cannot use element function with an empty list"));
        }
        if index < 0 {
            return Err(bad(1, "cannot use element function with a negative index"));
        }
        Ok(list[index as usize % list.len()].clone())
    };
    flatten(list: Seq) "The list with the elements of lists inside it in their place." = |a, c| {
        c.budget.hold(a[0].size())?;
        let mut flat = Vec::new();
        flatten(seq_at(a, 0), &mut flat);
        Ok(Value::tuple(flat))
    };
    index(collection: Any, key: Any) "The element of a list or map with that number or key." = index;
    keys(inputMap: Map) "The keys of a map in order." = |a, _| {
        Ok(Value::list(entries(a, 0).keys().map(|k| Value::str(k.as_str())).collect()))
    };
    length(collection: Any) "How many elements a list or map has, or characters a text." = |a, _| match &a[0] {
        Value::Seq(_, items) => Ok(Value::int(items.len() as i64)),
        Value::Map(_, entries) => Ok(Value::int(entries.len() as i64)),
        Value::Str(text) => Ok(Value::int(text.chars().count() as i64)),
        _ => Err(bad(0, "collection must be a list, a map or a tuple")),
    };
    lookup(inputMap: Map, key: Str, default: Nullable) "The value of a key, or the default when the map lacks it." = |a, _| {
        Ok(entries(a, 0).get(str_at(a, 1)).unwrap_or(&a[2]).clone())
    };
    merge(.. maps: Nullable) "All maps in one; of two values of a key the later one counts." = merge;
    range(.. params: Num) "Numbers from a start (0) up to a limit by a step (1): range(limit), range(start, limit), range(start, limit, step)." = range;
    reverse(value: Any) "A text or list in reverse." = |a, _| match &a[0] {
        Value::Seq(_, items) => Ok(Value::list(items.iter().rev().cloned().collect())),
        other => match other.to_text() {
            Some(text) => Ok(Value::str(text.chars().rev().collect::<String>())),
            None => Err(bad(0, "a text or a list is required")),
        },
    };
    setintersection(first_set: Seq .. other_sets: Seq) "The elements that all sets have." = |a, c| {
        let others = a[1..].iter().map(Value::size).fold(0, u64::saturating_add);
        c.budget.spend((seq_at(a, 0).len() as u64).saturating_mul(others / 256).saturating_add(a[0].size() / 32))?;
        let in_all = |v: &&Value| (1..a.len()).all(|i| seq_at(a, i).iter().any(|o| equal(v, o)));
        Ok(Value::set(seq_at(a, 0).iter().filter(in_all).cloned().collect()))
    };
    setproduct(.. sets: Seq) "Every combination of one element from each list." = setproduct;
    setunion(first_set: Seq .. other_sets: Seq) "The elements that any of the sets has." = |a, c| {
        let all = a.iter().map(Value::size).fold(0, u64::saturating_add);
        c.budget.spend(all / SORTING)?;
        Ok(Value::set((0..a.len()).flat_map(|i| seq_at(a, i)).cloned().collect()))
    };
    slice(list: Seq, start_index: Num, end_index: Num) "The elements from one number up to, and without, another." = |a, _| {
        let (list, start, end) = (seq_at(a, 0), int_at(a, 1)?, int_at(a, 2)?);
        if start < 0 || start > list.len() as i64 {
            return Err(bad(1, "start index must be between zero and the length of the list"));
        }
        if end < start || end > list.len() as i64 {
            return Err(bad(2, "end index must lie between the start index and the length of the list"));
        }
        Ok(Value::list(list[start as usize..end as usize].to_vec()))
    };
    sort(list: Strs) "The texts of a list in order." = |a, c| {
        c.budget.spend(a[0].size() / SORTING)?;
        let mut items = seq_at(a, 0).to_vec();
        items.sort_by(crate::value::order);
        Ok(Value::list(items))
    };
    values(mapping: Map) "The values of a map in the order of their keys." = |a, _| {
        Ok(Value::tuple(entries(a, 0).values().cloned().collect()))
    };
    zipmap(keys: Strs, values: Seq) "A map from two lists of the same length." = |a, _| {
        let (keys, values) = (seq_at(a, 0), seq_at(a, 1));
        if keys.len() != values.len() {
            let (k, v) = (keys.len(), values.len());
            return Err(failed(format!("number of keys ({k}) does not match number of values ({v})")));
        }
        let pairs = keys.iter().zip(values).filter_map(|(k, v)| Some((k.to_text()?.to_string(), v.clone())));
        Ok(Value::object(pairs.collect()))
    };
}

fn entries(args: &[Value], index: usize) -> &BTreeMap<String, Value> {
    static EMPTY: BTreeMap<String, Value> = BTreeMap::new();
    match args.get(index) {
        Some(Value::Map(_, entries)) => entries,
        _ => &EMPTY,
    }
}

/// Sorting touches each byte a few times: one step for so many.
const SORTING: u64 = 8;

fn distinct(args: &[Value], call: &mut Call<'_>) -> Outcome {
    let list = seq_at(args, 0);
    // Everything is compared with everything; unequal values mostly differ at their beginning.
    call.budget.spend((list.len() as u64).saturating_mul(args[0].size()) / 512)?;
    let mut seen: Vec<Value> = Vec::new();
    for item in list {
        if !seen.iter().any(|s| equal(s, item)) {
            seen.push(item.clone());
        }
    }
    Ok(Value::list(seen))
}

fn flatten(items: &[Value], into: &mut Vec<Value>) {
    for item in items {
        match item {
            Value::Seq(_, inner) => flatten(inner, into),
            other => into.push(other.clone()),
        }
    }
}

fn index(args: &[Value], _: &mut Call<'_>) -> Outcome {
    match &args[0] {
        Value::Seq(_, items) => {
            let at = args[1].to_number().and_then(|n| n.to_i64()).and_then(|i| usize::try_from(i).ok());
            at.and_then(|i| items.get(i)).cloned().ok_or_else(|| bad(1, "the list has no element of that number"))
        }
        Value::Map(_, entries) => {
            let key = args[1].to_text();
            key.and_then(|k| entries.get(&*k)).cloned().ok_or_else(|| bad(1, "the map does not have that key"))
        }
        _ => Err(bad(0, "a list or a map is required")),
    }
}

fn merge(args: &[Value], _: &mut Call<'_>) -> Outcome {
    let mut merged = BTreeMap::new();
    let mut kind = MapKind::Map;
    for (index, arg) in args.iter().enumerate() {
        match arg {
            Value::Map(one, entries) => {
                if *one == MapKind::Object {
                    kind = MapKind::Object;
                }
                merged.extend(entries.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
            Value::Null => {}
            _ => return Err(bad(index, "arguments must be maps or objects")),
        }
    }
    Ok(Value::Map(kind, merged.into()))
}

fn range(args: &[Value], _: &mut Call<'_>) -> Outcome {
    let one = Number::from(1_i64);
    let (start, end, step) = match args.len() {
        1 => (Number::ZERO, num_at(args, 0), None),
        2 => (num_at(args, 0), num_at(args, 1), None),
        3 => (num_at(args, 0), num_at(args, 1), Some(num_at(args, 2))),
        _ => return Err(failed("must have one, two, or three arguments")),
    };
    let down = end < start;
    let step = step.unwrap_or(if down { one.negate() } else { one });
    if step.is_zero() || step.is_negative() != down && start != end {
        return Err(bad(2, "the step has to lead from the start to the limit"));
    }
    let mut items = Vec::new();
    let mut at = start;
    while if down { at > end } else { at < end } {
        if items.len() >= 1024 {
            return Err(failed(
                "more than 1024 values were generated; either decrease the difference or use a smaller step",
            ));
        }
        items.push(Value::Number(at.clone()));
        at = at.add(&step).ok_or_else(|| failed("the numbers are too large"))?;
    }
    Ok(Value::list(items))
}

fn setproduct(args: &[Value], call: &mut Call<'_>) -> Outcome {
    if args.len() < 2 {
        return Err(failed("at least two arguments are required"));
    }
    let rows = (0..args.len()).map(|i| seq_at(args, i).len() as u64).fold(1_u64, |n, l| n.saturating_mul(l.max(1)));
    // Each row is a list; while the rows grow, those of one list less are there too.
    call.budget.hold(rows.saturating_mul(64 + args.len() as u64 * size_of::<Value>() as u64).saturating_mul(2))?;
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for index in 0..args.len() {
        let mut longer = Vec::with_capacity(rows.len() * seq_at(args, index).len());
        for row in &rows {
            for item in seq_at(args, index) {
                let mut row = row.clone();
                row.push(item.clone());
                longer.push(row);
            }
        }
        rows = longer;
    }
    Ok(Value::list(rows.into_iter().map(Value::tuple).collect()))
}
