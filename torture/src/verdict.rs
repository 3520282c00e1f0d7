//! Compares the store with the ledger.

use crate::client::Client;
use crate::ledger::Ledger;
use anyhow::{Context as _, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The most time until all deliveries are done. Claims of killed daemons expire after 10 s, and
/// suspects run one at a time.
const DRAIN_MAX: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) acknowledged: u64,
    /// Acknowledged orders without a receipt, and orders that a count lacks.
    pub(crate) lost: u64,
    /// Receipts without an acknowledged order, and orders that were counted more than once.
    pub(crate) doubled: u64,
    /// Letters of deliveries that were running at `max_lost` kills. They were redriven.
    pub(crate) redriven: u64,
    /// Letters for any other reason.
    pub(crate) dead_letters: u64,
}

impl Verdict {
    pub(crate) fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.redriven += other.redriven;
        self.dead_letters += other.dead_letters;
    }

    pub(crate) fn is_good(&self) -> bool {
        self.acknowledged > 0 && self.lost == 0 && self.doubled == 0 && self.dead_letters == 0
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { acknowledged, lost, doubled, .. } = self;
        write!(f, "{acknowledged} acknowledged, {lost} lost, {doubled} doubled")
    }
}

/// Waits until every delivery is done, and counts what is wrong.
///
/// A delivery that was running at several kills may become a dead letter with the reason `lost`. It
/// is redriven, as an operator does after the cause of the crashes is gone.
pub(crate) fn judge(client: &Client, ledger: &Ledger) -> anyhow::Result<Verdict> {
    wait_until_drained(client)?;
    let mut redriven = 0;
    loop {
        let count = client.redrive_lost()?;
        if count == 0 {
            break;
        }
        redriven += count;
        wait_until_drained(client)?;
    }
    let letters = client.list("/dead-letters?limit=100", "dead_letters")?;
    let dead_letters = letters.iter().filter(|letter| letter["resolution"].is_null()).count() as u64;
    let receipts = client.list("/kv/receipts?limit=1000", "entries")?;
    let receipts = receipts.iter().map(key).collect::<anyhow::Result<BTreeSet<_>>>()?;
    let counts = client.list("/kv/counts?limit=1000", "entries")?;
    let counts = counts.iter().map(|entry| Ok((key(entry)?, orders(entry)?)));
    let stored = Stored { receipts, counts: counts.collect::<anyhow::Result<_>>()? };
    let (lost, doubled) = stored.compare(&ledger.keys(), &ledger.counts());
    Ok(Verdict { acknowledged: ledger.len(), lost, doubled, redriven, dead_letters })
}

fn wait_until_drained(client: &Client) -> anyhow::Result<()> {
    let since = Instant::now();
    while !client.is_drained().unwrap_or(false) {
        ensure!(since.elapsed() < DRAIN_MAX, "deliveries still wait {DRAIN_MAX:?} after the end of the load");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn key(entry: &Value) -> anyhow::Result<String> {
    Ok(entry["key"].as_str().context("an entry has a key")?.to_owned())
}

fn orders(entry: &Value) -> anyhow::Result<u64> {
    entry["value"]["orders"].as_u64().context("a count is a number")
}

/// The values that the scripts wrote.
struct Stored {
    receipts: BTreeSet<String>,
    counts: BTreeMap<String, u64>,
}

impl Stored {
    /// The numbers of lost and of doubled orders.
    fn compare(&self, keys: &[String], expected: &BTreeMap<String, u64>) -> (u64, u64) {
        let acknowledged: BTreeSet<&String> = keys.iter().collect();
        let mut lost = keys.iter().filter(|key| !self.receipts.contains(*key)).count() as u64;
        let mut doubled = self.receipts.iter().filter(|key| !acknowledged.contains(key)).count() as u64;
        let customers: BTreeSet<&String> = self.counts.keys().chain(expected.keys()).collect();
        for customer in customers {
            let of = |counts: &BTreeMap<String, u64>| counts.get(customer).copied().unwrap_or_default();
            lost += of(expected).saturating_sub(of(&self.counts));
            doubled += of(&self.counts).saturating_sub(of(expected));
        }
        (lost, doubled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_and_doubled_orders_are_counted() {
        let counts = |pairs: &[(&str, u64)]| pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        let keys = ["1", "2", "3"].map(str::to_owned);
        let expected: BTreeMap<String, u64> = counts(&[("ann", 2), ("bob", 1)]);
        for (receipts, stored, wrong) in [
            (vec!["1", "2", "3"], [("ann", 2), ("bob", 1)], (0, 0)),
            (vec!["1", "3"], [("ann", 2), ("bob", 1)], (1, 0)),
            (vec!["1", "2", "3", "4"], [("ann", 2), ("bob", 1)], (0, 1)),
            (vec!["1", "2", "3"], [("ann", 1), ("bob", 1)], (1, 0)),
            (vec!["1", "2", "3"], [("ann", 2), ("bob", 3)], (0, 2)),
            (vec!["1", "2", "3"], [("ann", 2), ("eve", 1)], (1, 1)),
        ] {
            let receipts = receipts.into_iter().map(str::to_owned).collect();
            assert_eq!(Stored { receipts, counts: counts(&stored) }.compare(&keys, &expected), wrong, "{stored:?}");
        }
    }
}
