//! Two daemons work on one lane at the same time.

use crate::database::{Database, on_sound_schema};
use crate::lane::{LEASE, Lane, assert_each_once, done, ended_or_blocked, ids};
use crate::truth::broken_rules;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::{
    Attempt, Delivery, DeliveryId, ExecError, Fate, Micros, Settlement, StoreError, StoreErrorKind, Timestamp, Verdict,
};

const RUN: Duration = Duration::from_secs(4);
const LIMIT: i32 = 25;

/// A claim begins while another claim of the lane is not committed.
pub(crate) async fn claims_at_once(database: Arc<Database>) {
    let lane = Lane::open(&database).await;
    let (mut client, mut other) = (database.client().await, database.client().await);
    client.execute("select tidegate.emit('shop', 'x') from generate_series(1, 20)").await.unwrap();
    let mut first = client.begin().await.unwrap();
    first.execute(AssertSqlSafe(lane.claim_statement(10))).await.unwrap();

    let second = tokio::spawn({
        let lane = lane.clone();
        async move { lane.claim(10, Timestamp::EPOCH).await }
    });
    ended_or_blocked(&mut other, &second).await;
    first.commit().await.unwrap();

    assert_eq!(ids(&second.await.unwrap()), (11..=20).map(DeliveryId).collect());
    lane.store.close().await;
}

#[tokio::test]
async fn claims_of_one_lane_follow_one_another() {
    on_sound_schema(claims_at_once).await;
}

/// A settlement waits for rows whose expired claim is being ended.
pub(crate) async fn settled_while_ended(database: Arc<Database>) {
    let lane = Lane::open(&database).await;
    let (mut client, mut other) = (database.client().await, database.client().await);
    client.execute("select tidegate.emit('shop', 'x') from generate_series(1, 4)").await.unwrap();
    let old = lane.exchange(Vec::new(), 4, Timestamp::EPOCH, Micros(1)).await.claimed;
    let mut taking = client.begin().await.unwrap();
    taking.execute(AssertSqlSafe(lane.claim_statement(2))).await.unwrap();

    let settlement = tokio::spawn({
        let (lane, old) = (lane.clone(), old.clone());
        async move { lane.settle(&old).await }
    });
    ended_or_blocked(&mut other, &settlement).await;
    taking.commit().await.unwrap();

    let fenced: Vec<_> = old.iter().map(|row| row.claim()).collect();
    assert_eq!(settlement.await.unwrap(), fenced);
    let left: Vec<i64> =
        sqlx::query_scalar("select id from tidegate.outbox order by id").fetch_all(&mut client).await.unwrap();
    assert_eq!(left, old.iter().map(|row| row.id.0).collect::<Vec<_>>());
    lane.store.close().await;
}

#[tokio::test]
async fn a_settlement_is_fenced_by_the_end_of_its_claim() {
    on_sound_schema(settled_while_ended).await;
}

/// An expired claim is ended while one of its rows is locked. It keeps this row alone.
pub(crate) async fn ended_in_part(database: Arc<Database>) {
    let lane = Lane::open(&database).await;
    let mut client = database.client().await;
    client.execute("select tidegate.emit('shop', 'x') from generate_series(1, 2)").await.unwrap();
    let old = lane.exchange(Vec::new(), 2, Timestamp::EPOCH, Micros(1)).await.claimed;
    let mut settling = client.begin().await.unwrap();
    settling.execute("select from tidegate.outbox where id = 2 for update").await.unwrap();

    let suspects = lane.try_exchange_with_suspect(Vec::new(), 1, Timestamp::EPOCH, LEASE).await.unwrap().claimed;

    settling.rollback().await.unwrap();
    assert_eq!(ids(&suspects), BTreeSet::from([old[0].id]));
    assert_eq!(lane.settle(&old).await, [old[0].claim()], "only the locked row is still held");
    assert_eq!(lane.settle(&suspects).await, []);
    lane.store.close().await;
}

#[tokio::test]
async fn a_claim_that_is_ended_keeps_its_locked_rows() {
    on_sound_schema(ended_in_part).await;
}

async fn set_limit(client: &mut PgConnection, lane: &Lane, limit: Option<i32>) {
    let set_limit = "update tidegate.triggers set max_concurrency = $1 where id = $2";
    sqlx::query(set_limit).bind(limit).bind(lane.trigger.0).execute(client).await.unwrap();
}

