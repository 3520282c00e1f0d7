//! Dead letters through the real program: redrive, discard, dead-letter handlers, loops, and
//! crashes during a redrive.

use crate::world::{App, Client, MachineLock, StoreKind, TESTBED, World, client, event, on, tidegate, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Fails while `switch/broken` is true or absent. Otherwise counts the runs for each event.
const MAYBE: &str = "export default async function (event, ctx) {
    if ((await ctx.kv.get('switch', 'broken')) ?? true) throw new Error(`it is broken: ${event.data.n}`);
    const done = (await ctx.kv.get('done', event.id)) ?? 0;
    await ctx.kv.set('done', event.id, done + 1);
}";

fn once() -> Value {
    json!({"retry": {"max_attempts": 1}})
}

fn deploy(app: &App) {
    app.deploy(&[("maybe", MAYBE)], &[on("work", "maybe", json!({"script": "maybe"}), once())]);
}

fn repair(app: &App) {
    app.client.put(&app.path("/kv/switch/broken"), &json!(false)).ok();
}

fn make_letters(app: &App, count: usize) -> Vec<Value> {
    let events: Vec<Value> = (0..count).map(|n| event("work", json!({ "n": n }))).collect();
    events.chunks(500).for_each(|chunk| _ = app.emit(chunk));
    wait_for("the dead letters", TIMEOUT, || app.is_drained().then_some(()));
    app.dead_letters()
}

fn post(client: &Client, path: &str, body: &Value) -> (u16, Value) {
    let sent = client.send("POST", path, &[], Some(body.to_string().as_bytes()));
    let answer = sent.unwrap_or_else(|error| panic!("POST {path}: {error}"));
    (answer.status, answer.json())
}

#[test]
fn letters_are_redriven_by_id_by_filter_and_all() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let _lock = MachineLock::shared();
        let world = World::new(kind);
        let daemon = world.daemon("letters", TESTBED, &[]);
        let app = App::new(client(&daemon), "letters");
        deploy(&app);
        let letters = make_letters(&app, 6);
        let (redrive, discard) = (app.path("/dead-letters/redrive"), app.path("/dead-letters/discard"));
        let fingerprint = letters[0]["fingerprint"].as_str().expect("a fingerprint is a string");
        assert!(
            letters.iter().all(|letter| letter["fingerprint"] == fingerprint),
            "equal failures have equal fingerprints"
        );

        let dry = json!({"filter": {"fingerprint": fingerprint}, "dry_run": true});
        let expected = json!({"matched": 6, "redriven": 0, "skipped": 0, "dry_run": true, "cursor": null});
        assert_eq!(post(&app.client, &redrive, &dry), (200, expected));
        assert!(app.is_drained(), "a dry run changes nothing");
        for (body, detail_part) in [
            (json!({}), "ids"),
            (json!({"filter": {}}), "all"),
            (json!({"ids": [1], "all": true}), "one of"),
            (json!({"filter": {"triger": "x"}}), "triger"),
            (json!({"filter": {"created_from": "yesterday"}}), "RFC 3339"),
            (json!({"filter": {"resolution": "redriven"}}), "again"),
            (json!([]), "object"),
        ] {
            let (status, problem) = post(&app.client, &redrive, &body);
            assert_eq!((status, &problem["code"]), (400, &json!("invalid_request")), "{body}");
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(detail_part)), "{problem}");
        }

        repair(&app);
        let first = letters[0]["id"].as_i64().expect("an id is a number");
        let one = app.path(&format!("/dead-letters/{first}/redrive"));
        assert_eq!(post(&app.client, &one, &json!(null)).1["redriven"], 1);
        let (status, again) = post(&app.client, &one, &json!(null));
        assert_eq!((status, &again["code"]), (409, &json!("already_redriven")));
        let (status, none) = post(&app.client, &app.path("/dead-letters/99999/redrive"), &json!(null));
        assert_eq!((status, &none["code"]), (404, &json!("dead_letter_not_found")));
        let second = letters[1]["id"].clone();
        assert_eq!(post(&app.client, &discard, &json!({ "ids": [second] })).1["discarded"], 1);
        let output = tidegate(&daemon, &["dead-letters", "redrive", "--trigger", "maybe", "--app", "letters"]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "4 letters redriven\n", "{output:?}");
        wait_for("the redriven deliveries", TIMEOUT, || app.is_drained().then_some(()));
        assert_eq!(app.entries("done").len(), 5);

        app.client.send("DELETE", &app.path("/triggers/maybe"), &[], None).expect("the daemon answers").ok();
        let discarded = json!({"filter": {"resolution": "discarded"}});
        let (_, skipped) = post(&app.client, &redrive, &discarded);
        assert_eq!((&skipped["matched"], &skipped["skipped"], &skipped["redriven"]), (&json!(1), &json!(1), &json!(0)));
        let list = app.client.get(&app.path("/dead-letters?resolution=discarded&reason=attempts_exhausted")).ok();
        assert_eq!(list["dead_letters"].as_array().map(Vec::len), Some(1), "{list}");
    }
}

