//! Bugs in the store.

use super::{Bug, numbers};
use crate::app::is_poison;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::{
    Claim, DeadLetterId, Delivery, DeliveryId, DiscoverReply, ExchangeReply, Json, Lease, MaxConcurrency, Micros,
    RenewReply, Reply, Request, Settlement, SuspectClaim, Timestamp, TriggerId, Verdict,
};
use tidegate_io_sim::{Memory, Row};

impl Bug {
    /// Applies a request like a store with this bug. `sabotage_memory` is the bug's memory.
    pub(crate) fn apply(
        self,
        store: &mut Memory,
        daemon: usize,
        mut request: Request,
        sabotage_memory: &mut BTreeSet<i64>,
    ) -> Reply {
        if self == Self::NumbersRepeat {
            return numbers::apply(store, daemon, request, sabotage_memory);
        }
        let before = self.before(store, &mut request, sabotage_memory);
        let mut reply = store.call(request.clone());
        self.after(store, &request, &mut reply, sabotage_memory, before);
        reply
    }

    fn before(self, store: &mut Memory, request: &mut Request, sabotage_memory: &mut BTreeSet<i64>) -> Before {
        let mut before = Before::default();
        match request {
            Request::Exchange { settle, claim, suspect, .. } => {
                for settlement in &mut *settle {
                    self.before_settlement(store, settlement, &mut before);
                }
                if self == Self::EffectsTwice {
                    self.repeat_effects(store, settle, sabotage_memory);
                }
                for quota in &mut *claim {
                    let lane: Vec<DeliveryId> = store
                        .rows_after(DeliveryId(i64::MIN))
                        .filter(|row| row.trigger == quota.trigger)
                        .map(|row| row.id)
                        .collect();
                    match self {
                        Self::ClaimsLeased => {
                            lane.iter().for_each(|id| store.spoil(*id, |row| row.lease_until = Timestamp::EPOCH));
                            quota.look_back = Timestamp::EPOCH;
                        }
                        Self::ClaimsEarly => {
                            let now = store.now();
                            lane.iter().for_each(|id| store.spoil(*id, |row| row.due_at = row.due_at.min(now)));
                        }
                        Self::PreviousFindsNothing if quota.look_back == Timestamp(i64::MIN) => quota.quota = 0,
                        Self::LimitForgetsHeld => {
                            let held = |row: &&Row| row.is_leased() && sabotage_memory.last() > Some(&row.lease.0);
                            let held = store.lane(quota.trigger).filter(held).count() as u32;
                            if let Some(limit) = store.limit(quota.trigger).filter(|_| held > 0) {
                                let higher = MaxConcurrency::try_from(u64::from(limit + held)).ok();
                                before.limits.push((quota.trigger, store.spoil_limit(quota.trigger, higher)));
                                quota.quota += held;
                            }
                        }
                        Self::LookBackIgnored => quota.look_back = Timestamp(i64::MAX),
                        Self::LimitIgnored => {
                            before.limits.push((quota.trigger, store.spoil_limit(quota.trigger, None)));
                            quota.quota += 3;
                        }
                        _ => {}
                    }
                }
                if let Some(claim) = suspect {
                    self.before_suspect(store, claim, &mut before);
                }
                if self == Self::PoisonBlocks {
                    let now = store.now().0 / 1_000_000;
                    let poisoned =
                        settle.iter().filter(|one| matches!(one.verdict, Verdict::Retry { .. } | Verdict::Dead { .. }));
                    for one in poisoned {
                        if let Some(row) = store.row(one.claim.delivery) {
                            sabotage_memory.insert(row.trigger.0 << 32 | now);
                        }
                    }
                    claim.retain(|quota| {
                        let recent = (quota.trigger.0 << 32 | (now - 2))..=(quota.trigger.0 << 32 | now);
                        sabotage_memory.range(recent).next().is_none()
                    });
                }
            }
            Request::Discover if self == Self::TimesNotMoved => {
                before.rows.extend(store.rows_after(DeliveryId(i64::MIN)).cloned());
            }
            Request::Renew { held, .. } => self.before_renewal(store, held, &mut before, sabotage_memory),
            _ => {}
        }
        before
    }

