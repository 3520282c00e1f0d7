//! The driver is a faithful link between its dispatcher and the outside. It performs each action
//! once and at once, and hands over each answer once, unchanged. Wake-ups, inline claims, calls and
//! shutdown requests reach the dispatcher. Timers are not late. A cancelled execution is dropped,
//! and so is each execution that runs when the loop ends.

use super::{Checker, DriverEvent, InputKind, Life, Observation, Snapshot, Trouble};
use crate::probes::Probes;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{DeliveryId, Fate, InboxId, OpId, TriggerId};

/// The longest delay between the two ends of a link, in microseconds.
const DELAY_MAX: u64 = 20_000;
/// The longest wait of a shutdown request for the inline claim in flight.
const SHUTDOWN_WAIT_MAX: u64 = 1_000_000;

#[derive(Default)]
pub(super) struct Driver {
    lives: BTreeMap<Life, LifeState>,
    /// Executions whose loop has ended, with the time of the end.
    orphans: BTreeMap<OpId, u64>,
}

#[derive(Default)]
struct LifeState {
    /// What must happen, and since when.
    expected: BTreeMap<Expected, u64>,
    /// Port calls in progress.
    in_progress: BTreeSet<OpId>,
    executions: BTreeSet<OpId>,
    cancelled: BTreeSet<OpId>,
    /// The fates that the ports returned.
    returned: BTreeMap<OpId, Option<Fate>>,
    timer: Option<Timer>,
    has_stopped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Expected {
    /// The port of this action is called.
    Call(OpId),
    /// The dispatcher gets the answer to this action.
    Answer(OpId),
    /// The execution is dropped.
    Drop(OpId),
    WakeUp(TriggerId),
    /// The dispatcher gets this row of an inline claim.
    InlineRow(DeliveryId),
    /// The dispatcher gets this call.
    Arrival(InboxId),
    Shutdown,
}

impl Expected {
    const fn delay_max(self) -> u64 {
        match self {
            Self::Shutdown => DELAY_MAX + SHUTDOWN_WAIT_MAX,
            _ => DELAY_MAX,
        }
    }
}

/// The timer of an idle dispatcher.
#[derive(Clone, Copy)]
struct Timer {
    set_at: u64,
    /// When it fires, unless the clock of the daemon runs slow.
    due: u64,
}

impl Timer {
    /// The latest time at which it fires. A clock of half the rate doubles the length of a timer
    /// that is set then. A clock that stands still is read again every 50 ms, and runs the whole
    /// timer after the fault.
    fn latest(self, trouble: Trouble) -> u64 {
        if trouble.until <= self.set_at {
            return self.due + DELAY_MAX;
        }
        self.due.max(trouble.until) + (self.due - self.set_at) + 50_000 + DELAY_MAX
    }
}

impl LifeState {
    fn record(&mut self, event: DriverEvent<'_>, now: u64) -> Result<(), String> {
        let mut expect = |what| _ = self.expected.entry(what).or_insert(now);
        match event {
            DriverEvent::ActionReturned { op, is_execution } => {
                expect(Expected::Call(op));
                if is_execution {
                    self.executions.insert(op);
                }
            }
            DriverEvent::LanesWoken(lanes) => lanes.iter().for_each(|lane| expect(Expected::WakeUp(*lane))),
            DriverEvent::InlineClaimed(rows) => rows.iter().for_each(|row| expect(Expected::InlineRow(row.id))),
            DriverEvent::CallMade(inbox) => expect(Expected::Arrival(inbox)),
            DriverEvent::ShutdownRequested => expect(Expected::Shutdown),
            DriverEvent::Cancelled(op) => {
                self.cancelled.insert(op);
                // The loop may drop a task before the task has called its port.
                if self.expected.remove(&Expected::Call(op)).is_none() && self.in_progress.contains(&op) {
                    self.expected.insert(Expected::Drop(op), now);
                }
            }
            DriverEvent::PortCalled(op) => {
                if self.expected.remove(&Expected::Call(op)).is_none() && !self.cancelled.contains(&op) {
                    return Err(format!("performs {op:?}, which the dispatcher did not request, or twice"));
                }
                self.in_progress.insert(op);
                if self.cancelled.contains(&op) {
                    self.expected.insert(Expected::Drop(op), now);
                }
            }
            DriverEvent::PortReturned { op, fate } => {
                self.in_progress.remove(&op);
                self.executions.remove(&op);
                if !self.cancelled.contains(&op) {
                    self.expected.insert(Expected::Answer(op), now);
                }
                self.returned.insert(op, fate);
            }
            DriverEvent::PortDropped(op) => {
                self.in_progress.remove(&op);
                self.executions.remove(&op);
                self.expected.remove(&Expected::Drop(op));
                if !self.cancelled.contains(&op) && !self.has_stopped {
                    return Err(format!("drops {op:?}, which the dispatcher did not cancel"));
                }
            }
            DriverEvent::AnswerHandled { op, fate } => {
                self.expected.remove(&Expected::Answer(op));
                let returned = self.returned.remove(&op);
                if returned != Some(fate) {
                    return Err(format!("hands over the answer {fate:?} to {op:?}; the port returned {returned:?}"));
                }
            }
            DriverEvent::LoopEnded if !self.has_stopped => {
                return Err("ends its loop, but the dispatcher has not stopped".to_owned());
            }
            DriverEvent::LoopEnded => {}
        }
        Ok(())
    }