/// A claim expires, and another claim takes its slot for an earlier row.
pub(crate) async fn renewed_without_a_slot(database: Arc<Database>) {
    let lane = Lane::open(&database).await;
    let mut client = database.client().await;
    set_limit(&mut client, &lane, Some(1)).await;
    client.execute("select tidegate.emit('shop', 'x')").await.unwrap();
    let old = lane.exchange(Vec::new(), 1, Timestamp::EPOCH, Micros(1)).await.claimed;
    client.execute("select tidegate.emit('shop', 'x')").await.unwrap();
    client.execute("update tidegate.outbox set due_at = due_at - interval '1 hour' where id = 2").await.unwrap();
    assert_eq!(ids(&lane.claim(2, Timestamp::EPOCH).await), BTreeSet::from([DeliveryId(2)]));

    assert_eq!(lane.renew(&old, LEASE).await.fenced, [old[0].claim()]);
    lane.store.close().await;
}

#[tokio::test]
async fn an_expired_claim_is_not_renewed_after_its_slot_was_taken() {
    on_sound_schema(renewed_without_a_slot).await;
}

/// Pseudo-random numbers. The tasks race, so a seed does not make a run repeatable.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn lease(&mut self) -> Micros {
        [2, 20, 300].map(Micros::from_millis)[self.roll(3) as usize]
    }

    fn verdict(&mut self, row: &Delivery) -> Verdict {
        let delay = Micros::from_millis(self.roll(20));
        let (attempt, error, message) = (row.attempt, ExecError::Internal, "it broke".to_owned());
        match self.roll(4) {
            0 => Verdict::Deferred { delay },
            1 => {
                let failed = Attempt { attempt, started_at: Timestamp::EPOCH, duration: None, error, message };
                Verdict::Retry { delay, failed }
            }
            _ => done(row).verdict,
        }
    }
}

/// Claims, settles, renews and forgets rows. Returns the rows that it has settled as successes.
async fn daemon(lane: Lane, mut dice: Dice, until: Instant) -> Vec<DeliveryId> {
    let (mut held, mut settled): (Vec<Arc<Delivery>>, Vec<DeliveryId>) = (Vec::new(), Vec::new());
    let mut now = Timestamp::EPOCH;
    while Instant::now() < until {
        match dice.roll(12) {
            0 => held.clear(),
            1 => drop(lane.next_due().await),
            2 | 3 => {
                let fenced = lane.renew(&held, dice.lease()).await.fenced;
                held.retain(|row| !fenced.contains(&row.claim()));
            }
            _ => {
                let (leaving, staying): (Vec<_>, Vec<_>) = held.iter().cloned().partition(|_| dice.roll(2) == 0);
                let settle: Vec<_> =
                    leaving.iter().map(|row| Settlement { claim: row.claim(), verdict: dice.verdict(row) }).collect();
                let slack = [Micros::from_millis(50), Micros::from_secs(5)][dice.roll(2) as usize];
                let (quota, lease_for) = (dice.roll(30) as u32, dice.lease());
                let (settlements, look_back) = (settle.clone(), now.minus(slack));
                let result = if dice.roll(4) == 0 {
                    lane.try_exchange_with_suspect(settlements, quota, look_back, lease_for).await
                } else {
                    lane.try_exchange(settlements, quota, look_back, lease_for).await
                };
                let reply = match result {
                    Ok(reply) => reply,
                    // A deadlock with a settlement of an earlier claim: nothing is done.
                    Err(StoreError { fate: Fate::NotApplied, kind: StoreErrorKind::Contention, .. }) => continue,
                    Err(error) => panic!("{error}"),
                };
                let applied = settle.iter().filter(|one| !reply.fenced.contains(&one.claim));
                let is_done = |one: &&Settlement| matches!(one.verdict, Verdict::Done { .. });
                settled.extend(applied.filter(is_done).map(|one| one.claim.delivery));
                // An exchange may settle a row once only, so a new claim replaces the old one.
                let claimed = ids(&reply.claimed);
                held = staying.into_iter().filter(|row| !claimed.contains(&row.id)).chain(reply.claimed).collect();
                now = reply.now;
            }
        }
    }
    settled
}

