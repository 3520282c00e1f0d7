//! Failed attempts and events, which `deliveries` and `dead-letters` show in the same form.

use super::text;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt::Write as _;

/// A failed attempt, as the API returns it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AttemptView {
    attempt: u32,
    started_at: String,
    duration_ms: Option<f64>,
    error: serde_json::Value,
    message: String,
}

/// The parts of an event that fit in one line.
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

    /// The type and the subject, such as `kv.set orders/1`.
    pub(crate) fn type_and_subject(&self) -> String {
        format!("{} {}", self.event_type, self.subject).trim_end().to_owned()
    }
}

impl AttemptView {
    /// The error and the first line of the message, cut to `width` characters.
    pub(crate) fn summary(&self, width: usize) -> String {
        text::first_line(&format!("{}: {}", self.code(), self.message), width)
    }

    /// The class of the error, such as `script_error`. A class with a number, such as the status of
    /// a webhook, is written as `class number`.
    fn code(&self) -> String {
        match &self.error {
            serde_json::Value::String(code) => code.clone(),
            serde_json::Value::Object(fields) => fields.iter().map(|(code, of)| format!("{code} {of}")).collect(),
            other => other.to_string(),
        }
    }
}

/// The attempts, each with its whole message, which may have several lines.
pub(crate) fn render(failed: &[AttemptView]) -> String {
    let mut out = String::new();
    for one in failed {
        let took = match one.duration_ms {
            Some(ms) => format!("took {ms:.1} ms"),
            None if one.error == "never_began" => "never began".to_owned(),
            None => "took unknown".to_owned(),
        };
        let message = text::hanging(&one.message, "      ");
        writeln!(out, "  attempt {}   {}  {took}  {}\n      {message}", one.attempt, one.started_at, one.code())
            .expect("writing to a String cannot fail");
    }
    out
}

/// The event as indented JSON.
pub(crate) fn render_event(event: &RawValue) -> String {
    format!("  whole event\n    {}\n", text::pretty_json(event.get(), "    "))
}
