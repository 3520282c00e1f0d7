//! A sync call is executed at most once, except for conflicts. It ends as exactly one of: refused
//! before anything was written, replied, abandoned. Its caller gets one reply, and no success that
//! was not applied.

use super::ledger::{Ledger, Restore};
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
    rows: Ledger<BTreeMap<InboxId, Claim>>,
    /// The claims with which calls began.
    begun: BTreeSet<Claim>,
    callers_with_reply: BTreeSet<InboxId>,
    replied: BTreeSet<Claim>,
    successes: BTreeSet<Claim>,
    executions: BTreeMap<Claim, u32>,
    conflicts: BTreeMap<Claim, u32>,
    /// Claims whose handler has ended, and whether its reply can be sent.
    sendable_replies: BTreeMap<Claim, bool>,
    /// Claims whose outcome is stored. A later outcome of an earlier execution changes nothing.
    stored_outcomes: BTreeSet<Claim>,
    /// Invocations, which may return nothing.
    invocations: BTreeSet<Claim>,
}

impl Calls {
    fn check_execution(&mut self, delivery: &Delivery) -> Result<(), String> {
        let Kind::Sync(_) = delivery.kind() else { return Ok(()) };
        if delivery.event.event_type.as_str() == "invoke" {
            self.invocations.insert(delivery.claim());
        }
        let times = self.executions.entry(delivery.claim()).or_default();
        *times += 1;
        let conflicts = self.conflicts.get(&delivery.claim()).copied().unwrap_or_default();
        if *times > 1 + conflicts || !self.begun.contains(&delivery.claim()) {
            return Err(format!(
                "call {} is executed for the {times}th time, under the claim {}",
                delivery.id, delivery.lease
            ));
        }
        Ok(())
    }

    fn check_reply(&mut self, inbox: InboxId, reply: &SyncReply, delivered: bool) -> Result<(), String> {
        if !self.callers_with_reply.insert(inbox) {
            return Err(format!("caller {} gets two replies", inbox.seq));
        }
        match reply.execution {
            Some(execution) => {
                if reply.result.is_ok() && !self.successes.contains(&execution) {
                    return Err(format!("caller {} gets a success that was not applied", inbox.seq));
                }
                if delivered && self.rows.get(&inbox) == Some(&execution) {
                    self.replied.insert(execution);
                }
            }
            None if reply.result.is_ok() => {
                return Err(format!("caller {} gets a success without an execution", inbox.seq));
            }
            None => {}
        }
        Ok(())
    }

    fn check_settlement(&mut self, settlement: &Settlement, probes: &mut Probes) -> Result<(), String> {
        let id = settlement.claim.delivery;
        if let Verdict::Executed { outcome, .. } = &settlement.verdict
            && self.stored_outcomes.insert(settlement.claim)
            && let Some(can_be_sent) = self.sendable_replies.get(&settlement.claim)
            && *can_be_sent == (outcome.error == Some(ExecError::InvalidReply))
        {
            return Err(format!("call {id} ends with {outcome:?}, its reply can be sent: {can_be_sent}"));
        }
        match &settlement.verdict {
            Verdict::Executed { outcome, .. } if outcome.error.is_none() => _ = self.successes.insert(settlement.claim),
            Verdict::Abandoned { cause } => {
                probes.sometimes(Probe::AbandonedGone, *cause == AbandonCause::CallerGone);
                probes.sometimes(Probe::AbandonedNode, *cause == AbandonCause::NodeLost);
            }
            Verdict::Executed { .. } | Verdict::Replied => {}
            other if self.rows.values().any(|row| row.delivery == id) => {
                return Err(format!("call {id} ends as {}", other.name()));
            }
            _ => {}
        }
        Ok(())
    }

    fn check_ends(&self, snapshot: &Snapshot<'_>) -> Result<(), String> {
        for (inbox, row) in self.rows.iter() {
            let abandoned = snapshot.store.abandoned().iter().filter(|one| one.delivery == row.delivery).count();
            let replied = self.replied.contains(row);
            if abandoned > 1 || (abandoned == 0 && !replied) {
                let caller = inbox.seq;
                return Err(format!("call {row} of caller {caller}: abandoned {abandoned} times, replied {replied}"));
            }
        }
        let is_begun = |id: DeliveryId| self.rows.values().any(|row| row.delivery == id);
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

    fn ledgers(&mut self) -> Vec<&mut dyn Restore> {
        vec![&mut self.rows]
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
                    self.check_settlement(settlement, probes)?;
                }
                if let Reply::BeginCalls(BeginCallsReply { deliveries, repeated, .. }) = reply {
                    self.begun.extend(deliveries.iter().map(|row| row.claim()));
                    self.rows.extend(deliveries.iter().filter_map(|row| Some((row.reply_to?, row.claim()))));
                    probes.sometimes(Probe::CallRepeated, !repeated.is_empty());
                }
                Ok(())
            }
            Observation::Fact { fact: Fact::EffectsConflicted { delivery, .. }, .. } => {
                *self.conflicts.entry(delivery.claim()).or_default() += 1;
                Ok(())
            }
            Observation::Fact { fact: Fact::CallRefused { failure, .. }, .. } => {
                probes.sometimes(Probe::CallRefused, failure.is_some());
                probes.sometimes(Probe::HungUpBefore, failure.is_none());
                Ok(())
            }
            Observation::ExecutionStarted { delivery, .. } => self.check_execution(delivery),
            Observation::ExecutionEnded { claim, outcome: Some(Outcome::Succeeded { reply, .. }), .. } => {
                let may_be_silent = reply.is_none() && self.invocations.contains(claim);
                self.sendable_replies.insert(*claim, may_be_silent || can_be_sent(reply.as_ref()));
                Ok(())
            }
            Observation::ExecutionEnded { claim, .. } => {
                self.sendable_replies.remove(claim);
                Ok(())
            }
            Observation::ReplyHandedOver { inbox, reply, delivered, .. } => {
                probes.sometimes(Probe::HungUpAfter, !delivered && reply.execution.is_some());
                self.check_reply(*inbox, reply, *delivered)
            }
            Observation::RunEnded => self.check_ends(snapshot),
            _ => Ok(()),
        }
    }
}
