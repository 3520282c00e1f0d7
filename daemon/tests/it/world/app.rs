use super::client::{Answer, Client};
use serde_json::{Value, json};
use std::io;

/// One app of a daemon.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) client: Client,
    name: &'static str,
}

impl App {
    /// The app may not exist yet.
    pub(crate) fn new(client: Client, name: &'static str) -> Self {
        Self { client, name }
    }

    /// Deploys these scripts and triggers. A script is its name and its source. A trigger is the
    /// JSON of its specification.
    pub(crate) fn deploy(&self, scripts: &[(&str, &str)], triggers: &[Value]) {
        let scripts: Vec<Value> =
            scripts.iter().map(|(name, source)| json!({"name": name, "source": source})).collect();
        self.client.put(&self.path(""), &json!({"scripts": scripts, "triggers": triggers})).ok();
    }

    /// `/v1/apps/{name}{rest}`.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v1/apps/{}{rest}", self.name)
    }

    /// Emits the events in one request.
    pub(crate) fn emit(&self, events: &[Value]) -> Value {
        self.try_emit(events, None).unwrap_or_else(|error| panic!("emit: {error}")).ok()
    }

    /// Emits the events in one request. After an error the outcome is unknown. With an idempotency
    /// key the request can be repeated.
    pub(crate) fn try_emit(&self, events: &[Value], idempotency_key: Option<&str>) -> io::Result<Answer> {
        let body = Value::from(events).to_string();
        let content_type = ("content-type", "application/cloudevents-batch+json");
        let key = idempotency_key.map(|key| ("idempotency-key", key));
        let headers: Vec<_> = [content_type].into_iter().chain(key).collect();
        self.client.send("POST", &self.path("/events"), &headers, Some(body.as_bytes()))
    }

    /// The waiting and running deliveries of one trigger.
    pub(crate) fn deliveries(&self, trigger: &str) -> Vec<Value> {
        self.client.list(&self.path(&format!("/deliveries?trigger={trigger}&limit=100")), "deliveries")
    }

    /// Whether no delivery is waiting or running.
    pub(crate) fn is_drained(&self) -> bool {
        let page = self.client.get(&self.path("/deliveries?limit=1")).ok();
        page["deliveries"].as_array().is_some_and(Vec::is_empty)
    }

    pub(crate) fn dead_letters(&self) -> Vec<Value> {
        self.client.list(&self.path("/dead-letters?limit=100"), "dead_letters")
    }

    /// The key and value of each entry of a collection.
    pub(crate) fn entries(&self, collection: &str) -> Vec<(String, Value)> {
        let entries = self.client.list(&self.path(&format!("/kv/{collection}?limit=1000")), "entries");
        let pair =
            |entry: Value| (entry["key"].as_str().expect("a key is a string").to_owned(), entry["value"].clone());
        entries.into_iter().map(pair).collect()
    }

    /// `action` is `pause` or `resume`.
    pub(crate) fn switch(&self, trigger: &str, action: &str) {
        let path = self.path(&format!("/triggers/{trigger}/{action}"));
        self.client.send("POST", &path, &[], None).unwrap_or_else(|error| panic!("{action}: {error}")).ok();
    }
}

/// The JSON of an event.
pub(crate) fn event(event_type: &str, data: Value) -> Value {
    json!({"specversion": "1.0", "type": event_type, "source": "/acceptance", "data": data})
}

/// A trigger for events of one type. `more` has further fields of its specification.
pub(crate) fn on(event_type: &str, name: &str, handler: Value, more: Value) -> Value {
    let mut spec = json!({"name": name, "match": {"source": "app", "type": event_type}, "handler": handler});
    let fields = more.as_object().expect("further fields are an object");
    spec.as_object_mut().expect("it is an object").extend(fields.clone());
    spec
}
