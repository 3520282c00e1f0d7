//! What users and operators learn when Postgres refuses: nothing of its words in the API, a clear
//! reason in the log, and the end of a daemon that can never start.

use crate::world::{App, MachineLock, StoreKind, TESTBED, World, client, on, wait_for};
use serde_json::{Value, json};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use testkit::Daemon;

const TIMEOUT: Duration = Duration::from_secs(20);

#[test]
fn a_daemon_on_a_read_only_database_is_not_ready_until_it_allows_writes() {
    let _lock = MachineLock::shared();
    let world = World::on_own_server();
    let daemon = world.daemon("reader", TESTBED, &[]);
    let app = App::new(client(&daemon), "reader");
    app.deploy(&[], &[on("work", "worker", json!({"native": "noop"}), json!({}))]);

    world.execute("alter system set default_transaction_read_only = on");
    world.execute("select pg_reload_conf()");
    assert!(daemon.wait_for_readiness(503, TIMEOUT), "{}", daemon.log());
    let answer = client(&daemon).get("/readyz");
    assert_eq!(answer.json()["reason"], "store: the database is read-only");
    let refused = app.client.put(&app.path("/kv/things/1"), &json!(1));
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("store_unavailable")), "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let text = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(text.contains("read-only") && !text.contains("transaction") && !text.contains("at line"), "{text}");
    let doctor = doctor(&world);
    assert!(doctor.contains("read-only"), "{doctor}");

    world.execute("alter system reset default_transaction_read_only");
    world.execute("select pg_reload_conf()");
    assert!(daemon.wait_for_readiness(200, TIMEOUT), "{}", daemon.log());
    app.client.put(&app.path("/kv/things/1"), &json!(1)).ok();
    assert!(!daemon.log().contains("at line"), "{}", daemon.log());
}

#[test]
fn a_refused_login_ends_serve_with_the_reason() {
    let _lock = MachineLock::shared();
    let world = World::on_own_server();
    let url = world.server().url();
    let password = url.split(['@', ':']).nth(2).unwrap();
    for (name, url, reason) in [
        ("role", url.replace("//tidegate:", "//missing_role:"), "missing_role"),
        ("password", url.replace(password, "wrong"), "password authentication failed"),
        ("database", world.server().url_of("absent"), "\"absent\" does not exist"),
    ] {
        let start = Instant::now();
        let mut daemon = Daemon::launch(world.spec(name, TESTBED, &[("TIDEGATE_STORE_URL", &url)]));
        wait_for("the end of the process", TIMEOUT, || (!daemon.is_running()).then_some(()));
        assert!(start.elapsed() < Duration::from_secs(10), "{name}: {:?}", start.elapsed());
        let log = daemon.log();
        assert!(log.contains(reason) && log.contains("Postgres refused the login"), "{name}: {log}");
        assert!(!log.contains("at line"), "{log}");
    }
}

#[test]
fn commands_say_at_once_that_a_connection_is_refused() {
    let url = format!("postgres://u:p@127.0.0.1:{}/d", testkit::free_port());
    for command in ["migrate", "doctor"] {
        let start = Instant::now();
        let output = tidegate(&[command, "--database-url", &url]);
        assert!(start.elapsed() < Duration::from_secs(5), "{command}: {:?}", start.elapsed());
        let text = text(&output);
        assert!(!output.status.success() && text.contains("Postgres cannot be reached"), "{command}: {text}");
    }
}

#[test]
fn a_database_with_another_encoding_is_refused_with_the_remedy() {
    let _lock = MachineLock::shared();
    let world = World::on_own_server();
    world.execute("create database latin encoding 'LATIN1' template template0");
    let url = world.server().url_of("latin");
    let mut daemon = Daemon::launch(world.spec("latin", TESTBED, &[("TIDEGATE_STORE_URL", &url)]));
    wait_for("the end of the process", TIMEOUT, || (!daemon.is_running()).then_some(()));
    assert!(daemon.log().contains("LATIN1") && daemon.log().contains("template0"), "{}", daemon.log());
    let doctor = text(&tidegate(&["doctor", "--database-url", &url]));
    assert!(doctor.contains("LATIN1"), "{doctor}");
}

#[test]
fn a_cancelled_statement_is_a_passing_refusal() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Postgres);
    let daemon = world.daemon("cancelled", TESTBED, &[]);
    let app = App::new(client(&daemon), "cancelled");
    app.deploy(&[], &[]);
    let fail = "create function public.fail() returns trigger language plpgsql as
            $$ begin raise exception 'secret of role x' using errcode = tg_argv[0]; end $$";
    world.execute(fail);
    for (code, status, expected) in [
        ("57014", 503, "store_unavailable"),
        ("53100", 503, "store_unavailable"),
        ("55P03", 503, "store_unavailable"),
        ("55006", 503, "store_unavailable"),
        ("40001", 503, "store_unavailable"),
        ("40003", 503, "store_outcome_unknown"),
        ("08006", 503, "store_unavailable"),
        ("57P01", 503, "store_unavailable"),
        ("25006", 503, "store_unavailable"),
        ("42501", 500, "internal"),
    ] {
        world.execute(&format!(
            "create or replace trigger fail before insert on tidegate.kv for each row execute function public.fail('{code}')"
        ));
        let refused = app.client.put(&app.path("/kv/things/1"), &json!(1));
        assert_eq!((refused.status, &refused.json()["code"]), (status, &Value::from(expected)), "{code} {refused:?}");
        assert_eq!(refused.header("retry-after").is_some(), expected == "store_unavailable", "{code}");
        assert!(!refused.json().to_string().contains("secret"), "{refused:?}");
    }
}

#[test]
fn a_daemon_that_may_not_migrate_waits_for_the_migration() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Postgres);
    let mut spec = world.spec("waits", TESTBED, &[]);
    spec.args.push("--no-migrate".to_owned());
    let mut daemon = Daemon::launch(spec);
    let waits = || daemon.log().contains("lacks migration 1");
    wait_for("the reason in the log", TIMEOUT, || waits().then_some(()));
    assert!(daemon.is_running() && daemon.readiness() == Some(503), "{}", daemon.log());

    let printed = tidegate(&["migrate", "--print", "--database-url", world.url()]);
    let sql = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(printed.status.success() && sql.contains("create schema") && sql.contains("create table tidegate.outbox"));
    assert_eq!(daemon.readiness(), Some(503), "printing changes nothing");
    let migrated = tidegate(&["migrate", "--database-url", world.url()]);
    assert!(migrated.status.success(), "{}", text(&migrated));
    assert!(daemon.wait_for_readiness(200, TIMEOUT), "{}", daemon.log());
    let refused = tidegate(&["migrate", "--print", "--database-url", "sqlite:absent.db"]);
    assert!(!refused.status.success() && text(&refused).contains("--print needs a store on Postgres"));
}

fn tidegate(args: &[&str]) -> Output {
    let mut command = Command::new(TESTBED);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("TIDEGATE_")) {
            command.env_remove(name);
        }
    }
    command.env("TIDEGATE_ADMIN_TOKEN", crate::world::TOKEN).args(args).output().unwrap()
}

fn doctor(world: &World) -> String {
    text(&tidegate(&["doctor", "--database-url", &world.server().url()]))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
