//! Counts what a dispatcher has settled, and tells when it is enough.

use anyhow::bail;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tidegate_core::{Ending, Fact};
use tidegate_ports::Observer;
use tokio::sync::Notify;

/// Shared by the dispatchers whose work counts together. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    done: AtomicU64,
    otherwise: AtomicU64,
    goal: AtomicU64,
    reached: Notify,
}

/// How often a wait looks whether anything moves at all.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// With nothing settled for so long, nothing will be.
const STILL_MAX: Duration = Duration::from_secs(30);

impl Tally {
    /// Nothing counted; it tells when `goal` deliveries are done.
    #[must_use]
    pub fn until(goal: u64) -> Self {
        let tally = Self::default();
        tally.expect(goal);
        tally
    }

    /// Tells when `goal` deliveries are done, from now on.
    pub fn expect(&self, goal: u64) {
        self.shared.goal.store(goal, Ordering::Relaxed);
    }

    /// Deliveries whose settlement was answered: they are gone from the table.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Waits until the goal is reached, telling `on_progress` how far it is; fails if something ends in another way than
    /// done, or if nothing moves any more.
    pub async fn reached(&self, mut on_progress: impl FnMut(u64)) -> anyhow::Result<()> {
        let goal = self.shared.goal.load(Ordering::Relaxed);
        let (mut last, mut moved_at) = (0, Instant::now());
        loop {
            let done = self.done();
            on_progress(done);
            if done >= goal {
                break;
            }
            if done != last {
                (last, moved_at) = (done, Instant::now());
            }
            if moved_at.elapsed() > STILL_MAX {
                bail!("only {done} of {goal} deliveries are done, and for {} s none was", STILL_MAX.as_secs());
            }
            tokio::time::timeout(LOOK_EVERY, self.shared.reached.notified()).await.ok();
        }
        match self.shared.otherwise.load(Ordering::Relaxed) {
            0 => Ok(()),
            otherwise => bail!("{otherwise} deliveries failed or were deferred where all were to succeed"),
        }
    }
}

impl Observer for Tally {
    fn observe(&mut self, fact: &Fact) {
        if let Fact::DeliverySettled { ending, .. } = fact {
            if *ending == Ending::Done {
                let done = self.shared.done.fetch_add(1, Ordering::Relaxed) + 1;
                if done == self.shared.goal.load(Ordering::Relaxed) {
                    self.shared.reached.notify_one();
                }
            } else {
                self.shared.otherwise.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
