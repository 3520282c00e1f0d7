//! Measures the store on a new file in a temporary directory: `cargo run -p tidegate-io-sqlite
//! --example measure`.

use futures_util::future::join_all;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::{
    AppName, Cause, Claim, Collection, Effects, EventType, ExchangeReply, Handler, Isolation, Json, Key, LaneQuota,
    Match, Micros, NewEvent, Pattern, PrincipalId, Reply, Request, RetryPolicy, ScriptName, Settlement, Subject,
    TimeoutMs, Timestamp, Trigger, TriggerName, TriggerSpec, Verdict,
};
use tidegate_io_sqlite::{SqliteOptions, SqliteStore};
use tidegate_ports::{AppStore, Deployment, DispatchStore, Emission, Guard, KvStore, OutboxStore, TriggerStore};

const BATCH: u32 = 1_000;
const LEASE: Micros = Micros::from_secs(600);

#[tokio::main]
async fn main() {
    let directory = tempfile::TempDir::new().expect("a temporary directory is created");
    let path = directory.path().join("measure.db");
    let store = Arc::new(SqliteStore::open(path, SqliteOptions::default()).await.expect("the file opens"));
    let app = AppName::new("measure").expect("a valid name");
    let by = PrincipalId::new("admin").expect("a valid principal");
    let nothing = Deployment { scripts: Vec::new(), triggers: Vec::new(), renames: Vec::new() };
    AppStore::deploy(&*store, &app, &nothing, &by).await.expect("the app is created");
    let free = trigger(&store, &app, &by, "free", None).await;
    let limited = trigger(&store, &app, &by, "limited", Some(10)).await;

    let took = emit(&store, &app, &by, 12_000).await;
    println!("emit: {:.0} rows/s in batches of {BATCH}, two triggers", f64::from(2 * 12_000) / took.as_secs_f64());
    exchange(&store, &free, "12,000 rows waiting").await;
    emit(&store, &app, &by, 88_000).await;
    exchange(&store, &free, "100,000 rows waiting").await;
    claim_limited(&store, &limited).await;
    puts(&store, &app, &by).await;
    store.close().await;
}

async fn trigger(store: &SqliteStore, app: &AppName, by: &PrincipalId, name: &str, limit: Option<u64>) -> Trigger {
    let spec = TriggerSpec {
        name: TriggerName::new(name).expect("a valid name"),
        rule: Match::App { event_type: Pattern::new("go").expect("a valid pattern"), subject: Pattern::any() },
        handler: Handler::Native(ScriptName::new("noop").expect("a valid name")),
        retry: RetryPolicy::default(),
        timeout_ms: TimeoutMs::default(),
        max_concurrency: limit.map(|limit| limit.try_into().expect("a valid limit")),
        isolation: Isolation::default(),
        enabled: true,
    };
    TriggerStore::put(store, app, &spec, by).await.expect("the trigger is put")
}

async fn emit(store: &SqliteStore, app: &AppName, by: &PrincipalId, count: u32) -> Duration {
    let event = NewEvent {
        event_type: EventType::new("go").expect("a valid type"),
        subject: Subject::new("s").expect("a valid subject"),
        data: Json::parse(r#"{"order":1,"customer":"ada","total":12.50}"#).expect("valid JSON"),
    };
    let events = vec![event; BATCH as usize];
    let emission = Emission { app: app.clone(), events, cause: Cause::outside(by.clone()), idempotency_key: None };
    let begun = Instant::now();
    for _ in 0..count / BATCH {
        OutboxStore::emit(store, &emission).await.expect("the events are emitted");
    }
    begun.elapsed()
}

async fn call(store: &SqliteStore, settle: Vec<Settlement>, trigger: &Trigger, quota: u32) -> (Vec<Claim>, Duration) {
    let claim = vec![LaneQuota { trigger: trigger.id, quota, starts: quota, look_back: Timestamp::EPOCH }];
    let begun = Instant::now();
    let reply = store
        .call(Request::Exchange { settle, claim, suspect: None, lease_for: LEASE, claim_bytes_max: u64::MAX })
        .await
        .expect("the exchange is answered");
    let took = begun.elapsed();
    let Reply::Exchange(ExchangeReply { claimed, fenced, .. }) = reply else { panic!("the answer is of another kind") };
    assert!(fenced.is_empty());
    (claimed.iter().map(|row| Claim { delivery: row.id, lease: row.lease }).collect(), took)
}

fn done(held: &[Claim]) -> Vec<Settlement> {
    held.iter()
        .map(|claim| Settlement { claim: *claim, verdict: Verdict::Done { effects: Effects::default() } })
        .collect()
}

fn millis(mut times: Vec<Duration>) -> String {
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    format!(
        "median {:.2} ms, worst {:.2} ms of {}",
        ms(times[times.len() / 2]),
        ms(times[times.len() - 1]),
        times.len()
    )
}

async fn exchange(store: &SqliteStore, lane: &Trigger, when: &str) {
    let (mut held, _) = call(store, Vec::new(), lane, BATCH).await;
    let mut times = Vec::new();
    for _ in 0..10 {
        let (next, took) = call(store, done(&held), lane, BATCH).await;
        assert_eq!((held.len(), next.len()), (BATCH as usize, BATCH as usize));
        (held, times) = (next, [times, vec![took]].concat());
    }
    call(store, done(&held), lane, 0).await;
    println!("exchange of {BATCH} done and {BATCH} claims, {when}: {}", millis(times));
}

/// Measures a lane with a limit of 10 and all rows emitted so far waiting in it.
async fn claim_limited(store: &SqliteStore, lane: &Trigger) {
    let (held, _) = call(store, Vec::new(), lane, BATCH).await;
    assert_eq!(held.len(), 10);
    let mut full = Vec::new();
    for _ in 0..50 {
        let (none, took) = call(store, Vec::new(), lane, BATCH).await;
        assert!(none.is_empty());
        full.push(took);
    }
    println!("claim of a limited lane that is full, 100,000 rows waiting: {}", millis(full));
    let mut times = Vec::new();
    let mut held = held;
    for _ in 0..50 {
        let (next, took) = call(store, done(&held), lane, BATCH).await;
        assert_eq!(next.len(), 10);
        (held, times) = (next, [times, vec![took]].concat());
    }
    println!("exchange of 10 done and 10 claims in it: {}", millis(times));
}

/// Measures puts from 1 caller and from 64 callers. Each caller puts one value after the other.
async fn puts(store: &Arc<SqliteStore>, app: &AppName, by: &PrincipalId) {
    let (collection, cause) = (Collection::new("c").expect("a valid name"), Cause::outside(by.clone()));
    for (callers, each) in [(1, 200), (64, 50)] {
        let (before, begun) = (store.stats().commits, Instant::now());
        join_all((0..callers).map(|caller| {
            let (store, app, collection, cause) = (Arc::clone(store), app.clone(), collection.clone(), cause.clone());
            tokio::spawn(async move {
                for n in 0..each {
                    let key = Key::new(format!("{caller}-{n}")).expect("a valid key");
                    let value = Json::parse("{\"n\":1}").expect("valid JSON");
                    KvStore::put(&*store, &app, &collection, &key, value, Guard::Any, &cause)
                        .await
                        .expect("the value is put");
                }
            })
        }))
        .await
        .into_iter()
        .for_each(|ended| ended.expect("no caller panics"));
        let (puts, commits) = (callers * each, store.stats().commits - before);
        let rate = f64::from(puts) / begun.elapsed().as_secs_f64();
        println!("puts from {callers} callers: {rate:.0}/s, {commits} commits for {puts} puts");
    }
}