/// Puts all suspects back into their lane, because a daemon claims them one by one.
const PUT_BACK: &str = "
    update tidegate.outbox set suspect = false, waits = true, lost = 0
    where id in (select id from tidegate.outbox where suspect for update skip locked)";

/// Emits rows, some in transactions that commit late.
async fn emit(mut client: PgConnection, mut dice: Dice, until: Instant) {
    while Instant::now() < until {
        let mut transaction = client.begin().await.unwrap();
        let emit = "select tidegate.emit('shop', 'x') from generate_series(1, $1)";
        sqlx::query(emit).bind(dice.roll(40) as i32).execute(&mut *transaction).await.unwrap();
        let pause = if dice.roll(3) == 0 { dice.roll(80) } else { 5 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        transaction.commit().await.unwrap();
        client.execute(PUT_BACK).await.unwrap();
    }
}

/// Checks snapshots until the end of the run.
async fn watch(mut client: PgConnection, limit: Option<i32>, until: Instant) {
    let slots =
        "select coalesce(sum(rows_left), 0) from tidegate.claims where lease_until > clock_timestamp() or not is_void";
    while Instant::now() < until {
        let broken = broken_rules(&mut client).await;
        assert!(broken.is_empty(), "{broken:#?}");
        let slots: i64 = sqlx::query_scalar(slots).fetch_one(&mut client).await.unwrap();
        assert!(limit.is_none_or(|limit| slots <= i64::from(limit)), "{slots} slots are in use");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Ends all leases, then settles all rows that are left.
async fn drain(lane: &Lane, client: &mut PgConnection) -> Vec<DeliveryId> {
    client.execute("update tidegate.claims set lease_until = clock_timestamp()").await.unwrap();
    let ended = lane.try_exchange_with_suspect(Vec::new(), 200, Timestamp::EPOCH, LEASE).await.unwrap().claimed;
    assert_eq!(lane.settle(&ended).await, []);
    client.execute(PUT_BACK).await.unwrap();
    let begin = Instant::now();
    let mut settled = ids(&ended).into_iter().collect::<Vec<_>>();
    while sqlx::query_scalar("select exists (select from tidegate.outbox)").fetch_one(&mut *client).await.unwrap() {
        let rows = lane.claim(200, Timestamp::EPOCH).await;
        assert_eq!(lane.settle(&rows).await, []);
        settled.extend(ids(&rows));
        assert!(begin.elapsed() < Duration::from_secs(10), "rows are left that no claim finds");
    }
    settled
}

/// Two daemons work at random, and a client emits rows. The rules of `truth` hold in each snapshot,
/// and each row is settled once.
async fn at_random(database: Arc<Database>, limit: Option<i32>) {
    let lane = Lane::open(&database).await;
    let mut client = database.client().await;
    set_limit(&mut client, &lane, limit).await;
    let other = lane.of_another_daemon(&database);
    let until = Instant::now() + RUN;
    let watch = tokio::spawn(watch(database.client().await, limit, until));
    let emit = tokio::spawn(emit(database.client().await, Dice(1), until));
    let daemons: Vec<_> = [(&lane, 2), (&lane, 3), (&other, 4), (&other, 5)]
        .map(|(lane, seed)| tokio::spawn(daemon(lane.clone(), Dice(seed), until)))
        .into_iter()
        .collect();
    let mut settled = Vec::new();
    for daemon in daemons {
        settled.extend(daemon.await.unwrap());
    }
    emit.await.unwrap();
    watch.await.unwrap();
    let while_running = settled.len();
    settled.extend(drain(&lane, &mut client).await);

    let all: i64 =
        sqlx::query_scalar("select last_value from tidegate.outbox_id_seq").fetch_one(&mut client).await.unwrap();
    assert!(while_running > 300, "{while_running} settled rows are too few for this test");
    assert_each_once(settled, all);
    lane.store.close().await;
    other.store.close().await;
}

pub(crate) async fn at_random_without_limit(database: Arc<Database>) {
    at_random(database, None).await;
}

pub(crate) async fn at_random_with_limit(database: Arc<Database>) {
    at_random(database, Some(LIMIT)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_daemons_share_a_lane() {
    on_sound_schema(at_random_without_limit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_daemons_share_a_lane_with_a_limit() {
    on_sound_schema(at_random_with_limit).await;
}