    fn before_suspect(self, store: &mut Memory, claim: &mut SuspectClaim, before: &mut Before) {
        let now = store.now();
        let expired: Vec<_> = store.lane(claim.trigger).filter(|row| row.is_expired(now)).cloned().collect();
        match self {
            Self::SuspectAtOnce => claim.backoff.0 /= 100,
            Self::MostLostFirst => {
                let is_due = |row: &&Row| !row.is_leased() && row.is_suspect && row.due_at <= now;
                let most = store.lane(claim.trigger).filter(is_due).map(|row| row.lost).max();
                let fewer = store.lane(claim.trigger).filter(is_due).filter(|row| Some(row.lost) < most);
                before.rows.extend(fewer.cloned());
                for row in &before.rows {
                    store.spoil(row.id, |passed_over| passed_over.is_suspect = false);
                }
            }
            Self::LossNotCounted
            | Self::LossKeepsClaim
            | Self::HeldCounts
            | Self::HeldIsSilent
            | Self::HeldIsFree
            | Self::PoisonForgiven => before.rows.extend(expired),
            _ => {}
        }
    }

    fn before_renewal(
        self,
        store: &mut Memory,
        held: &mut [Claim],
        before: &mut Before,
        sabotage_memory: &BTreeSet<i64>,
    ) {
        match self {
            Self::RenewForgets => {
                before.rows.extend(held.iter().filter_map(|claim| store.row(claim.delivery).cloned()));
            }
            Self::RenewsExpiredLease => {
                let lanes = held.iter().filter_map(|claim| store.row(claim.delivery)).map(|row| row.trigger);
                let lanes: BTreeSet<TriggerId> = lanes.collect();
                before.limits.extend(lanes.into_iter().map(|lane| (lane, store.spoil_limit(lane, None))));
            }
            Self::RenewsUntouchedOnly => {
                let leases: BTreeSet<i64> = held.iter().map(|claim| claim.lease.0).collect();
                let settled = |lease: i64| leases.contains(&lease) && sabotage_memory.contains(&lease);
                let rows = store.rows_after(DeliveryId(i64::MIN)).filter(|row| row.is_leased() && settled(row.lease.0));
                before.rows.extend(rows.cloned());
            }
            Self::RenewsOldLease => {
                for claim in held {
                    before.renamed.push(*claim);
                    claim.lease = store.row(claim.delivery).map_or(claim.lease, |row| row.lease);
                }
            }
            _ => {}
        }
    }

    fn before_settlement(self, store: &mut Memory, settlement: &mut Settlement, before: &mut Before) {
        let Settlement { claim, verdict } = settlement;
        let row = store.row(claim.delivery).cloned();
        before.rows.extend(row.clone());
        match (self, verdict) {
            (Self::NoFence, _) => {
                before.renamed.push(*claim);
                claim.lease = row.map_or(claim.lease, |row| row.lease);
            }
            (Self::RetryAtOnce, Verdict::Retry { delay, .. }) => delay.0 = 0,
            (
                Self::ConflictsIgnored,
                Verdict::Done { effects } | Verdict::Handled { effects } | Verdict::Executed { effects, .. },
            ) => effects.reads.clear(),
            _ => {}
        }
    }

    /// Applies the effects of these settlements a second time, without a row.
    fn repeat_effects(self, store: &mut Memory, settle: &[Settlement], sabotage_memory: &mut BTreeSet<i64>) {
        for one in settle {
            let Verdict::Done { effects } = &one.verdict else { continue };
            let Some(mut row) = store.row(one.claim.delivery).cloned() else { continue };
            if !sabotage_memory.insert(row.id.0) {
                continue;
            }
            let id = row.id;
            row.id = DeliveryId(-row.id.0);
            store.bring_back(row.clone());
            let mut effects = effects.clone();
            effects.reads.clear();
            let claim = Claim { delivery: row.id, lease: row.lease };
            let settle = vec![Settlement { claim, verdict: Verdict::Done { effects } }];
            store.call(Request::Exchange {
                settle,
                claim: Vec::new(),
                suspect: None,
                claim_bytes_max: u64::MAX,
                lease_for: tidegate_core::Micros::ZERO,
            });
            store.lose(DeliveryId(-id.0));
        }
    }

