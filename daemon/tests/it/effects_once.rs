//! Effects of every kind of execution, under fire: a counter that handlers of events, sync calls and dead letters all
//! increment equals the number of executions that succeeded, after twenty kills.

use crate::world::{App, Kind, TIDEGATE, Turn, World, client, event, on, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use testkit::Daemon;

const KILLS: usize = 20;
const BETWEEN_KILLS: Duration = Duration::from_millis(400);
const LIFE_MAX: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(120);
const SHORT_LEASE: (&str, &str) = ("TIDEGATE_DISPATCHER_LEASE_MS", "1500");

/// Counts, and leaves a mark of its own in the same effects: so many marks, so many successes.
const COUNT: &str = "export default async function (event, ctx) {
    const count = (await ctx.kv.get('counts', 'all')) ?? 0;
    await ctx.kv.set('counts', 'all', count + 1);
    const mark = event.type === 'invoke' ? `call-${event.data.n}-${ctx.executionId}` : `${ctx.trigger}-${event.id}`;
    await ctx.kv.set('marks', mark, event.data?.n ?? null);
}";

const BOOM: &str = "export default () => { throw new Error('boom') }";

#[test]
fn on_sqlite() {
    let _turn = Turn::shared();
    let world = World::new(Kind::Sqlite);
    survives(&mut [world.daemon("a", TIDEGATE, &[SHORT_LEASE])]);
}

#[test]
fn on_postgres_with_two_daemons() {
    let _turn = Turn::shared();
    let world = World::new(Kind::Postgres);
    survives(&mut ["a", "b"].map(|name| world.daemon(name, TIDEGATE, &[SHORT_LEASE])));
}

fn survives(daemons: &mut [Daemon]) {
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
    let (over, emitted, replied) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let mut answered = Vec::new();
    std::thread::scope(|scope| {
        let (over, emitted, replied, apps) = (&over, &emitted, &replied, &apps);
        for (at, event_type) in ["count", "boom"].into_iter().enumerate() {
            scope.spawn(move || emit_until(over, emitted, &apps[at % apps.len()], event_type));
        }
        let callers: Vec<_> = (0..3)
            .map(|caller| scope.spawn(move || call_until(over, replied, &apps[caller % apps.len()], caller)))
            .collect();
        for time in 0..KILLS {
            // On a slow machine a call may take longer than that, and each life should see one succeed.
            let before = replied.load(Ordering::Relaxed);
            std::thread::sleep(BETWEEN_KILLS);
            let patience = Instant::now() + LIFE_MAX;
            while replied.load(Ordering::Relaxed) == before && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(10));
            }
            let victim = &mut daemons[time % apps.len()];
            victim.kill9();
            victim.restart();
        }
        std::thread::sleep(BETWEEN_KILLS);
        over.store(true, Ordering::Relaxed);
        answered = callers.into_iter().flat_map(|caller| caller.join().expect("a caller does not panic")).collect();
    });
    wait_for("all deliveries to end", PATIENCE, || apps[0].is_drained().then_some(()));
    check(&apps[0], emitted.into_inner(), &answered);
}

/// Emits, one request after the other, each repeated under its key until it is acknowledged.
fn emit_until(over: &AtomicBool, emitted: &AtomicUsize, app: &App, event_type: &str) {
    for n in 0.. {
        let events = vec![event(event_type, json!({ "n": n })); 2];
        let key = format!("{event_type}-{n}");
        while !app.try_emit(&events, Some(&key)).is_ok_and(|answer| answer.status == 202) {
            std::thread::sleep(Duration::from_millis(20));
        }
        if event_type == "count" {
            emitted.fetch_add(events.len(), Ordering::Relaxed);
        }
        if over.load(Ordering::Relaxed) {
            return;
        }
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Calls, one after the other, and notes which calls were answered with a success.
fn call_until(over: &AtomicBool, replied: &AtomicUsize, app: &App, caller: usize) -> Vec<String> {
    let mut answered = Vec::new();
    for n in 0.. {
        if over.load(Ordering::Relaxed) {
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
            // Killed in the middle.
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
    assert_eq!(counted, json!(marks.len()), "each success counted once");
    assert_eq!(of("count-"), emitted, "each event was handled");
    let missing: Vec<&String> = answered.iter().filter(|call| !marks.contains(*call)).collect();
    assert_eq!(missing, Vec::<&String>::new(), "a call that was answered with a success has its effects");
    // Each call that took effect was replied or is abandoned, whatever moment its daemon died in.
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
    assert_eq!(took_effect.difference(&known).count(), 0, "calls that took effect and of which nothing is known");
    assert_eq!(executions(&succeeded).difference(&took_effect).count(), 0, "abandoned successes without effects");
    let letters = app.dead_letters();
    let handled = letters.iter().filter(|letter| letter["resolution"] == "handled").count();
    assert_eq!(of("letters-"), handled, "each letter that is handled was handled once");
    let resolved = |letter: &&Value| matches!(letter["resolution"].as_str(), Some("handled" | "handler_failed"));
    assert_eq!(letters.iter().filter(resolved).count(), letters.len(), "no letter waits for its handler");
    assert!(letters.iter().all(|letter| letter["trigger"] == "boom"), "calls and handlers make no letters");
    assert!(emitted > 50 && answered.len() > 10 && handled > 10, "{emitted} {} {handled}", answered.len());
}
