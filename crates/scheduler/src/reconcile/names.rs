//! Which instance numbers of a group are taken, and which come next.

use std::collections::{BTreeMap, BTreeSet};

/// The numbers in use by a group's allocations.
#[derive(Debug)]
pub struct Names {
    count: u32,
    used: BTreeSet<u32>,
    /// Numbers that more than one allocation has, and how many more.
    duplicates: BTreeMap<u32, u32>,
}

impl Names {
    pub fn new(count: u32, used: impl Iterator<Item = Option<u32>>) -> Names {
        let mut names = Names { count, used: BTreeSet::new(), duplicates: BTreeMap::new() };
        for index in used.flatten() {
            if !names.used.insert(index) {
                *names.duplicates.entry(index).or_default() += 1;
            }
        }
        names
    }

    /// The `n` highest numbers in use. They stay in use until who has them goes.
    pub fn highest(&self, n: usize) -> BTreeSet<u32> {
        self.used.iter().rev().take(n).copied().collect()
    }

    /// One that has this number goes; it is free when no other one has it.
    pub fn release(&mut self, index: u32) {
        match self.duplicates.get_mut(&index).filter(|more| **more > 0) {
            Some(more) => *more -= 1,
            None => drop(self.used.remove(&index)),
        }
    }

    /// The `n` lowest free numbers below count; when these run out, 0, 1, 2 … once more.
    pub fn next(&mut self, n: usize) -> Vec<u32> {
        let mut next: Vec<u32> = Vec::with_capacity(n);
        let mut used = self.used.iter().copied().peekable();
        for index in 0..self.count {
            if next.len() == n {
                break;
            }
            if used.next_if_eq(&index).is_none() {
                next.push(index);
            }
        }
        next.extend((0..).take(n - next.len()));
        self.used.extend(&next);
        next
    }

    /// Numbers for `n` canaries: those about to be replaced first, then free ones, then numbers from count upwards.
    pub fn next_canaries(
        &mut self,
        n: usize,
        canaries: &BTreeSet<u32>,
        replaced: impl Iterator<Item = u32>,
    ) -> Vec<u32> {
        let mut next: Vec<u32> = replaced.filter(|index| *index < self.count && !canaries.contains(index)).collect();
        next.sort_unstable();
        next.dedup();
        next.truncate(n);
        let free = (0..self.count).filter(|index| !self.used.contains(index) && !canaries.contains(index));
        let beyond = (self.count..).filter(|index| !canaries.contains(index));
        for index in free.chain(beyond) {
            if next.len() >= n {
                break;
            }
            if !next.contains(&index) {
                next.push(index);
            }
        }
        self.used.extend(&next);
        next
    }

    /// The number for a replacement of instance `index`: its own, unless another allocation has it too and one is free.
    ///
    /// Beside canaries none is: they have the numbers of those that they are to replace.
    pub fn corrected(&mut self, index: u32) -> u32 {
        let free = (0..self.count).find(|index| !self.used.contains(index));
        let more = self.duplicates.get_mut(&index).filter(|more| **more > 0);
        let (Some(more), Some(free)) = (more, free) else { return index };
        *more -= 1;
        self.used.insert(free);
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: u32, used: &[u32]) -> Names {
        Names::new(count, used.iter().map(|i| Some(*i)))
    }

    #[test]
    fn numbers() {
        assert_eq!(names(5, &[0, 2]).next(2), [1, 3]);
        assert_eq!(names(3, &[0, 1, 2]).next(2), [0, 1]);
        assert_eq!(names(5, &[0, 1, 2, 3, 4]).highest(2), BTreeSet::from([3, 4]));
        assert_eq!(names(3, &[0, 1, 2]).next_canaries(4, &BTreeSet::from([1]), [0, 1, 2].into_iter()), [0, 2, 3, 4]);
        let mut doubled = names(3, &[0, 0]);
        assert_eq!((doubled.corrected(0), doubled.corrected(0)), (1, 0));
        assert_eq!(names(2, &[0, 1, 0, 1]).corrected(1), 1, "beside canaries no number is free");
        let mut one_of_two_goes = names(3, &[0, 0, 1]);
        one_of_two_goes.release(0);
        assert_eq!(one_of_two_goes.next(1), [2], "the other one still has it");
        let mut one_too_many = names(3, &[0, 0, 1, 1, 2]);
        assert_eq!(one_too_many.highest(1), BTreeSet::from([2]));
        one_too_many.release(0);
        assert_eq!(one_too_many.corrected(1), 1, "2 is in use although it was looked at");
    }
}
