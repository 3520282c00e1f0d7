//! A request is no larger than a batch. A dispatcher has at most two exchanges in flight, and one
//! request of each other kind.

use super::{Checker, Life, Observation, Snapshot};
use crate::probes::Probes;
use std::collections::BTreeMap;
use tidegate_core::{OpId, Request};

const EXCHANGES_MAX: usize = 2;

#[derive(Default)]
pub(super) struct Requests {
    lives: BTreeMap<Life, LifeState>,
}

#[derive(Default)]
struct LifeState {
    batch_max: u32,
    /// The names of the requests in flight.
    in_flight: BTreeMap<OpId, &'static str>,
}

impl LifeState {
    fn check(&mut self, op: OpId, request: &Request) -> Result<(), String> {
        let rows = size(request);
        if rows > self.batch_max {
            return Err(format!("sends {rows} rows in one {}, at most {}", request.name(), self.batch_max));
        }
        let most = if let Request::Exchange { .. } = request { EXCHANGES_MAX } else { 1 };
        self.in_flight.insert(op, request.name());
        let count = self.in_flight.values().filter(|name| **name == request.name()).count();
        if count > most {
            return Err(format!("has {count} of {} in flight, at most {most}", request.name()));
        }
        Ok(())
    }
}

/// The longest list of a request that a batch limits. A renewal names all claims that are held.
fn size(request: &Request) -> u32 {
    match request {
        Request::Exchange { settle, claim, suspect, .. } => {
            let of_lanes = claim.iter().map(|quota| quota.quota).sum::<u32>();
            of_lanes.max(settle.len() as u32).max(suspect.map_or(0, |claim| claim.quota))
        }
        Request::BeginCalls { calls, .. } => calls.len() as u32,
        Request::Renew { .. } | Request::Discover | Request::Tick { .. } => 0,
    }
}

impl Checker for Requests {
    fn name(&self) -> &'static str {
        "requests"
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, _: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::Configured { of, batch_max: Some(batch_max), .. } => {
                self.lives.entry(*of).or_default().batch_max = *batch_max;
            }
            Observation::StoreCalled { of, op: Some(op), request } => {
                let checked = self.lives.entry(*of).or_default().check(*op, request);
                return checked.map_err(|what| format!("daemon {} {what}", of.daemon));
            }
            Observation::StoreAnswered { of, op, accepted: true, .. } => {
                _ = self.lives.entry(*of).or_default().in_flight.remove(op);
            }
            Observation::LifeEnded { of } => _ = self.lives.remove(of),
            _ => {}
        }
        Ok(())
    }
}
