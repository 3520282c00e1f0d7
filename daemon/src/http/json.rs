//! Reads JSON bodies. An error names the field and the expected shape in the words of the API.
//!
//! serde's own messages name Rust types, such as `struct NewUser` or `u32`. They are translated
//! here.

use super::problem::Problem;
use crate::config::did_you_mean;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The reason why a text is not the JSON of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JsonError {
    /// The text is not JSON.
    Syntax(String),
    /// The JSON has a wrong shape.
    Shape(String),
}

impl JsonError {
    pub(super) fn message(self) -> String {
        match self {
            Self::Syntax(message) | Self::Shape(message) => message,
        }
    }
}

impl From<JsonError> for Problem {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Syntax(message) => Self::invalid_json(message),
            JsonError::Shape(message) => Self::invalid(message),
        }
    }
}

/// Reads `text` as the JSON object of a `T`. `kind` is the noun of the error message, with its
/// article.
///
/// A derived `Deserialize` would also accept an array: one element for each field, and an empty
/// array where every field has a default.
pub(super) fn object<T: DeserializeOwned>(text: &str, kind: &str) -> Result<T, JsonError> {
    if text.trim_start().starts_with('{')
        && let Ok(read) = serde_json::from_str(text)
    {
        return Ok(read);
    }
    // The second pass tracks the path of the error, which costs more than the first one.
    object_of_value(value(text)?, kind)
}

/// Reads `text` as any JSON.
pub(super) fn value(text: &str) -> Result<Value, JsonError> {
    serde_json::from_str(text).map_err(|error| JsonError::Syntax(format!("the body is not valid JSON: {error}")))
}

/// Reads `value` as the JSON object of a `T`.
pub(super) fn object_of_value<T: DeserializeOwned>(value: Value, kind: &str) -> Result<T, JsonError> {
    if !value.is_object() {
        return Err(JsonError::Shape(format!("{kind} must be a JSON object, but it is {}", kind_of(&value))));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        JsonError::Shape(describe(path.trim_matches('.'), &error.inner().to_string()))
    })
}

const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The message of serde about the value at `path`, in the words of the API. The path is empty for
/// the whole body.
pub(super) fn describe(path: &str, message: &str) -> String {
    let place = |path: &str| if path.is_empty() { String::new() } else { format!("{path}: ") };
    if let Some((name, known)) = quoted_after(message, "unknown field ") {
        // The path ends with the unknown name.
        let parent = path.strip_suffix(name).map_or(path, |parent| parent.trim_end_matches('.'));
        return format!("{}unknown field `{name}`; {}", place(parent), suggestion(name, known));
    }
    let place = place(path);
    if let Some((name, known)) = quoted_after(message, "unknown variant ") {
        return format!("{place}unknown value {name:?}; {}", suggestion(name, known));
    }
    if let Some((name, _)) = quoted_after(message, "missing field ") {
        return format!("{place}`{name}` is missing");
    }
    if let Some((name, _)) = quoted_after(message, "duplicate field ") {
        return format!("{place}`{name}` is there twice");
    }
    let subject = if path.is_empty() { "the value" } else { path };
    let wrong = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    if let Some((found, expected)) = wrong.and_then(|wrong| wrong.rsplit_once(", expected ")) {
        return format!("{subject} must be {}, but it is {}", expected_shape(expected), found_shape(found));
    }
    match message {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            format!("{subject} must be a whole number")
        }
        "number too large to fit in target type" => format!("{subject} is too large"),
        // A rule of the field itself, such as `timeout_ms must be from 1 to 3600000`.
        rule => {
            // The rule may repeat the last part of the path.
            let (parent, last) = path.rsplit_once('.').map_or(("", path), |(parent, last)| (parent, last));
            match (rule.split([' ', '.']).next(), parent) {
                (Some(field), "") if field == last => rule.to_owned(),
                (Some(field), parent) if field == last => format!("{parent}.{rule}"),
                _ => format!("{place}{rule}"),
            }
        }
    }
}

/// The name in backticks after `prefix`, and the rest of the message.
fn quoted_after<'m>(message: &'m str, prefix: &str) -> Option<(&'m str, &'m str)> {
    message.strip_prefix(prefix)?.strip_prefix('`')?.split_once('`')
}

/// The end of a message about an unknown name. `known` is the list of known names as serde writes
/// it.
fn suggestion(name: &str, known: &str) -> String {
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    if known.is_empty() { "leave it out".to_owned() } else { did_you_mean(name, &known) }
}

fn expected_shape(expected: &str) -> String {
    match expected {
        "a boolean" => "true or false",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" | "sequence" => "a list",
        "a map" | "map" => "an object",
        "variant identifier" | "field identifier" => "a name",
        "string or map" | "map with a single key" | "newtype variant" => "an object with one field",
        _ if expected.starts_with("enum ") => "an object with one field",
        _ if expected.starts_with("struct ") || expected.starts_with("internally tagged enum ") => "an object",
        other => other,
    }
    .to_owned()
}

