//! Normalizes results, so that equal results of two stores compare as equal. Ids, versions and the
//! numbers of claims become numbers in the order in which they first appear. A time becomes a flag:
//! whether it is more than an hour in the future.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// The ids and versions of one store that have appeared so far, with their numbers.
#[derive(Default)]
pub(super) struct Names(BTreeMap<(&'static str, String), usize>);

/// A time more than one hour from now counts as future.
const FUTURE_US: i64 = 3_600_000_000;

impl Names {
    fn name(&mut self, kind: &'static str, value: &Value) -> Value {
        if value.is_null() {
            return Value::Null;
        }
        let number = self.0.keys().filter(|(other, _)| *other == kind).count();
        let number = *self.0.entry((kind, value.to_string())).or_insert(number);
        json!(format!("{kind} {number}"))
    }

    /// The value with its ids, versions and times normalized. A field named `id` is the id of a
    /// `kind`.
    pub(super) fn normal(&mut self, value: Value, kind: &'static str) -> Value {
        match value {
            Value::Array(items) => items.into_iter().map(|item| self.normal(item, kind)).collect(),
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| {
                    let value = self.field(&name, value, kind);
                    (name, value)
                });
                Value::Object(fields.collect::<Map<_, _>>())
            }
            other => other,
        }
    }

    fn lane(&mut self, lane: &Value) -> Value {
        self.name("trigger", lane.get("trigger").unwrap_or(lane))
    }

    fn field(&mut self, name: &str, value: Value, kind: &'static str) -> Value {
        match name {
            "id" if value.is_string() => self.name("event", &value),
            "id" => self.name(kind, &value),
            "delivery" | "delivery_id" => self.name("delivery", &value),
            "lease" => self.name("claim", &value),
            "trigger_id" => self.name("trigger", &value),
            "trigger" if value.is_number() => self.name("trigger", &value),
            "event_id" | "root_id" | "parent_id" | "last_event_id" => self.name("event", &value),
            "handles_letter" | "previous_letter_id" | "dead_letter_id" => self.name("letter", &value),
            "version" if value.as_i64().is_some_and(|version| version > 0) => self.name("version", &value),
            "woken_lanes" => match value {
                Value::Array(lanes) => lanes.iter().map(|lane| self.lane(lane)).collect(),
                other => other,
            },
            "now" => Value::Null,
            "due_at" | "next_due" | "enqueued_at" | "time" | "started_at" | "created_at" | "updated_at" | "last_at"
            | "at" => is_future(&value),
            _ => self.normal(value, kind),
        }
    }
}

fn is_future(value: &Value) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
    value.as_i64().map_or(Value::Null, |at| json!(at > now + FUTURE_US))
}
