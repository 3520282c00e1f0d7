//! The command line of the real program: commands, their output and their exit codes.

use crate::cli_support::{self as support, CommandOutput, Dev, TIMEOUT, wait_for};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;

#[test]
fn an_order_gets_a_receipt_and_a_bad_order_becomes_a_dead_letter() {
    let dev = Dev::start();

    let output = dev.tidegate(&["kv", "put", "orders/1", r#"{"customer": "ann", "total": 12.50}"#]);
    assert!(output.code == 0 && output.out.contains("1 trigger will run"), "{output:?}");
    let receipt = wait_for("the receipt", TIMEOUT, || dev.json(&["kv", "get", "receipts/1"]));
    assert_eq!((&receipt["order"], &receipt["customer"], &receipt["attempt"]), (&json!("1"), &json!("ann"), &json!(1)));
    let count = wait_for("the count", TIMEOUT, || dev.json(&["kv", "get", "counts/ann"]));
    assert_eq!(count, json!({"orders": 1}));

    assert_eq!(dev.tidegate(&["kv", "put", "orders/bad-1", r#"{"customer": "eve", "total": 3}"#]).code, 0);
    // In another directory, without flags and variables.
    let letters = wait_for("the dead letter", TIMEOUT, || {
        let output = CommandOutput::of(&dev.command(&["dead-letters"]).current_dir("/").output().unwrap());
        output.out.starts_with("dead letter ").then_some(output.out)
    });
    for line in [
        "attempts_exhausted  open",
        "event       kv.set orders/bad-1",
        "attempts    3\n  attempt 1 ",
        "\n  attempt 2 ",
        "\n  attempt 3 ",
        "\"subject\": \"orders/bad-1\"",
        "\"customer\": \"eve\"",
    ] {
        assert!(letters.contains(line), "{line:?} is not in:\n{letters}");
    }
    assert_eq!(letters.matches("script_error\n      Error: order bad-1 cannot be processed").count(), 3, "{letters}");
    let brief = dev.tidegate(&["dead-letters", "list", "--brief"]).out;
    assert_eq!(brief.lines().count(), 2, "{brief}");
    let list = dev.json(&["dead-letters", "--json"]).expect("the JSON of the API");
    assert_eq!(list["dead_letters"][0]["failed"].as_array().map(Vec::len), Some(3), "{list}");
    let receipts = dev.json(&["kv", "list", "receipts", "--json"]).expect("the JSON of the API");
    assert_eq!(receipts["entries"].as_array().map(Vec::len), Some(1), "a bad order has no receipt");
}

#[test]
fn dev_deploys_a_saved_file_unless_it_is_broken() {
    let dev = Dev::start();
    let receipt_of = |order: &str| {
        let path = format!("orders/{order}");
        assert_eq!(dev.tidegate(&["kv", "put", &path, "{}"]).code, 0);
        wait_for("the receipt", TIMEOUT, || dev.json(&["kv", "get", &format!("receipts/{order}")]))
    };
    assert_eq!(receipt_of("1").get("edited"), None);

    dev.edit("receipt.js", "{ order: id,", "{ order: id, edited: true,");
    wait_for("the edit", TIMEOUT, || dev.out().contains("deployed: script receipt updated").then_some(()));
    assert_eq!(receipt_of("2")["edited"], true);

    dev.edit("receipt.js", "export default", "export default (");
    wait_for("the refusal", TIMEOUT, || dev.err().contains("error[script_invalid]").then_some(()));
    assert!(dev.err().contains("the last good deployment stays"), "{}", dev.err());
    assert_eq!(receipt_of("3")["edited"], true);

    dev.edit("receipt.js", "export default (", "export default");
    wait_for("the repair", TIMEOUT, || {
        dev.out().contains("the directory matches the deployed app again").then_some(())
    });

    dev.edit("tidegate.toml", "collection", "colection");
    let hint = "unknown key `colection`; did you mean `collection`?";
    wait_for("the hint", TIMEOUT, || dev.err().contains(hint).then_some(()));
    assert_eq!(receipt_of("4")["edited"], true);
}

#[test]
fn commands_handle_events_triggers_and_deliveries() {
    let dev = Dev::start();
    assert_eq!(dev.tidegate(&["triggers", "pause", "count"]).code, 0);
    let event = |key: &str| {
        let args = ["emit", "order.created", "--subject", "7", "--data", r#"{"customer": "bob"}"#];
        dev.tidegate(&[&args[..], &["--idempotency-key", key]].concat())
    };
    let (first, again) = (event("k"), event("k"));
    assert!(first.code == 0 && first.out.ends_with(" emitted; 1 trigger will run\n"), "{first:?}");
    let id = first.out.strip_suffix("1 trigger will run\n").unwrap();
    assert!(again.out.starts_with(id), "the same key gives the same event: {again:?}");
    let waiting = dev.json(&["deliveries", "--json"]).expect("the JSON of the API");
    assert_eq!(waiting["deliveries"].as_array().map(Vec::len), Some(1), "{waiting}");
    let id = waiting["deliveries"][0]["id"].to_string();
    let shown = dev.tidegate(&["deliveries", "show", &id]).out;
    assert!(shown.contains("delivery ") && shown.contains("\"customer\": \"bob\""), "{shown}");
    assert!(
        dev.tidegate(&["triggers"]).out.contains("count    event order.created  count (script)    10        paused")
    );

    assert_eq!(dev.tidegate(&["triggers", "resume", "count"]).code, 0);
    let count = wait_for("the count", TIMEOUT, || dev.json(&["kv", "get", "counts/bob"]));
    assert_eq!(count, json!({"orders": 1}));

    let deployed = dev.tidegate(&["deploy", "."]);
    assert_eq!(deployed.out.matches("unchanged").count(), 4, "{deployed:?}");

    let mut put = dev.command(&["kv", "put", "notes/1"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    put.stdin.take().unwrap().write_all(b"[1.50]").unwrap();
    assert!(put.wait().unwrap().success());
    assert_eq!(dev.tidegate(&["kv", "get", "notes/1"]).out, "[1.50]\n");
}

#[test]
fn a_renamed_trigger_takes_its_deliveries_along() {
    let dev = Dev::start();
    assert_eq!(dev.tidegate(&["triggers", "pause", "count"]).code, 0);
    assert_eq!(dev.tidegate(&["emit", "order.created", "--data", r#"{"customer": "bob"}"#]).code, 0);
    dev.edit("tidegate.toml", "name = \"count\"", "name = \"tally\"");
    wait_for("the refusal", TIMEOUT, || dev.err().contains("error[deliveries_waiting]").then_some(()));
    assert!(dev.err().contains("  trigger count: 1 delivery wait"), "{}", dev.err());
    assert_eq!(dev.tidegate(&["deploy", "."]).code, 1);

    dev.edit("tidegate.toml", "name = \"tally\"", "name = \"tally\"\nrenamed_from = \"count\"");
    wait_for("the rename", TIMEOUT, || dev.out().contains("deployed: trigger tally renamed").then_some(()));
    assert_eq!(dev.tidegate(&["triggers", "resume", "tally"]).code, 0);
    let count = wait_for("the count", TIMEOUT, || dev.json(&["kv", "get", "counts/bob"]));
    assert_eq!(count, json!({"orders": 1}));
}

#[test]
fn apps_are_listed_disabled_enabled_and_deleted() {
    let mut dev = Dev::start();
    dev.edit("tidegate.toml", "name = \"orders\"", "name = \"shop\"");
    assert_eq!(dev.tidegate(&["deploy", "."]).code, 0);
    let apps = |args: &[&str]| dev.tidegate(&[&["apps"], args].concat());
    assert_eq!(apps(&[]).out, "APP     TRIGGERS  PAUSED\norders  2         0\nshop    2         0\n");
    assert_eq!(apps(&["disable", "orders"]).out, "paused 2 triggers of orders; deliveries wait\n");
    assert!(apps(&["list"]).out.contains("orders  2         2\n"));
    assert_eq!(apps(&["enable", "orders"]).out, "resumed 2 triggers of orders\n");
    let refused = apps(&["delete", "orders"]);
    assert!(refused.code == 2 && refused.err.contains("2 triggers") && refused.err.contains("--yes"), "{refused:?}");
    assert!(apps(&["list"]).out.contains("orders  2         0\n"));

    // A daemon of the renamed app says that the app with the old name goes on.
    assert!(dev.terminate().success());
    let app = dev.restart();
    let note = "the store also has the app orders, which has no manifest here and goes on with 2 triggers";
    wait_for("the note", TIMEOUT, || app.err().contains(note).then_some(()));
    assert_eq!(app.tidegate(&["apps", "delete", "orders", "--yes"]).code, 0);
    assert!(app.tidegate(&["apps"]).out.contains("orders  0         0\n"));
    assert_eq!(app.tidegate(&["apps", "disable", "none"]).code, 4);
}

#[test]
fn a_value_is_shown_with_its_version_as_json() {
    let dev = Dev::start();
    assert_eq!(dev.tidegate(&["kv", "put", "notes/a/b", "1.50"]).code, 0);
    let text = dev.tidegate(&["kv", "get", "notes/a/b", "--json"]).out;
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert!(text.contains("\"value\":1.50"), "{text}");
    assert_eq!(shown["key"], "a/b");
    assert!(shown["version"].as_i64().is_some_and(|version| version > 0), "{text}");
    assert!(shown["updated_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{text}");
    let version = shown["version"].to_string();
    assert_eq!(dev.tidegate(&["kv", "put", "notes/a/b", "2", "--if-version", &version]).code, 0);
}

#[test]
fn each_failure_has_its_exit_code() {
    let dev = Dev::start();
    for (args, code, words) in [
        (&["kv", "get", "orders/none"][..], 4, "error[key_not_found]: "),
        (&["triggers", "show", "none"], 4, "error[trigger_not_found]: "),
        (&["--app", "none", "triggers"], 4, "error[unknown_app]: "),
        (&["dead-letters", "show", "99"], 4, "error[dead_letter_not_found]: "),
        (&["kv", "put", "orders/x", "1", "--if-version", "7"], 1, "error[precondition_failed]: "),
        (&["kv", "list", "not a collection"], 1, "error[invalid_request]: "),
        (&["--token", "tg_wrong_0123456789012345", "triggers"], 1, "error[unauthorized]: "),
        (
            &["--url", "http://127.0.0.1:1", "triggers"],
            3,
            "error[unreachable]: no daemon answers at http://127.0.0.1:1: ",
        ),
        (&["kv", "put", "orders/x", "{"], 2, "error: not valid JSON"),
        (&["kv", "get", "orders"], 2, "error: \"orders\" is not the path of a value"),
        (&["triggers", "--bogus"], 2, "unexpected argument '--bogus'"),
        (&["deploy", "nowhere"], 1, "nowhere is not a directory"),
    ] {
        let output = dev.tidegate(args);
        assert!(output.code == code && output.err.contains(words) && output.out.is_empty(), "{args:?}: {output:?}");
    }
    let output = dev.tidegate(&["kv", "get", "orders/none", "--json"]);
    let error: Value = serde_json::from_str(&output.err).expect("one JSON object");
    assert_eq!(error["code"], "key_not_found");
}

#[test]
fn a_second_daemon_on_the_same_port_names_the_listen_flag() {
    let dev = Dev::start();
    let other = support::example();
    let address = dev.url.trim_start_matches("http://");
    let output = dev.tidegate(&["dev", other.path().to_str().unwrap(), "--listen", address]);
    assert!(output.code == 1 && output.err.contains(address) && output.err.contains("--listen"), "{output:?}");
}

#[test]
fn a_stopped_daemon_removes_its_record() {
    let mut dev = Dev::start();
    assert_eq!(dev.records().len(), 1);
    assert!(dev.terminate().success(), "{}", dev.err());
    assert_eq!(dev.records(), Vec::<String>::new());
    let output = dev.tidegate(&["triggers"]);
    assert_eq!(output.code, 3, "{output:?}");
}

#[test]
fn a_reader_that_closes_its_pipe_is_not_an_error() {
    let dev = Dev::start();
    let value = format!("\"{}\"", "x".repeat(200_000));
    assert_eq!(dev.tidegate(&["kv", "put", "big/1", &format!("@{}", dev.write("value.json", &value))]).code, 0);
    let mut reader =
        dev.command(&["kv", "get", "big/1"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The value is longer than the buffer of a pipe, and the read end is closed.
    drop(reader.stdout.take());
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn doctor_finds_a_bad_setting_and_a_port_in_use() {
    let dev = Dev::start();
    let healthy = dev.tidegate(&["doctor", "."]);
    assert!(healthy.code == 0 && !healthy.out.contains("FAIL"), "{healthy:?}");
    assert!(healthy.out.contains(&format!("a daemon on this store answers at {}", dev.url)), "{healthy:?}");

    let broken = dev.tidegate(&["doctor", "--set", "gate.permits=0", "--json"]);
    let report: Value = serde_json::from_str(&broken.out).expect("one JSON object");
    assert_eq!((broken.code, &report["checks"][0]["status"]), (1, &json!("fail")), "{broken:?}");

    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("new/t.db").display());
    std::fs::create_dir(folder.path().join("new")).unwrap();
    assert_eq!(dev.tidegate(&["migrate", "--database-url", &url]).code, 0);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("http.listen={}", port.local_addr().unwrap());
    let in_use = dev.tidegate(&["doctor", "--database-url", &url, "--set", &listen]);
    assert!(in_use.code == 1 && in_use.out.contains("another program listens on"), "{in_use:?}");
    drop(port);
    let fine = dev.tidegate(&["doctor", "--database-url", &url, "--set", &listen]);
    assert!(fine.code == 0 && fine.out.contains("this version supports it"), "{fine:?}");
}

#[test]
fn serve_refuses_settings_that_are_not_valid() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.toml");
    std::fs::write(&file, "[gate]\npermit = 3\n").unwrap();
    let file = file.to_str().unwrap();
    for (args, variable, words) in [
        (
            &["serve", "--config", file][..],
            ("NO_COLOR", "1"),
            "t.toml line 2: unknown key `permit` in [gate]; did you mean `permits`?",
        ),
        (&["serve"], ("TIDEGATE_GATE_PERMIT", "3"), "did you mean TIDEGATE_GATE_PERMITS?"),
        (&["serve"], ("DATABASE_URL", "postgres://h/d"), "--admin-token-file"),
        (&["serve"], ("TIDEGATE_ADMIN_TOKEN", "short"), "TIDEGATE_ADMIN_TOKEN holds no token"),
        (&["serve", "--listen", "nowhere"], ("NO_COLOR", "1"), "--listen: http.listen must be ADDRESS:PORT"),
    ] {
        let mut command = support::tidegate(args);
        let output = command.env(variable.0, variable.1).current_dir(folder.path()).output().unwrap();
        let output = CommandOutput::of(&output);
        assert!(output.code == 2 && output.err.contains(words), "{args:?} {variable:?}: {output:?}");
    }
}

#[test]
fn a_store_in_a_folder_that_does_not_exist_is_refused() {
    let app = support::example();
    let missing = app.path().join("missing");
    let url = format!("sqlite:{}", missing.join("t.db").display());
    for args in [&["serve"][..], &["dev", "."], &["migrate"], &["doctor"]] {
        let mut command = support::tidegate(&[args, &["--database-url", &url]].concat());
        let output = CommandOutput::of(&command.current_dir(app.path()).output().unwrap());
        let text = output.out.clone() + &output.err;
        let advice = format!("mkdir -p {}", missing.display());
        assert!(output.code != 0 && text.contains(&advice), "{args:?}: {output:?}");
        assert!(!missing.exists(), "{args:?}");
    }
}

#[test]
fn a_missing_manifest_is_reported_with_an_example() {
    let folder = tempfile::tempdir().unwrap();
    let output = support::tidegate(&["dev", "."]).current_dir(folder.path()).output().unwrap();
    let output = CommandOutput::of(&output);
    assert!(output.code == 1 && output.err.contains("[[trigger]]"), "{output:?}");
    assert!(!folder.path().join(".tidegate").exists(), "no folder was created");
}
