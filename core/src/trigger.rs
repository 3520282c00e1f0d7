//! Triggers. A trigger is a rule: when an event matches, run this handler with this retry policy as
//! the principal that registered the trigger.

use crate::cron::{CronExpression, TimeZone};
use crate::event::{Event, Source};
use crate::isolation::Isolation;
use crate::names::{AppName, PrincipalId, ScriptName, TriggerId, TriggerName};
use crate::pattern::Pattern;
use crate::retry_policy::RetryPolicy;
use crate::route::{RouteMethod, RoutePath};
use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// A trigger as its owner writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerSpec {
    /// The name is unique in the app.
    pub name: TriggerName,
    #[serde(rename = "match")]
    pub rule: Match,
    pub handler: Handler,
    #[serde(default)]
    pub retry: RetryPolicy,
    #[serde(default)]
    pub timeout_ms: TimeoutMs,
    /// The most executions of the trigger at once, over all daemons of the store. The store counts
    /// the rows of claims with a valid lease, so an execution that outlives its lease is not
    /// counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<MaxConcurrency>,
    /// Whether each execution loads the script again. Has no effect on other handlers.
    #[serde(default, skip_serializing_if = "Isolation::is_default")]
    pub isolation: Isolation,
    /// A disabled trigger gets no new deliveries.
    #[serde(default = "enabled_by_default")]
    pub enabled: bool,
}

fn enabled_by_default() -> bool {
    true
}

/// A trigger as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    pub id: TriggerId,
    pub app: AppName,
    #[serde(flatten)]
    pub spec: TriggerSpec,
    /// A paused trigger still gets deliveries, but no daemon claims them.
    pub paused: bool,
    /// The principal that the handler runs as.
    pub registered_by: PrincipalId,
    /// Grows with every change of the spec.
    pub version: i64,
}

/// The rule that selects the events of a trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case", deny_unknown_fields)]
pub enum Match {
    /// Mutations of KV values.
    Kv {
        /// Both kinds of mutation if it is left out.
        #[serde(default)]
        ops: KvOps,
        #[serde(default = "Pattern::any")]
        collection: Pattern,
        #[serde(default = "Pattern::any")]
        key: Pattern,
    },
    /// Events that the app emits.
    App {
        #[serde(rename = "type")]
        event_type: Pattern,
        #[serde(default = "Pattern::any")]
        subject: Pattern,
    },
    /// HTTP requests, as sync calls.
    Http {
        method: RouteMethod,
        path: RoutePath,
        /// Whether requests need no token. The handler must then authenticate the client itself.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        public: bool,
    },
    /// Ticks of a cron schedule.
    Cron {
        expression: CronExpression,
        /// The time zone of the schedule. UTC if it is left out.
        #[serde(default)]
        time_zone: TimeZone,
    },
    /// Dead letters of other triggers.
    DeadLetter {
        /// Matches the name of the trigger that failed.
        #[serde(default = "Pattern::any")]
        trigger: Pattern,
    },
}

/// The kinds of KV mutations that a trigger selects, written `["set"]`, `["delete"]` or
/// `["set", "delete"]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<KvOp>", into = "Vec<KvOp>")]
pub struct KvOps {
    pub set: bool,
    pub delete: bool,
}

/// A kind of KV mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvOp {
    Set,
    /// A delete of a key that existed.
    Delete,
}

impl KvOp {
    /// The type of the event that the mutation emits.
    #[must_use]
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::Set => "kv.set",
            Self::Delete => "kv.delete",
        }
    }
}

impl Default for KvOps {
    fn default() -> Self {
        Self { set: true, delete: true }
    }
}

impl TryFrom<Vec<KvOp>> for KvOps {
    type Error = &'static str;
    fn try_from(ops: Vec<KvOp>) -> Result<Self, Self::Error> {
        let ops = Self { set: ops.contains(&KvOp::Set), delete: ops.contains(&KvOp::Delete) };
        if ops.set || ops.delete { Ok(ops) } else { Err("ops must name \"set\", \"delete\" or both") }
    }
}

impl From<KvOps> for Vec<KvOp> {
    fn from(ops: KvOps) -> Self {
        let set = ops.set.then_some(KvOp::Set);
        set.into_iter().chain(ops.delete.then_some(KvOp::Delete)).collect()
    }
}

/// The handler of a trigger, written `{"script": "receipt"}`, `{"native": "resize"}` or
/// `{"webhook": "https://…"}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handler {
    /// A script of the trigger's app.
    Script(ScriptName),
    /// A Rust function. The embedding program registers it under this name.
    Native(ScriptName),
    /// The URL of an HTTP endpoint.
    Webhook(String),
}

impl Handler {
    /// The kind and the name of the handler, as two columns in SQL.
    #[must_use]
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Script(name) => ("script", name.as_str()),
            Self::Native(name) => ("native", name.as_str()),
            Self::Webhook(url) => ("webhook", url),
        }
    }

    /// The reverse of [`Self::parts`].
    #[must_use]
    pub fn from_parts(kind: &str, name: &str) -> Option<Self> {
        match kind {
            "script" => ScriptName::new(name).ok().map(Self::Script),
            "native" => ScriptName::new(name).ok().map(Self::Native),
            "webhook" => Some(Self::Webhook(name.to_owned())),
            _ => None,
        }
    }
}

