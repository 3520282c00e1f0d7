//! Sync calls that lose their caller or their daemon, and calls that are repeated under an
//! idempotency key.

use crate::calls::{SUM, TIMEOUT, http, on_both};
use crate::world::{Answer, App, MachineLock, StoreKind, TESTBED, World, client, tidegate, wait_for};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use testkit::Daemon;

/// Sends a request and disconnects as soon as its execution begins.
fn disconnect_during(daemon: &Daemon, path: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port())).expect("the daemon listens");
    write!(stream, "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").expect("the daemon reads");
    wait_for("the execution to begin", TIMEOUT, || daemon.log().contains("started").then_some(()));
}

#[test]
fn a_caller_that_disconnects_leaves_one_abandoned_execution_and_its_effects() {
    const SLOW: &str = "export default async function (request, ctx) {
        const from = Date.now();
        while (Date.now() - from < 1000) {}
        await ctx.kv.set('slow', 'key', 1);
        return { status: 202 };
    }";
    on_both(|world| {
        let daemon = world.daemon("hangup", TESTBED, &[("TIDEGATE_LOG_LEVEL", "info,tidegate::server=debug")]);
        let app = App::new(client(&daemon), "hangup");
        let rule = json!({"method": "POST", "path": "/slow", "public": true});
        app.deploy(&[("slow", SLOW)], &[http("slow", rule, json!({"script": "slow"}), json!({}))]);
        disconnect_during(&daemon, "/http/hangup/slow");
        let abandoned = wait_for("the abandoned execution", TIMEOUT, || {
            let found = app.client.list(&app.path("/abandoned"), "abandoned");
            (!found.is_empty()).then_some(found)
        });
        assert_eq!(abandoned.len(), 1);
        let row = &abandoned[0];
        let fields = (&row["trigger"], &row["cause"], &row["outcome"], &row["status"]);
        assert_eq!(fields, (&json!("slow"), &json!("caller_gone"), &json!("succeeded"), &json!(202)), "{row}");
        assert_eq!(app.entries("slow"), [("key".to_owned(), json!(1))]);
        assert!(app.is_drained() && app.dead_letters().is_empty());
        let output = tidegate(&daemon, &["abandoned", "--app", "hangup"]);
        assert!(String::from_utf8_lossy(&output.stdout).contains("caller_gone"), "{output:?}");
    });
}

/// A reply of 200 KB. A hundred of them exceed the buffers of a connection.
const LARGE: &str = "export default async function ({ params }, ctx) {
    await ctx.kv.set(params.collection, params.n, 1);
    return { body: 'x'.repeat(200000) };
}";

/// Sends a hundred calls and reads no reply, until the buffers of the connection are full.
fn call_without_reading(daemon: &Daemon, app: &App, collection: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port())).expect("the daemon listens");
    for n in 100..200 {
        write!(stream, "POST /http/unread/large/{collection}/{n} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
            .expect("the daemon reads");
    }
    let (mut executed, mut since) = (0, Instant::now());
    wait_for("full buffers", TIMEOUT, || {
        let now = app.entries(collection).len();
        if now != executed {
            (executed, since) = (now, Instant::now());
        }
        (executed > 0 && since.elapsed() > Duration::from_secs(2)).then_some(())
    });
    assert!(executed < 100, "the buffers are large enough for all replies");
    stream
}

#[test]
fn a_reply_that_the_kernel_has_not_taken_is_not_delivered() {
    on_both(|world| {
        let mut daemon = world.daemon("unread", TESTBED, &[]);
        let app = App::new(client(&daemon), "unread");
        let rule = json!({"method": "POST", "path": "/large/{collection}/{n}", "public": true});
        app.deploy(&[("large", LARGE)], &[http("large", rule, json!({"script": "large"}), json!({}))]);
        let abandoned = |app: &App, count: usize| {
            wait_for("the abandoned execution", TIMEOUT, || {
                let found = app.client.list(&app.path("/abandoned"), "abandoned");
                (found.len() == count && app.is_drained()).then_some(found)
            })
        };
        let stream = call_without_reading(&daemon, &app, "reset");
        assert!(!app.is_drained(), "the row stays while the reply is in a buffer of the daemon");
        drop(stream); // The client has unread bytes, so this resets the connection.
        let found = abandoned(&app, 1);
        assert_eq!((&found[0]["cause"], &found[0]["outcome"]), (&json!("caller_gone"), &json!("succeeded")));

        let _stream = call_without_reading(&daemon, &app, "killed");
        daemon.kill9();
        daemon.restart();
        let app = App::new(client(&daemon), "unread");
        let found = abandoned(&app, 2);
        let causes: BTreeSet<_> = found.iter().map(|row| row["cause"].as_str().expect("a text")).collect();
        assert_eq!(causes, BTreeSet::from(["caller_gone", "node_lost"]));
    });
}