    fn after(
        self,
        store: &mut Memory,
        request: &Request,
        reply: &mut Reply,
        sabotage_memory: &mut BTreeSet<i64>,
        before: Before,
    ) {
        for (trigger, limit) in before.limits {
            store.spoil_limit(trigger, limit);
        }
        match reply {
            Reply::Exchange(ExchangeReply { fenced, conflicted, claimed, suspects, .. }) => {
                fenced.iter_mut().for_each(|claim| before_name(&before.renamed, claim));
                conflicted.iter_mut().for_each(|claim| before_name(&before.renamed, claim));
                if let Request::Exchange { settle, .. } = request {
                    let applied =
                        settle.iter().filter(|one| !fenced.contains(&one.claim) && !conflicted.contains(&one.claim));
                    for settlement in applied {
                        let row = before.rows.iter().find(|row| row.id == settlement.claim.delivery);
                        self.after_settlement(store, settlement, row, sabotage_memory);
                    }
                }
                if let Request::Exchange { suspect: Some(claim), lease_for, .. } = request {
                    self.after_suspect(store, *claim, *lease_for, (&mut *claimed, suspects), before.rows);
                }
                for row in claimed.iter_mut().map(Arc::make_mut) {
                    match self {
                        Self::AttemptNotCounted if row.attempt > 1 => {
                            row.attempt -= 1;
                            store.spoil(row.id, |stored| stored.attempt -= 1);
                        }
                        Self::NumberReused => {
                            sabotage_memory.insert(row.lease.0);
                            row.lease = Lease(sabotage_memory.first().copied().unwrap_or(row.lease.0));
                            store.spoil(row.id, |stored| stored.lease = row.lease);
                        }
                        Self::FloorSkips => store.spoil_floor(row.trigger_id),
                        Self::OtherEvent if row.attempt > 1 => row.event.data = Json::from(serde_json::json!("other")),
                        _ => {}
                    }
                }
            }
            Reply::Renew(RenewReply { fenced, .. }) => {
                fenced.iter_mut().for_each(|claim| before_name(&before.renamed, claim));
                if matches!(self, Self::RenewForgets | Self::RenewsUntouchedOnly) {
                    for row in before.rows {
                        store.spoil(row.id, |renewed| renewed.lease_until = row.lease_until);
                    }
                }
            }
            Reply::Discover(DiscoverReply { .. }) if self == Self::TimesNotMoved => {
                for row in before.rows {
                    let (due_at, lease_until) = (row.due_at, row.lease_until);
                    store.spoil(row.id, |moved| (moved.due_at, moved.lease_until) = (due_at, lease_until));
                }
            }
            Reply::Discover(DiscoverReply { lanes, .. }) if self == Self::DiscoverBlind => {
                let slow = store
                    .triggers_of(&crate::app::app())
                    .into_iter()
                    .find(|trigger| trigger.spec.name.as_str() == "slow")
                    .map(|trigger| trigger.id);
                lanes.retain(|lane| Some(lane.trigger) != slow);
            }
            _ => {}
        }
    }

