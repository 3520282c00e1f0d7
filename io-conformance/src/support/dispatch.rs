//! The store as a dispatcher uses it.

use super::app::App;
use crate::Store;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::{
    Claim, Delivery, DeliveryId, DiscoverReply, ExchangeReply, LaneQuota, LaneState, Micros, RenewReply, Reply,
    Request, Schedule, Settlement, SuspectClaim, SuspectLane, Tick, TickReply, Timestamp, TriggerId, Verdict,
};
use tidegate_ports::DispatchStore;

/// A lease that outlasts every case.
pub(crate) const LEASE: Micros = Micros::from_secs(600);

/// A lease that has expired at the next call.
pub(crate) const EXPIRED_AT_ONCE: Micros = Micros(1);

/// A case repeats a request at most 10,000 times, with 2 ms between two requests: 20 s in all.
const REQUESTS_MAX: u32 = 10_000;
const REQUEST_INTERVAL: Duration = Duration::from_millis(2);

/// [`ExchangeReply`], with the woken lanes sorted.
#[derive(Clone, Debug)]
pub(crate) struct SortedExchangeReply {
    pub(crate) now: Timestamp,
    pub(crate) fenced: Vec<Claim>,
    pub(crate) conflicted: Vec<Claim>,
    pub(crate) claimed: Vec<Delivery>,
    pub(crate) suspects: u32,
    pub(crate) is_cut: bool,
    pub(crate) woken: Vec<TriggerId>,
}

pub(crate) fn claim_of(delivery: &Delivery) -> Claim {
    Claim { delivery: delivery.id, lease: delivery.lease }
}

pub(crate) fn ids(deliveries: &[Delivery]) -> Vec<DeliveryId> {
    deliveries.iter().map(|delivery| delivery.id).collect()
}

/// A quota of `quota` rows of `lane`, which all start at once, with a look-back to the beginning.
pub(crate) fn quota(lane: TriggerId, quota: u32) -> LaneQuota {
    LaneQuota { trigger: lane, quota, starts: quota, look_back: Timestamp::EPOCH }
}

/// A claim of `lane` that asks for more suspects than one.
fn suspects(lane: TriggerId, backoff: Micros) -> SuspectClaim {
    SuspectClaim { trigger: lane, quota: 5, backoff }
}

pub(crate) fn settlement(delivery: &Delivery, verdict: Verdict) -> Settlement {
    Settlement { claim: claim_of(delivery), verdict }
}

impl<S: Store> App<S> {
    pub(crate) async fn exchange_for(
        &self,
        settle: Vec<Settlement>,
        claim: Vec<LaneQuota>,
        lease_for: Micros,
    ) -> SortedExchangeReply {
        self.exchange_with(settle, claim, None, lease_for).await
    }

    async fn exchange_with(
        &self,
        settle: Vec<Settlement>,
        claim: Vec<LaneQuota>,
        suspect: Option<SuspectClaim>,
        lease_for: Micros,
    ) -> SortedExchangeReply {
        self.exchange_within(settle, claim, suspect, lease_for, u64::MAX).await
    }

    /// Claims at most `claim_bytes_max` bytes of the lanes and as many of `suspect`, for [`LEASE`].
    pub(crate) async fn claim_within(
        &self,
        claim: Vec<LaneQuota>,
        suspect: Option<TriggerId>,
        claim_bytes_max: u64,
    ) -> SortedExchangeReply {
        let suspect = suspect.map(|lane| SuspectClaim { trigger: lane, quota: 100, backoff: Micros::ZERO });
        self.exchange_within(Vec::new(), claim, suspect, LEASE, claim_bytes_max).await
    }

    async fn exchange_within(
        &self,
        settle: Vec<Settlement>,
        claim: Vec<LaneQuota>,
        suspect: Option<SuspectClaim>,
        lease_for: Micros,
        claim_bytes_max: u64,
    ) -> SortedExchangeReply {
        let request = Request::Exchange { settle, claim, suspect, lease_for, claim_bytes_max };
        match DispatchStore::call(&*self.store, request).await.expect("the store answers the exchange") {
            Reply::Exchange(ExchangeReply {
                now,
                fenced,
                conflicted,
                claimed,
                suspects,
                is_cut,
                woken_lanes: mut woken,
            }) => {
                woken.sort(); // The store promises a set without an order.
                let claimed = claimed.into_iter().map(Arc::unwrap_or_clone).collect();
                SortedExchangeReply { now, fenced, conflicted, claimed, suspects, is_cut, woken }
            }
            other => panic!("an exchange was answered by {other:?}"),
        }
    }

    pub(crate) async fn exchange(&self, settle: Vec<Settlement>, claim: Vec<LaneQuota>) -> SortedExchangeReply {
        self.exchange_for(settle, claim, LEASE).await
    }

