//! Sync calls through the real program, on both stores: what a caller is answered, and what is left of it.

use crate::world::{Answer, App, Client, Kind, TESTBED, Turn, World, client, event, on, tidegate, wait_for};
use serde_json::{Value, json};
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use testkit::Daemon;

const PATIENCE: Duration = Duration::from_secs(20);

const GREET: &str = "export default async function (request, ctx) {
    const { name } = request.json();
    await ctx.kv.set('greeted', name, { by: ctx.executionId });
    await ctx.emit('greeted', { name });
    return { status: 201, headers: { 'x-greeting': 'hi' }, body: { hello: name, id: request.params.id, q: request.query.q } };
}";

/// Answers what it was asked, as text.
const ECHO: &str = "export default (request) => ({ body: JSON.stringify(request) })";

const SUM: &str = "export default async function (event, ctx) {
    const seen = (await ctx.kv.get('sums', 'all')) ?? 0;
    await ctx.kv.set('sums', 'all', seen + event.data.n);
    return { sum: seen + event.data.n, type: event.type };
}";

fn http(name: &str, rule: Value, handler: Value, more: Value) -> Value {
    let mut spec = on("", name, handler, more);
    spec["match"] = json!({"source": "http"});
    spec["match"].as_object_mut().expect("it is one").extend(rule.as_object().expect("a rule is one").clone());
    spec
}

fn post(client: &Client, path: &str, body: &str) -> Answer {
    client.send("POST", path, &[], Some(body.as_bytes())).unwrap_or_else(|error| panic!("POST {path}: {error}"))
}

fn on_both(test: impl Fn(&World)) {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let _turn = Turn::shared();
        test(&World::new(kind));
    }
}

