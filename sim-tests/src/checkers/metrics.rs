//! Each settlement whose answer was accepted is reported once, with its true ending. Nothing else
//! is reported. Logs and metrics have no other source.

use super::terminal::applied;
use super::{Checker, Life, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use tidegate_core::{AbandonCause, Claim, Ending, Fact, OpId, Verdict};

type Ends = BTreeMap<Claim, &'static str>;

#[derive(Default)]
pub(super) struct Metrics {
    /// Applied settlements without an accepted answer.
    applied: BTreeMap<OpId, Ends>,
    /// The reports that each life still has to make.
    expected: BTreeMap<Life, Ends>,
}

const fn name(ending: &Ending) -> &'static str {
    match ending {
        Ending::Done => "done",
        Ending::Retry { .. } => "retry",
        Ending::Dead { .. } => "dead",
        Ending::Dropped => "dropped",
        Ending::Deferred { .. } => "deferred",
        Ending::Handled => "handled",
        Ending::HandlerFailed { .. } => "handler_failed",
        Ending::Replied { .. } => "replied",
        Ending::Abandoned { .. } => "abandoned",
    }
}

impl Checker for Metrics {
    fn name(&self) -> &'static str {
        "metrics"
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, probes: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::StoreApplied { op, request, reply, .. } => {
                let ends = applied(request, reply).filter(|one| !matches!(one.verdict, Verdict::Executed { .. }));
                self.applied.insert(*op, ends.map(|one| (one.claim, one.verdict.name())).collect());
            }
            Observation::StoreAnswered { of, op, result: Ok(_), accepted: true } => {
                self.expected.entry(*of).or_default().extend(self.applied.remove(op).unwrap_or_default());
            }
            Observation::Fact { of, fact: Fact::DeliverySettled { delivery, ending, .. } } => {
                let (claim, reported) = (delivery.claim(), name(ending));
                if self.expected.get_mut(of).and_then(|expected| expected.remove(&claim)) != Some(reported) {
                    return Err(format!("{claim} is reported {reported} but is not"));
                }
                let caller_gone = Ending::Abandoned { cause: AbandonCause::CallerGone };
                probes.sometimes(Probe::HungUpDuring, *ending == caller_gone);
            }
            Observation::Idle { of, .. } => {
                if let Some((claim, end)) = self.expected.get(of).and_then(|expected| expected.first_key_value()) {
                    return Err(format!("{claim} is {end} but not reported"));
                }
            }
            Observation::LifeEnded { of } => _ = self.expected.remove(of),
            _ => {}
        }
        Ok(())
    }
}
