//! The names and numbers that identify things, each its own type, each parsed once at the border.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use uuid::Uuid;

/// Why a text is not the name it was meant to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not valid: {rule}")]
pub struct InvalidName {
    /// What the text was to name, such as `app`.
    pub what: &'static str,
    /// The text, cut to 80 characters.
    pub text: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

/// A text that is checked once, shared by all that bear it: the rows of a claim have their lane's names in common.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            #[doc = concat!("Parses: ", $rule, ".")]
            pub fn new(text: impl Into<Arc<str>>) -> Result<Self, InvalidName> {
                let text = text.into();
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) {
                    Ok(Self(text))
                } else {
                    Err(InvalidName { what: $what, text: text.chars().take(80).collect(), rule: $rule })
                }
            }

            /// The text.
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

fn is_word(text: &str, len_max: usize) -> bool {
    (1..=len_max).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !text.starts_with('.')
}

fn is_text(text: &str, len_min: usize, len_max: usize) -> bool {
    (len_min..=len_max).contains(&text.len()) && !text.chars().any(char::is_control)
}

name!(
    /// A tenant: the namespace of data, scripts, triggers and roles.
    AppName, "app", "1–63 of a–z, 0–9, '-' and '_', beginning with a letter or digit",
    |t| is_word(t, 63) && !t.contains('.') && t.bytes().all(|b| !b.is_ascii_uppercase()) && !t.starts_with(['-', '_'])
);
name!(
    /// A trigger's name, unique in its app.
    TriggerName, "trigger", "1–128 of letters, digits, '.', '_' and '-', not beginning with '.'",
    |t| is_word(t, 128)
);
name!(
    /// A script's name, unique in its app.
    ScriptName, "script", "1–128 of letters, digits, '.', '_' and '-', not beginning with '.'",
    |t| is_word(t, 128)
);
name!(
    /// A KV collection. It has no `/`, so that `collection/key` can be read back.
    Collection, "collection", "1–128 of letters, digits, '.', '_' and '-', not beginning with '.'",
    |t| is_word(t, 128)
);
name!(
    /// A key within a collection. It may contain `/`.
    Key, "key", "1–512 bytes without control characters",
    |t| is_text(t, 1, 512)
);
name!(
    /// An event's type, such as `order.created`.
    EventType, "event type", "1–255 bytes without control characters",
    |t| is_text(t, 1, 255)
);
name!(
    /// What an event is about. For KV `collection/key`; may be empty.
    Subject, "subject", "at most 768 bytes without control characters",
    |t| is_text(t, 0, 768)
);
name!(
    /// Who an execution acts as, and who caused an event: `admin`, `user:…`, `token:…` or `system`.
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
    /// One row of `outbox`: one event for one trigger.
    DeliveryId
);
number!(
    /// One trigger, for ever: a trigger that is dropped and made again under its name is another one.
    TriggerId
);
number!(
    /// One row of `dead_letters`.
    DeadLetterId
);
number!(
    /// The number of a claim of one delivery. It only grows; a settlement that quotes an older one is fenced.
    Lease
);

/// An event. UUIDv7, so that ids sort roughly by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a synchronous caller waits for its reply: which incarnation of which daemon, and which of its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InboxId {
    /// The daemon that holds the connection. Any other one that finds the delivery knows its caller is lost.
    pub incarnation: Incarnation,
    /// The caller within that daemon.
    pub seq: u64,
}

/// `incarnation:seq`, as SQL keeps it.
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
        parsed.ok_or("an inbox is written as incarnation:seq")
    }
}

/// One life of one daemon: drawn at its start, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub Uuid);

/// Names one action that waits for an answer. An answer to an id that nobody waits for is stale and ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OpId {
    /// The dispatcher that asked.
    pub incarnation: Incarnation,
    /// Its count of questions.
    pub seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_at_the_border() {
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
