//! Sync calls through the real program, on both stores: their answers, and the rows that remain.

use crate::world::{Answer, App, Client, MachineLock, StoreKind, TESTBED, World, client, event, on, wait_for};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

const GREET: &str = "export default async function (request, ctx) {
    const { name } = request.json();
    await ctx.kv.set('greeted', name, { by: ctx.executionId });
    await ctx.emit('greeted', { name });
    return { status: 201, headers: { 'x-greeting': 'hi' }, body: { hello: name, id: request.params.id, q: request.query.q } };
}";

/// Answers with the request as text.
const ECHO: &str = "export default (request) => ({ body: JSON.stringify(request) })";

pub(super) const SUM: &str = "export default async function (event, ctx) {
    const before = (await ctx.kv.get('sums', 'all')) ?? 0;
    await ctx.kv.set('sums', 'all', before + event.data.n);
    return { sum: before + event.data.n, type: event.type };
}";

pub(super) fn http(name: &str, rule: Value, handler: Value, more: Value) -> Value {
    let mut spec = on("", name, handler, more);
    spec["match"] = json!({"source": "http"});
    spec["match"]
        .as_object_mut()
        .expect("it is an object")
        .extend(rule.as_object().expect("a rule is an object").clone());
    spec
}

fn post(client: &Client, path: &str, body: &str) -> Answer {
    client.send("POST", path, &[], Some(body.as_bytes())).unwrap_or_else(|error| panic!("POST {path}: {error}"))
}

pub(super) fn on_both(test: impl Fn(&World)) {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let _lock = MachineLock::shared();
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
                on("greeted", "greeted", json!({"native": "noop"}), json!({})),
            ],
        );
        let answer = post(&app.client, "/http/calls/greet/a%2Fb?q=1&q=2", r#"{"name": "ann"}"#);
        assert_eq!((answer.status, answer.header("x-greeting")), (201, Some("hi")), "{answer:?}");
        assert_eq!(answer.json(), json!({"hello": "ann", "id": "a/b", "q": "1"}));
        let execution = answer.header("tidegate-execution-id").expect("the execution is named").to_owned();
        assert_eq!(app.entries("greeted"), [("ann".to_owned(), json!({"by": execution}))], "before the answer");

        let unknown = app.client.with_token("tg_unknown");
        let echoed = unknown.send("PUT", "/http/calls/x/y?z=%C3%BC", &[("x-one", "1")], Some(b"\xff\x00")).unwrap();
        assert_eq!(echoed.header("content-type"), Some("text/plain; charset=utf-8"));
        let echoed: Value = echoed.json();
        let found = (
            &echoed["method"],
            &echoed["path"],
            &echoed["url"],
            &echoed["params"],
            &echoed["query"],
            &echoed["bodyBase64"],
        );
        let (path, url, params) = (json!("/x/y"), json!("/x/y?z=%C3%BC"), json!({"rest": "x/y"}));
        assert_eq!(found, (&json!("PUT"), &path, &url, &params, &json!({"z": "ü"}), &json!("/wA=")));
        assert_eq!(
            (&echoed["headers"]["x-one"], &echoed["headers"]["authorization"]),
            (&json!("1"), &json!("Bearer tg_unknown"))
        );
        let refused = post(&unknown, "/http/calls/greet/1", "{}");
        assert_eq!((refused.status, refused.header("tidegate-code")), (401, Some("unauthorized")));
        wait_for("the delivery of the emitted event", TIMEOUT, || app.is_drained().then_some(()));
        assert_eq!(app.dead_letters(), Vec::<Value>::new());
    });
}

#[test]
fn an_unknown_path_gets_404_and_an_unknown_method_gets_405() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let daemon = world.daemon("routes", TESTBED, &[]);
    let app = App::new(client(&daemon), "routes");
    let get = http("get", json!({"method": "GET", "path": "/a"}), json!({"native": "answer_204"}), json!({}));
    app.deploy(&[], &[get]);
    assert_eq!(app.client.get("/http/routes/a").status, 204);
    let other = post(&app.client, "/http/routes/a", "");
    assert_eq!(
        (other.status, other.header("allow"), other.header("tidegate-code")),
        (405, Some("GET, HEAD"), Some("method_not_allowed"))
    );
    for path in ["/http/routes/b", "/http/routes/a/", "/http/absent/a", "/http/routes", "/http/No.App/a"] {
        let answer = app.client.get(path);
        assert_eq!((answer.status, answer.header("tidegate-code")), (404, Some("not_found")), "{path}");
    }
    app.switch("get", "pause");
    let paused = app.client.get("/http/routes/a");
    assert_eq!((paused.status, paused.header("tidegate-code")), (503, Some("overloaded")), "{paused:?}");
    assert!(paused.header("retry-after").is_some());
    assert!(app.is_drained(), "no row was written");
}

