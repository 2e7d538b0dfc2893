//! Collections that know what they weigh, so that nothing has to be walked to learn it.
//!
//! Values share their insides: thirty lists that each hold the one before twice take a page of memory and stand for more
//! elements than any machine holds. Sizes are therefore counted once, when a collection is made.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use super::Value;

/// What is known of a collection from when it was made.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// See [`Value::own`].
    pub own: u64,
    /// See [`Value::size`].
    pub size: u64,
    /// See [`Value::depth`].
    pub depth: u32,
    /// No unknown is inside.
    pub known: bool,
}

/// A shared collection with its measure.
#[derive(Clone, Debug)]
pub struct Measured<T>(Arc<(T, Measure)>);

impl<T> Measured<T> {
    pub fn measure(&self) -> Measure {
        self.0.1
    }
    pub fn is_fresh(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl<T> Deref for Measured<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.0
    }
}

impl<T: PartialEq> PartialEq for Measured<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || **self == **other
    }
}

impl From<Vec<Value>> for Measured<Vec<Value>> {
    fn from(items: Vec<Value>) -> Self {
        let measure = Measure::of(&items, 0);
        Measured(Arc::new((items, measure)))
    }
}

impl From<BTreeMap<String, Value>> for Measured<BTreeMap<String, Value>> {
    fn from(entries: BTreeMap<String, Value>) -> Self {
        let mut measure = Measure::of(entries.values(), ENTRY);
        let keys = entries.keys().map(|k| k.len() as u64).sum::<u64>();
        measure.own += keys;
        measure.size = measure.size.saturating_add(keys);
        Measured(Arc::new((entries, measure)))
    }
}

/// What an allocation costs besides its content.
const ALLOCATION: u64 = 32;
/// What a key costs besides its text.
const ENTRY: u64 = 40;

impl Measure {
    fn of<'v>(values: impl IntoIterator<Item = &'v Value>, entry: u64) -> Measure {
        let mut measure = Measure { own: ALLOCATION, size: ALLOCATION, depth: 1, known: true };
        for value in values {
            let place = size_of::<Value>() as u64 + entry;
            measure.own += place + leaf(value);
            measure.size = measure.size.saturating_add(place + value.size());
            measure.depth = measure.depth.max(1 + value.depth());
            measure.known &= value.is_wholly_known();
        }
        measure
    }
}

/// Bytes of a value that is no collection, besides the place where it stands.
pub fn leaf(value: &Value) -> u64 {
    match value {
        Value::Str(text) => ALLOCATION + text.len() as u64,
        Value::Number(number) => number.weight(),
        _ => 0,
    }
}