    fn after_suspect(
        self,
        store: &mut Memory,
        claim: SuspectClaim,
        lease_for: Micros,
        (claimed, suspects): (&mut Vec<Arc<Delivery>>, &mut u32),
        expired: Vec<Row>,
    ) {
        let is_free = |store: &Memory, id| store.row(id).is_some_and(|row| !row.is_leased());
        match self {
            Self::SuspectsTogether => {
                let (settle, quotas) = (Vec::new(), Vec::new());
                let again = Request::Exchange {
                    settle,
                    claim: quotas,
                    suspect: Some(claim),
                    lease_for,
                    claim_bytes_max: u64::MAX,
                };
                if let Reply::Exchange(ExchangeReply { claimed: mut more, .. }) = store.call(again) {
                    *suspects += more.len() as u32;
                    claimed.append(&mut more);
                }
            }
            Self::PoisonForgiven => {
                for row in expired.iter().filter(|row| is_poison(&row.event)) {
                    if is_free(store, row.id) {
                        store.spoil(row.id, |lost| lost.lost = row.lost);
                    }
                }
            }
            Self::LossNotCounted => {
                for row in expired.iter().filter(|row| row.lost > 0) {
                    if is_free(store, row.id) {
                        store.spoil(row.id, |lost| lost.lost = row.lost);
                    }
                }
            }
            Self::MostLostFirst => {
                for row in &expired {
                    store.spoil(row.id, |passed_over| passed_over.is_suspect = true);
                }
            }
            Self::HeldCounts => {
                let due_at = store.now().plus(claim.backoff);
                for row in expired.iter().filter(|row| row.is_ahead && row.policy.max_lost() > 1) {
                    store.spoil(row.id, |held| (held.lost, held.due_at) = (1, due_at));
                }
            }
            Self::HeldIsSilent => {
                for row in expired.into_iter().filter(|row| row.is_ahead && row.policy.max_lost() > 1) {
                    store.spoil(row.id, |held| held.failed = row.failed);
                }
            }
            Self::HeldIsFree => {
                for row in expired.iter().filter(|row| row.is_ahead) {
                    store.spoil(row.id, |held| held.is_suspect &= held.lost > 0);
                }
            }
            Self::LossKeepsClaim => {
                for row in expired.into_iter().filter(|row| row.lost == 0) {
                    if is_free(store, row.id) {
                        store.lose(row.id);
                        store.bring_back(row);
                    }
                }
            }
            _ => {}
        }
    }

    fn after_settlement(
        self,
        store: &mut Memory,
        settlement: &Settlement,
        row: Option<&Row>,
        sabotage_memory: &mut BTreeSet<i64>,
    ) {
        let Some(row) = row else { return };
        let id = row.id;
        if self == Self::RenewsUntouchedOnly {
            sabotage_memory.insert(settlement.claim.lease.0);
        }
        match (self, &settlement.verdict) {
            (Self::DeferralCounts, Verdict::Deferred { .. }) => store.spoil(id, |row| row.attempt += 1),
            (Self::DoneKeepsRow, Verdict::Done { .. }) => store.bring_back(row.clone()),
            (Self::EndedComesBack, Verdict::Dropped) if sabotage_memory.insert(id.0) => {
                let mut back = row.clone();
                back.lease_until = Timestamp::EPOCH;
                store.bring_back(back);
            }
            (Self::RetryLosesRow, Verdict::Retry { .. }) => _ = store.lose(id),
            (Self::DeadLosesLetter, Verdict::Dead { .. }) => store.lose_letters_of(id),
            (Self::LetterOfAnother, Verdict::Dead { .. }) => {
                let letter = store.letters_after(DeadLetterId(i64::MIN)).find(|letter| letter.delivery_id == id);
                if let Some(letter) = letter.map(|letter| letter.id) {
                    store.spoil_letter(letter, |letter| letter.delivery_id = DeliveryId(id.0 - 1));
                }
            }
            (Self::AbandonedLost, Verdict::Abandoned { .. }) => store.lose_abandoned(),
            (Self::DroppedTwice, Verdict::Dropped) => store.spoil_loops(1),
            (Self::HandlerUnmarked, Verdict::Handled { .. }) => {
                if let Some(letter) = row.handles_letter {
                    store.spoil_letter(letter, |letter| letter.resolution = None);
                }
            }
            (Self::HandlerSilent, Verdict::HandlerFailed { .. }) => {
                if let Some(letter) = row.handles_letter {
                    store.spoil_letter(letter, |letter| letter.handler_failure = None);
                }
            }
            _ => {}
        }
    }
}

/// The state before a request, and the claims that the bug renamed.
#[derive(Default)]
struct Before {
    rows: Vec<Row>,
    renamed: Vec<Claim>,
    limits: Vec<(TriggerId, Option<MaxConcurrency>)>,
}

fn before_name(renamed: &[Claim], claim: &mut Claim) {
    if let Some(was) = renamed.iter().find(|was| was.delivery == claim.delivery) {
        *claim = *was;
    }
}
