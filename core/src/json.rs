//! JSON text that is validated once and then kept byte for byte.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::fmt;

/// A text that is valid JSON. Stores keep the text verbatim, so a value is read back byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Json(String);

impl Json {
    /// The JSON text `null`.
    #[must_use]
    pub fn null() -> Self {
        Self("null".to_owned())
    }

    /// Validates `text` and keeps it without the white space around it.
    ///
    /// Refuses nesting deeper than 128. Refuses `\u0000` too, because Postgres cannot store it in a
    /// text.
    pub fn parse(text: &str) -> Result<Self, InvalidJson> {
        // `RawValue` alone accepts any depth, and the parser of a script would then overflow its
        // stack.
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| InvalidJson { message: error.to_string() })?;
        if has_nul(&value) {
            return Err(InvalidJson { message: "the character \\u0000 cannot be stored; remove it".to_owned() });
        }
        Ok(Self(text.trim_matches([' ', '\t', '\r', '\n']).to_owned()))
    }

    /// Takes a text from a store without validation. It was validated before it was stored.
    #[must_use]
    pub fn from_store(text: String) -> Self {
        Self(text)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn has_nul(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The reason why a text is not JSON that Tidegate can store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not valid JSON: {message}")]
pub struct InvalidJson {
    message: String,
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        Self(value.to_string())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(raw.get()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_json_is_kept_verbatim_and_other_text_is_refused() {
        let text = r#"{"b":1.50,"a":[1, 2],"b":"ü"}"#;
        assert_eq!(Json::parse(&format!(" {text}\n")).unwrap().as_str(), text);
        assert_eq!(serde_json::to_string(&Json::parse(text).unwrap()).unwrap(), text);
        for bad in ["", "{", "nul", "1 2", "\"a", "\"\\u0000\"", "{\"\\u0000\":1}"] {
            assert!(Json::parse(bad).is_err(), "{bad:?}");
        }
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert!(Json::parse(&deep).is_err());
    }
}