#[test]
fn an_invoked_script_answers_with_its_return_value() {
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
        wait_for("the rows of the answered calls to be deleted", Duration::from_secs(10), || {
            app.is_drained().then_some(())
        });

        // Concurrent calls conflict on the value that they read. No increment is lost.
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
            (class("script_defect"), 500, "script_defect"),
            (class("invalid_json"), 400, "invalid_json"),
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
            let execution = answer.header("tidegate-execution-id").expect("the call was executed");
            assert_eq!(problem["execution_id"], execution);
            assert_eq!(answer.header("retry-after").is_some(), status == 503, "{answer:?}");
        }
        assert_eq!(app.entries("c"), [], "the effects of an invalid reply are not applied");
        let loop_answer = post(&app.client, "/http/statuses/again", "");
        assert_eq!(loop_answer.status, 508, "a handler that calls itself is stopped: {loop_answer:?}");
        wait_for("the rows to be deleted", TIMEOUT, || app.is_drained().then_some(()));
        assert_eq!(app.dead_letters(), Vec::<Value>::new(), "a call is never dead-lettered");
    });
}

#[test]
fn sync_calls_and_async_work_share_the_gate_and_all_of_them_end() {
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
        // With several lanes more rows are claimed than there are permits, so some are deferred.
        let lanes: Vec<Value> =
            (0..4).map(|n| on("work", &format!("work{n}"), json!({"native": "sleep_20ms"}), json!({}))).collect();
        app.deploy(&[], &[lanes, vec![slow]].concat());
        app.emit(&vec![event("work", Value::Null); ASYNC / 4]);
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let client = app.client.clone();
                std::thread::spawn(move || {
                    let start = Instant::now();
                    let answer = post(&client, "/http/gate/slow", "");
                    (answer.status, answer.header("tidegate-code").map(str::to_owned), start.elapsed())
                })
            })
            .collect();
        let gate = wait_for("the work and the callers to end", Duration::from_secs(60), || {
            let gate = app.client.get("/v1/gate").ok();
            assert!(gate["running"].as_u64().is_some_and(|running| running <= 4), "{gate}");
            (app.is_drained() && callers.iter().all(|caller| caller.is_finished())).then_some(gate)
        });
        assert_eq!((&gate["permits"], &gate["sync_reserve"]), (&json!(4), &json!(1)));
        let answers: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        for (status, code, took) in &answers {
            let is_refused = *status == 503 && code.as_deref() == Some("overloaded");
            assert!(*status == 204 || is_refused, "{status} {code:?}");
            assert!(*took < Duration::from_millis(WAIT_MS + 2_500), "{took:?}");
        }
        assert!(answers.iter().any(|(status, ..)| *status == 204));
        assert_eq!(app.dead_letters(), Vec::<Value>::new());
        let log = daemon.log();
        let done: Vec<&str> =
            log.lines().filter(|line| line.contains("done in") && line.contains("trigger=\"work")).collect();
        assert_eq!(done.len(), ASYNC);
        assert!(done.iter().all(|line| line.contains("delivery.attempt=1 ")), "a deferral does not count an attempt");
    });
}

#[test]
fn the_gate_limits_can_be_changed_while_the_daemon_runs() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let daemon = world.daemon("gate", TESTBED, &[]);
    let client = client(&daemon);
    let patch = |body: &str| client.send("PATCH", "/v1/gate", &[], Some(body.as_bytes())).unwrap();
    assert_eq!(patch(r#"{"permits": 40}"#).ok()["permits"], 40);
    assert_eq!(patch(r#"{"sync_reserve": 3}"#).ok(), client.get("/v1/gate").ok());
    assert_eq!(patch(r#"{"async_reserve": 7}"#).ok()["async_reserve"], 7);
    for bad in ["{\"permits\": 0}", "{\"async_reserve\": 38}", "{\"sync_reserve\": 40}", "{\"permit\": 1}", "[]", "{"] {
        let answer = patch(bad);
        assert_eq!(answer.status, 400, "{bad}: {answer:?}");
    }
    let gate = client.get("/v1/gate").ok();
    let limits = ["permits", "sync_reserve", "async_reserve"].map(|name| &gate[name]);
    assert_eq!(limits, [40, 3, 7], "a bad change changes nothing");
}

/// A call counts against `max_concurrency` only while it is executed. A client that has its answer
/// can call again at once.
#[test]
fn sequential_calls_stay_within_a_limit_of_one() {
    on_both(|world| {
        let daemon = world.daemon("limit", TESTBED, &[]);
        let app = App::new(client(&daemon), "limit");
        let rule = json!({"method": "POST", "path": "/one"});
        app.deploy(&[], &[http("one", rule, json!({"native": "answer_204"}), json!({"max_concurrency": 1}))]);
        let statuses: Vec<u16> = (0..200).map(|_| post(&app.client, "/http/limit/one", "").status).collect();
        assert_eq!(statuses, [204; 200]);
    });
}