fn found_shape(found: &str) -> String {
    match found {
        "sequence" => "a list".to_owned(),
        "map" => "an object".to_owned(),
        "unit variant" => "a string".to_owned(),
        other => match other.split_once(' ') {
            Some(("boolean", value)) => value.trim_matches('`').to_owned(),
            Some(("string", value)) => format!("the string {value}"),
            Some((_, value)) if value.starts_with('`') => format!("the number {}", value.trim_matches('`')),
            _ => match other.split_once(" point ") {
                Some((_, value)) => format!("the number {}", value.trim_matches('`')),
                None => other.to_owned(),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::{Json, TriggerSpec};
    use tidegate_ports::Deployment;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the errors are read")]
    struct Sample {
        name: String,
        admin: Option<bool>,
        days: Option<u32>,
        share: Option<f64>,
        data: Option<Json>,
    }

    #[test]
    fn errors_name_the_field_and_the_expected_shape() {
        for (text, expected) in [
            ("null", "a user must be a JSON object, but it is null"),
            ("[1]", "a user must be a JSON object, but it is a list"),
            ("\"x\"", "a user must be a JSON object, but it is a string"),
            ("{}", "`name` is missing"),
            (r#"{"name": 7}"#, "name must be a string, but it is the number 7"),
            (r#"{"name": null}"#, "name must be a string, but it is null"),
            (r#"{"name": {}}"#, "name must be a string, but it is an object"),
            (r#"{"name": [1]}"#, "name must be a string, but it is a list"),
            (r#"{"name": 1.5}"#, "name must be a string, but it is the number 1.5"),
            (r#"{"name": "a", "admin": "yes"}"#, r#"admin must be true or false, but it is the string "yes""#),
            (
                r#"{"name": "a", "days": -1}"#,
                "days must be a whole number from 0 to 4294967295, but it is the number -1",
            ),
            (r#"{"name": "a", "share": true}"#, "share must be a number, but it is true"),
            (r#"{"name": "a", "admn": true}"#, "unknown field `admn`; did you mean `admin`?"),
            (
                r#"{"name": "a", "data": "\u0000"}"#,
                "data: not valid JSON: the character \\u0000 cannot be stored; remove it",
            ),
        ] {
            let error = object::<Sample>(text, "a user").unwrap_err();
            assert_eq!(error, JsonError::Shape(expected.to_owned()), "{text}");
        }
        assert!(matches!(object::<Sample>("{\"name\":", "a user"), Err(JsonError::Syntax(_))));
    }

    #[test]
    fn errors_in_a_deployment_name_the_path() {
        let spec = |change: Value| {
            let mut spec = serde_json::json!({
                "name": "t", "match": {"source": "app", "type": "a"}, "handler": {"script": "s"}
            });
            spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            spec
        };
        for (change, expected) in [
            (serde_json::json!({"timeout_ms": 0}), "timeout_ms must be from 1 to 3600000"),
            (
                serde_json::json!({"timeout_ms": "1s"}),
                r#"timeout_ms must be a whole number from 0, but it is the string "1s""#,
            ),
            (serde_json::json!({"retry": {"max_attempts": 0}}), "retry.max_attempts must be from 1 to 100"),
            (
                serde_json::json!({"retry": {"backoff": "linar"}}),
                "retry.backoff: unknown value \"linar\"; did you mean `linear`?",
            ),
            (serde_json::json!({"match": {"source": "kw"}}), "match.source: unknown value \"kw\"; did you mean `kv`?"),
            (serde_json::json!({"match": {"type": "a"}}), "match: `source` is missing"),
            (serde_json::json!({"match": 7}), "match must be an object, but it is the number 7"),
            (
                serde_json::json!({"handler": {"scrip": "s"}}),
                "handler: unknown value \"scrip\"; did you mean `script`?",
            ),
            (serde_json::json!({"handler": {}}), "handler must be an object with one field, but it is an object"),
            (serde_json::json!({"enabled": 1}), "enabled must be true or false, but it is the number 1"),
            (serde_json::json!({"isolation": "frsh"}), "isolation: unknown value \"frsh\"; did you mean `fresh`?"),
        ] {
            let error = object_of_value::<TriggerSpec>(spec(change.clone()), "a trigger").unwrap_err();
            assert_eq!(error.message(), expected, "{change}");
            let whole = serde_json::json!({"triggers": [spec(serde_json::json!({})), spec(change)]}).to_string();
            let error = object::<Deployment>(&whole, "a deployment").unwrap_err().message();
            let expected = match expected.split_once(' ') {
                Some((first, _)) if first.starts_with('`') => expected.to_owned(),
                _ => format!("triggers[1].{expected}"),
            };
            assert_eq!(error, expected);
        }
    }
}
