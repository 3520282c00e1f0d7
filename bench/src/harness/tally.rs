//! Counts settled deliveries and waits until there are enough.

use anyhow::bail;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tidegate_core::{Ending, Fact};
use tidegate_ports::Observer;
use tokio::sync::Notify;

/// A counter that several dispatchers can share. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    done: AtomicU64,
    not_done: AtomicU64,
    goal: AtomicU64,
    reached: Notify,
}

/// The interval at which a wait checks for progress.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// A wait fails after this time without a settlement.
const STALL_MAX: Duration = Duration::from_secs(30);

impl Tally {
    /// A counter that starts at 0, with a goal.
    #[must_use]
    pub fn with_goal(goal: u64) -> Self {
        let tally = Self::default();
        tally.set_goal(goal);
        tally
    }

    pub fn set_goal(&self, goal: u64) {
        self.shared.goal.store(goal, Ordering::Relaxed);
    }

    /// The number of deliveries that are settled as done. Their rows are deleted.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Waits until the goal is reached and passes the count to `on_progress`. Fails if a delivery
    /// ended in another way, or if none was settled for 30 s.
    pub async fn wait_for_goal(&self, mut on_progress: impl FnMut(u64)) -> anyhow::Result<()> {
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
            if moved_at.elapsed() > STALL_MAX {
                bail!("only {done} of {goal} deliveries are done, and none was settled for {} s", STALL_MAX.as_secs());
            }
            tokio::time::timeout(CHECK_INTERVAL, self.shared.reached.notified()).await.ok();
        }
        match self.shared.not_done.load(Ordering::Relaxed) {
            0 => Ok(()),
            not_done => bail!("{not_done} deliveries failed or were deferred; all were expected to succeed"),
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
                self.shared.not_done.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
