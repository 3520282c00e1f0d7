//! The clients: each puts one order after the other, and repeats a put until a daemon acknowledges
//! it.

use crate::client::{Client, Put};
use crate::ledger::{self, Ledger};
use anyhow::ensure;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(crate) const CLIENTS: usize = 16;
/// The most time until an order is acknowledged. A frozen daemon and a crashed server together stay
/// far below it.
const ACKNOWLEDGE_MAX: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// What the clients share.
pub(crate) struct Load<'r> {
    pub(crate) clients: Vec<Client>,
    pub(crate) ledger: &'r Ledger,
    pub(crate) per_second: u64,
    pub(crate) started_at: Instant,
    pub(crate) next: AtomicU64,
    /// Set at the end of the load. A client still finishes the order that it began.
    pub(crate) has_ended: AtomicBool,
}

impl Load<'_> {
    /// Puts orders until the load ends.
    pub(crate) fn run_client(&self) -> anyhow::Result<()> {
        while !self.has_ended.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let due = self.started_at + Duration::from_secs(number) / self.per_second as u32;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.put_until_acknowledged(number)?;
        }
        Ok(())
    }

    fn put_until_acknowledged(&self, number: u64) -> anyhow::Result<()> {
        let (key, order) = (ledger::key(number), json!({"customer": ledger::customer(number), "total": number}));
        let since = Instant::now();
        for client in self.clients.iter().cycle().skip(number as usize % self.clients.len()) {
            if let Put::Acknowledged = client.put_order(&key, &order)? {
                break;
            }
            ensure!(since.elapsed() < ACKNOWLEDGE_MAX, "no daemon acknowledged {key} for {ACKNOWLEDGE_MAX:?}");
            std::thread::sleep(PAUSE);
        }
        Ok(self.ledger.acknowledge(number)?)
    }
}
