//! What a dispatcher shows of itself is so: readiness, metrics and people go by it.

use super::{Checker, Given, Life, Moment, Scene};
use crate::probes::Probes;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{Disposition, InboxId, OpId, Request, View};

#[derive(Default)]
pub(super) struct Views {
    lives: BTreeMap<Life, Seen>,
    executions: BTreeMap<OpId, Life>,
}

/// What a life was seen to do.
#[derive(Default)]
struct Seen {
    running: u32,
    /// Calls that have a permit while their rows are written, by the question.
    beginning: BTreeMap<OpId, u32>,
    /// Settlements of the exchange that is under way.
    settling: BTreeMap<OpId, u32>,
    replying: u32,
    store_failures: u32,
    /// A store call has failed, and none was made since: what is to be settled waits.
    backs_off: bool,
    stale: u64,
    shutting_down: bool,
    /// Callers that were told something: nobody is told twice, so a second time is another checker's.
    told: BTreeSet<InboxId>,
}

impl Seen {
    /// What it shows besides what it does.
    fn differs(&self, view: &View) -> Option<String> {
        let sent: u32 = self.settling.values().sum();
        let pairs = [
            ("running", u64::from(view.running), u64::from(self.running + self.beginning.values().sum::<u32>())),
            ("replying", view.replying.into(), self.replying.into()),
            ("store_failures", view.store_failures.into(), self.store_failures.into()),
            ("stale", view.stale, self.stale),
            ("shutting_down", view.shutting_down.into(), self.shutting_down.into()),
        ];
        if let Some((what, shown, seen)) = pairs.into_iter().find(|(_, shown, seen)| shown != seen) {
            return Some(format!("shows {what} {shown}, and it is {seen}"));
        }
        // What waits to be sent is not seen from outside. It waits for the exchange before it or for a store that failed.
        let is_sent = !self.settling.is_empty() || self.backs_off || view.settling == sent;
        if view.settling < sent || !is_sent {
            return Some(format!("shows {} settlements, and has sent {sent}", view.settling));
        }
        if view.queued > view.held {
            return Some(format!("shows {} rows queued of {}", view.queued, view.held));
        }
        None
    }
}

impl Checker for Views {
    fn name(&self) -> &'static str {
        "views"
    }

    fn see(&mut self, moment: &Moment<'_>, _: &Scene<'_>, _: &mut Probes) -> Result<(), String> {
        match moment {
            Moment::Asks { of, op: Some(op), request } => {
                let seen = self.lives.entry(*of).or_default();
                seen.backs_off = false;
                match request {
                    Request::Begin { calls, .. } => _ = seen.beginning.insert(*op, calls.len() as u32),
                    Request::Exchange { settle, .. } => _ = seen.settling.insert(*op, settle.len() as u32),
                    _ => {}
                }
            }
            Moment::Answered { of, op, result, taken: true } => {
                let seen = self.lives.entry(*of).or_default();
                seen.beginning.remove(op);
                seen.settling.remove(op);
                seen.backs_off |= result.is_err();
                seen.store_failures = if result.is_ok() { 0 } else { seen.store_failures + 1 };
            }
            Moment::Executes { of, op, .. } => {
                self.executions.insert(*op, *of);
                self.lives.entry(*of).or_default().running += 1;
            }
            Moment::Ended { op, .. } => {
                if let Some(seen) = self.executions.remove(op).and_then(|of| self.lives.get_mut(&of)) {
                    seen.running = seen.running.saturating_sub(1);
                }
            }
            Moment::Replied { of, inbox, .. } => {
                let seen = self.lives.entry(*of).or_default();
                seen.replying += u32::from(seen.told.insert(*inbox));
            }
            Moment::Took { of, what, disposition, .. } => {
                let seen = self.lives.entry(*of).or_default();
                seen.stale += u64::from(*disposition == Disposition::Stale);
                seen.shutting_down |= *what == Given::Shutdown;
                if (*what, *disposition) == (Given::Receipt, Disposition::Accepted) {
                    seen.replying = seen.replying.saturating_sub(1);
                }
            }
            Moment::Rests { of, view, .. } => {
                if let Some(what) = self.lives.get(of).and_then(|seen| seen.differs(view)) {
                    return Err(format!("daemon {} {what}", of.daemon));
                }
            }
            Moment::Died { of } => _ = self.lives.remove(of),
            _ => {}
        }
        Ok(())
    }
}