    /// Claims at most `at_most` rows of `lane` for [`LEASE`].
    pub(crate) async fn claim(&self, lane: TriggerId, at_most: u32) -> Vec<Delivery> {
        self.exchange(Vec::new(), vec![quota(lane, at_most)]).await.claimed
    }

    /// Claims at most `at_most` rows of `lane`, without looking back below the lane's floor.
    pub(crate) async fn claim_forward(&self, lane: TriggerId, at_most: u32) -> Vec<Delivery> {
        let look_back = self.discover().await.0.plus(Micros::from_secs(3_600));
        let quota = LaneQuota { look_back, ..quota(lane, at_most) };
        self.exchange(Vec::new(), vec![quota]).await.claimed
    }

    /// Claims at most `at_most` rows of `lane` with a lease that expires at once. The first
    /// `starts` of them start at once.
    pub(crate) async fn claim_ahead(&self, lane: TriggerId, at_most: u32, starts: u32) -> Vec<Delivery> {
        let quota = LaneQuota { starts, ..quota(lane, at_most) };
        self.exchange_for(Vec::new(), vec![quota], EXPIRED_AT_ONCE).await.claimed
    }

    /// Ends the expired claims of `lane`, and claims at most `at_most` suspects, also beside a
    /// quota of the same lane. Returns the rows of the quota, and the suspects.
    pub(crate) async fn claim_suspects_with(
        &self,
        lane: TriggerId,
        at_most: u32,
        lease_for: Micros,
    ) -> (Vec<Delivery>, Vec<Delivery>) {
        let claim = SuspectClaim { quota: at_most, ..suspects(lane, Micros::ZERO) };
        let mut reply = self.exchange_with(Vec::new(), vec![quota(lane, 9)], Some(claim), lease_for).await;
        let suspects = reply.claimed.split_off(reply.claimed.len() - reply.suspects as usize);
        (reply.claimed, suspects)
    }

    /// Claims at most `at_most` rows of `lane`, with a lease that expires at once.
    pub(crate) async fn claim_expiring(&self, lane: TriggerId, at_most: u32) -> Vec<Delivery> {
        self.exchange_for(Vec::new(), vec![quota(lane, at_most)], EXPIRED_AT_ONCE).await.claimed
    }

    /// Waits until a row of `lane` can be claimed. Returns the store's time of the claim, and the
    /// row.
    pub(crate) async fn next_for(&self, lane: TriggerId, lease_for: Micros) -> (Timestamp, Delivery) {
        for _ in 0..REQUESTS_MAX {
            let mut reply = self.exchange_for(Vec::new(), vec![quota(lane, 1)], lease_for).await;
            if let Some(delivery) = reply.claimed.pop() {
                return (reply.now, delivery);
            }
            tokio::time::sleep(REQUEST_INTERVAL).await;
        }
        panic!("no row of trigger {lane} can be claimed");
    }

    /// Waits until a row of `lane` can be claimed, and claims it for [`LEASE`].
    pub(crate) async fn next(&self, lane: TriggerId) -> Delivery {
        self.next_for(lane, LEASE).await.1
    }

    /// Waits until a row of `lane` can be claimed, and claims it with a lease that expires at once.
    pub(crate) async fn next_expiring(&self, lane: TriggerId) -> (Timestamp, Delivery) {
        self.next_for(lane, EXPIRED_AT_ONCE).await
    }

    /// Ends the expired claims of `lane`, and claims its first suspect. No suspect has a back-off.
    /// Returns the store's time, and the row.
    pub(crate) async fn claim_suspect_for(&self, lane: TriggerId, lease_for: Micros) -> (Timestamp, Option<Delivery>) {
        let suspects = suspects(lane, Micros::ZERO);
        let mut reply = self.exchange_with(Vec::new(), Vec::new(), Some(suspects), lease_for).await;
        assert!(reply.claimed.len() <= 1, "a suspect that was lost is alone in its claim: {:#?}", reply.claimed);
        assert_eq!(reply.suspects as usize, reply.claimed.len());
        (reply.now, reply.claimed.pop())
    }

    /// Ends the expired claims of `lane` with this back-off.
    pub(crate) async fn end_expired(&self, lane: TriggerId, backoff: Micros) -> (Timestamp, Option<Delivery>) {
        let claim = SuspectClaim { quota: 1, ..suspects(lane, backoff) };
        let mut reply = self.exchange_with(Vec::new(), Vec::new(), Some(claim), LEASE).await;
        (reply.now, reply.claimed.pop())
    }

    /// Settles a row, and claims the first suspect of `lane` in the same exchange.
    pub(crate) async fn settle_and_claim_suspect(
        &self,
        row: &Delivery,
        verdict: Verdict,
        lane: TriggerId,
    ) -> Option<Delivery> {
        let suspects = suspects(lane, Micros::ZERO);
        let mut reply = self.exchange_with(vec![settlement(row, verdict)], Vec::new(), Some(suspects), LEASE).await;
        assert_eq!(reply.fenced, []);
        reply.claimed.pop()
    }

