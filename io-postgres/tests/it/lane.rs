//! One lane of a database, as the daemons that drain it see it.

use crate::database::{Database, with_one_trigger};
use sqlx::PgConnection;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::{
    Claim, Delivery, DeliveryId, DiscoverReply, Effects, ExchangeReply, LaneQuota, Micros, RenewReply, Reply, Request,
    Settlement, StoreError, SuspectClaim, Timestamp, TriggerId, Verdict,
};
use tidegate_io_postgres::PgStore;
use tidegate_ports::DispatchStore;
use tokio::task::JoinHandle;

/// Longer than a test takes.
pub(crate) const LEASE: Micros = Micros::from_secs(600);

/// The lane of one trigger, and the store of one daemon.
#[derive(Clone)]
pub(crate) struct Lane {
    pub(crate) store: PgStore,
    pub(crate) trigger: TriggerId,
}

impl Lane {
    /// Deploys a trigger on an empty schema.
    pub(crate) async fn open(database: &Database) -> Self {
        let store = database.store();
        let trigger = with_one_trigger(&store).await;
        Self { store, trigger }
    }

    /// The same lane, as another daemon sees it.
    pub(crate) fn of_another_daemon(&self, database: &Database) -> Self {
        Self { store: database.store(), trigger: self.trigger }
    }

    pub(crate) async fn exchange(
        &self,
        settle: Vec<Settlement>,
        quota: u32,
        look_back: Timestamp,
        lease_for: Micros,
    ) -> ExchangeReply {
        self.try_exchange(settle, quota, look_back, lease_for).await.unwrap()
    }

    pub(crate) async fn try_exchange(
        &self,
        settle: Vec<Settlement>,
        quota: u32,
        look_back: Timestamp,
        lease_for: Micros,
    ) -> Result<ExchangeReply, StoreError> {
        let claim = (quota > 0).then_some(LaneQuota { trigger: self.trigger, quota, starts: quota, look_back });
        let claim = claim.into_iter().collect();
        self.call(Request::Exchange { settle, claim, suspect: None, lease_for, claim_bytes_max: u64::MAX }).await
    }

    /// An exchange that also ends the expired claims of the lane and claims a suspect.
    pub(crate) async fn try_exchange_with_suspect(
        &self,
        settle: Vec<Settlement>,
        quota: u32,
        look_back: Timestamp,
        lease_for: Micros,
    ) -> Result<ExchangeReply, StoreError> {
        let claim = vec![LaneQuota { trigger: self.trigger, quota, starts: quota, look_back }];
        let suspect = Some(SuspectClaim { trigger: self.trigger, quota: 1, backoff: Micros::ZERO });
        self.call(Request::Exchange { settle, claim, suspect, lease_for, claim_bytes_max: u64::MAX }).await
    }

    async fn call(&self, request: Request) -> Result<ExchangeReply, StoreError> {
        match self.store.call(request).await? {
            Reply::Exchange(reply) => Ok(reply),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn claim(&self, quota: u32, look_back: Timestamp) -> Vec<Arc<Delivery>> {
        self.exchange(Vec::new(), quota, look_back, LEASE).await.claimed
    }

    /// The SQL of a claim that also ends the expired claims of the lane, for the transaction of a
    /// test.
    pub(crate) fn claim_statement(&self, quota: u32) -> String {
        format!(
            "select * from tidegate.exchange(
                row('{{}}', '{{}}', '{{}}', '{{}}', '{{}}', null)::tidegate.settlements,
                row('{{{0}}}', '{{{quota}}}', '{{{quota}}}', array[clock_timestamp() - interval '50 milliseconds'], 60000000,
                    4194304, {0}, 1, 0, 'lost', 'held')::tidegate.claim_request)",
            self.trigger
        )
    }

    /// Settles rows as successes. Returns the fenced claims.
    pub(crate) async fn settle(&self, rows: &[Arc<Delivery>]) -> Vec<Claim> {
        self.exchange(rows.iter().map(|row| done(row)).collect(), 0, Timestamp::EPOCH, LEASE).await.fenced
    }

    pub(crate) async fn renew(&self, rows: &[Arc<Delivery>], lease_for: Micros) -> RenewReply {
        let held = rows.iter().map(|row| row.claim()).collect();
        match self.store.call(Request::Renew { held, lease_for }).await.unwrap() {
            Reply::Renew(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    /// The first due time of the lane that a discovery finds.
    pub(crate) async fn next_due(&self) -> Option<Timestamp> {
        match self.store.call(Request::Discover).await.unwrap() {
            Reply::Discover(DiscoverReply { lanes, .. }) => {
                lanes.iter().find(|lane| lane.trigger == self.trigger).map(|lane| lane.next_due)
            }
            other => panic!("{other:?}"),
        }
    }

    /// The due time so long before the store's now.
    pub(crate) async fn before_now(&self, length: Micros) -> Timestamp {
        self.exchange(Vec::new(), 0, Timestamp::EPOCH, LEASE).await.now.minus(length)
    }
}

pub(crate) fn done(row: &Delivery) -> Settlement {
    Settlement { claim: row.claim(), verdict: Verdict::Done { effects: Effects::default() } }
}

pub(crate) fn ids(rows: &[Arc<Delivery>]) -> BTreeSet<DeliveryId> {
    rows.iter().map(|row| row.id).collect()
}

/// Asserts that the rows from 1 to `last` were settled, each once.
pub(crate) fn assert_each_once(mut settled: Vec<DeliveryId>, last: i64) {
    settled.sort();
    let twice: Vec<_> = settled.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    let unique: BTreeSet<_> = settled.into_iter().collect();
    let never: Vec<_> = (1..=last).map(DeliveryId).filter(|id| !unique.contains(id)).collect();
    assert!(twice.is_empty() && never.is_empty(), "settled twice: {twice:?}; never: {never:?}");
}

/// Waits until a task has ended, or waits for a lock.
pub(crate) async fn ended_or_blocked<T>(client: &mut PgConnection, task: &JoinHandle<T>) {
    let is_blocked = "select exists (
        select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
    while !task.is_finished() && !sqlx::query_scalar::<_, bool>(is_blocked).fetch_one(&mut *client).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
