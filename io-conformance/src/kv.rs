//! Values by collection and key: guards, versions, values kept byte for byte, lists in byte order.

use crate::Store;
use crate::support::*;
use std::sync::Arc;
use tidegate_core::{Cause, EventId, Key, Parent, Version};
use tidegate_ports::{Guard, KvEntries, KvEntry, KvMutation, KvPage, KvStore, PortError};

async fn put_if<S: Store>(app: &App<S>, guard: Guard, value: &str) -> Result<KvMutation, PortError> {
    KvStore::put(&*app.store, &app.name, &collection("c"), &key("k"), json(value), guard, &outside()).await
}

async fn delete_if<S: Store>(app: &App<S>, guard: Guard) -> Result<Option<KvMutation>, PortError> {
    KvStore::delete(&*app.store, &app.name, &collection("c"), &key("k"), guard, &outside()).await
}

pub(crate) async fn a_value_reads_back_with_its_version_and_time<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    assert_eq!(app.get("c", "k").await, None);

    let put = app.put("c", "k", "1").await;

    let expected = KvEntry { key: key("k"), value: json("1"), version: put.version, updated_at: put.updated_at };
    assert_eq!(app.get("c", "k").await, Some(expected));
    assert_eq!(app.get("c", "K").await, None, "keys are case-sensitive");
    assert_eq!(app.get("C", "k").await, None, "collections are case-sensitive");
}

pub(crate) async fn a_value_is_kept_byte_for_byte<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let long = format!("\"{}\"", "0123456789abcdef".repeat(12_000));
    let values = [
        r#"{"b":1,"a":2}"#,
        r#"{"a":1,"a":2}"#,
        "1.50",
        "1E+2",
        "-0",
        "123456789012345678901234567890",
        r#"[1, 2,  3]"#,
        "{ \n\t\"a\" : [ ] }",
        r#""\u00e9é😀\"\\\/""#,
        r#""%_*'?[$1""#,
        "null",
        "\"\"",
        long.as_str(),
    ];
    for value in values {
        app.put("c", "k", value).await;
        assert_eq!(app.value("c", "k").await.as_deref(), Some(value));
    }
}

pub(crate) async fn a_guard_for_an_absent_key_holds_once<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;

    let first = put_if(&app, Guard::Absent, "1").await.expect("the key is absent");
    let failed = Err(PortError::PreconditionFailed { current: Some(first.version) });
    assert_eq!(put_if(&app, Guard::Absent, "2").await, failed);
    assert_eq!(app.value("c", "k").await.as_deref(), Some("1"));

    app.delete("c", "k").await;
    put_if(&app, Guard::Absent, "3").await.expect("the key is absent again");
    assert_eq!(app.value("c", "k").await.as_deref(), Some("3"));
}

pub(crate) async fn a_guard_for_a_version_holds_only_for_that_version<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let absent = Err(PortError::PreconditionFailed { current: None });
    assert_eq!(put_if(&app, Guard::Version(Version(1)), "0").await, absent);
    assert_eq!(app.get("c", "k").await, None);

    let first = app.put("c", "k", "1").await.version;
    let second = put_if(&app, Guard::Version(first), "2").await.expect("the guard names the current version").version;
    let failed = Err(PortError::PreconditionFailed { current: Some(second) });
    assert_eq!(put_if(&app, Guard::Version(first), "3").await, failed);
    assert_eq!(app.value("c", "k").await.as_deref(), Some("2"));
}

pub(crate) async fn a_guarded_delete_deletes_only_that_version<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let first = app.put("c", "k", "1").await.version;
    let second = app.put("c", "k", "2").await.version;

    let failed = Err(PortError::PreconditionFailed { current: Some(second) });
    assert_eq!(delete_if(&app, Guard::Version(first)).await, failed);
    assert_eq!(app.value("c", "k").await.as_deref(), Some("2"));

    let deleted = delete_if(&app, Guard::Version(second)).await.expect("the guard names the current version");
    assert!(deleted.expect("the key has a value").version > second);
    assert_eq!(app.get("c", "k").await, None);
}