#[test]
fn a_call_of_a_killed_daemon_is_abandoned_and_not_executed_again() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let _lock = MachineLock::shared();
        let world = World::new(kind);
        let settings = [("TIDEGATE_LOG_LEVEL", "info,tidegate::server=debug")];
        let mut victim = world.daemon("victim", TESTBED, &settings);
        let other = (kind == StoreKind::Postgres).then(|| world.daemon("other", TESTBED, &settings));
        let app = App::new(client(&victim), "lost");
        let rule = json!({"method": "POST", "path": "/long"});
        app.deploy(&[], &[http("long", rule, json!({"native": "sleep_5s"}), json!({}))]);
        let calling = std::thread::spawn({
            let client = app.client.clone();
            move || client.send("POST", "/http/lost/long", &[], None).is_err()
        });
        wait_for("the execution to begin", TIMEOUT, || victim.log().contains("started").then_some(()));
        victim.kill9();
        assert!(calling.join().expect("the thread does not panic"), "the caller gets no answer");
        let survivor = match &other {
            Some(other) => other,
            None => {
                victim.restart();
                &victim
            }
        };
        let app = App::new(client(survivor), "lost");
        let abandoned = wait_for("the abandoned execution", TIMEOUT, || {
            let found = app.client.list(&app.path("/abandoned"), "abandoned");
            (!found.is_empty()).then_some(found)
        });
        let row = &abandoned[0];
        assert_eq!((&row["cause"], &row["outcome"], &row["status"]), (&json!("node_lost"), &json!(null), &json!(null)));
        assert!(app.is_drained());
        let starts =
            victim.log().matches("started").count() + other.map_or(0, |other| other.log().matches("started").count());
        assert_eq!(starts, 1, "the call was executed once");
    }
}

#[test]
fn a_call_with_an_idempotency_key_is_executed_once() {
    on_both(|world| {
        let mut daemon = world.daemon("keys", TESTBED, &[]);
        let app = App::new(client(&daemon), "keys");
        app.deploy(&[("sum", SUM), ("throws", "export default () => { throw new Error('no') }")], &[]);
        let path = app.path("/invoke/sum");
        let keyed = |path: &str, body: &str| {
            app.client
                .send("POST", path, &[("idempotency-key", "k")], Some(body.as_bytes()))
                .expect("the daemon answers")
        };
        let first = keyed(&path, r#"{"n": 2}"#);
        daemon.kill9();
        daemon.restart();
        let again = keyed(&path, r#"{"n": 2}"#);
        assert_eq!((again.status, &again.text), (200, &first.text));
        let execution = |answer: &Answer| answer.header("tidegate-execution-id").map(str::to_owned);
        assert_eq!((execution(&again), execution(&first).is_some()), (execution(&first), true));
        assert_eq!(app.entries("sums"), [("all".to_owned(), json!(2))], "the script ran once");
        for (path, body) in [(&path, r#"{"n": 3}"#), (&app.path("/invoke/throws"), r#"{"n": 2}"#)] {
            let other = keyed(path, body);
            assert_eq!(
                (other.status, other.header("tidegate-code")),
                (422, Some("idempotency_key_reused")),
                "{other:?}"
            );
        }
        let callers: Vec<_> = (0..8)
            .map(|_| {
                let (client, path) = (app.client.clone(), path.clone());
                std::thread::spawn(move || {
                    let headers = [("idempotency-key", "at once")];
                    client.send("POST", &path, &headers, Some(br#"{"n": 5}"#)).expect("the daemon answers").status
                })
            })
            .collect();
        let statuses: Vec<u16> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        assert!(statuses.iter().all(|status| matches!(status, 200 | 409)) && statuses.contains(&200), "{statuses:?}");
        assert_eq!(app.entries("sums"), [("all".to_owned(), json!(7))], "only one of the concurrent calls ran");
    });
}
