//! Identifiers. Each kind of name and number has a type of its own and is parsed once, where it
//! enters the program.

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use uuid::Uuid;

/// A text does not follow the rule for its kind of name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not valid: {rule}")]
pub struct InvalidName {
    /// The kind of name, such as `app`.
    pub what: &'static str,
    /// The text, cut to 80 characters.
    pub text: String,
    /// The rule for this kind of name.
    pub rule: &'static str,
}

/// Defines a type for a validated text. The text is reference-counted, because all rows of one
/// claim share the names of their lane.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            #[doc = concat!("Validates the text: ", $rule, ".")]
            pub fn new(text: impl Into<Arc<str>>) -> Result<Self, InvalidName> {
                let text = text.into();
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) {
                    Ok(Self(text))
                } else {
                    Err(InvalidName { what: $what, text: text.chars().take(80).collect(), rule: $rule })
                }
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(NameVisitor(|text| Self::new(text)))
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                (*name.0).to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

/// Parses a name from a borrowed text, because a name is part of every event.
struct NameVisitor<N>(fn(&str) -> Result<N, InvalidName>);

impl<N> Visitor<'_> for NameVisitor<N> {
    type Value = N;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<N, E> {
        (self.0)(text).map_err(E::custom)
    }
}

fn is_word(text: &str, len_max: usize) -> bool {
    (1..=len_max).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !text.starts_with('.')
}

fn is_text(text: &str, len_min: usize, len_max: usize) -> bool {
    (len_min..=len_max).contains(&text.len()) && !text.chars().any(char::is_control)
}

name!(
    /// The name of an app: a namespace for data, scripts, triggers and roles.
    AppName, "app", "1–63 of a–z, 0–9, '-' and '_', beginning with a letter or digit",
    |t| is_word(t, 63) && !t.contains('.') && t.bytes().all(|b| !b.is_ascii_uppercase()) && !t.starts_with(['-', '_'])
);
name!(
    /// The name of a trigger, unique in its app.
    TriggerName, "trigger", "1–128 of letters, digits, '.', '_' and '-', not beginning with '.'",
    |t| is_word(t, 128)
);
name!(
    /// The name of a script, unique in its app.
    ScriptName, "script", "1–128 of letters, digits, '.', '_' and '-', not beginning with '.'",
    |t| is_word(t, 128)
);
name!(
    /// The name of a KV collection. It contains no `/`, so that `collection/key` can be split
    /// again.
    Collection, "collection", "1–128 of letters, digits, '.', '_' and '-', not beginning with '.'",
    |t| is_word(t, 128)
);
name!(
    /// A key in a collection. It may contain `/`.
    Key, "key", "1–512 bytes without control characters",
    |t| is_text(t, 1, 512)
);
name!(
    /// The type of an event, such as `order.created`.
    EventType, "event type", "1–255 bytes without control characters",
    |t| is_text(t, 1, 255)
);
name!(
    /// The subject of an event. It may be empty. For a KV event it is `collection/key`.
    Subject, "subject", "at most 768 bytes without control characters",
    |t| is_text(t, 0, 768)
);
name!(
    /// The principal that an execution acts as, or that caused an event: `admin`, `user:…`,
    /// `token:…` or `system`.
    PrincipalId, "principal", "1–128 bytes without control characters",
    |t| is_text(t, 1, 128)
);

macro_rules! number {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(pub i64);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// The id of one row of `outbox`.
    DeliveryId
);
number!(
    /// The id of a trigger. It is never reused: a trigger that is deleted and created again under
    /// the same name gets a new id.
    TriggerId
);
number!(
    /// The id of one row of `dead_letters`.
    DeadLetterId
);
number!(
    /// The number of a claim. The rows of one lane that a request claims have the same number. A
    /// store never uses a number twice, and makes it from its clock. So a later claim of a row has
    /// a greater number, unless the clock was set back. A settlement with an old number is fenced.
    Lease
);

/// The id of an event. It is a UUIDv7, so ids sort roughly by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of an inbox: the place where one sync caller waits for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InboxId {
    /// The incarnation that holds the caller's connection. If another incarnation claims the
    /// delivery, the caller is gone.
    pub incarnation: Incarnation,
    /// The number of the caller within the incarnation.
    pub seq: u64,
}

/// Writes `incarnation:seq`, the form in SQL.
impl fmt::Display for InboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.incarnation.0, self.seq)
    }
}

impl FromStr for InboxId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once(':').and_then(|(incarnation, seq)| {
            Some(Self { incarnation: Incarnation(Uuid::parse_str(incarnation).ok()?), seq: seq.parse().ok()? })
        });
        parsed.ok_or("an inbox id has the form incarnation:seq")
    }
}

/// The id of one life of a dispatcher. It is random and drawn at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub Uuid);

/// The id of an action that expects an answer. An answer with an id that is no longer expected is
/// stale and ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OpId {
    /// The incarnation of the dispatcher that returned the action.
    pub incarnation: Incarnation,
    /// The number of the action within the incarnation.
    pub seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_their_rules() {
        for (text, ok) in [
            ("orders", true),
            ("a-1_b", true),
            ("", false),
            ("Orders", false),
            ("-a", false),
            ("a.b", false),
            ("a/b", false),
            ("ä", false),
        ] {
            assert_eq!(AppName::new(text).is_ok(), ok, "{text:?}");
        }
        assert!(Collection::new("a/b").is_err());
        assert!(Key::new("a/b c").is_ok());
        assert!(Key::new("a\nb").is_err());
        assert!(Key::new("x".repeat(513)).is_err());
        assert!(Subject::new("").is_ok());
        let inbox = InboxId { incarnation: Incarnation(Uuid::from_u128(5)), seq: 7 };
        assert_eq!(inbox.to_string().parse(), Ok(inbox));
        assert!("5:7".parse::<InboxId>().is_err());
        assert!(serde_json::from_str::<TriggerName>("\".hidden\"").is_err());
    }
}
