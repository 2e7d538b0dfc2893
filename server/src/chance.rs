//! What is random: ids and numbers.

use uuid::Uuid;

/// Fresh random ids.
pub(crate) fn ids() -> impl FnMut() -> Uuid {
    Uuid::new_v4
}

pub(crate) fn rand_u64() -> u64 {
    Uuid::new_v4().as_u128() as u64
}
