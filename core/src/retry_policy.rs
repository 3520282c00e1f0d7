//! The retry policy of a trigger: as it is written, and after its bounds are checked.

use crate::time::Micros;
use serde::{Deserialize, Serialize};

/// The shape of the back-off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// The back-off doubles with each attempt.
    #[default]
    Exponential,
    /// The back-off grows by `base_ms` with each attempt.
    Linear,
    /// The back-off is the same after each attempt.
    Constant,
}

impl Backoff {
    /// The name in SQL and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exponential => "exponential",
            Self::Linear => "linear",
            Self::Constant => "constant",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Exponential, Self::Linear, Self::Constant].into_iter().find(|shape| shape.as_str() == name)
    }
}

/// A retry policy whose bounds are checked. Each delivery has a copy of its trigger's policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RetryPolicySpec", into = "RetryPolicySpec")]
pub struct RetryPolicy {
    pub(crate) max_attempts: u32,
    pub(crate) max_lost: u32,
    pub(crate) backoff: Backoff,
    pub(crate) base_ms: u64,
    pub(crate) max_ms: u64,
    pub(crate) jitter_ppm: u32,
    pub(crate) max_age_ms: Option<u64>,
}

/// A retry policy as it is written in a manifest, in the API and in SQL.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicySpec {
    /// The most attempts, including the first one: 1–100. A run after a conflict is part of the
    /// same attempt. An attempt whose process dies is a loss, and does not count.
    pub max_attempts: u32,
    /// The most losses: 1–100. If `max_attempts` is 1, the limit is 1, so that the handler never
    /// begins twice.
    pub max_lost: u32,
    /// The shape of the back-off.
    pub backoff: Backoff,
    /// The back-off after the first attempt: 1 ms – 7 days.
    pub base_ms: u64,
    /// The longest back-off before jitter: `base_ms` – 7 days.
    pub max_ms: u64,
    /// The largest random change of the back-off in each direction, as a fraction of the back-off:
    /// 0–1.
    pub jitter: f64,
    /// The greatest age of a delivery at the start of an attempt: 1 ms – 365 days. No limit if it
    /// is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_ms: Option<u64>,
}

/// The greatest `base_ms` and `max_ms`, and the longest back-off that a handler can request: 7
/// days.
pub(crate) const BACKOFF_MS_MAX: u64 = 7 * 24 * 3_600_000;
/// The greatest `max_age_ms`: 365 days.
const AGE_MS_MAX: u64 = 365 * 24 * 3_600_000;
/// Parts per million: the value of `jitter_ppm` for a `jitter` of 1.
pub(crate) const PPM: u32 = 1_000_000;

impl Default for RetryPolicySpec {
    fn default() -> Self {
        Self {
            max_attempts: 5,
            max_lost: 3,
            backoff: Backoff::Exponential,
            base_ms: 1_000,
            max_ms: 3_600_000,
            jitter: 0.2,
            max_age_ms: None,
        }
    }
}

/// The field of a retry policy that is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRetryPolicy {
    #[error("retry.max_attempts must be from 1 to 100")]
    MaxAttempts,
    #[error("retry.max_lost must be from 1 to 100")]
    MaxLost,
    #[error("retry.base_ms must be from 1 to {BACKOFF_MS_MAX} (7 days)")]
    Base,
    #[error("retry.max_ms must be from retry.base_ms to {BACKOFF_MS_MAX} (7 days)")]
    Max,
    #[error("retry.jitter must be from 0 to 1")]
    Jitter,
    #[error("retry.max_age_ms must be from 1 to {AGE_MS_MAX} (365 days)")]
    MaxAge,
}

impl TryFrom<RetryPolicySpec> for RetryPolicy {
    type Error = InvalidRetryPolicy;