#[test]
fn a_request_is_answered_after_its_effects_are_committed() {
    on_both(|world| {
        let daemon = world.daemon("calls", TESTBED, &[]);
        let app = App::new(client(&daemon), "calls");
        app.deploy(
            &[("greet", GREET), ("echo", ECHO)],
            &[
                http("greet", json!({"method": "POST", "path": "/greet/{id}"}), json!({"script": "greet"}), json!({})),
                http(
                    "echo",
                    json!({"method": "*", "path": "/{rest...}", "public": true}),
                    json!({"script": "echo"}),
                    json!({}),
                ),
                on("greeted", "heard", json!({"native": "noop"}), json!({})),
            ],
        );
        let answer = post(&app.client, "/http/calls/greet/a%2Fb?q=1&q=2", r#"{"name": "ann"}"#);
        assert_eq!((answer.status, answer.header("x-greeting")), (201, Some("hi")), "{answer:?}");
        assert_eq!(answer.json(), json!({"hello": "ann", "id": "a/b", "q": "1"}));
        let execution = answer.header("tidegate-execution-id").expect("the execution is named").to_owned();
        assert_eq!(app.entries("greeted"), [("ann".to_owned(), json!({"by": execution}))], "at once");

        let stranger = app.client.with_token("tg_nobody");
        let seen = stranger.send("PUT", "/http/calls/x/y?z=%C3%BC", &[("x-one", "1")], Some(b"\xff\x00")).unwrap();
        assert_eq!(seen.header("content-type"), Some("text/plain; charset=utf-8"));
        let seen: Value = seen.json();
        let found =
            (&seen["method"], &seen["path"], &seen["url"], &seen["params"], &seen["query"], &seen["bodyBase64"]);
        let (path, url, params) = (json!("/x/y"), json!("/x/y?z=%C3%BC"), json!({"rest": "x/y"}));
        assert_eq!(found, (&json!("PUT"), &path, &url, &params, &json!({"z": "ü"}), &json!("/wA=")));
        assert_eq!(
            (&seen["headers"]["x-one"], &seen["headers"]["authorization"]),
            (&json!("1"), &json!("Bearer tg_nobody"))
        );
        let refused = post(&stranger, "/http/calls/greet/1", "{}");
        assert_eq!((refused.status, refused.header("tidegate-code")), (401, Some("unauthorized")));
        wait_for("the event that it emitted", PATIENCE, || app.is_drained().then_some(()));
        assert_eq!(app.dead_letters(), Vec::<Value>::new());
    });
}

#[test]
fn a_route_that_is_not_there_is_told_from_a_method_that_is_not() {
    let _turn = Turn::shared();
    let world = World::new(Kind::Sqlite);
    let daemon = world.daemon("routes", TESTBED, &[]);
    let app = App::new(client(&daemon), "routes");
    let get = http("get", json!({"method": "GET", "path": "/a"}), json!({"native": "answer_204"}), json!({}));
    app.deploy(&[], &[get]);
    assert_eq!(app.client.get("/http/routes/a").status, 204);
    let other = post(&app.client, "/http/routes/a", "");
    assert_eq!(
        (other.status, other.header("allow"), other.header("tidegate-code")),
        (405, Some("GET"), Some("method_not_allowed"))
    );
    for path in ["/http/routes/b", "/http/routes/a/", "/http/nobody/a", "/http/routes", "/http/No.App/a"] {
        let answer = app.client.get(path);
        assert_eq!((answer.status, answer.header("tidegate-code")), (404, Some("not_found")), "{path}");
    }
    app.switch("get", "pause");
    let paused = app.client.get("/http/routes/a");
    assert_eq!((paused.status, paused.header("tidegate-code")), (503, Some("overloaded")), "{paused:?}");
    assert!(paused.header("retry-after").is_some());
    assert!(app.is_drained(), "nothing was written");
}

#[test]
fn a_script_is_invoked_by_its_name_and_answers_what_it_returns() {
    on_both(|world| {
        let daemon = world.daemon("invoke", TESTBED, &[]);
        let app = App::new(client(&daemon), "invoke");
        app.deploy(&[("sum", SUM)], &[]);
        let first = post(&app.client, &app.path("/invoke/sum"), r#"{"n": 2}"#);
        assert_eq!((first.status, first.json()), (200, json!({"sum": 2, "type": "invoke"})));
        assert_eq!(post(&app.client, &app.path("/invoke/sum"), r#"{"n": 3}"#).json()["sum"], 5);
        let missing = post(&app.client, &app.path("/invoke/none"), "");
        assert_eq!((missing.status, missing.header("tidegate-code")), (404, Some("script_not_found")));
        let broken = post(&app.client, &app.path("/invoke/sum"), "{");
        assert_eq!((broken.status, broken.header("tidegate-code")), (400, Some("invalid_json")));
        wait_for("the rows of what was answered to go", Duration::from_secs(10), || app.is_drained().then_some(()));

        // Concurrent ones conflict on what they read, and none is lost for it.
        let callers: Vec<_> = (0..8)
            .map(|_| {
                let (client, path) = (app.client.clone(), app.path("/invoke/sum"));
                std::thread::spawn(move || (0..5).filter(|_| post(&client, &path, r#"{"n": 1}"#).status == 200).count())
            })
            .collect();
        let succeeded: usize = callers.into_iter().map(|caller| caller.join().unwrap()).sum();
        assert!(succeeded >= 30, "{succeeded} of 40");
        assert_eq!(app.entries("sums"), [("all".to_owned(), json!(5 + succeeded))]);
    });
}

#[test]
fn each_failure_has_its_status_and_its_code() {
    const FOREVER: &str = "export default () => { for (;;) {} }";
    const THROWS: &str = "export default () => { throw new Error('no') }";
    const BOMB: &str = "export default () => { const a = []; for (;;) a.push('x'.repeat(1e6) + a.length) }";
    const NOTHING: &str = "export default () => {}";
    const WRITES: &str = "export default async (r, ctx) => { await ctx.kv.set('c', 'k', 1); return { status: 99 } }";
    on_both(|world| {
        let settings = [("TIDEGATE_DISPATCHER_MAX_TRIGGER_DEPTH", "3")];
        let daemon = world.daemon("statuses", TESTBED, &settings);
        let app = App::new(client(&daemon), "statuses");
        let route = |name: &str, handler: Value| {
            let rule = json!({"method": "POST", "path": format!("/{name}")});
            http(name, rule, handler, json!({"timeout_ms": 1_000}))
        };
        let scripts =
            [("forever", FOREVER), ("throws", THROWS), ("bomb", BOMB), ("nothing", NOTHING), ("writes", WRITES)];
        let mut routes: Vec<Value> = scripts.iter().map(|(name, _)| route(name, json!({"script": name}))).collect();
        routes.push(route("fail", json!({"native": "fail_with"})));
        routes.push(route("again", json!({"native": "again"})));
        routes.push(route("deleted", json!({"script": "throws"})));
        app.deploy(&scripts, &routes);

        let class = |name: &str| ("fail", json!(name).to_string());
        let endpoint = json!({"endpoint_status": 404}).to_string();
        for ((path, body), status, code) in [
            (("forever", String::new()), 504, "timeout"),
            (("throws", String::new()), 500, "script_error"),
            (("bomb", String::new()), 500, "resource_limit"),
            (("nothing", String::new()), 502, "invalid_reply"),
            (("writes", String::new()), 502, "invalid_reply"),
            (class("script_unavailable"), 503, "script_unavailable"),
            (class("handler_missing"), 404, "handler_missing"),
            (class("principal_denied"), 403, "principal_denied"),
            (class("endpoint_unreachable"), 502, "endpoint_unreachable"),
            (("fail", endpoint), 502, "endpoint_status"),
            (class("effects_conflict"), 409, "effects_conflict"),
            (class("overloaded"), 503, "overloaded"),
            (class("lost"), 500, "lost"),
            (class("internal"), 500, "internal"),
            (class("loop_refused"), 508, "loop_refused"),
        ] {
            let answer = post(&app.client, &format!("/http/statuses/{path}"), &body);
            let problem = answer.json();
            assert_eq!((answer.status, answer.header("tidegate-code")), (status, Some(code)), "{answer:?}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)));
            let execution = answer.header("tidegate-execution-id").expect("it was executed");
            assert_eq!(problem["execution_id"], execution);
            assert_eq!(answer.header("retry-after").is_some(), status == 503, "{answer:?}");
        }
        assert_eq!(app.entries("c"), [], "a reply that cannot be sent applies nothing");
        let around = post(&app.client, "/http/statuses/again", "");
        assert_eq!(around.status, 508, "a handler that calls itself is refused in the end: {around:?}");
        wait_for("the rows to go", PATIENCE, || app.is_drained().then_some(()));
        assert_eq!(app.dead_letters(), Vec::<Value>::new(), "a call is never dead-lettered");
    });
}

#[test]
fn callers_and_async_work_share_the_gate_and_nobody_is_forgotten() {
    const ASYNC: usize = 200;
    const CALLERS: usize = 50;
    const WAIT_MS: u64 = 3_000;
    on_both(|world| {
        let settings = [
            ("TIDEGATE_GATE_PERMITS", "4"),
            ("TIDEGATE_GATE_SYNC_RESERVE", "1"),
            ("TIDEGATE_DISPATCHER_SYNC_WAIT_MS_MAX", &WAIT_MS.to_string()),
            ("TIDEGATE_DISPATCHER_QUEUE_WAIT_MS_MAX", "10"),
            ("TIDEGATE_LOG_LEVEL", "info,tidegate::server=debug"),
        ];
        let daemon = world.daemon("gate", TESTBED, &settings);
        let app = App::new(client(&daemon), "gate");
        let slow =
            http("slow", json!({"method": "POST", "path": "/slow"}), json!({"native": "answer_in_200ms"}), json!({}));
        // Several lanes, so that more rows are claimed than there are permits and some are deferred.
        let lanes: Vec<Value> =
            (0..4).map(|n| on("work", &format!("work{n}"), json!({"native": "sleep_20ms"}), json!({}))).collect();
        app.deploy(&[], &[lanes, vec![slow]].concat());
        app.emit(&vec![event("work", Value::Null); ASYNC / 4]);
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let client = app.client.clone();
                std::thread::spawn(move || {
                    let asked = Instant::now();
                    let answer = post(&client, "/http/gate/slow", "");
                    (answer.status, answer.header("tidegate-code").map(str::to_owned), asked.elapsed())
                })
            })
            .collect();
        let most = wait_for("the work and the callers", Duration::from_secs(60), || {
            let gate = app.client.get("/v1/gate").ok();
            assert!(gate["running"].as_u64().is_some_and(|running| running <= 4), "{gate}");
            (app.is_drained() && callers.iter().all(|caller| caller.is_finished())).then_some(gate)
        });
        assert_eq!((&most["permits"], &most["sync_reserve"]), (&json!(4), &json!(1)));
        let answers: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        for (status, code, took) in &answers {
            let refused = *status == 503 && code.as_deref() == Some("overloaded");
            assert!(*status == 204 || refused, "{status} {code:?}");
            assert!(*took < Duration::from_millis(WAIT_MS + 2_500), "{took:?}");
        }
        assert!(answers.iter().any(|(status, ..)| *status == 204));
        assert_eq!(app.dead_letters(), Vec::<Value>::new());
        let log = daemon.log();
        let done: Vec<&str> =
            log.lines().filter(|line| line.contains("done in") && line.contains("trigger=\"work")).collect();
        assert_eq!(done.len(), ASYNC);
        assert!(done.iter().all(|line| line.contains("delivery.attempt=1 ")), "a deferral counts no attempt");
    });
}

#[test]
fn the_gate_is_changed_while_it_runs() {
    let _turn = Turn::shared();
    let world = World::new(Kind::Sqlite);
    let daemon = world.daemon("gate", TESTBED, &[]);
    let client = client(&daemon);
    let patch = |body: &str| client.send("PATCH", "/v1/gate", &[], Some(body.as_bytes())).unwrap();
    assert_eq!(patch(r#"{"permits": 40}"#).ok()["permits"], 40);
    assert_eq!(patch(r#"{"sync_reserve": 3}"#).ok(), client.get("/v1/gate").ok());
    for bad in ["{\"permits\": 0}", "{\"sync_reserve\": 40}", "{\"permit\": 1}", "[]", "{"] {
        let answer = patch(bad);
        assert_eq!(answer.status, 400, "{bad}: {answer:?}");
    }
    let gate = client.get("/v1/gate").ok();
    assert_eq!((&gate["permits"], &gate["sync_reserve"]), (&json!(40), &json!(3)), "a bad change changes nothing");
}

/// Begins a request and goes away as soon as it is executed.
fn hang_up(daemon: &Daemon, path: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port())).expect("it listens");
    write!(stream, "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").expect("it reads");
    wait_for("its execution", PATIENCE, || daemon.log().contains("started").then_some(()));
}

#[test]
fn a_caller_who_hangs_up_leaves_one_abandoned_row_and_the_effects_stay() {
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
        hang_up(&daemon, "/http/hangup/slow");
        let abandoned = wait_for("the row", PATIENCE, || {
            let found = app.client.list(&app.path("/abandoned"), "abandoned");
            (!found.is_empty()).then_some(found)
        });
        assert_eq!(abandoned.len(), 1);
        let row = &abandoned[0];
        let told = (&row["trigger"], &row["cause"], &row["outcome"], &row["status"]);
        assert_eq!(told, (&json!("slow"), &json!("caller_gone"), &json!("succeeded"), &json!(202)), "{row}");
        assert_eq!(app.entries("slow"), [("key".to_owned(), json!(1))]);
        assert!(app.is_drained() && app.dead_letters().is_empty());
        let said = tidegate(&daemon, &["abandoned", "--app", "hangup"]);
        assert!(String::from_utf8_lossy(&said.stdout).contains("caller_gone"), "{said:?}");
    });
}

#[test]
fn a_call_whose_daemon_is_killed_is_abandoned_and_executed_by_no_other() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let _turn = Turn::shared();
        let world = World::new(kind);
        let settings =
            [("TIDEGATE_DISPATCHER_LEASE_MS", "1000"), ("TIDEGATE_LOG_LEVEL", "info,tidegate::server=debug")];
        let mut victim = world.daemon("victim", TESTBED, &settings);
        let other = (kind == Kind::Postgres).then(|| world.daemon("other", TESTBED, &settings));
        let app = App::new(client(&victim), "lost");
        let rule = json!({"method": "POST", "path": "/long"});
        app.deploy(&[], &[http("long", rule, json!({"native": "sleep_5s"}), json!({}))]);
        let calling = std::thread::spawn({
            let client = app.client.clone();
            move || client.send("POST", "/http/lost/long", &[], None).is_err()
        });
        wait_for("its execution", PATIENCE, || victim.log().contains("started").then_some(()));
        victim.kill9();
        assert!(calling.join().expect("it does not panic"), "the caller gets no answer");
        let survivor = match &other {
            Some(other) => other,
            None => {
                victim.restart();
                &victim
            }
        };
        let app = App::new(client(survivor), "lost");
        let abandoned = wait_for("the row", PATIENCE, || {
            let found = app.client.list(&app.path("/abandoned"), "abandoned");
            (!found.is_empty()).then_some(found)
        });
        let row = &abandoned[0];
        assert_eq!((&row["cause"], &row["outcome"], &row["status"]), (&json!("node_lost"), &json!(null), &json!(null)));
        assert!(app.is_drained());
        let starts =
            victim.log().matches("started").count() + other.map_or(0, |other| other.log().matches("started").count());
        assert_eq!(starts, 1, "it was executed once");
    }
}

#[test]
fn a_call_with_an_idempotency_key_happens_once() {
    on_both(|world| {
        let mut daemon = world.daemon("keys", TESTBED, &[]);
        let app = App::new(client(&daemon), "keys");
        app.deploy(&[("sum", SUM), ("throws", "export default () => { throw new Error('no') }")], &[]);
        let path = app.path("/invoke/sum");
        let keyed = |path: &str, body: &str| {
            app.client.send("POST", path, &[("idempotency-key", "k")], Some(body.as_bytes())).expect("an answer")
        };
        let first = keyed(&path, r#"{"n": 2}"#);
        daemon.kill9();
        daemon.restart();
        let again = keyed(&path, r#"{"n": 2}"#);
        assert_eq!((again.status, &again.text), (200, &first.text));
        let execution = |answer: &Answer| answer.header("tidegate-execution-id").map(str::to_owned);
        assert_eq!((execution(&again), execution(&first).is_some()), (execution(&first), true));
        assert_eq!(app.entries("sums"), [("all".to_owned(), json!(2))], "it ran once");
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
                    client.send("POST", &path, &headers, Some(br#"{"n": 5}"#)).expect("an answer").status
                })
            })
            .collect();
        let statuses: Vec<u16> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        assert!(statuses.iter().all(|status| matches!(status, 200 | 409)) && statuses.contains(&200), "{statuses:?}");
        assert_eq!(app.entries("sums"), [("all".to_owned(), json!(7))], "of many at the same moment one ran");
    });
}

/// A place is taken while something runs. Whoever has an answer may call again.
#[test]
fn one_after_the_other_is_not_too_much_for_a_limit_of_one() {
    on_both(|world| {
        let daemon = world.daemon("limit", TESTBED, &[]);
        let app = App::new(client(&daemon), "limit");
        let rule = json!({"method": "POST", "path": "/one"});
        app.deploy(&[], &[http("one", rule, json!({"native": "answer_204"}), json!({"max_concurrency": 1}))]);
        let statuses: Vec<u16> = (0..200).map(|_| post(&app.client, "/http/limit/one", "").status).collect();
        assert_eq!(statuses, [204; 200]);
    });
}