    /// Returns a message if something that must happen is late.
    fn check_delays(&mut self, now: u64, trouble: Trouble) -> Result<(), String> {
        let is_late = |(what, since): &(&Expected, &u64)| now > (**since).max(trouble.paused_until) + what.delay_max();
        if let Some((what, since)) = self.expected.iter().find(is_late) {
            return Err(format!("has not done {what:?} since {since} µs"));
        }
        match self.timer.filter(|timer| now > timer.latest(trouble)) {
            Some(Timer { due, .. }) => Err(format!("has not fired the timer that was due at {due} µs")),
            None => Ok(()),
        }
    }

    /// The dispatcher has stopped. It waits for no answer any more.
    fn check_stop(&mut self) -> Result<(), String> {
        self.has_stopped = true;
        self.timer = None;
        let row = self.expected.keys().find(|what| matches!(what, Expected::InlineRow(_)));
        match row {
            Some(row) => Err(format!("stops the dispatcher before {row:?}")),
            None => {
                self.expected.clear();
                Ok(())
            }
        }
    }
}

impl Driver {
    fn check(
        &mut self,
        of: Life,
        snapshot: &Snapshot<'_>,
        change: impl FnOnce(&mut LifeState) -> Result<(), String>,
    ) -> Result<(), String> {
        // The ports of a life that has ended may go on until their node is killed.
        let Some(state) = self.lives.get_mut(&of) else { return Ok(()) };
        change(state).map_err(|what| format!("the driver of daemon {} {what}, at {} µs", of.daemon, snapshot.now))
    }
}

impl Checker for Driver {
    fn name(&self) -> &'static str {
        "driver"
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        _: &mut Probes,
    ) -> Result<(), String> {
        let now = snapshot.now;
        match observation {
            Observation::Configured { of, .. } => {
                self.lives.entry(*of).or_default();
                Ok(())
            }
            Observation::Driver { event: DriverEvent::PortDropped(op), .. } if self.orphans.remove(op).is_some() => {
                Ok(())
            }
            Observation::Driver { of, event } => self.check(*of, snapshot, |state| state.record(*event, now)),
            Observation::WokenUp { of, lanes } => self.check(*of, snapshot, |state| {
                lanes.iter().for_each(|lane| _ = state.expected.remove(&Expected::WakeUp(*lane)));
                Ok(())
            }),
            Observation::InlineClaim { of, claimed } => self.check(*of, snapshot, |state| {
                claimed.iter().for_each(|row| _ = state.expected.remove(&Expected::InlineRow(row.id)));
                Ok(())
            }),
            Observation::InputHandled { of, input, .. } => self.check(*of, snapshot, |state| {
                state.timer = None;
                match input {
                    InputKind::Call { inbox, .. } => _ = state.expected.remove(&Expected::Arrival(*inbox)),
                    InputKind::Shutdown => _ = state.expected.remove(&Expected::Shutdown),
                    _ => {}
                }
                Ok(())
            }),
            Observation::Idle { of, now: clock, wake_at, .. } => self.check(*of, snapshot, |state| {
                state.timer = wake_at.map(|at| Timer { set_at: now, due: now + at.since(*clock).0 });
                Ok(())
            }),
            Observation::Stopped { of, .. } => self.check(*of, snapshot, LifeState::check_stop),
            Observation::LifeEnded { of } => {
                if let Some(state) = self.lives.remove(of).filter(|state| state.has_stopped) {
                    let running = state.executions.into_iter().filter(|op| state.in_progress.contains(op));
                    self.orphans.extend(running.map(|op| (op, now)));
                }
                Ok(())
            }
            Observation::LatencySample { .. } => {
                for (of, state) in &mut self.lives {
                    let result = state.check_delays(now, snapshot.trouble[of.daemon]);
                    result.map_err(|what| format!("the driver of daemon {} {what}", of.daemon))?;
                }
                let is_late = |(_, since): &(&OpId, &u64)| now > **since + DELAY_MAX;
                match self.orphans.iter().find(is_late) {
                    Some((op, _)) => Err(format!("the execution {op:?} continues after the end of its loop")),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