pub(crate) async fn a_failed_guard_emits_nothing<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    app.put("c", "k", "1").await;
    app.trigger(&on_kv("writes", "*", "*")).await;

    put_if(&app, Guard::Absent, "2").await.expect_err("the key is present");
    put_if(&app, Guard::Version(Version(-1)), "2").await.expect_err("no entry has this version");
    delete_if(&app, Guard::Version(Version(-1))).await.expect_err("no entry has this version");

    assert_eq!(app.deliveries().await, []);
}

pub(crate) async fn a_delete_of_an_absent_key_emits_nothing<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    app.trigger(&on_kv("writes", "*", "*")).await;

    assert_eq!(app.delete("c", "k").await, None);

    assert_eq!(app.deliveries().await, []);
}

pub(crate) async fn versions_of_a_key_grow_across_a_delete<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let mut versions = Vec::new();
    for _ in 0..3 {
        versions.push(app.put("c", "k", "1").await.version);
        versions.push(app.put("c", "k", "1").await.version);
        versions.push(app.delete("c", "k").await.expect("the key has a value").version);
    }
    assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
}

pub(crate) async fn the_answer_of_a_mutation_equals_its_event<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let lane = app.trigger(&on_kv("writes", "*", "*")).await.id;

    let put = app.put("c", "a/b", r#"{"n":1.50}"#).await;
    let deleted = app.delete("c", "a/b").await.expect("the key has a value");

    for (mutated, event_type, value) in [(put, "kv.set", r#"{"n":1.50}"#), (deleted, "kv.delete", "null")] {
        let event = app.next(lane).await.event;
        assert_eq!((event.id, event.time), (mutated.emitted.event_id, mutated.updated_at));
        assert_eq!((event.event_type.as_str(), event.subject.as_str()), (event_type, "c/a/b"));
        assert_eq!(kv_data(&event), ("c".to_owned(), "a/b".to_owned(), value.to_owned(), mutated.version));
    }
}

/// The event of a value that is put while another event is handled continues the chain of that
/// event.
pub(crate) async fn the_event_of_a_mutation_carries_its_cause<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let lane = app.trigger(&on_kv("writes", "*", "*")).await.id;
    let parent = Parent {
        root_id: EventId(uuid::Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001)),
        parent_id: EventId(uuid::Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0002)),
        depth: 7,
    };
    let cause = Cause { actor: registrant(), parent: Some(parent), traceparent: None };
    let (c, k) = (collection("c"), key("k"));

    KvStore::put(&*store, &app.name, &c, &k, json("1"), Guard::Any, &cause).await.expect("the value is put");
    KvStore::delete(&*store, &app.name, &c, &k, Guard::Any, &cause).await.expect("the value is deleted");

    for _ in 0..2 {
        let event = app.next(lane).await.event;
        assert_eq!((event.root_id, event.parent_id), (parent.root_id, Some(parent.parent_id)));
        assert_eq!((event.depth, event.actor, event.traceparent), (7, registrant(), None));
    }
}

/// Keys with characters that are special in the patterns of an SQL dialect, keys that a locale or
/// UTF-16 would sort differently, and keys that are prefixes of other keys.
const KEYS: [&str; 30] = [
    "a",
    "a b",
    "a%",
    "a%b",
    "a*",
    "a*b",
    "a-b",
    "a/b",
    "a/b/c",
    "a?",
    "a[",
    "a[b]",
    "a\\",
    "a\\%",
    "a_",
    "a_b",
    "ab",
    "aé",
    "a\u{ffee}",
    "a\u{ffff}",
    "a\u{ffff}b",
    "a😀",
    "A",
    "Ab",
    "b",
    "ä",
    "é",
    "\u{ffee}x",
    "😀",
    "~",
];

/// Lists by `prefix` in pages of `limit`. Each page begins after the last key of the page before.
async fn list_all<S: Store>(app: &App<S>, prefix: &str, limit: u32) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    loop {
        let after = keys.last().map(|last| key(last));
        let page = KvPage { prefix: prefix.to_owned(), after, limit, bytes_max: usize::MAX };
        let page = app.page("c", &page).await.entries;
        assert!(page.len() <= limit as usize, "{} entries in a page of {limit}", page.len());
        if page.is_empty() {
            return keys;
        }
        keys.extend(page.iter().map(|entry| entry.key.to_string()));
        assert!(keys.len() <= KEYS.len(), "a key is in two pages: {keys:?}");
    }
}