#[test]
fn a_redrive_interrupted_by_a_crash_is_finished_by_repeating_it() {
    const LETTERS: usize = 2_000;
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let _lock = MachineLock::shared();
        let world = World::new(kind);
        let mut daemon = world.daemon("letters", TESTBED, &[]);
        let app = App::new(client(&daemon), "letters");
        // With one attempt, a delivery that ran during a crash would be a dead letter again.
        let twice = json!({"retry": {"max_attempts": 2, "base_ms": 1, "max_ms": 1}});
        app.deploy(&[("maybe", MAYBE)], &[on("work", "maybe", json!({"script": "maybe"}), twice)]);
        assert_eq!(make_letters(&app, LETTERS).len(), LETTERS);
        repair(&app);
        let mut interrupted = 0;
        loop {
            let (client, path) = (app.client.clone(), app.path("/dead-letters/redrive"));
            let body = json!({"all": true}).to_string();
            let redriving = std::thread::spawn(move || client.send("POST", &path, &[], Some(body.as_bytes())));
            if interrupted < 3 {
                std::thread::sleep(Duration::from_millis(25));
                daemon.kill9();
                daemon.restart();
            }
            match redriving.join().expect("the thread does not panic") {
                Ok(answer) if answer.status == 200 => break,
                _ => interrupted += 1,
            }
        }
        assert!(interrupted > 0, "no crash interrupted a redrive");
        wait_for("the redriven deliveries", TIMEOUT, || app.is_drained().then_some(()));
        let letters = app.dead_letters();
        assert_eq!(letters.len(), LETTERS, "no letter is lost and none died again");
        assert!(letters.iter().all(|letter| letter["resolution"] == "redriven"));
        let done: BTreeMap<String, Value> = app.entries("done").into_iter().collect();
        assert_eq!(done.len(), LETTERS, "no letter is lost");
        assert!(done.values().all(|times| *times == 1), "no letter ran twice");
    }
}

#[test]
fn a_dead_letter_handler_gets_the_letter_and_resolves_it() {
    const HANDLE: &str = "export default async function (event, ctx) {
        const { trigger, reason, error, attempts, event: dead } = event.data;
        if (dead.data.n === 1) throw new Error('the handler is broken, too');
        await ctx.kv.set('handled', String(dead.data.n), { trigger, reason, error, attempts, type: dead.type });
    }";
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let _lock = MachineLock::shared();
        let world = World::new(kind);
        let daemon = world.daemon("letters", TESTBED, &[]);
        let app = App::new(client(&daemon), "letters");
        let rule = json!({"source": "dead_letter", "trigger": "*"});
        app.deploy(
            &[("maybe", MAYBE), ("handle", HANDLE)],
            &[
                on("work", "maybe", json!({"script": "maybe"}), once()),
                json!({"name": "handle", "match": rule, "handler": {"script": "handle"}}),
            ],
        );
        let letters = make_letters(&app, 2);
        assert_eq!(letters.len(), 2, "a failed dead-letter handler makes no dead letter");
        let of = |n: i64| {
            letters.iter().find(|letter| letter["event"]["data"]["n"] == n).expect("each event has a dead letter")
        };
        assert_eq!((&of(0)["resolution"], &of(1)["resolution"]), (&json!("handled"), &json!("handler_failed")));
        let failure = &of(1)["handler_failure"];
        assert_eq!((&failure["error"], &failure["attempt"]), (&json!("script_error"), &json!(1)), "{failure}");
        let handled = json!({
            "trigger": "maybe", "reason": "attempts_exhausted", "error": "script_error", "attempts": 1, "type": "work",
        });
        assert_eq!(app.entries("handled"), [("0".to_owned(), handled)]);
    }
}

