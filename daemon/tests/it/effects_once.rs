//! Effects are applied once, also when daemons are killed.
//!
//! Handlers of events, sync calls and dead letters increment one counter. After 20 kills the
//! counter equals the number of successful executions.

use crate::world::{App, MachineLock, StoreKind, TIDEGATE, World, client, event, on, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use testkit::Daemon;

const KILLS: usize = 20;
const BETWEEN_KILLS: Duration = Duration::from_millis(400);
const LIFE_MAX: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(120);

/// Increments the counter and writes a mark of its own in the same effects. The number of marks is
/// the number of successes.
const COUNT: &str = "export default async function (event, ctx) {
    const count = (await ctx.kv.get('counts', 'all')) ?? 0;
    await ctx.kv.set('counts', 'all', count + 1);
    const mark = event.type === 'invoke' ? `call-${event.data.n}-${ctx.executionId}` : `${ctx.trigger}-${event.id}`;
    await ctx.kv.set('marks', mark, event.data?.n ?? null);
}";

const BOOM: &str = "export default () => { throw new Error('boom') }";

#[test]
fn effects_are_applied_once_on_sqlite() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    kill_and_check(&mut [world.daemon("a", TIDEGATE, &[])]);
}

#[test]
fn effects_are_applied_once_on_postgres_with_two_daemons() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Postgres);
    kill_and_check(&mut ["a", "b"].map(|name| world.daemon(name, TIDEGATE, &[])));
}

fn kill_and_check(daemons: &mut [Daemon]) {
    let apps: Vec<App> = daemons.iter().map(|daemon| App::new(client(daemon), "once")).collect();
    let often = json!({"retry": {"max_attempts": 100, "base_ms": 10, "max_ms": 50}});
    let rule = json!({"source": "dead_letter", "trigger": "boom"});
    apps[0].deploy(
        &[("count", COUNT), ("boom", BOOM)],
        &[
            on("count", "count", json!({"script": "count"}), often),
            on("boom", "boom", json!({"script": "boom"}), json!({"retry": {"max_attempts": 1}})),
            json!({"name": "letters", "match": rule, "handler": {"script": "count"}}),
        ],
    );
    let (is_over, emitted, replied) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let mut answered = Vec::new();
    std::thread::scope(|scope| {
        let (is_over, emitted, replied, apps) = (&is_over, &emitted, &replied, &apps);
        for (at, event_type) in ["count", "boom"].into_iter().enumerate() {
            scope.spawn(move || emit_until(is_over, emitted, &apps[at % apps.len()], event_type));
        }
        let callers: Vec<_> = (0..3)
            .map(|caller| scope.spawn(move || call_until(is_over, replied, &apps[caller % apps.len()], caller)))
            .collect();
        for time in 0..KILLS {
            // At least one call should succeed before each kill. A slow machine needs longer.
            let before = replied.load(Ordering::Relaxed);
            std::thread::sleep(BETWEEN_KILLS);
            let deadline = Instant::now() + LIFE_MAX;
            while replied.load(Ordering::Relaxed) == before && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            let victim = &mut daemons[time % apps.len()];
            victim.kill9();
            victim.restart();
        }
        std::thread::sleep(BETWEEN_KILLS);
        is_over.store(true, Ordering::Relaxed);
        answered = callers.into_iter().flat_map(|caller| caller.join().expect("the thread does not panic")).collect();
    });
    wait_for("all deliveries to end", TIMEOUT, || apps[0].is_drained().then_some(()));
    check(&apps[0], emitted.into_inner(), &answered);
}

