//! The ledger: the orders that a daemon acknowledged. It is a file of the client, so that nothing
//! in it depends on the product.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Several orders of one customer are in flight at once, so that their counts conflict.
const CUSTOMERS: u64 = 50;

pub(crate) struct Ledger {
    acknowledged: Mutex<(File, Vec<u64>)>,
}

impl Ledger {
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        Ok(Self { acknowledged: Mutex::new((File::create(folder.join("ledger"))?, Vec::new())) })
    }

    pub(crate) fn acknowledge(&self, number: u64) -> io::Result<()> {
        let mut ledger = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(ledger.0, "{} {}", key(number), customer(number))?;
        ledger.1.push(number);
        Ok(())
    }

    /// The number of acknowledged orders.
    pub(crate) fn len(&self) -> u64 {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).1.len() as u64
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).1.iter().copied().map(key).collect()
    }

    /// The number of acknowledged orders of each customer.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for number in &self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).1 {
            *counts.entry(customer(*number)).or_default() += 1;
        }
        counts
    }
}

pub(crate) fn key(number: u64) -> String {
    format!("order-{number:07}")
}

pub(crate) fn customer(number: u64) -> String {
    format!("customer-{:02}", number % CUSTOMERS)
}
