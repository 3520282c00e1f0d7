//! The calls that do not settle or claim: renewals, discoveries and cron ticks.

use super::Dispatcher;
use super::claims::{HeldClaim, Stage};
use super::pending::{Pending, PendingRenewal};
use crate::claim::Claim;
use crate::store::{DiscoverReply, RenewReply, Request, Schedule, Tick, TickReply};
use crate::time::{Mono, Timestamp};

/// The next tick of a schedule that has no further tick: the end of the calendar,
/// 9999-12-31T23:59:59Z.
const NEVER: Timestamp = Timestamp(253_402_300_799_000_000);

impl Dispatcher {
    /// Renews every held claim, three times within a lease.
    pub(super) fn renew(&mut self) {
        if self.next_renewal().is_none_or(|at| self.now < at) {
            return;
        }
        self.upkeep.renew_after(self.now, self.config.renew_every());
        let claims: Vec<Claim> = self.claims.iter().map(HeldClaim::claim).collect();
        if claims.is_empty() {
            return;
        }
        let request = Request::Renew { held: claims.clone(), lease_for: self.config.lease_for() };
        let seq = self.outputs.call_store(request);
        self.pending.insert(seq, Pending::Renew(PendingRenewal { sent_at: self.now, claims }));
    }

    /// The time of the next renewal. `None` while one is in flight.
    pub(super) fn next_renewal(&self) -> Option<Mono> {
        (!self.pending.is_renewing()).then_some(self.upkeep.next_renewal())
    }

    pub(super) fn renew_answered(&mut self, sent: PendingRenewal, RenewReply { now, fenced }: RenewReply) {
        self.store_answered_at(now);
        let leased_until = sent.sent_at.plus(self.config.lease_for());
        sent.claims.into_iter().for_each(|claim| self.claims.renew(claim, leased_until));
        fenced.into_iter().for_each(|claim| self.lease_lost(claim));
    }

    fn lease_lost(&mut self, claim: Claim) {
        // The claim may be gone because its settlement in flight was applied. The answer to the
        // settlement decides.
        if self.claims.stage(claim).is_none_or(|stage| stage == Stage::Settling) {
            return;
        }
        if let Some(lost) = self.claims.remove(claim) {
            self.drop_claim(lost);
        }
    }

    /// Sends a discovery when it is due: once per poll interval, or less often if discoveries are
    /// slow.
    pub(super) fn discover(&mut self) {
        let is_due = self.next_discovery().is_some_and(|at| self.now >= at);
        if !is_due || self.shutdown.is_some() {
            return;
        }
        self.upkeep.discovery_sent();
        let seq = self.outputs.call_store(Request::Discover);
        self.pending.insert(seq, Pending::Discover { sent_at: self.now });
    }

    /// The time of the next discovery. `None` while one is in flight.
    pub(super) fn next_discovery(&self) -> Option<Mono> {
        (!self.pending.is_discovering()).then_some(self.upkeep.next_discovery())
    }

    pub(super) fn discover_answered(&mut self, sent_at: Mono, reply: DiscoverReply) {
        let DiscoverReply { now, lanes, suspects, schedules } = reply;
        self.store_answered_at(now);
        let took = self.now.since(sent_at);
        self.upkeep.discovery_answered(self.now, took, self.config.poll_interval());
        self.lanes.discovered(&lanes);
        self.quarantine.discovered(&suspects);
        self.tick(&schedules, now);
    }

    /// Sends the due ticks of cron triggers to the store. Every daemon that discovers a due
    /// schedule sends its tick. The request names the tick that was discovered, so the store
    /// applies it once.
    fn tick(&mut self, schedules: &[Schedule], now: Timestamp) {
        let may_call = self.health.may_call(self.now);
        if schedules.is_empty() || self.pending.is_ticking() || self.shutdown.is_some() || !may_call {
            return;
        }
        let ticks = schedules.iter().map(|schedule| due_tick(schedule, now)).collect();
        let seq = self.outputs.call_store(Request::Tick { ticks });
        self.pending.insert(seq, Pending::Tick);
    }

    pub(super) fn tick_answered(&mut self, TickReply { now, woken_lanes }: TickReply) {
        self.store_answered_at(now);
        woken_lanes.into_iter().for_each(|lane| self.lanes.wake(lane));
    }
}

/// The due tick of a schedule. One tick replaces all ticks that were missed while no daemon ran.
fn due_tick(schedule: &Schedule, now: Timestamp) -> Tick {
    let next = schedule.expression.next_after(now, schedule.time_zone).unwrap_or(NEVER);
    Tick { trigger: schedule.trigger, expected: schedule.next_tick, next }
}
