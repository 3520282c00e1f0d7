//! Inline claims: the transaction that writes rows also claims some of them for its daemon.

use super::daemon::incarnation;
use super::{Event, World};
use crate::checkers::{Observation, Violation};
use crate::plan::{CrashPoint, Version};
use crate::probes::Probe;
use crate::sabotage::claim_inline;
use std::sync::Arc;
use tidegate_core::{
    Delivery, ExchangeReply, InlineRoom, Input, LaneQuota, Micros, OpId, Reply, Request, Timestamp, TriggerId,
};
use tidegate_ports::EmittedEvent;

impl World {
    /// Claims the rows of `emitted` inline if a daemon with inline room wrote them. Returns the
    /// lanes whose rows wait.
    pub(super) fn claim_inline(&mut self, mut emitted: Vec<EmittedEvent>) -> Result<Vec<TriggerId>, Violation> {
        let daemon = self.draw.between(0, self.daemons.len() as u64 - 1) as usize;
        if let Some(room) = self.room(daemon) {
            self.claim_written(daemon, &mut emitted, &room)?;
        }
        Ok(emitted.iter().flat_map(EmittedEvent::unclaimed_lanes).collect())
    }

    /// The inline room of a daemon, if this emission is made in its process.
    fn room(&mut self, daemon: usize) -> Option<InlineRoom> {
        let emits = self.draw.permille(500);
        let (is_away, one) = (self.is_away(daemon), &self.daemons[daemon]);
        let is_there = one.is_alive && !is_away && one.cut_until <= self.now && one.inline_claim_until <= self.now;
        let may_claim = self.outage_until <= self.now && one.version == Version::Current;
        let rows = self.saboteur().sabotaged_view(one.view()).inline_room;
        let room = InlineRoom { rows, closed_lanes: self.saboteur().sabotaged_closed(one.closed_lanes()) };
        (emits && is_there && may_claim && rows > 0).then_some(room)
    }

    fn claim_written(
        &mut self,
        daemon: usize,
        emitted: &mut [EmittedEvent],
        room: &InlineRoom,
    ) -> Result<(), Violation> {
        let of = self.life(daemon);
        let (begun_at, lease_for) = (self.daemons[daemon].clock.read(self.now), self.daemons[daemon].lease_for);
        let claimed = claim_inline(self.bug, &mut self.store, emitted, room, lease_for);
        let (request, reply) = as_exchange(&claimed, self.store.now(), lease_for);
        self.observe(&Observation::StoreCalled { of, op: None, request: &request })?;
        self.trace.tell_applied(daemon, &request, &reply);
        // No dispatcher sent this request, so it has no number of its own.
        let op = OpId { incarnation: incarnation(daemon, of.life), seq: u64::MAX };
        self.observe(&Observation::StoreApplied { of, op, request: &request, reply: &reply })?;
        self.probes.sometimes(Probe::InlineClaimed, !claimed.is_empty());
        let has_rest = emitted.iter().any(|one| one.unclaimed_lanes().next().is_some());
        self.probes.sometimes(Probe::InlineClaimedPart, !claimed.is_empty() && has_rest);
        if claimed.is_empty() || self.crashes_at(daemon, CrashPoint::Applied)? {
            return Ok(());
        }
        let arrives = self.now + self.latency();
        if self.now < self.plan.heal_at && self.draw.permille(50) {
            self.probes.sometimes(Probe::InlineClaimLost, true);
            self.trouble(daemon, arrives);
            return Ok(());
        }
        self.daemons[daemon].inline_claim_until = arrives;
        self.daemons[daemon].inline_rows = room.rows;
        self.observe(&Observation::InlineClaimInFlight { of, rows: claimed.len() as u32 })?;
        let input = Input::InlineClaim { claimed, begun_at };
        self.at(arrives, Event::Reach { daemon, life: of.life, input });
        Ok(())
    }
}

/// An inline claim as the checkers see it: an exchange that requested the rows it got.
pub(crate) fn as_exchange(claimed: &[Arc<Delivery>], now: Timestamp, lease_for: Micros) -> (Request, Reply) {
    let lanes = claimed.chunk_by(|one, next| one.trigger_id == next.trigger_id);
    let quota = |rows: &[Arc<Delivery>]| {
        let quota = rows.len() as u32;
        LaneQuota { trigger: rows[0].trigger_id, quota, starts: quota, look_back: now }
    };
    let request = Request::Exchange {
        settle: Vec::new(),
        claim: lanes.map(quota).collect(),
        suspect: None,
        lease_for,
        claim_bytes_max: u64::MAX,
    };
    let reply = ExchangeReply {
        now,
        fenced: Vec::new(),
        conflicted: Vec::new(),
        claimed: claimed.to_vec(),
        suspects: 0,
        is_cut: false,
        woken_lanes: Vec::new(),
    };
    (request, Reply::Exchange(reply))
}