    fn try_from(spec: RetryPolicySpec) -> Result<Self, InvalidRetryPolicy> {
        if !(1..=100).contains(&spec.max_attempts) {
            return Err(InvalidRetryPolicy::MaxAttempts);
        }
        if !(1..=100).contains(&spec.max_lost) {
            return Err(InvalidRetryPolicy::MaxLost);
        }
        if !(1..=BACKOFF_MS_MAX).contains(&spec.base_ms) {
            return Err(InvalidRetryPolicy::Base);
        }
        if !(spec.base_ms..=BACKOFF_MS_MAX).contains(&spec.max_ms) {
            return Err(InvalidRetryPolicy::Max);
        }
        if !(0.0..=1.0).contains(&spec.jitter) {
            return Err(InvalidRetryPolicy::Jitter);
        }
        if spec.max_age_ms.is_some_and(|age| !(1..=AGE_MS_MAX).contains(&age)) {
            return Err(InvalidRetryPolicy::MaxAge);
        }
        Ok(Self {
            max_attempts: spec.max_attempts,
            max_lost: spec.max_lost,
            backoff: spec.backoff,
            base_ms: spec.base_ms,
            max_ms: spec.max_ms,
            jitter_ppm: (spec.jitter * f64::from(PPM)).round() as u32,
            max_age_ms: spec.max_age_ms,
        })
    }
}

impl From<RetryPolicy> for RetryPolicySpec {
    fn from(policy: RetryPolicy) -> Self {
        Self {
            max_attempts: policy.max_attempts,
            max_lost: policy.max_lost,
            backoff: policy.backoff,
            base_ms: policy.base_ms,
            max_ms: policy.max_ms,
            jitter: f64::from(policy.jitter_ppm) / f64::from(PPM),
            max_age_ms: policy.max_age_ms,
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::try_from(RetryPolicySpec::default()).expect("the default policy is within its bounds")
    }
}

impl RetryPolicy {
    /// The policy of a handler that is executed at most once.
    #[must_use]
    pub const fn once() -> Self {
        Self {
            max_attempts: 1,
            max_lost: 1,
            backoff: Backoff::Constant,
            base_ms: 1,
            max_ms: 1,
            jitter_ppm: 0,
            max_age_ms: None,
        }
    }

    /// The most executions of the handler that end, including the first one.
    #[must_use]
    pub const fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// The most losses. A delivery with this many losses is not executed again. A handler that is
    /// executed at most once has one loss at most.
    #[must_use]
    pub const fn max_lost(&self) -> u32 {
        if self.max_attempts == 1 { 1 } else { self.max_lost }
    }

    /// The greatest age of a delivery at the start of an attempt.
    #[must_use]
    pub fn max_age(&self) -> Option<Micros> {
        self.max_age_ms.map(Micros::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_refused() {
        let spec = RetryPolicySpec::default();
        for (bad, error) in [
            (RetryPolicySpec { max_attempts: 0, ..spec }, InvalidRetryPolicy::MaxAttempts),
            (RetryPolicySpec { max_attempts: 101, ..spec }, InvalidRetryPolicy::MaxAttempts),
            (RetryPolicySpec { max_lost: 0, ..spec }, InvalidRetryPolicy::MaxLost),
            (RetryPolicySpec { max_lost: 101, ..spec }, InvalidRetryPolicy::MaxLost),
            (RetryPolicySpec { base_ms: 0, ..spec }, InvalidRetryPolicy::Base),
            (RetryPolicySpec { max_ms: 999, ..spec }, InvalidRetryPolicy::Max),
            (RetryPolicySpec { max_ms: BACKOFF_MS_MAX + 1, ..spec }, InvalidRetryPolicy::Max),
            (RetryPolicySpec { jitter: 1.1, ..spec }, InvalidRetryPolicy::Jitter),
            (RetryPolicySpec { jitter: f64::NAN, ..spec }, InvalidRetryPolicy::Jitter),
            (RetryPolicySpec { max_age_ms: Some(0), ..spec }, InvalidRetryPolicy::MaxAge),
        ] {
            assert_eq!(RetryPolicy::try_from(bad), Err(error));
        }
        assert!(serde_json::from_str::<RetryPolicy>(r#"{"max_attempt":3}"#).is_err(), "an unknown key is refused");
    }
    #[test]
    fn a_handler_that_begins_once_has_one_loss_at_most() {
        let policy = |max_attempts, max_lost| {
            RetryPolicy::try_from(RetryPolicySpec { max_attempts, max_lost, ..RetryPolicySpec::default() }).unwrap()
        };
        assert_eq!([policy(1, 3).max_lost(), policy(2, 3).max_lost(), RetryPolicy::once().max_lost()], [1, 3, 1]);
    }
}
