//! The faults of daemons, of the store and of the network.

use super::{Event, World};
use crate::checkers::{Observation, Violation};
use crate::plan::{CrashPoint, Fault};
use crate::probes::Probe;
use crate::sabotage::{lose_claims, restart_store};
use tidegate_core::Input;

impl World {
    pub(super) fn fault(&mut self, n: usize) -> Result<(), Violation> {
        let fault = self.plan.faults[n].1.clone();
        self.trace.tell(|| format!("fault: {fault:?}"));
        self.trace.note(&fault);
        match fault {
            Fault::Crash { daemon, at: CrashPoint::Now, down } if self.daemons[daemon].is_alive => {
                return self.crash(daemon, CrashPoint::Now, down);
            }
            Fault::Crash { at: CrashPoint::Now, .. } => {}
            Fault::Crash { daemon, at, down } => self.daemons[daemon].next_crash = Some((at, down)),
            Fault::Pause { daemon, length } => {
                let until = self.until(length);
                let (lease, holds) = (self.daemons[daemon].settings.lease_ms * 1_000, self.holds_rows(daemon));
                self.probes.sometimes(Probe::PausedPastLease, holds && until - self.now > lease);
                self.daemons[daemon].paused_until = until;
                self.trouble[daemon].paused_until = until;
                self.trouble(daemon, until);
            }
            Fault::Shutdown { daemon } => return self.shut_down(daemon),
            Fault::Rollout { daemon, settings } => {
                self.daemons[daemon].settings = settings;
                return self.shut_down(daemon);
            }
            Fault::Store { daemon, fault } => self.daemons[daemon].store_faults.push_back(fault),
            Fault::Cut { daemon, length, answers } => {
                let until = self.until(length);
                self.daemons[daemon].cut_until = until;
                self.daemons[daemon].cut_answers = answers;
                self.trouble(daemon, until);
            }
            Fault::Outage { length } => self.outage(self.until(length)),
            Fault::Deaf { daemon, length } => self.daemons[daemon].deaf_until = self.until(length),
            Fault::Storm { daemon, count } => self.storm(daemon, count),
            Fault::Drift { daemon, permille, length } => {
                let until = self.until(length);
                let holds = self.holds_rows(daemon);
                self.probes.sometimes(Probe::Drifted, holds && permille > 0);
                self.probes.sometimes(Probe::StoodStill, holds && permille == 0);
                self.daemons[daemon].clock.set_rate(self.now, permille);
                self.trouble(daemon, until);
                self.at(until, Event::ClockHeals { daemon });
                return self.reset_timer(daemon);
            }
            Fault::Leap { daemon, by } => {
                let holds = self.holds_rows(daemon);
                self.probes.sometimes(Probe::Leapt, holds);
                self.daemons[daemon].clock.leap(by);
                // A claim requested before the jump seems to have expired when its answer arrives.
                self.trouble(daemon, self.now + 2 * super::LATENCY_MAX);
                return self.reset_timer(daemon);
            }
            Fault::StoreClock { by } => {
                self.probes.sometimes(Probe::StoreClockBack, by < 0);
                self.probes.sometimes(Probe::StoreClockAhead, by > 0);
                self.store_skew += by;
                let until = self.now + Fault::store_clock_effects(by);
                (0..self.daemons.len()).for_each(|daemon| self.trouble(daemon, until));
            }
            Fault::Restore { .. } => return self.restore_store(n),
            Fault::Call { daemon, nth, fault } => _ = self.daemons[daemon].call_faults.insert(nth, fault),
            Fault::Handler { daemon, fault } => self.daemons[daemon].handler_faults.push_back(fault),
            Fault::Full { daemon, length } => self.daemons[daemon].full_until = self.until(length),
            Fault::Down { to, length } => {
                let until = self.until(length);
                self.down.insert(to, until);
            }
        }
        Ok(())
    }

    fn outage(&mut self, until: u64) {
        self.outage_until = self.outage_until.max(until);
        restart_store(self.bug, &mut self.store);
        // The longest back-off after a failure counts as part of the fault.
        (0..self.daemons.len()).for_each(|daemon| self.trouble(daemon, until + 3_000_000));
    }

    /// Takes the store back to the state that was saved for this fault.
    fn restore_store(&mut self, fault: usize) -> Result<(), Violation> {
        let Some(saved) = self.saved.remove(&fault) else { return Ok(()) };
        self.store.restore(&saved);
        lose_claims(self.bug, &self.store, &mut self.sabotage_memory);
        self.checkers.restore(fault);
        self.is_restored = true;
        crate::app::repair(&mut self.store);
        (0..self.daemons.len()).for_each(|daemon| self.trouble(daemon, self.now + 1));
        self.observe(&Observation::Restored)
    }

    fn holds_rows(&self, daemon: usize) -> bool {
        self.daemons[daemon].is_alive && self.daemons[daemon].view().held > 0
    }

    fn shut_down(&mut self, daemon: usize) -> Result<(), Violation> {
        let life = self.daemons[daemon].life;
        let input = Input::ShutdownRequested;
        // Like the driver: the rows of an inline claim in flight are delivered before the shutdown
        // request.
        if self.daemons[daemon].inline_claim_until > self.now {
            self.at(self.daemons[daemon].inline_claim_until, Event::Reach { daemon, life, input });
            return Ok(());
        }
        self.reach(daemon, life, input)
    }

    fn storm(&mut self, daemon: usize, count: u32) {
        self.probes.sometimes(Probe::WokenForNothing, true);
        let life = self.daemons[daemon].life;
        for nth in 0..count {
            let input = Input::WakeUp { lanes: Vec::new(), discover: true };
            self.at(self.now + u64::from(nth) * 1_000, Event::Reach { daemon, life, input });
        }
    }

    pub(super) fn clock_heals(&mut self, daemon: usize) -> Result<(), Violation> {
        self.daemons[daemon].clock.set_rate(self.now, 1_000);
        self.reset_timer(daemon)
    }

    /// Sets the timer again after the clock has changed.
    fn reset_timer(&mut self, daemon: usize) -> Result<(), Violation> {
        let life = self.daemons[daemon].life;
        self.reach(daemon, life, Input::Tick)
    }
}
