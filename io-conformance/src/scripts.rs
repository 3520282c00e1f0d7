//! Scripts: the source is kept byte for byte, and its version grows with each change.

use crate::Store;
use crate::support::*;
use std::sync::Arc;
use tidegate_ports::{PortError, Script, ScriptStore};

async fn put<S: Store>(app: &App<S>, name: &str, source: &str) -> Script {
    ScriptStore::put(&*app.store, &app.name, &script_name(name), source).await.expect("the script is put")
}

async fn get<S: Store>(app: &App<S>, name: &str) -> Option<Script> {
    ScriptStore::get(&*app.store, &app.name, &script_name(name)).await.expect("the script is read")
}

async fn delete<S: Store>(app: &App<S>, name: &str) -> bool {
    ScriptStore::delete(&*app.store, &app.name, &script_name(name)).await.expect("the script is deleted")
}

pub(crate) async fn a_script_reads_back_byte_for_byte<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    assert_eq!((get(&app, "a").await, app.scripts().await), (None, vec![]));
    for source in ["export default () => 1", "", "// é😀\r\n\t'$1' \"\\u0000\" %\n\n", &"x;\n".repeat(50_000)] {
        let script = put(&app, "a", source).await;
        assert_eq!((script.name.as_str(), script.source.as_str()), ("a", source));
        assert_eq!(get(&app, "a").await, Some(script.clone()));
        assert_eq!(app.scripts().await, [script]);
    }
}

pub(crate) async fn scripts_are_listed_by_name<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let names = ["b", "a_b", "B", "a", "a-b", "_", "a.b", "ab", "9", "aB"];
    for name in names {
        put(&app, name, name).await;
    }
    let mut sorted = names;
    sorted.sort_unstable();

    let listed: Vec<_> = app.scripts().await.into_iter().map(|script| script.source).collect();

    assert_eq!(listed, sorted);
}

pub(crate) async fn an_unchanged_script_keeps_its_version<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let first = put(&app, "a", "1").await;
    assert_eq!(put(&app, "a", "1").await, first);

    let second = put(&app, "a", "2").await;
    assert!(second.version > first.version && second.updated_at > first.updated_at, "{second:?} after {first:?}");
    let third = put(&app, "a", "1").await;
    assert!(third.version > second.version, "a return to an earlier source is a change");
}

pub(crate) async fn versions_of_a_script_grow_across_a_delete<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    put(&app, "a", "1").await;
    let before = put(&app, "a", "2").await;

    assert!(delete(&app, "a").await);
    assert_eq!((get(&app, "a").await, app.scripts().await), (None, vec![]));
    assert!(!delete(&app, "a").await, "the script is deleted");

    let after = put(&app, "a", "2").await;
    assert!(after.version > before.version, "{} after {}", after.version, before.version);
}

pub(crate) async fn a_script_name_belongs_to_its_app<S: Store>(store: Arc<S>) {
    let (one, other) = (App::named(&store, "one").await, App::named(&store, "other").await);
    let script = put(&one, "a", "1").await;
    assert_eq!(get(&other, "a").await, None);
    assert!(!delete(&other, "a").await);

    put(&other, "a", "2").await;

    assert_eq!(get(&one, "a").await, Some(script));
}

pub(crate) async fn scripts_of_an_unknown_app_are_an_error<S: Store>(store: Arc<S>) {
    let (missing, name) = (app_name("missing"), script_name("a"));

    assert_eq!(ScriptStore::list(&*store, &missing).await, Err(PortError::UnknownApp));
    assert_eq!(ScriptStore::get(&*store, &missing, &name).await, Err(PortError::UnknownApp));
    assert_eq!(ScriptStore::put(&*store, &missing, &name, "1").await, Err(PortError::UnknownApp));
    assert_eq!(ScriptStore::delete(&*store, &missing, &name).await, Err(PortError::UnknownApp));

    assert_eq!(App::named(&store, "missing").await.scripts().await, [], "nothing was written");
}
