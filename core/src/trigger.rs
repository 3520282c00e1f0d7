//! Triggers: "when an event matches this, run that handler, with this retry policy, as who registered me".

use crate::cron::{CronExpression, TimeZone};
use crate::event::{Event, Source};
use crate::isolation::Isolation;
use crate::names::{AppName, PrincipalId, ScriptName, TriggerId, TriggerName};
use crate::pattern::Pattern;
use crate::retry_policy::RetryPolicy;
use crate::route::{RouteMethod, RoutePath};
use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// What a trigger is, as its owner wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerSpec {
    /// Unique in its app.
    pub name: TriggerName,
    /// Which events.
    #[serde(rename = "match")]
    pub rule: Match,
    /// What runs.
    pub handler: Handler,
    /// What happens after a failure.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// How long one execution may take.
    #[serde(default)]
    pub timeout_ms: TimeoutMs,
    /// At most so many of its executions at once, over all daemons of one store as far as leases tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<MaxConcurrency>,
    /// Whether its script starts anew with each execution. Means nothing to other handlers.
    #[serde(default, skip_serializing_if = "Isolation::is_default")]
    pub isolation: Isolation,
    /// A disabled trigger gets no new rows.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

/// A trigger as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// Its id.
    pub id: TriggerId,
    /// Its app.
    pub app: AppName,
    /// What its owner wrote.
    #[serde(flatten)]
    pub spec: TriggerSpec,
    /// Rows wait, untouched by claims.
    pub paused: bool,
    /// Who it runs as.
    pub registered_by: PrincipalId,
    /// Grows with every change of the spec.
    pub version: i64,
}

/// Which events a trigger is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case", deny_unknown_fields)]
pub enum Match {
    /// KV mutations.
    Kv {
        /// Which mutations; both if left out.
        #[serde(default)]
        ops: KvOps,
        /// On the collection.
        #[serde(default = "Pattern::any")]
        collection: Pattern,
        /// On the key.
        #[serde(default = "Pattern::any")]
        key: Pattern,
    },
    /// The app's own events.
    App {
        /// On the type.
        #[serde(rename = "type")]
        event_type: Pattern,
        /// On the subject.
        #[serde(default = "Pattern::any")]
        subject: Pattern,
    },
    /// Synchronous requests.
    Http {
        /// Such as `GET`.
        method: RouteMethod,
        /// With `{params}`.
        path: RoutePath,
        /// Whether it answers without a token. The handler has to see for itself who asks.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        public: bool,
    },
    /// Ticks of the clock.
    Cron {
        /// When.
        expression: CronExpression,
        /// By whose wall clock; UTC if left out.
        #[serde(default)]
        time_zone: TimeZone,
    },
    /// Dead letters of other triggers.
    DeadLetter {
        /// On the name of the trigger that failed.
        #[serde(default = "Pattern::any")]
        trigger: Pattern,
    },
}

/// Which KV mutations a trigger is for: `["set"]`, `["delete"]` or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<KvOp>", into = "Vec<KvOp>")]
pub struct KvOps {
    /// `kv.set`.
    pub set: bool,
    /// `kv.delete`.
    pub delete: bool,
}

/// One KV mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvOp {
    /// A put.
    Set,
    /// A delete of a key that was there.
    Delete,
}

impl KvOp {
    /// The type of the event that it emits.
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

/// What a trigger runs. Written `{"script": "receipt"}`, `{"native": "resize"}` or `{"webhook": "https://…"}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handler {
    /// A script of the same app.
    Script(ScriptName),
    /// A Rust function that the embedding program registered under this name.
    Native(ScriptName),
    /// An HTTP endpoint.
    Webhook(String),
}

impl Handler {
    /// Its kind and its name, as SQL keeps them.
    #[must_use]
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Script(name) => ("script", name.as_str()),
            Self::Native(name) => ("native", name.as_str()),
            Self::Webhook(url) => ("webhook", url),
        }
    }

    /// Reads back what [`Self::parts`] gave.
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
    ($(#[$doc:meta])* $type:ident, $int:ty, $min:literal, $max:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u64", into = "u64")]
        pub struct $type($int);

        impl $type {
            /// The number.
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
                    Err(concat!($what, " must be from ", $min, " to ", $max))
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
    /// How long one execution may take, in milliseconds.
    TimeoutMs, u64, 1, 3_600_000, "timeout_ms"
);
bounded!(
    /// How many executions of one trigger may run at once.
    MaxConcurrency, u32, 1, 10_000, "max_concurrency"
);

impl Default for TimeoutMs {
    fn default() -> Self {
        Self(30_000)
    }
}

impl TimeoutMs {
    /// As a length of time.
    #[must_use]
    pub const fn as_micros(self) -> Micros {
        Micros::from_millis(self.0)
    }
}

impl Match {
    /// Which source it listens to.
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

    /// Whether `event`, of the same app, is one of its events. This is what the stores' SQL must agree with.
    ///
    /// A cron or HTTP event is made for one trigger and is never matched against others.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        if self.source() != event.source {
            return false;
        }
        let (event_type, subject) = (event.event_type.as_str(), event.subject.as_str());
        match self {
            Self::Kv { ops, collection, key } => {
                let wanted = (ops.set && event_type == KvOp::Set.event_type())
                    || (ops.delete && event_type == KvOp::Delete.event_type());
                let (event_collection, event_key) = subject.split_once('/').unwrap_or((subject, ""));
                wanted && collection.matches(event_collection) && key.matches(event_key)
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
    fn a_spec_reads_as_it_is_written() {
        let written = serde_json::json!({
            "name": "receipt", "match": {"source": "kv", "ops": ["set"], "collection": "orders"},
            "handler": {"script": "receipt"}, "retry": {"max_attempts": 3}, "max_concurrency": 2,
        });
        let spec: TriggerSpec = serde_json::from_value(written).unwrap();
        assert_eq!(spec.timeout_ms.get(), 30_000);
        assert!(spec.enabled);
        assert_eq!(spec.isolation, Isolation::Warm);
        assert!(!serde_json::to_string(&spec).unwrap().contains("isolation"), "the default is not written");
        let spec = TriggerSpec { isolation: Isolation::Fresh, ..spec };
        assert!(serde_json::to_string(&spec).unwrap().contains(r#""isolation":"fresh""#));
        let again: TriggerSpec = serde_json::from_value(serde_json::to_value(&spec).unwrap()).unwrap();
        assert_eq!(again, spec);
    }

    #[test]
    fn bad_specs_are_refused() {
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
        assert!(serde_json::from_value::<TriggerSpec>(cold).is_err(), "an unknown isolation");
        for (key, value) in [("timeout_ms", 0), ("timeout_ms", 3_600_001), ("max_concurrency", 0), ("retries", 1)] {
            let mut bad = base.clone();
            bad[key] = value.into();
            assert!(serde_json::from_value::<TriggerSpec>(bad).is_err(), "{key} = {value}");
        }
    }
}
