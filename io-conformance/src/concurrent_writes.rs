//! Concurrent puts and emissions on one store: guards, versions and idempotency keys hold, and a
//! batch is atomic.

use crate::Store;
use crate::support::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_ports::{Guard, KvStore, PortError};
use tokio::sync::Barrier;

pub(crate) async fn one_of_many_concurrent_puts_of_an_absent_key_succeeds<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    app.trigger(&on_kv("writes", "*", "*")).await;
    let puts = at_once(8, |n| {
        let app = app.clone();
        async move {
            let value = json(&n.to_string());
            KvStore::put(&*app.store, &app.name, &collection("c"), &key("k"), value, Guard::Absent, &outside()).await
        }
    });
    let (won, lost): (Vec<_>, Vec<_>) = puts.await.into_iter().partition(Result::is_ok);

    let entry = app.get("c", "k").await.expect("one put has succeeded");
    let [Ok(won)] = &won[..] else { panic!("one put succeeds: {won:?}") };
    assert_eq!(won.version, entry.version);
    for error in lost {
        assert_eq!(error, Err(PortError::PreconditionFailed { current: Some(entry.version) }));
    }
    assert_eq!(app.waiting().await, ["writes"], "a failed put emits nothing");
}

/// No two puts get the same version, and the last value has the highest version.
pub(crate) async fn concurrent_puts_get_distinct_versions<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let puts = at_once(8, |task| {
        let app = app.clone();
        async move {
            let mut versions = Vec::new();
            for n in 0..20 {
                let value = format!("{task}.{n}");
                versions.push((app.put("c", "k", &value).await.version, value));
            }
            assert!(versions.is_sorted_by(|one, next| one.0 < next.0), "{versions:?}");
            versions
        }
    });
    let versions: BTreeMap<_, _> = puts.await.into_iter().flatten().collect();

    assert_eq!(versions.len(), 160);
    let entry = app.get("c", "k").await.expect("the key has a value");
    assert_eq!(versions.last_key_value(), Some((&entry.version, &entry.value.to_string())));
}

pub(crate) async fn concurrent_requests_with_one_key_emit_once<S: Store>(store: Arc<S>) {
    let (app, _) = App::with_lane(&store).await;
    let start = Arc::new(Barrier::new(8));
    let all = at_once(8, |_| {
        let (app, start) = (app.clone(), Arc::clone(&start));
        async move {
            start.wait().await;
            app.emit_once("key", "digest", vec![new_event("go", "a", "1"), new_event("go", "b", "2")]).await
        }
    });
    let all: Vec<_> = all.await.into_iter().map(|emitted| emitted.expect("the events are emitted")).collect();

    let events: BTreeSet<Vec<_>> = all.iter().map(|one| one.iter().map(|event| event.event_id).collect()).collect();
    assert_eq!(events.len(), 1, "all requests get the same event ids: {events:?}");
    assert_eq!(all.iter().filter(|one| one.iter().any(|event| !event.lanes.is_empty())).count(), 1);
    assert_eq!(app.waiting().await, ["lane", "lane"]);
}

pub(crate) async fn a_reader_sees_a_whole_batch_or_none_of_it<S: Store>(store: Arc<S>) {
    let (app, _) = App::with_lane(&store).await;
    let emitter = {
        let app = app.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                app.go(25).await;
            }
        })
    };
    let mut seen = 0;
    while seen < 250 {
        seen = app.deliveries().await.len();
        assert_eq!(seen % 25, 0, "a reader saw a part of a batch");
    }
    emitter.await.expect("the emitter ends");
}
