//! Due work waits at most [`Config::DUE_WAIT_MAX`] for a discovery. While the store answers, the
//! next discovery of a dispatcher follows the last one within this time, even after a slow one.

use super::{Checker, Life, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use tidegate_core::{Config, Fact, Micros, Mono, OpId, Request};

#[derive(Default)]
pub(super) struct Dues {
    lives: BTreeMap<Life, Discoveries>,
}

#[derive(Default)]
struct Discoveries {
    /// The discovery in flight, and whether the dispatcher has accepted its answer.
    in_flight: Option<OpId>,
    is_answered: bool,
    sent_at: Option<Mono>,
    /// When the last one was answered, by the clock of the daemon.
    answered_at: Option<Mono>,
    /// The back-off after a store failure, and its end.
    backs_off: Micros,
    backs_off_until: Mono,
}

/// A discovery of this duration used to be followed by a pause of more than the limit.
const SLOW: Micros = Micros::from_millis(50);

impl Discoveries {
    /// Whether the dispatcher sleeps too long.
    fn oversleeps(&mut self, now: Mono, wake_at: Option<Mono>, probes: &mut Probes) -> bool {
        if std::mem::take(&mut self.is_answered) {
            self.answered_at = Some(now);
            probes.sometimes(Probe::DiscoverySlow, self.sent_at.is_some_and(|at| now.since(at) > SLOW));
        }
        self.backs_off_until = self.backs_off_until.max(now.plus(std::mem::take(&mut self.backs_off)));
        self.sent_at = if self.in_flight.is_some() { self.sent_at.or(Some(now)) } else { None };
        let (None, Some(answered_at)) = (self.in_flight, self.answered_at) else { return false };
        let latest = answered_at.plus(Config::DUE_WAIT_MAX).max(self.backs_off_until);
        wake_at.is_none_or(|at| at > latest)
    }
}

impl Checker for Dues {
    fn name(&self) -> &'static str {
        "dues"
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, probes: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::StoreCalled { of, op: Some(op), request: Request::Discover } => {
                let state = self.lives.entry(*of).or_default();
                (state.in_flight, state.sent_at) = (Some(*op), None);
            }
            Observation::StoreAnswered { of, op, result, accepted: true } => {
                let state = self.lives.entry(*of).or_default();
                if state.in_flight == Some(*op) {
                    state.in_flight = None;
                    // A failed discovery is repeated after the back-off of the store.
                    (state.is_answered, state.answered_at) = (result.is_ok(), None);
                }
            }
            Observation::Idle { of, view, now, wake_at, .. } => {
                let state = self.lives.entry(*of).or_default();
                if state.oversleeps(*now, *wake_at, probes) && !view.shutting_down {
                    let most = Config::DUE_WAIT_MAX.as_millis();
                    return Err(format!("daemon {} makes no discovery for more than {most} ms", of.daemon));
                }
            }
            Observation::Fact { of, fact: Fact::StoreFailed { retry_in, .. } } => {
                let state = self.lives.entry(*of).or_default();
                state.backs_off = state.backs_off.max(*retry_in);
            }
            Observation::LifeEnded { of } => _ = self.lives.remove(of),
            _ => {}
        }
        Ok(())
    }
}
