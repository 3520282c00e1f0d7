//! A clock of the server that is set back.

use crate::database::{Database, on_sound_schema};
use crate::lane::{Lane, assert_each_once, ids};
use sqlx::Executor;
use std::sync::Arc;
use tidegate_core::{Micros, Timestamp};

/// One row is claimed. Then the clock is set back by an hour, and four rows are emitted.
pub(crate) async fn set_back(database: Arc<Database>) {
    let lane = Lane::open(&database).await;
    let mut client = database.client().await;
    client.execute("select tidegate.emit('shop', 'x')").await.unwrap();
    let mut claimed = lane.claim(1, Timestamp::EPOCH).await;
    // Moves all times of the store forward, which is the same as a clock that is set back.
    let set_back = "
        update tidegate.outbox set due_at = due_at + interval '1 hour';
        update tidegate.claims set
            claim = claim + (3600000000::bigint << 10), lease_until = lease_until + interval '1 hour',
            claimed_at = claimed_at + interval '1 hour', floor_due = floor_due + interval '1 hour';
        update tidegate.lanes set
            oldest_claim = 0, floor_due = floor_due + interval '1 hour', written_at = written_at + interval '1 hour'";
    client.execute(set_back).await.unwrap();
    client.execute("select tidegate.emit('shop', 'x') from generate_series(1, 4)").await.unwrap();

    for _ in 0..2 {
        claimed.extend(lane.claim(2, lane.before_now(Micros::from_secs(5)).await).await);
    }

    assert_eq!(ids(&claimed).len(), 5);
    assert_each_once(claimed.into_iter().map(|row| row.id).collect(), 5);
    lane.store.close().await;
}

#[tokio::test]
async fn no_row_is_claimed_twice_after_the_clock_is_set_back() {
    on_sound_schema(set_back).await;
}
