//! A sync call is executed at most once, except for conflicts. It ends as exactly one of: refused
//! before anything was written, replied, abandoned. Its caller gets one reply, and no success that
//! was not applied.

use super::terminal::applied;
use super::{Checker, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use crate::replies::can_be_sent;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{
    AbandonCause, BeginCallsReply, Claim, Delivery, DeliveryId, ExecError, Fact, InboxId, Kind, Outcome, Reply,
    Settlement, SyncReply, Verdict,
};

#[derive(Default)]
pub(super) struct Calls {
    /// The written row of each caller.
    begun: BTreeMap<InboxId, DeliveryId>,
    told: BTreeSet<InboxId>,
    replied: BTreeSet<DeliveryId>,
    executed: BTreeSet<DeliveryId>,
    executions: BTreeMap<DeliveryId, u32>,
    conflicts: BTreeMap<DeliveryId, u32>,
    /// Claims whose handler has ended, and whether its reply can be sent.
    answered: BTreeMap<Claim, bool>,
    /// Claims whose outcome is stored. A later outcome of an earlier execution changes nothing.
    kept: BTreeSet<Claim>,
    /// Invocations, which may return nothing.
    invoked: BTreeSet<DeliveryId>,
}

impl Calls {
    fn executes(&mut self, delivery: &Delivery) -> Result<(), String> {
        let Kind::Sync(_) = delivery.kind() else { return Ok(()) };
        if delivery.event.event_type.as_str() == "invoke" {
            self.invoked.insert(delivery.id);
        }
        let times = self.executions.entry(delivery.id).or_default();
        *times += 1;
        let conflicts = self.conflicts.get(&delivery.id).copied().unwrap_or_default();
        if *times > 1 + conflicts || delivery.lease.0 != 1 {
            return Err(format!("call {} is executed for the {times}th time, lease {}", delivery.id, delivery.lease));
        }
        Ok(())
    }

    fn replied(&mut self, inbox: InboxId, reply: &SyncReply, delivered: bool) -> Result<(), String> {
        if !self.told.insert(inbox) {
            return Err(format!("caller {} gets two replies", inbox.seq));
        }
        match reply.execution {
            Some(execution) => {
                if reply.result.is_ok() && !self.executed.contains(&execution.delivery) {
                    return Err(format!("caller {} gets a success that was not applied", inbox.seq));
                }
                if delivered && self.begun.get(&inbox) == Some(&execution.delivery) {
                    self.replied.insert(execution.delivery);
                }
            }
            None if reply.result.is_ok() => {
                return Err(format!("caller {} gets a success without an execution", inbox.seq));
            }
            None => {}
        }
        Ok(())
    }

    fn settled(&mut self, settlement: &Settlement, probes: &mut Probes) -> Result<(), String> {
        let id = settlement.claim.delivery;
        if let Verdict::Executed { outcome, .. } = &settlement.verdict
            && self.kept.insert(settlement.claim)
            && let Some(can_be_sent) = self.answered.get(&settlement.claim)
            && *can_be_sent == (outcome.error == Some(ExecError::InvalidReply))
        {
            return Err(format!("call {id} ends with {outcome:?}, its reply can be sent: {can_be_sent}"));
        }
        match &settlement.verdict {
            Verdict::Executed { outcome, .. } if outcome.error.is_none() => _ = self.executed.insert(id),
            Verdict::Abandoned { cause } => {
                probes.sometimes(Probe::AbandonedGone, *cause == AbandonCause::CallerGone);
                probes.sometimes(Probe::AbandonedNode, *cause == AbandonCause::NodeLost);
            }
            Verdict::Executed { .. } | Verdict::Replied => {}
            other if self.begun.values().any(|begun| *begun == id) => {
                return Err(format!("call {id} ends as {}", other.name()));
            }
            _ => {}
        }
        Ok(())
    }

    fn run_ended(&self, snapshot: &Snapshot<'_>) -> Result<(), String> {
        for (inbox, row) in &self.begun {
            let abandoned = snapshot.store.abandoned().iter().filter(|one| one.delivery == *row).count();
            let replied = self.replied.contains(row);
            if abandoned > 1 || (abandoned == 0 && !replied) {
                let caller = inbox.seq;
                return Err(format!("call {row} of caller {caller}: abandoned {abandoned} times, replied {replied}"));
            }
        }
        let is_begun = |id: DeliveryId| self.begun.values().any(|row| *row == id);
        match snapshot.store.abandoned().iter().find(|one| !is_begun(one.delivery)) {
            Some(one) => Err(format!("{} was abandoned and never began", one.delivery)),
            None => Ok(()),
        }
    }
}

impl Checker for Calls {
    fn name(&self) -> &'static str {
        "calls"
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::StoreApplied { request, reply, .. } => {
                for settlement in applied(request, reply) {
                    self.settled(settlement, probes)?;
                }
                if let Reply::BeginCalls(BeginCallsReply { deliveries: begun, repeated, .. }) = reply {
                    self.begun.extend(begun.iter().filter_map(|row| Some((row.reply_to?, row.id))));
                    probes.sometimes(Probe::CallRepeated, !repeated.is_empty());
                }
                Ok(())
            }
            Observation::Fact { fact: Fact::EffectsConflicted { delivery, .. }, .. } => {
                *self.conflicts.entry(delivery.id).or_default() += 1;
                Ok(())
            }
            Observation::Fact { fact: Fact::CallRefused { failure, .. }, .. } => {
                probes.sometimes(Probe::CallRefused, failure.is_some());
                probes.sometimes(Probe::HungUpBefore, failure.is_none());
                Ok(())
            }
            Observation::ExecutionStarted { delivery, .. } => self.executes(delivery),
            Observation::ExecutionEnded { claim, outcome: Some(Outcome::Succeeded { reply, .. }), .. } => {
                let may_be_silent = reply.is_none() && self.invoked.contains(&claim.delivery);
                self.answered.insert(*claim, may_be_silent || can_be_sent(reply.as_ref()));
                Ok(())
            }
            Observation::ExecutionEnded { claim, .. } => {
                self.answered.remove(claim);
                Ok(())
            }
            Observation::ReplyHandedOver { inbox, reply, delivered, .. } => {
                probes.sometimes(Probe::HungUpAfter, !delivered && reply.execution.is_some());
                self.replied(*inbox, reply, *delivered)
            }
            Observation::RunEnded => self.run_ended(snapshot),
            _ => Ok(()),
        }
    }
}
