//! The principal of a trigger is the user that registered it.
//!
//! When the user is disabled or demoted, the trigger does not run.

use crate::world::{App, MachineLock, StoreKind, TIDEGATE, World, client, event, on, wait_for};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use testkit::Daemon;

const TIMEOUT: Duration = Duration::from_secs(20);

const WRITES: &str = "export default async (event, ctx) => { await ctx.kv.set('ran', event.id, ctx.app) }";

/// Runs a command with this token.
fn tidegate_as(daemon: &Daemon, token: &str, input: &str, args: &[&str]) -> Output {
    let mut command = Command::new(TIDEGATE);
    command.args(args).args(["--url", &format!("http://127.0.0.1:{}", daemon.port()), "--token", token]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built for this test");
    child.stdin.take().expect("stdin is piped").write_all(input.as_bytes()).expect("the command reads stdin");
    child.wait_with_output().expect("the command ends")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

#[test]
fn triggers_of_a_disabled_or_demoted_user_do_not_run() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let _lock = MachineLock::shared();
        let world = World::new(kind);
        let daemon = world.daemon("identity", TIDEGATE, &[]);
        let admin = client(&daemon);
        let app = App::new(admin.clone(), "shop");
        app.deploy(&[], &[]);
        let as_admin = |input: &str, args: &[&str]| stdout(&tidegate_as(&daemon, crate::world::TOKEN, input, args));
        as_admin("correct horse\n", &["users", "create", "ann"]);
        as_admin("", &["roles", "grant", "user:ann", "editor", "--app", "shop"]);
        assert!(as_admin("", &["roles", "list", "--app", "shop"]).contains("user:ann"));
        let token = stdout(&tidegate_as(&daemon, "tg_none", "correct horse\n", &["login", "ann"]));
        assert!(stdout(&tidegate_as(&daemon, &token, "", &["whoami"])).contains("user:ann may do: editor of shop"));

        let ann = App::new(admin.with_token(&token), "shop");
        let once = json!({"retry": {"max_attempts": 3, "base_ms": 10, "max_ms": 10}});
        ann.deploy(&[("writes", WRITES)], &[on("go", "ann", json!({"script": "writes"}), once)]);
        let run = |expected: usize| {
            app.emit(&[event("go", Value::Null)]);
            wait_for("the delivery to end", TIMEOUT, || app.is_drained().then_some(()));
            assert_eq!(app.entries("ran").len(), expected);
        };
        run(1);
        as_admin("", &["users", "disable", "ann"]);
        assert_eq!(ann.client.get("/v1/whoami").status, 401, "the token is refused at once");
        run(1);
        as_admin("", &["users", "enable", "ann"]);
        run(2);
        as_admin("", &["roles", "grant", "user:ann", "viewer", "--app", "shop"]);
        run(2);
        assert_eq!(ann.client.put(&ann.path("/kv/c/k"), &json!(1)).status, 403);
        assert_eq!(ann.client.get(&ann.path("/triggers")).status, 200);

        let letters = app.dead_letters();
        assert_eq!(letters.len(), 2);
        for (letter, reason) in letters.iter().zip(["no longer an editor", "is disabled"]) {
            assert_eq!((&letter["reason"], &letter["attempts"]), (&json!("principal_denied"), &json!(0)), "{letter}");
            let failed = &letter["failed"][0];
            assert_eq!(failed["error"], "principal_denied");
            assert!(
                failed["message"].as_str().is_some_and(|text| text.contains("user:ann") && text.contains(reason)),
                "{failed}"
            );
        }
        as_admin("", &["roles", "grant", "user:ann", "editor", "--app", "shop"]);
        as_admin("", &["dead-letters", "redrive", "--reason", "principal_denied", "--app", "shop"]);
        wait_for("the redriven deliveries", TIMEOUT, || app.is_drained().then_some(()));
        assert_eq!(app.entries("ran").len(), 4, "no event is lost");

        let ci = as_admin("", &["tokens", "create", "ci", "--days", "7"]);
        assert!(stdout(&tidegate_as(&daemon, &ci, "", &["whoami"])).contains("token:ci may do: nothing"));
        assert!(as_admin("", &["tokens"]).contains("token:ci"));
        as_admin("", &["tokens", "revoke", "ci"]);
        assert_eq!(tidegate_as(&daemon, &ci, "", &["whoami"]).status.code(), Some(1));
    }
}
