//! Counts the probes of situations that no checker judges.

use super::{Observation, Snapshot};
use crate::app::is_poison;
use crate::probes::{Probe, Probes};
use std::collections::BTreeSet;
use tidegate_core::{DeadReason, DeliveryId, ExchangeReply, Fact, Reply, Request, TickReply, Verdict};

#[derive(Default)]
pub(super) struct Situations {
    redriven: BTreeSet<DeliveryId>,
    /// Deliveries of events that kill daemons.
    poison: BTreeSet<DeliveryId>,
}

impl Situations {
    pub(super) fn count(&mut self, observation: &Observation<'_>, snapshot: &Snapshot<'_>, probes: &mut Probes) {
        match observation {
            Observation::StoreApplied { request, reply, .. } => self.count_applied(request, reply, snapshot, probes),
            Observation::Fact { fact, .. } => count_fact(fact, probes),
            Observation::TimesMoved { .. } => probes.sometimes(Probe::TimesMoved, true),
            Observation::Restored => probes.sometimes(Probe::Restored, true),
            Observation::Stopped { .. } => probes.sometimes(Probe::ShutDown, true),
            _ => {}
        }
    }

    fn count_applied(&mut self, request: &Request, reply: &Reply, snapshot: &Snapshot<'_>, probes: &mut Probes) {
        if let Request::Exchange { settle, .. } = request {
            for one in settle {
                probes.sometimes(Probe::Deferred, matches!(one.verdict, Verdict::Deferred { .. }));
                let is_permanent = matches!(one.verdict, Verdict::Dead { reason: DeadReason::Permanent, .. });
                probes.sometimes(Probe::Permanent, is_permanent);
                let id = one.claim.delivery;
                let is_dead = matches!(one.verdict, Verdict::Dead { .. });
                probes.sometimes(Probe::PoisonDied, is_dead && self.poison.contains(&id));
                let has_ended = matches!(one.verdict, Verdict::Done { .. }) && snapshot.store.row(id).is_none();
                probes.sometimes(Probe::RedrivenDone, has_ended && self.redriven.contains(&id));
            }
        }
        match reply {
            Reply::Exchange(ExchangeReply { claimed, .. }) => {
                self.poison.extend(claimed.iter().filter(|row| is_poison(&row.event)).map(|row| row.id));
                self.redriven.extend(claimed.iter().filter(|row| row.redrive_generation > 0).map(|row| row.id));
            }
            Reply::Tick(TickReply { woken_lanes, .. }) => probes.sometimes(Probe::Ticked, !woken_lanes.is_empty()),
            _ => {}
        }
    }
}

fn count_fact(fact: &Fact, probes: &mut Probes) {
    match fact {
        Fact::SettlementFenced { resent, .. } => {
            probes.sometimes(Probe::ResentFenced, *resent);
            probes.sometimes(Probe::ZombieFenced, !*resent);
        }
        Fact::EffectsConflicted { times, .. } => {
            probes.sometimes(Probe::Conflicted, true);
            probes.sometimes(Probe::ConflictedAgain, *times > 1);
        }
        Fact::HandlerNotStarted { .. } => probes.sometimes(Probe::NotStarted, true),
        Fact::ExecutionOverran { .. } => probes.sometimes(Probe::Overran, true),
        _ => {}
    }
}
