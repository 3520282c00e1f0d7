//! A store that gives the numbers of lost claims a second time after a restore.
//!
//! The bug is kept as narrow as it can be, so that only the checker `restores` sees it: another
//! daemon gets the number, and only a success of the first daemon passes the fence.

use super::Bug;
use crate::app::EPOCH;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::{
    Claim, Delivery, DeliveryId, ExchangeReply, Lease, RenewReply, Reply, Request, Settlement, Verdict,
};
use tidegate_io_sim::Memory;

/// A claim of one row, as one number in the memory of the bug.
#[derive(Clone, Copy, PartialEq, Eq)]
struct KnownClaim {
    state: State,
    claim: Claim,
    daemon: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The store has the claim, or had it.
    Taken,
    /// A restore has undone the claim.
    Lost,
    /// Another daemon has got a claim with the same number.
    Repeated,
}

/// No row. It fences a claim.
const NO_CLAIM: Lease = Lease(0);
const NUMBER_BITS: u32 = 36;
const ROW_BITS: u32 = 22;
const DAEMON_BITS: u32 = 2;

impl KnownClaim {
    /// `None` if a part does not fit.
    fn pack(self) -> Option<i64> {
        let fits = |part: i64, bits: u32| (0..1 << bits).contains(&part).then_some(part);
        let number = fits(self.claim.lease.0 - EPOCH, NUMBER_BITS)?;
        let row = fits(self.claim.delivery.0, ROW_BITS)?;
        let daemon = fits(self.daemon as i64, DAEMON_BITS)?;
        let head = (self.state as i64) << NUMBER_BITS | number;
        Some((head << ROW_BITS | row) << DAEMON_BITS | daemon)
    }

    fn unpack(packed: i64) -> Self {
        let part = |shift: u32, bits: u32| packed >> shift & ((1 << bits) - 1);
        let state = match packed >> (NUMBER_BITS + ROW_BITS + DAEMON_BITS) {
            0 => State::Taken,
            1 => State::Lost,
            _ => State::Repeated,
        };
        let lease = Lease(EPOCH + part(ROW_BITS + DAEMON_BITS, NUMBER_BITS));
        let claim = Claim { delivery: DeliveryId(part(DAEMON_BITS, ROW_BITS)), lease };
        Self { state, claim, daemon: part(0, DAEMON_BITS) as usize }
    }
}

/// The store was restored: the later claims are lost.
pub(crate) fn lose_claims(bug: Option<Bug>, restored: &Memory, sabotage_memory: &mut BTreeSet<i64>) {
    if bug != Some(Bug::NumbersRepeat) {
        return;
    }
    let known = std::mem::take(sabotage_memory).into_iter().map(KnownClaim::unpack);
    let lost = known.map(|known| match known.state {
        State::Taken if known.claim.lease > restored.last_claim() => KnownClaim { state: State::Lost, ..known },
        _ => known,
    });
    sabotage_memory.extend(lost.filter_map(KnownClaim::pack));
}

/// Performs a request of a daemon, like a store with the bug.
pub(super) fn apply(
    store: &mut Memory,
    daemon: usize,
    mut request: Request,
    sabotage_memory: &mut BTreeSet<i64>,
) -> Reply {
    let is_repeated = |claim: Claim| {
        let known = KnownClaim { state: State::Repeated, claim, daemon };
        known.pack().is_some_and(|packed| sabotage_memory.contains(&packed))
    };
    let mut fenced_claims: Vec<Claim> = Vec::new();
    let mut fence = |claim: &mut Claim| {
        fenced_claims.push(*claim);
        claim.lease = NO_CLAIM;
    };
    match &mut request {
        Request::Exchange { settle, .. } => {
            let others = settle.iter_mut().filter(|one| !matches!(one.verdict, Verdict::Done { .. }));
            for Settlement { claim, .. } in others.filter(|one| is_repeated(one.claim)) {
                fence(claim);
            }
        }
        Request::Renew { held, .. } => held.iter_mut().filter(|claim| is_repeated(**claim)).for_each(fence),
        _ => {}
    }
    let mut reply = store.call(request);
    if let Reply::Exchange(ExchangeReply { fenced, .. }) | Reply::Renew(RenewReply { fenced, .. }) = &mut reply {
        for claim in fenced.iter_mut().filter(|claim| claim.lease == NO_CLAIM) {
            let named = fenced_claims.iter().find(|one| one.delivery == claim.delivery);
            *claim = named.copied().unwrap_or(*claim);
        }
    }
    if let Reply::Exchange(ExchangeReply { claimed, .. }) = &mut reply {
        repeat_number(store, daemon, claimed, sabotage_memory);
        let taken = claimed.iter().map(|row| KnownClaim { state: State::Taken, claim: row.claim(), daemon });
        sabotage_memory.extend(taken.filter_map(KnownClaim::pack));
    }
    reply
}

/// Gives a claim of one row the number of a lost claim of this row by another daemon.
fn repeat_number(
    store: &mut Memory,
    daemon: usize,
    claimed: &mut [Arc<Delivery>],
    sabotage_memory: &mut BTreeSet<i64>,
) {
    for n in 0..claimed.len() {
        let is_alone = claimed.iter().filter(|row| row.lease == claimed[n].lease).count() == 1;
        let row = &mut claimed[n];
        let is_plain = row.lost == 0 && row.reply_to.is_none() && row.handles_letter.is_none();
        if !is_alone || !is_plain || store.is_limited(row.trigger_id) {
            continue;
        }
        let all: Vec<KnownClaim> = sabotage_memory.iter().map(|packed| KnownClaim::unpack(*packed)).collect();
        let of_row = || all.iter().filter(|known| known.claim.delivery == row.id);
        if of_row().any(|known| known.daemon == daemon && known.state != State::Taken) {
            continue;
        }
        let Some(lost) = of_row().find(|known| known.state == State::Lost).copied() else { continue };
        lost.pack().into_iter().for_each(|packed| _ = sabotage_memory.remove(&packed));
        sabotage_memory.extend(KnownClaim { state: State::Repeated, ..lost }.pack());
        Arc::make_mut(row).lease = lost.claim.lease;
        store.spoil(row.id, |stored| stored.lease = lost.claim.lease);
    }
}