/// Sends one request after the other. Each is repeated under its key until it is acknowledged.
fn emit_until(is_over: &AtomicBool, emitted: &AtomicUsize, app: &App, event_type: &str) {
    for n in 0.. {
        let events = vec![event(event_type, json!({ "n": n })); 2];
        let key = format!("{event_type}-{n}");
        while !app.try_emit(&events, Some(&key)).is_ok_and(|answer| answer.status == 202) {
            std::thread::sleep(Duration::from_millis(20));
        }
        if event_type == "count" {
            emitted.fetch_add(events.len(), Ordering::Relaxed);
        }
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Makes one call after the other, and returns the calls that were answered with success.
fn call_until(is_over: &AtomicBool, replied: &AtomicUsize, app: &App, caller: usize) -> Vec<String> {
    let mut answered = Vec::new();
    for n in 0.. {
        if is_over.load(Ordering::Relaxed) {
            return answered;
        }
        let body = json!({"n": format!("{caller}.{n}")}).to_string();
        let sent = app.client.send("POST", &app.path("/invoke/count"), &[], Some(body.as_bytes()));
        match sent {
            Ok(answer) if answer.status == 200 => {
                replied.fetch_add(1, Ordering::Relaxed);
                let execution = answer.header("tidegate-execution-id").expect("an answer names its execution");
                answered.push(format!("call-{caller}.{n}-{execution}"));
            }
            Ok(answer) => assert!(matches!(answer.status, 409 | 500 | 503), "{answer:?}"),
            // The daemon was killed during the call.
            Err(_) => {}
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    answered
}

fn check(app: &App, emitted: usize, answered: &[String]) {
    let marks: BTreeSet<String> = app.entries("marks").into_iter().map(|(key, _)| key).collect();
    let of = |kind: &str| marks.iter().filter(|mark| mark.starts_with(kind)).count();
    let counted = app.entries("counts").into_iter().next().map_or(json!(0), |(_, count)| count);
    assert_eq!(counted, json!(marks.len()), "each success is counted once");
    let lost: Vec<Value> = app.dead_letters().into_iter().filter(|letter| letter["trigger"] == "count").collect();
    assert_eq!(lost, Vec::<Value>::new(), "events become no dead letters");
    assert_eq!(of("count-"), emitted, "each event was handled once");
    let missing: Vec<&String> = answered.iter().filter(|call| !marks.contains(*call)).collect();
    assert_eq!(missing, Vec::<&String>::new(), "calls with a success answer but without effects");
    // Each call with effects was answered or is abandoned.
    let abandoned = app.client.list(&app.path("/abandoned?limit=1000"), "abandoned");
    let executions =
        |rows: &[Value]| -> BTreeSet<String> { rows.iter().map(|row| format!("{}-1", row["delivery_id"])).collect() };
    let succeeded: Vec<Value> = abandoned.iter().filter(|row| row["outcome"] == "succeeded").cloned().collect();
    let call_of = |mark: &String| {
        mark.rsplit_once('-').and_then(|(rest, _)| rest.rsplit_once('-')).map(|(_, id)| format!("{id}-1"))
    };
    let known: BTreeSet<String> = answered.iter().filter_map(call_of).chain(executions(&succeeded)).collect();
    let took_effect: BTreeSet<String> =
        marks.iter().filter(|mark| mark.starts_with("call-")).filter_map(call_of).collect();
    assert_eq!(
        took_effect.difference(&known).count(),
        0,
        "calls with effects that were neither answered nor abandoned"
    );
    assert_eq!(executions(&succeeded).difference(&took_effect).count(), 0, "abandoned successes without effects");
    let letters = app.dead_letters();
    let handled = letters.iter().filter(|letter| letter["resolution"] == "handled").count();
    assert_eq!(of("letters-"), handled, "each handled letter was handled once");
    let resolved = |letter: &&Value| matches!(letter["resolution"].as_str(), Some("handled" | "handler_failed"));
    assert_eq!(letters.iter().filter(resolved).count(), letters.len(), "no letter waits for its handler");
    assert!(
        letters.iter().all(|letter| letter["trigger"] == "boom"),
        "calls and dead-letter handlers make no dead letters"
    );
    assert!(emitted > 50 && answered.len() > 10 && handled > 10, "{emitted} {} {handled}", answered.len());
}
