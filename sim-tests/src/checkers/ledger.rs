//! The part of a checker's state that it derives from the store. A restore of the store takes it
//! back to the same moment.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

/// State that goes back when the store goes back.
#[derive(Default)]
pub(super) struct Ledger<T> {
    current: T,
    /// The states at the moments to which the store will go back, by the number of the fault.
    saved: BTreeMap<usize, T>,
}

/// A ledger of any type.
pub(crate) trait Restore {
    fn save(&mut self, fault: usize);
    fn restore(&mut self, fault: usize);
}

impl<T: Clone> Restore for Ledger<T> {
    fn save(&mut self, fault: usize) {
        self.saved.insert(fault, self.current.clone());
    }

    fn restore(&mut self, fault: usize) {
        if let Some(saved) = self.saved.remove(&fault) {
            self.current = saved;
        }
    }
}

impl<T> Deref for Ledger<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.current
    }
}

impl<T> DerefMut for Ledger<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.current
    }
}