#[test]
fn a_script_that_triggers_itself_is_stopped_and_listed_as_a_loop() {
    const AGAIN: &str = "export default async function (event, ctx) {
        await ctx.kv.set('loop', 'key', (event.data.value ?? 0) + 1);
    }";
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let _lock = MachineLock::shared();
        let world = World::new(kind);
        let daemon = world.daemon("loops", TESTBED, &[("TIDEGATE_DISPATCHER_MAX_TRIGGER_DEPTH", "5")]);
        let app = App::new(client(&daemon), "loops");
        let rule = json!({"source": "kv", "collection": "loop"});
        app.deploy(&[("again", AGAIN)], &[json!({"name": "again", "match": rule, "handler": {"script": "again"}})]);
        app.client.put(&app.path("/kv/loop/key"), &json!(0)).ok();
        let loops = wait_for("the loop to be stopped", TIMEOUT, || {
            let found = app.client.get(&app.path("/loops")).ok()["loops"].clone();
            (app.is_drained() && found != json!([])).then_some(found)
        });
        assert_eq!((&loops[0]["trigger"], &loops[0]["count"]), (&json!("again"), &json!(1)));
        assert_eq!(app.entries("loop"), [("key".to_owned(), json!(6))], "the depths 0 to 5 ran");
        assert_eq!(app.dead_letters(), Vec::<Value>::new());
        let metrics = app.client.get("/metrics").text;
        let dropped = metrics.lines().find(|line| line.starts_with("tidegate_deliveries_dropped_total{"));
        assert!(dropped.is_some_and(|line| line.contains("reason=\"depth\"") && line.ends_with(" 1")), "{dropped:?}");
        let output = tidegate(&daemon, &["loops", "--app", "loops"]);
        assert!(String::from_utf8_lossy(&output.stdout).contains("again"), "{output:?}");
    }
}

#[test]
fn waiting_deliveries_survive_the_rename_and_the_return_of_their_trigger() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let _lock = MachineLock::shared();
        let world = World::new(kind);
        let daemon = world.daemon("renames", TESTBED, &[]);
        let app = App::new(client(&daemon), "renames");
        let trigger = |name: &str| on("go", name, json!({"native": "noop"}), json!({}));
        app.deploy(&[], &[trigger("q")]);
        app.switch("q", "pause");
        app.emit(&[event("go", json!(1)), event("go", json!(2)), event("go", json!(3))]);

        let refused = app.client.put(&app.path(""), &json!({"triggers": [trigger("q2")]}));
        assert_eq!((refused.status, refused.header("tidegate-code")), (409, Some("deliveries_waiting")), "{refused:?}");
        assert!(refused.text.contains("3 deliveries wait or run"), "{refused:?}");
        let renamed = json!({"triggers": [trigger("q2")], "renames": [{"from": "q", "to": "q2"}]});
        let report = app.client.put(&app.path(""), &renamed).ok();
        assert_eq!(report["triggers"], json!([{"name": "q2", "change": "renamed"}]), "{kind:?}");
        assert_eq!(app.deliveries("q2").len(), 3, "{kind:?}");

        app.client.put(&app.path("?dead_letter_waiting=true"), &json!({"triggers": [trigger("other")]})).ok();
        wait_for("the dead letters", TIMEOUT, || (app.dead_letters().len() == 3).then_some(()));
        assert!(app.dead_letters().iter().all(|letter| letter["reason"] == "handler_missing"), "{kind:?}");
        app.deploy(&[], &[trigger("q2"), trigger("other")]);
        let path = app.path("/dead-letters/redrive");
        let body = json!({"all": true}).to_string();
        let redriven = app.client.send("POST", &path, &[], Some(body.as_bytes())).unwrap().ok();
        assert_eq!((&redriven["redriven"], &redriven["skipped"]), (&json!(3), &json!(0)), "{kind:?}");
        wait_for("the deliveries to end", TIMEOUT, || app.is_drained().then_some(()));
        assert_eq!(app.dead_letters().len(), 3, "{kind:?}: none died again");
    }
}
