//! The store, as a dispatcher sees it.

use super::app::App;
use crate::Store;
use std::time::Duration;
use tidegate_core::{
    Claim, Delivery, DeliveryId, DiscoverReply, ExchangeReply, LaneQuota, LaneState, Micros, RenewReply, Reply,
    Request, Schedule, Settlement, Tick, TickReply, Timestamp, TriggerId, Verdict,
};
use tidegate_ports::DispatchStore;

/// Longer than any case runs.
pub(crate) const LEASE: Micros = Micros::from_secs(600);

/// Expired by the time of the next call.
const SHORT: Micros = Micros(1);

/// How often a case asks again for what should come at once, and how long it rests between: 20 s in all.
const ASKS_MAX: u32 = 10_000;
const REST: Duration = Duration::from_millis(2);

/// [`Reply::Exchange`].
#[derive(Clone, Debug)]
pub(crate) struct Exchanged {
    pub(crate) now: Timestamp,
    pub(crate) fenced: Vec<Claim>,
    pub(crate) conflicted: Vec<Claim>,
    pub(crate) claimed: Vec<Delivery>,
    pub(crate) woken: Vec<TriggerId>,
}

/// The claim that `delivery` came by.
pub(crate) fn claim_of(delivery: &Delivery) -> Claim {
    Claim { delivery: delivery.id, lease: delivery.lease }
}

/// The rows, in the order of `deliveries`.
pub(crate) fn ids(deliveries: &[Delivery]) -> Vec<DeliveryId> {
    deliveries.iter().map(|delivery| delivery.id).collect()
}

/// `quota` rows of `lane`, from the beginning.
pub(crate) fn quota(lane: TriggerId, quota: u32) -> LaneQuota {
    LaneQuota { trigger: lane, quota, floor: Timestamp::EPOCH }
}

/// One settlement.
pub(crate) fn settlement(delivery: &Delivery, verdict: Verdict) -> Settlement {
    Settlement { claim: claim_of(delivery), verdict }
}

impl<S: Store> App<S> {
    pub(crate) async fn exchange_for(
        &self,
        settle: Vec<Settlement>,
        claim: Vec<LaneQuota>,
        lease_for: Micros,
    ) -> Exchanged {
        let request = Request::Exchange { settle, claim, lease_for };
        match DispatchStore::call(&*self.store, request).await.expect("the exchange is made") {
            Reply::Exchange(ExchangeReply { now, fenced, conflicted, claimed, woken_lanes: mut woken }) => {
                woken.sort(); // A set: no order is promised.
                Exchanged { now, fenced, conflicted, claimed, woken }
            }
            other => panic!("an exchange was answered by {other:?}"),
        }
    }

    pub(crate) async fn exchange(&self, settle: Vec<Settlement>, claim: Vec<LaneQuota>) -> Exchanged {
        self.exchange_for(settle, claim, LEASE).await
    }

    /// What can be claimed of `lane` now, at most `at_most` rows, leased for long.
    pub(crate) async fn claim(&self, lane: TriggerId, at_most: u32) -> Vec<Delivery> {
        self.exchange(Vec::new(), vec![quota(lane, at_most)]).await.claimed
    }

    /// The next row of `lane`, as soon as it can be claimed, and when that was.
    pub(crate) async fn next_for(&self, lane: TriggerId, lease_for: Micros) -> (Timestamp, Delivery) {
        for _ in 0..ASKS_MAX {
            let mut reply = self.exchange_for(Vec::new(), vec![quota(lane, 1)], lease_for).await;
            if let Some(delivery) = reply.claimed.pop() {
                return (reply.now, delivery);
            }
            tokio::time::sleep(REST).await;
        }
        panic!("no row of trigger {lane} can be claimed");
    }

    /// The next row of `lane`, as soon as it can be claimed, leased for long.
    pub(crate) async fn next(&self, lane: TriggerId) -> Delivery {
        self.next_for(lane, LEASE).await.1
    }

    /// The next row of `lane`, by a claim that anybody may take over: its lease is over at once.
    pub(crate) async fn next_expiring(&self, lane: TriggerId) -> (Timestamp, Delivery) {
        self.next_for(lane, SHORT).await
    }

    /// Settles, and says what came of it.
    pub(crate) async fn try_settle(&self, delivery: &Delivery, verdict: Verdict) -> Exchanged {
        self.exchange(vec![settlement(delivery, verdict)], Vec::new()).await
    }

    /// Settles, and is sure that it was applied.
    pub(crate) async fn settle(&self, delivery: &Delivery, verdict: Verdict) -> Exchanged {
        let name = verdict.name();
        let reply = self.try_settle(delivery, verdict).await;
        assert_eq!((&reply.fenced, &reply.conflicted), (&vec![], &vec![]), "{name} is applied");
        reply
    }

    /// Renews for `lease_for`, and says which claims are no longer valid.
    pub(crate) async fn renew(&self, held: &[&Delivery], lease_for: Micros) -> Vec<Claim> {
        let request = Request::Renew { held: held.iter().map(|delivery| claim_of(delivery)).collect(), lease_for };
        match DispatchStore::call(&*self.store, request).await.expect("the leases are renewed") {
            Reply::Renew(RenewReply { fenced, .. }) => fenced,
            other => panic!("a renewal was answered by {other:?}"),
        }
    }

    /// The lanes that have rows, and the store's now.
    pub(crate) async fn discover(&self) -> (Timestamp, Vec<LaneState>) {
        match DispatchStore::call(&*self.store, Request::Discover).await.expect("the lanes are discovered") {
            Reply::Discover(DiscoverReply { now, lanes, .. }) => (now, lanes),
            other => panic!("a discovery was answered by {other:?}"),
        }
    }

    /// The schedules that have to be looked at, in the order of their triggers.
    pub(crate) async fn schedules(&self) -> Vec<Schedule> {
        match DispatchStore::call(&*self.store, Request::Discover).await.expect("the schedules are discovered") {
            Reply::Discover(DiscoverReply { mut schedules, .. }) => {
                schedules.sort_by_key(|schedule| schedule.trigger);
                schedules
            }
            other => panic!("a discovery was answered by {other:?}"),
        }
    }

    /// Offers `ticks`, and says when that was and which lanes got rows.
    pub(crate) async fn tick(&self, ticks: Vec<Tick>) -> (Timestamp, Vec<TriggerId>) {
        match DispatchStore::call(&*self.store, Request::Tick { ticks }).await.expect("the ticks are offered") {
            Reply::Tick(TickReply { now, woken_lanes: mut woken }) => {
                woken.sort(); // A set: no order is promised.
                (now, woken)
            }
            other => panic!("ticks were answered by {other:?}"),
        }
    }

    /// The lanes that have rows, by id.
    pub(crate) async fn lanes(&self) -> Vec<TriggerId> {
        self.discover().await.1.iter().map(|lane| lane.trigger).collect()
    }
}
