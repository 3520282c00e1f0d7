//! Upkeep: renewing what is held, and discovering what nobody told of.

use super::Dispatcher;
use super::claims::{Held, Stage};
use crate::claim::Claim;
use crate::io::Disposition;
use crate::store::{DiscoverReply, RenewReply, Reply, Request, StoreError};
use crate::time::{Micros, Mono};

#[derive(Clone, Debug)]
pub(super) struct Upkeep {
    renewing: Option<Asked>,
    held: Vec<Claim>,
    renew_at: Mono,
    discovering: Option<Asked>,
    discover_at: Mono,
    /// Woken, so the next discovery need not wait for the poll interval, only for `discover_from`.
    discover_soon: bool,
    discover_from: Mono,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    seq: u64,
    sent_at: Mono,
}

/// A discovery is made so seldom that it costs the store at most 1 % of its time …
const DISCOVERY_PAUSE: u64 = 100;
/// … but at least this often …
const DISCOVERY_PAUSE_MAX: Micros = Micros::from_secs(5);
/// … and up to 20 % of its time while notifications ask for it.
const DISCOVERY_PAUSE_WOKEN: u64 = 4;

impl Upkeep {
    pub(super) fn new(now: Mono, renew_every: Micros) -> Self {
        Self {
            renewing: None,
            held: Vec::new(),
            renew_at: now.plus(renew_every),
            discovering: None,
            discover_at: now,
            discover_soon: false,
            discover_from: now,
        }
    }

    pub(super) fn is_renewing(&self, seq: u64) -> bool {
        self.renewing.is_some_and(|asked| asked.seq == seq)
    }

    pub(super) fn is_discovering(&self, seq: u64) -> bool {
        self.discovering.is_some_and(|asked| asked.seq == seq)
    }

    /// Rows may have come somewhere.
    pub(super) fn discover_soon(&mut self) {
        self.discover_soon = true;
    }

    pub(super) fn next_renewal(&self) -> Option<Mono> {
        self.renewing.is_none().then_some(self.renew_at)
    }

    pub(super) fn next_discovery(&self) -> Option<Mono> {
        let at = if self.discover_soon { self.discover_from.min(self.discover_at) } else { self.discover_at };
        self.discovering.is_none().then_some(at)
    }
}

impl Dispatcher {
    /// Renews every claim that is held, three times within a lease.
    pub(super) fn renew(&mut self) {
        if self.upkeep.next_renewal().is_none_or(|at| self.now < at) {
            return;
        }
        self.upkeep.renew_at = self.now.plus(self.config.renew_every());
        let held: Vec<Claim> = self.claims.iter().map(Held::claim).collect();
        if held.is_empty() {
            return;
        }
        let seq = self.call_store(Request::Renew { held: held.clone(), lease_for: self.config.lease_for() });
        self.upkeep.renewing = Some(Asked { seq, sent_at: self.now });
        self.upkeep.held = held;
    }

    pub(super) fn renew_answered(&mut self, result: Result<Reply, StoreError>) -> Disposition {
        let Some(asked) = self.upkeep.renewing.take() else { return Disposition::Stale };
        let held = std::mem::take(&mut self.upkeep.held);
        match result {
            Ok(Reply::Renew(RenewReply { now, fenced })) => {
                self.answered_at(now);
                let leased_until = asked.sent_at.plus(self.config.lease_for());
                for claim in held {
                    if let Some(held) = self.claims.get_mut(claim) {
                        held.leased_until = held.leased_until.max(leased_until);
                    }
                }
                fenced.into_iter().for_each(|claim| self.lease_lost(claim));
                Disposition::Accepted
            }
            Ok(_) => {
                self.upkeep.renewing = Some(asked);
                self.upkeep.held = held;
                Disposition::Rejected
            }
            Err(error) => {
                self.upkeep.renew_at = self.now;
                self.store_failed("renew", error);
                Disposition::Accepted
            }
        }
    }

    fn lease_lost(&mut self, claim: Claim) {
        // A settlement that is under way may be the very reason why the claim is gone: its own answer tells.
        if self.claims.get_mut(claim).is_none_or(|held| held.stage == Stage::Settling) {
            return;
        }
        if let Some(lost) = self.claims.remove(claim) {
            self.let_go(lost);
        }
    }

    /// Looks for lanes with work, at every poll interval while that is cheap.
    pub(super) fn discover(&mut self) {
        let due = self.upkeep.next_discovery().is_some_and(|at| self.now >= at);
        if !due || self.shutdown.is_some() {
            return;
        }
        self.upkeep.discover_soon = false;
        let seq = self.call_store(Request::Discover);
        self.upkeep.discovering = Some(Asked { seq, sent_at: self.now });
    }

    pub(super) fn discover_answered(&mut self, result: Result<Reply, StoreError>) -> Disposition {
        let Some(asked) = self.upkeep.discovering.take() else { return Disposition::Stale };
        match result {
            Ok(Reply::Discover(DiscoverReply { now, lanes, schedules })) => {
                self.answered_at(now);
                let took = self.now.since(asked.sent_at);
                let poll = self.config.poll_interval();
                let pause = took.saturating_mul(DISCOVERY_PAUSE).min(DISCOVERY_PAUSE_MAX).max(poll);
                self.upkeep.discover_at = self.now.plus(pause);
                self.upkeep.discover_from = self.now.plus(took.saturating_mul(DISCOVERY_PAUSE_WOKEN).min(poll));
                self.lanes.discovered(&lanes);
                self.tick(&schedules, now);
                Disposition::Accepted
            }
            Ok(_) => {
                self.upkeep.discovering = Some(asked);
                Disposition::Rejected
            }
            Err(error) => {
                self.upkeep.discover_at = self.now;
                self.store_failed("discover", error);
                Disposition::Accepted
            }
        }
    }
}
