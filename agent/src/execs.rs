//! How many commands may run beside tasks: callers that come faster than they leave must not use up the machine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tarpan_model::AllocId;

/// At the same time in one allocation: enough for every person and tool that looks at it.
const PER_ALLOC: usize = 32;
/// At the same time on one node.
const PER_AGENT: usize = 256;

#[derive(Debug, Default)]
pub struct Execs(Mutex<BTreeMap<AllocId, usize>>);

/// Held as long as the command runs.
#[derive(Debug)]
pub struct Slot {
    execs: Arc<Execs>,
    alloc: AllocId,
}

impl Execs {
    /// The error is a sentence for the caller.
    pub fn take(self: &Arc<Execs>, alloc: AllocId) -> Result<Slot, String> {
        let mut running = self.0.lock().expect("no panic while held");
        if running.get(&alloc).is_some_and(|n| *n >= PER_ALLOC) {
            return Err(format!("{PER_ALLOC} commands run in this allocation already: wait for one to end"));
        }
        if running.values().sum::<usize>() >= PER_AGENT {
            return Err(format!("{PER_AGENT} commands run on this node already: wait for one to end"));
        }
        *running.entry(alloc).or_default() += 1;
        Ok(Slot { execs: self.clone(), alloc })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut running = self.execs.0.lock().expect("no panic while held");
        if let Some(count) = running.get_mut(&self.alloc) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.alloc);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_limit_and_it_is_given_back() {
        let execs = Arc::new(Execs::default());
        let alloc = |n| AllocId(uuid::Uuid::from_u128(n));
        let mut held: Vec<Slot> = (0..PER_ALLOC).map(|_| execs.take(alloc(0)).expect("free")).collect();
        assert!(execs.take(alloc(0)).expect_err("full").contains("in this allocation"));
        held.extend((PER_ALLOC..PER_AGENT).map(|n| execs.take(alloc(n as u128)).expect("free")));
        assert!(execs.take(alloc(1)).expect_err("full").contains("on this node"));
        held.pop();
        held.push(execs.take(alloc(1)).expect("one left"));
        held.clear();
        assert!(execs.0.lock().expect("held").is_empty());
    }
}