pub(crate) async fn a_list_by_prefix_and_page_is_in_byte_order<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    for (n, at) in KEYS.iter().enumerate() {
        app.put("c", at, &n.to_string()).await;
        app.put("d", at, "\"elsewhere\"").await;
    }
    let mut sorted = KEYS;
    sorted.sort_unstable_by_key(|key| key.as_bytes());

    let prefixes = KEYS.iter().copied().chain(["", "a\u{10ffff}", "nothing", "a/b/c/d", "\u{f0}"]);
    for prefix in prefixes {
        let expected: Vec<_> = sorted.iter().filter(|key| key.starts_with(prefix)).copied().collect();
        for limit in [1, 3, 100] {
            assert_eq!(list_all(&app, prefix, limit).await, expected, "prefix {prefix:?}, pages of {limit}");
        }
    }
    for entry in app.entries("c").await {
        let nth = KEYS.iter().position(|key| *key == entry.key.as_str()).expect("the key is one of KEYS");
        assert_eq!(entry.value, json(&nth.to_string()), "{}", entry.key);
        assert_eq!(app.get("c", entry.key.as_str()).await, Some(entry));
    }
}

/// A cursor is a key. It need not be present, and it may be outside the prefix.
pub(crate) async fn a_cursor_may_be_a_missing_key<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    for at in ["a", "b1", "b2", "b4", "c"] {
        app.put("c", at, "1").await;
    }
    for (prefix, after, expected) in [
        ("b", "a", &["b1", "b2", "b4"][..]),
        ("b", "b", &["b1", "b2", "b4"]),
        ("b", "b2", &["b4"]),
        ("b", "b3", &["b4"]),
        ("b", "b4", &[]),
        ("b", "c", &[]),
        ("", "b3", &["b4", "c"]),
    ] {
        let page = KvPage { prefix: prefix.to_owned(), after: Some(key(after)), limit: 10, bytes_max: usize::MAX };
        let keys: Vec<_> = app.page("c", &page).await.entries.into_iter().map(|entry| entry.key).collect();
        assert_eq!(keys, expected.iter().map(|text| key(text)).collect::<Vec<Key>>(), "{prefix:?} after {after:?}");
    }
}

pub(crate) async fn a_page_ends_before_the_entry_that_exceeds_its_bytes<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    // Each entry has 10 bytes: 2 of the key and 8 of the value, of which "ü" has 2.
    for at in ["k1", "k2", "k3", "k4"] {
        app.put("c", at, "\"abcdü\"").await;
    }
    for (limit, bytes_max, expected, is_cut) in [
        (10, usize::MAX, 4, false),
        (10, 40, 4, false),
        (10, 39, 3, true),
        (10, 10, 1, true),
        (10, 9, 1, true),
        (10, 0, 1, true),
        (3, 30, 3, false),
        (3, 29, 2, true),
        (1, 0, 1, false),
    ] {
        let page = app.page("c", &KvPage { prefix: String::new(), after: None, limit, bytes_max }).await;
        assert_eq!((page.entries.len(), page.is_cut), (expected, is_cut), "limit {limit}, {bytes_max} bytes");
    }
    let beyond = KvPage { prefix: String::new(), after: Some(key("k4")), limit: 10, bytes_max: 0 };
    assert_eq!(app.page("c", &beyond).await, KvEntries::default());
}

pub(crate) async fn kv_calls_of_an_unknown_app_are_an_error<S: Store>(store: Arc<S>) {
    let missing = App { store, name: app_name("missing") };
    let (c, k) = (collection("c"), key("k"));
    let page = KvPage { prefix: String::new(), after: None, limit: 10, bytes_max: usize::MAX };

    assert_eq!(KvStore::get(&*missing.store, &missing.name, &c, &k).await, Err(PortError::UnknownApp));
    assert_eq!(put_if(&missing, Guard::Any, "1").await, Err(PortError::UnknownApp));
    assert_eq!(put_if(&missing, Guard::Version(Version(1)), "1").await, Err(PortError::UnknownApp));
    assert_eq!(delete_if(&missing, Guard::Any).await, Err(PortError::UnknownApp));
    assert_eq!(KvStore::list(&*missing.store, &missing.name, &c, &page).await, Err(PortError::UnknownApp));

    let created = App::named(&missing.store, "missing").await;
    assert_eq!(created.entries("c").await, [], "nothing was written");
}
