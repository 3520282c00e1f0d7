//! The parts that deliveries and dead letters share: failed attempts, and the event.

use super::text;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt::Write as _;

/// One attempt that failed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AttemptView {
    attempt: u32,
    started_at: String,
    duration_ms: Option<f64>,
    error: serde_json::Value,
    message: String,
}

/// What a line about an event says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EventView {
    #[serde(rename = "type")]
    event_type: String,
    pub(crate) subject: String,
}

impl EventView {
    pub(crate) fn read(event: &RawValue) -> Self {
        serde_json::from_str(event.get()).unwrap_or_default()
    }

    /// Such as `kv.set orders/1`.
    pub(crate) fn about(&self) -> String {
        text::plain(format!("{} {}", self.event_type, self.subject).trim_end())
    }
}

impl AttemptView {
    /// Its error and the first line of its message.
    pub(crate) fn in_short(&self, width: usize) -> String {
        text::first_line(&format!("{}: {}", self.code(), self.message), width)
    }

    /// `script_error`; a class that carries a number, such as a webhook's status, is written as `class number`.
    fn code(&self) -> String {
        match &self.error {
            serde_json::Value::String(code) => code.clone(),
            serde_json::Value::Object(fields) => fields.iter().map(|(code, of)| format!("{code} {of}")).collect(),
            other => other.to_string(),
        }
    }
}

/// The attempts, one line each and more where a message has more.
pub(crate) fn render(failed: &[AttemptView]) -> String {
    let mut out = String::new();
    for one in failed {
        let took = one.duration_ms.map_or_else(|| "unknown".to_owned(), |ms| format!("{ms:.1} ms"));
        let message = text::hanging(&text::plain(&one.message), "      ");
        writeln!(
            out,
            "  attempt {}   {}  took {took}  {}\n      {message}",
            one.attempt,
            one.started_at,
            text::plain(&one.code())
        )
        .expect("a String takes every write");
    }
    out
}

/// The event, whole.
pub(crate) fn event(event: &RawValue) -> String {
    format!("  event whole\n    {}\n", text::pretty_json(event.get(), "    "))
}
