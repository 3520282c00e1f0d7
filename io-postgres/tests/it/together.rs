//! Puts that arrive at the same time share a commit, and each put fails on its own.

use crate::database::Database;
use std::sync::Arc;
use tidegate_core::{AppName, Cause, Collection, Json, Key, PrincipalId};
use tidegate_io_postgres::PgStore;
use tidegate_ports::{AppStore, Deployment, Guard, KvMutation, KvPage, KvStore, PageSize, PortError};

const CALLERS: usize = 64;

/// Runs a put per caller, all at once. Each puts its number under its key, if the key is absent.
async fn put_at_once(
    store: &Arc<PgStore>,
    app: &str,
    key: impl Fn(usize) -> String,
) -> Vec<Result<KvMutation, PortError>> {
    let (app, collection) = (AppName::new(app).unwrap(), Collection::new("things").unwrap());
    let calls: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (store, app, collection) = (Arc::clone(store), app.clone(), collection.clone());
            let (key, value) = (Key::new(key(caller)).unwrap(), Json::parse(&caller.to_string()).unwrap());
            tokio::spawn(async move {
                let cause = Cause::outside(PrincipalId::new("admin").unwrap());
                KvStore::put(&*store, &app, &collection, &key, value, Guard::Absent, &cause).await
            })
        })
        .collect();
    let mut results = Vec::new();
    for call in calls {
        results.push(call.await.unwrap());
    }
    results
}

#[tokio::test]
async fn simultaneous_puts_share_commits_and_fail_alone() {
    let (database, store) = Database::with_store().await;
    let (store, app) = (Arc::new(store), AppName::new("shop").unwrap());
    let empty = Deployment { scripts: vec![], triggers: vec![], renames: Vec::new() };
    store.deploy(&app, &empty, &PrincipalId::new("admin").unwrap()).await.unwrap();

    let (own, shared, nowhere) = tokio::join!(
        put_at_once(&store, "shop", |caller| format!("own-{caller}")),
        put_at_once(&store, "shop", |_| "shared".to_owned()),
        put_at_once(&store, "none", |caller| format!("own-{caller}")),
    );
    assert!(own.iter().all(Result::is_ok), "{own:?}");
    assert_eq!(shared.iter().filter(|result| result.is_ok()).count(), 1, "{shared:?}");
    let version = shared.iter().flatten().next().unwrap().version;
    let failed = PortError::PreconditionFailed { current: Some(version) };
    assert!(shared.iter().flat_map(|result| result.as_ref().err()).all(|error| *error == failed), "{shared:?}");
    assert!(nowhere.iter().all(|result| *result == Err(PortError::UnknownApp)), "{nowhere:?}");

    let page = KvPage { prefix: "own-".to_owned(), after: None, size: PageSize::of(100) };
    let entries = KvStore::list(&*store, &app, &Collection::new("things").unwrap(), &page).await.unwrap().items;
    assert_eq!(entries.len(), CALLERS);
    for entry in entries {
        assert_eq!(entry.key.as_str(), format!("own-{}", entry.value.as_str()));
    }
    let mut client = database.client().await;
    let transactions: i64 =
        sqlx::query_scalar("select count(distinct xmin::text) from tidegate.kv").fetch_one(&mut client).await.unwrap();
    assert!(transactions < CALLERS as i64 / 2, "{transactions} transactions for {CALLERS} puts");
    store.close().await;
    database.remove().await;
}
