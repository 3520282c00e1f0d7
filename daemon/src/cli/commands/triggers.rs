use super::super::args::TriggersCommand;
use super::super::client::{Call, segment};
use super::super::error::CliError;
use super::super::text;
use super::Context;
use serde::Deserialize;
use serde_json::Value;
use tidegate_core::{Isolation, TriggerSpec};
use ureq::http::Method;

#[derive(Deserialize)]
struct List {
    triggers: Vec<TriggerView>,
    #[serde(default)]
    invalid: Vec<InvalidView>,
}

/// A stored trigger that the daemon cannot read.
#[derive(Deserialize)]
struct InvalidView {
    name: String,
    reason: String,
}

/// A trigger as the API returns it. Fields that a newer daemon adds are ignored.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TriggerView {
    name: String,
    #[serde(rename = "match")]
    rule: Value,
    handler: Value,
    isolation: String,
    retry: Value,
    enabled: bool,
    paused: bool,
}

pub(in super::super) fn run(context: &Context, command: TriggersCommand) -> Result<(), CliError> {
    let path = |rest: &str| context.target.path(&format!("/triggers{rest}"));
    let named = |name: &str, action: &str| path(&format!("/{}{action}", segment(name)));
    let client = &context.target.client;
    match command {
        TriggersCommand::List => {
            let answer = client.call(Call::get(path("")?))?;
            context.show(&answer.body, |list: &List| render(&list.triggers, &list.invalid))
        }
        TriggersCommand::Show { name } => {
            let answer = client.call(Call::get(named(&name, "")?))?;
            context.show(&answer.body, |_: &Value| format!("{}\n", text::pretty_json(&answer.body, "")))
        }
        TriggersCommand::Pause { name } => {
            let answer = client.call(Call::new(Method::POST, named(&name, "/pause")?))?;
            context.show(&answer.body, |_: &Value| format!("{name} is paused; its deliveries wait in the outbox\n"))
        }
        TriggersCommand::Resume { name } => {
            let answer = client.call(Call::new(Method::POST, named(&name, "/resume")?))?;
            context.show(&answer.body, |_: &Value| format!("{name} is active again\n"))
        }
        TriggersCommand::Delete { name } => {
            client.call(Call::new(Method::DELETE, named(&name, "")?))?;
            if context.json { Ok(()) } else { context.print(&format!("{name} is deleted\n")) }
        }
    }
}

/// The triggers of a manifest as a table.
pub(crate) fn table(triggers: &[TriggerSpec]) -> String {
    // The conversion through JSON makes the table the same as for triggers from the API.
    let views: Vec<TriggerView> =
        triggers.iter().filter_map(|spec| serde_json::from_value(serde_json::to_value(spec).ok()?).ok()).collect();
    render(&views, &[])
}

fn render(triggers: &[TriggerView], invalid: &[InvalidView]) -> String {
    if triggers.is_empty() && invalid.is_empty() {
        return "no triggers\n".to_owned();
    }
    let row = |trigger: &TriggerView| {
        let state = match (trigger.enabled, trigger.paused) {
            (false, _) => "disabled",
            (true, true) => "paused",
            (true, false) => "active",
        };
        // A sync call and a dead-letter handler run once, whatever `max_attempts` is.
        let is_once = matches!(trigger.rule.get("source").and_then(Value::as_str), Some("http" | "dead_letter"));
        let attempts = trigger.retry.get("max_attempts").map_or_else(String::new, Value::to_string);
        let attempts = if is_once { "1".to_owned() } else { attempts };
        let is_fresh = trigger.isolation == Isolation::Fresh.name();
        let runs = handler(&trigger.handler) + if is_fresh { ", fresh" } else { "" };
        vec![trigger.name.clone(), rule(&trigger.rule), runs, attempts, state.to_owned()]
    };
    let invalid = invalid.iter().map(|one| {
        let state = format!("invalid: {}", one.reason);
        vec![one.name.clone(), String::new(), String::new(), String::new(), state]
    });
    let rows: Vec<_> = triggers.iter().map(row).chain(invalid).collect();
    text::table(&["TRIGGER", "WHEN", "RUNS", "ATTEMPTS", "STATE"], &rows)
}

/// A short form of a match rule, such as `kv set orders/*`.
fn rule(rule: &Value) -> String {
    let field = |name: &str| rule.get(name).and_then(Value::as_str).unwrap_or("*");
    match field("source") {
        "kv" => {
            let ops =
                rule.get("ops").and_then(Value::as_array).map(|ops| ops.iter().filter_map(Value::as_str).collect());
            let ops: Vec<&str> = ops.unwrap_or_else(|| vec!["set", "delete"]);
            format!("kv {} {}/{}", ops.join(","), field("collection"), field("key"))
        }
        "app" if field("subject") == "*" => format!("event {}", field("type")),
        "app" => format!("event {} about {}", field("type"), field("subject")),
        "cron" => {
            format!("cron {} {}", field("expression"), rule.get("time_zone").and_then(Value::as_str).unwrap_or("UTC"))
        }
        "http" => format!("{} {}", field("method"), field("path")),
        "dead_letter" => format!("dead letter of {}", field("trigger")),
        other => other.to_owned(),
    }
}

/// A handler, such as `receipt (script)`.
pub(crate) fn handler(handler: &Value) -> String {
    match handler.as_object().and_then(|fields| fields.iter().next()) {
        Some((kind, Value::String(name))) => format!("{name} ({kind})"),
        _ => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_marks_scripts_with_fresh_isolation() {
        let trigger = |name: &str, more: Value| {
            let mut spec = json!({"name": name, "match": {"source": "kv"}, "handler": {"script": "s"}});
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value(spec).unwrap()
        };
        let text = table(&[trigger("a", json!({})), trigger("b", json!({"isolation": "fresh"}))]);
        let runs: Vec<bool> = text.lines().skip(1).map(|line| line.contains("s (script), fresh")).collect();
        assert_eq!(runs, [false, true], "{text}");
    }

    #[test]
    fn rules_and_handlers_have_short_forms() {
        for (value, expected) in [
            (json!({"source": "kv", "ops": ["set"], "collection": "orders", "key": "*"}), "kv set orders/*"),
            (json!({"source": "kv"}), "kv set,delete */*"),
            (json!({"source": "app", "type": "order.*"}), "event order.*"),
            (json!({"source": "app", "type": "a", "subject": "b"}), "event a about b"),
            (json!({"source": "cron", "expression": "* * * * *", "time_zone": "UTC"}), "cron * * * * * UTC"),
            (json!({"source": "http", "method": "GET", "path": "/a"}), "GET /a"),
            (json!({"source": "dead_letter"}), "dead letter of *"),
        ] {
            assert_eq!(rule(&value), expected);
        }
        assert_eq!(handler(&json!({"script": "receipt"})), "receipt (script)");
        assert_eq!(handler(&Value::Null), "nothing");
    }
}
