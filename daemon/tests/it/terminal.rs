//! No output of the program contains a character that controls a terminal, wherever the character
//! came from.

use crate::cli_support::{CommandOutput, Dev, TIMEOUT, wait_for};
use crate::world::{App, StoreKind, TIDEGATE, World, client, event, on, tidegate};
use serde_json::{Value, json};

/// Throws and logs characters that clear the screen, change colours, end the line, and reorder it.
const EVIL: &str = r#"export default async function () {
  console.log("logged \u001b[2J\nforged\u0000\u202e");
  throw new Error("thrown \u001b[31m\u2066\u0000\u009b1m \r forged\nsecond \u001b[0m line");
}"#;

/// Fails if the text has an unsafe character other than a line feed.
fn check_safe(origin: &str, text: &str) {
    let is_unsafe = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{2066}\u{2028}".contains(c);
    assert!(!text.contains(is_unsafe), "{origin}: {text:?}");
}

fn evil_dev() -> Dev {
    let dev = Dev::start();
    dev.edit("receipt.js", "export default", "const unused =");
    let source = dev.read("receipt.js");
    dev.edit("receipt.js", &source, EVIL);
    wait_for("the deployment", TIMEOUT, || dev.out().contains("deployed: script receipt updated").then_some(()));
    assert_eq!(dev.tidegate(&["kv", "put", "orders/1\u{202e}", r#""\u202e""#]).code, 0);
    wait_for("the dead letter", TIMEOUT, || dev.out().contains("dead letter after 3 attempts").then_some(()));
    dev
}

#[test]
fn delivery_lines_and_console_lines_of_dev_are_escaped() {
    let dev = evil_dev();
    check_safe("delivery lines", &dev.out());
    let shown = r"orders/1\u202e           dead letter after 3 attempts: script_error Error: thrown \u001b[31m\u2066�\u009b1m \r forged";
    assert!(dev.out().contains(shown), "{}", dev.out());
    check_safe("the log", &dev.err());
    assert!(dev.err().contains(r"logged \u001b[2J\nforged\u0000\u202e"), "{}", dev.err());
}

#[test]
fn commands_escape_tables_details_notes_and_errors() {
    let dev = evil_dev();
    assert_eq!(dev.tidegate(&["triggers", "pause", "count"]).code, 0);
    assert_eq!(dev.tidegate(&["emit", "order.created", "--subject", "\u{202e}s", "--data", "\"\u{9b}\""]).code, 0);
    for (args, part) in [
        (&["dead-letters"][..], r"Error: thrown \u001b[31m\u2066�\u009b1m \r forged"),
        (&["dead-letters", "--brief"], r"orders/1\u202e  attempts_exhausted"),
        (&["deliveries"], r"order.created \u202es"),
        (&["kv", "list", "orders"], r"1\u202e"),
        (&["kv", "get", "orders/\u{2028}"], r"orders/\u2028"),
        (&["triggers", "show", "\u{1b}[31m"], "[31m"),
        (&["emit", "--bogus\u{202e}"], r"--bogus\u202e"),
        (&["deploy", "\u{1b}[31m"], r"\u001b[31m"),
    ] {
        let output = dev.tidegate(args);
        let text = output.out.clone() + &output.err;
        check_safe(&format!("{args:?}"), &text);
        assert!(text.contains(part), "{part} of {args:?} is not in {output:?}");
    }
}

#[test]
fn escaped_json_is_still_the_json_of_the_api() {
    let dev = evil_dev();
    for args in
        [&["dead-letters", "--json"][..], &["kv", "list", "orders", "--json"], &["kv", "get", "orders/1\u{202e}"]]
    {
        check_safe(&format!("{args:?}"), &dev.tidegate(args).out);
    }
    let letters = dev.json(&["dead-letters", "--json"]).unwrap();
    let letter = &letters["dead_letters"][0];
    assert_eq!(letter["event"]["subject"], "orders/1\u{202e}");
    let message = letter["failed"][0]["message"].as_str().unwrap();
    assert!(message.contains("thrown \u{1b}[31m\u{2066}"), "{message:?}");
    assert_eq!(dev.json(&["kv", "get", "orders/1\u{202e}"]), Some(json!("\u{202e}")));
    let error = dev.tidegate(&["kv", "get", "orders/\u{202e}", "--json"]);
    let error: Value = serde_json::from_str(&error.err).unwrap();
    assert!(error["detail"].as_str().unwrap().contains("orders/\u{202e}"), "{error}");
}

#[test]
fn the_log_of_serve_is_escaped() {
    let world = World::new(StoreKind::Sqlite);
    let daemon = world.daemon("d", TIDEGATE, &[]);
    let app = App::new(client(&daemon), "evil");
    app.deploy(&[("evil", EVIL)], &[on("t", "evil", json!({"script": "evil"}), json!({"retry": {"max_attempts": 1}}))]);
    let mut sent = event("t", Value::Null);
    sent["subject"] = json!("s\u{202e}");
    app.emit(&[sent]);
    let log = || std::fs::read_to_string(world.folder().join("d.err")).unwrap();
    wait_for("the log line", TIMEOUT, || log().contains("dead letter after 1 attempt").then_some(()));
    check_safe("the log", &log());
    for part in [r"logged \u001b[2J\nforged\u0000\u202e", r"thrown \u001b[31m\u2066�\u009b1m \r forged"] {
        assert!(log().contains(part), "{part} is not in {}", log());
    }
    let output = CommandOutput::of(&tidegate(&daemon, &["--app", "evil", "dead-letters"]));
    check_safe("the command", &output.out);
}