macro_rules! bounded {
    ($(#[$doc:meta])* $type:ident, $int:ty, $min:literal, $max:literal, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u64", into = "u64")]
        pub struct $type($int);

        impl $type {
            #[must_use]
            pub const fn get(self) -> $int {
                self.0
            }
        }

        impl TryFrom<u64> for $type {
            type Error = &'static str;
            fn try_from(value: u64) -> Result<Self, Self::Error> {
                if ($min..=$max).contains(&value) {
                    Ok(Self(value as $int))
                } else {
                    Err(concat!($field, " must be from ", $min, " to ", $max))
                }
            }
        }

        impl From<$type> for u64 {
            fn from(value: $type) -> Self {
                Self::from(value.0)
            }
        }
    };
}

bounded!(
    /// The time limit of one execution, in milliseconds.
    TimeoutMs, u64, 1, 3_600_000, "timeout_ms"
);
bounded!(
    /// The most executions of one trigger at once.
    MaxConcurrency, u32, 1, 10_000, "max_concurrency"
);

impl Default for TimeoutMs {
    fn default() -> Self {
        Self(30_000)
    }
}

impl TimeoutMs {
    #[must_use]
    pub const fn as_micros(self) -> Micros {
        Micros::from_millis(self.0)
    }
}

impl Match {
    /// The source of the events that the rule selects.
    #[must_use]
    pub const fn source(&self) -> Source {
        match self {
            Self::Kv { .. } => Source::Kv,
            Self::App { .. } => Source::App,
            Self::Http { .. } => Source::Http,
            Self::Cron { .. } => Source::Cron,
            Self::DeadLetter { .. } => Source::DeadLetter,
        }
    }

    /// Whether the rule selects `event`, which must be of the same app. The SQL of the stores must
    /// agree with this function.
    ///
    /// A cron or HTTP event is created for one trigger, so no rule selects it.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        if self.source() != event.source {
            return false;
        }
        let (event_type, subject) = (event.event_type.as_str(), event.subject.as_str());
        match self {
            Self::Kv { ops, collection, key } => {
                let is_selected = (ops.set && event_type == KvOp::Set.event_type())
                    || (ops.delete && event_type == KvOp::Delete.event_type());
                let (event_collection, event_key) = subject.split_once('/').unwrap_or((subject, ""));
                is_selected && collection.matches(event_collection) && key.matches(event_key)
            }
            Self::App { event_type: types, subject: subjects } => {
                types.matches(event_type) && subjects.matches(subject)
            }
            Self::DeadLetter { trigger } => trigger.matches(subject),
            Self::Http { .. } | Self::Cron { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_round_trips_and_omits_defaults() {
        let written = serde_json::json!({
            "name": "receipt", "match": {"source": "kv", "ops": ["set"], "collection": "orders"},
            "handler": {"script": "receipt"}, "retry": {"max_attempts": 3}, "max_concurrency": 2,
        });
        let spec: TriggerSpec = serde_json::from_value(written).unwrap();
        assert_eq!(spec.timeout_ms.get(), 30_000);
        assert!(spec.enabled);
        assert_eq!(spec.isolation, Isolation::Warm);
        assert!(!serde_json::to_string(&spec).unwrap().contains("isolation"), "the default isolation is omitted");
        let spec = TriggerSpec { isolation: Isolation::Fresh, ..spec };
        assert!(serde_json::to_string(&spec).unwrap().contains(r#""isolation":"fresh""#));
        let again: TriggerSpec = serde_json::from_value(serde_json::to_value(&spec).unwrap()).unwrap();
        assert_eq!(again, spec);
    }

    #[test]
    fn invalid_specs_are_refused() {
        let base = serde_json::json!({
            "name": "t", "match": {"source": "app", "type": "a.*"}, "handler": {"script": "s"},
        });
        for (path, value) in [
            ("/match", serde_json::json!({"source": "app", "type": ""})),
            ("/match", serde_json::json!({"source": "kv", "ops": []})),
            ("/match", serde_json::json!({"source": "kv", "colection": "x"})),
            ("/handler", serde_json::json!({"script": "../x"})),
            ("/name", serde_json::json!("a b")),
        ] {
            let mut bad = base.clone();
            *bad.pointer_mut(path).unwrap() = value.clone();
            assert!(serde_json::from_value::<TriggerSpec>(bad).is_err(), "{path} = {value}");
        }
        let cold = serde_json::json!({
            "name": "t", "match": {"source": "app", "type": "a.*"}, "handler": {"script": "s"}, "isolation": "cold",
        });
        assert!(serde_json::from_value::<TriggerSpec>(cold).is_err(), "an unknown isolation is refused");
        for (key, value) in [("timeout_ms", 0), ("timeout_ms", 3_600_001), ("max_concurrency", 0), ("retries", 1)] {
            let mut bad = base.clone();
            bad[key] = value.into();
            assert!(serde_json::from_value::<TriggerSpec>(bad).is_err(), "{key} = {value}");
        }
    }
}
