//! The costs of a delivery in the server, in units that do not depend on the machine: WAL,
//! statements and plans.

use crate::database::{Database, with_one_trigger};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use std::io::Write;
use std::sync::{Arc, Mutex};
use tidegate_core::TriggerId;

const EVENTS: usize = 500;
/// The most WAL per delivery from the emit to the deletion of its row, in batches, without page
/// images.
const WAL_BYTES_MAX: i64 = 500;

fn emit() -> String {
    format!(
        "select * from tidegate.emit_events('shop', array_fill('order.created'::text, '{{{EVENTS}}}'),
            array_fill('order/17'::text, '{{{EVENTS}}}'), array_fill('{{\"total\": 12.5}}'::text, '{{{EVENTS}}}'),
            row('admin', null, null, 0, null)::tidegate.cause, null, null)"
    )
}

/// Settles the rows for which `claimed` is true, and claims new rows.
fn exchange(trigger: TriggerId, claimed: &str) -> String {
    format!(
        "select * from tidegate.exchange(
            row(array(select unnest(ids) from tidegate.claims where {claimed} order by 1),
                array(select claim from tidegate.claims, unnest(ids) id where {claimed} order by id),
                '{{}}', '{{}}', '{{}}', null)::tidegate.settlements,
            row('{{{trigger}}}', '{{{EVENTS}}}', '{{{EVENTS}}}', array[clock_timestamp()], 60000000, 4194304, null, null, null, 'lost', 'held')::tidegate.claim_request)"
    )
}

/// The WAL that a statement and its nested statements write, without page images. The number of
/// page images depends on the server's checkpoints.
async fn wal_bytes(client: &mut PgConnection, statement: &str) -> i64 {
    let explain = AssertSqlSafe(format!("explain (analyze, wal, timing off, format json) {statement}"));
    let plan: Value = sqlx::query_scalar(explain).fetch_one(client).await.unwrap();
    let count = |field: &str| plan[0]["Plan"][field].as_i64().unwrap();
    (count("WAL Bytes") - 8_192 * count("WAL FPI")).max(0)
}

#[tokio::test]
async fn a_delivery_writes_little_wal() {
    let (database, store) = Database::with_store().await;
    let trigger = with_one_trigger(&store).await;
    let mut client = database.client().await;
    let mut written = 0;
    for statement in [emit(), exchange(trigger, "false"), exchange(trigger, "true")] {
        written += wal_bytes(&mut client, &statement).await;
    }
    let left: i64 = sqlx::query_scalar("select count(*) from tidegate.outbox").fetch_one(&mut client).await.unwrap();
    assert_eq!(left, 0, "each row was claimed and settled");
    let each = written / EVENTS as i64;
    assert!((200..=WAL_BYTES_MAX).contains(&each), "{each} bytes of WAL for a delivery");
    store.close().await;
    database.remove().await;
}

/// Collects the log of one thread.
#[derive(Clone, Default)]
struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The plans of a statement and of its nested statements, from `auto_explain`.
async fn plans(client: &mut PgConnection, statement: String) -> Vec<String> {
    let log = LogBuffer::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _default = tracing::subscriber::set_default(subscriber);
    let explain = "load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_level = 'notice';
                   set auto_explain.log_nested_statements = on";
    client.execute(explain).await.expect("the test server's user may load auto_explain");
    client.execute(AssertSqlSafe(statement)).await.unwrap();
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    text.split("Query Text:").skip(1).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_claim_walks_the_index_of_lanes_without_a_sort() {
    let (database, store) = Database::with_store().await;
    let trigger = with_one_trigger(&store).await;
    let mut client = database.client().await;
    client.execute(AssertSqlSafe(emit())).await.unwrap();
    let plans = plans(&mut client, exchange(trigger, "false")).await;
    let claims: Vec<&String> = plans.iter().filter(|plan| plan.contains("insert into tidegate.claims")).collect();
    assert_eq!(claims.len(), 1, "{plans:?}");
    let (_, plan) = claims[0].split_once("\n\n").unwrap_or(("", claims[0]));
    assert!(plan.contains("Index Scan using outbox_lanes on outbox"), "{plan}");
    // The sort finds the last row of each lane among the claimed rows.
    for costly in ["Seq Scan on outbox", "Bitmap", "Hash Join", "Function Scan on free_rows"] {
        assert!(!plan.contains(costly), "{costly} in {plan}");
    }
    store.close().await;
    database.remove().await;
}

/// A long transaction keeps deleted rows in the table. The statistics then show a large table with
/// few live rows.
#[tokio::test]
async fn a_settlement_finds_rows_by_place_even_if_most_rows_are_dead() {
    let (database, store) = Database::with_store().await;
    let trigger = with_one_trigger(&store).await;
    let mut holder = database.client().await;
    holder.execute("begin isolation level repeatable read; select count(*) from pg_class").await.unwrap();
    let mut client = database.client().await;
    for _ in 0..60 {
        for statement in [emit(), exchange(trigger, "false"), exchange(trigger, "true")] {
            client.execute(AssertSqlSafe(statement)).await.unwrap();
        }
    }
    for _ in 0..20 {
        client.execute("select tidegate.emit('shop', 'order.created')").await.unwrap();
    }
    client.execute("analyze tidegate.outbox").await.unwrap();
    let mut client = database.client().await;
    for statement in [emit(), exchange(trigger, "false")] {
        client.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    let plans = plans(&mut client, exchange(trigger, "true")).await;
    let settles: Vec<&String> = plans.iter().filter(|plan| plan.contains("delete from tidegate.outbox")).collect();
    assert_eq!(settles.len(), 1, "{plans:?}");
    let (_, plan) = settles[0].split_once("\n\n").unwrap_or(("", settles[0]));
    assert!(plan.contains("Tid Scan on outbox"), "{plan}");
    assert!(!plan.contains("outbox_lanes"), "{plan}");
    holder.execute("rollback").await.unwrap();
    store.close().await;
    database.remove().await;
}

/// The number of statements is constant, so a delivery costs less in a larger batch.
#[tokio::test]
async fn a_batch_of_any_size_runs_few_statements() {
    let (database, store) = Database::with_store().await;
    let trigger = with_one_trigger(&store).await;
    let mut client = database.client().await;
    for (statement, statements_max) in [(emit(), 8), (exchange(trigger, "false"), 24), (exchange(trigger, "true"), 24)]
    {
        let statements = plans(&mut client, statement.clone()).await.len();
        assert!((2..=statements_max).contains(&statements), "{statements} statements for {statement}");
    }
    store.close().await;
    database.remove().await;
}