    /// Claims the suspects of `lane` one by one for [`LEASE`], until there are no more.
    pub(crate) async fn claim_suspects(&self, lane: TriggerId) -> Vec<Delivery> {
        let mut rows = Vec::new();
        while let Some(row) = self.claim_suspect_for(lane, LEASE).await.1 {
            rows.push(row);
        }
        rows
    }

    /// Waits until `lane` has a suspect, and claims it.
    async fn next_suspect_for(&self, lane: TriggerId, lease_for: Micros) -> (Timestamp, Delivery) {
        for _ in 0..REQUESTS_MAX {
            if let (now, Some(row)) = self.claim_suspect_for(lane, lease_for).await {
                return (now, row);
            }
            tokio::time::sleep(REQUEST_INTERVAL).await;
        }
        panic!("trigger {lane} has no suspect");
    }

    /// Waits until `lane` has a suspect, and claims it for [`LEASE`].
    pub(crate) async fn next_suspect(&self, lane: TriggerId) -> Delivery {
        self.next_suspect_for(lane, LEASE).await.1
    }

    /// Waits until `lane` has a suspect, and claims it with a lease that expires at once.
    pub(crate) async fn next_suspect_expiring(&self, lane: TriggerId) -> (Timestamp, Delivery) {
        self.next_suspect_for(lane, EXPIRED_AT_ONCE).await
    }

    pub(crate) async fn try_settle(&self, delivery: &Delivery, verdict: Verdict) -> SortedExchangeReply {
        self.exchange(vec![settlement(delivery, verdict)], Vec::new()).await
    }

    /// Settles, and checks that the settlement was applied.
    pub(crate) async fn settle(&self, delivery: &Delivery, verdict: Verdict) -> SortedExchangeReply {
        let name = verdict.name();
        let reply = self.try_settle(delivery, verdict).await;
        assert_eq!((&reply.fenced, &reply.conflicted), (&vec![], &vec![]), "{name} is applied");
        reply
    }

    /// Renews for `lease_for`, and returns the claims that are no longer valid.
    pub(crate) async fn renew(&self, held: &[&Delivery], lease_for: Micros) -> Vec<Claim> {
        let request = Request::Renew { held: held.iter().map(|delivery| claim_of(delivery)).collect(), lease_for };
        match DispatchStore::call(&*self.store, request).await.expect("the leases are renewed") {
            Reply::Renew(RenewReply { fenced, .. }) => fenced,
            other => panic!("a renewal was answered by {other:?}"),
        }
    }

    /// The store's time, and the lanes with rows to claim.
    pub(crate) async fn discover(&self) -> (Timestamp, Vec<LaneState>) {
        match DispatchStore::call(&*self.store, Request::Discover).await.expect("the lanes are discovered") {
            Reply::Discover(DiscoverReply { now, lanes, .. }) => (now, lanes),
            other => panic!("a discovery was answered by {other:?}"),
        }
    }

    /// The schedules that are due or have no known next tick, in the order of their triggers.
    pub(crate) async fn schedules(&self) -> Vec<Schedule> {
        match DispatchStore::call(&*self.store, Request::Discover).await.expect("the schedules are discovered") {
            Reply::Discover(DiscoverReply { mut schedules, .. }) => {
                schedules.sort_by_key(|schedule| schedule.trigger);
                schedules
            }
            other => panic!("a discovery was answered by {other:?}"),
        }
    }

    /// Sends `ticks`. Returns the store's time and the lanes that got rows.
    pub(crate) async fn tick(&self, ticks: Vec<Tick>) -> (Timestamp, Vec<TriggerId>) {
        match DispatchStore::call(&*self.store, Request::Tick { ticks }).await.expect("the store answers the ticks") {
            Reply::Tick(TickReply { now, woken_lanes: mut woken }) => {
                woken.sort(); // The store promises a set without an order.
                (now, woken)
            }
            other => panic!("ticks were answered by {other:?}"),
        }
    }

    /// The lanes with suspects or expired claims.
    pub(crate) async fn suspect_lanes(&self) -> Vec<SuspectLane> {
        match DispatchStore::call(&*self.store, Request::Discover).await.expect("the lanes are discovered") {
            Reply::Discover(DiscoverReply { suspects, .. }) => suspects,
            other => panic!("a discovery was answered by {other:?}"),
        }
    }

    /// The ids of the lanes with suspects or expired claims.
    pub(crate) async fn lost_lanes(&self) -> Vec<TriggerId> {
        self.suspect_lanes().await.iter().map(|lane| lane.trigger).collect()
    }

    /// The ids of the lanes with rows to claim.
    pub(crate) async fn lanes(&self) -> Vec<TriggerId> {
        self.discover().await.1.iter().map(|lane| lane.trigger).collect()
    }
}
