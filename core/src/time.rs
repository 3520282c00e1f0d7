//! Time as plain integers. The core reads no clock: time is always an argument.
//!
//! There are three types, so that the compiler keeps the clocks apart:
//!
//! - [`Timestamp`] is a moment on the clock of the store. Leases and due times use only this clock.
//! - [`Mono`] is a moment on the monotonic clock of this process, for local deadlines.
//! - [`Micros`] is a length of time.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A length of time in microseconds. The arithmetic saturates, so that an extreme retry policy does
/// not wrap around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub u64);

impl Micros {
    pub const ZERO: Self = Self(0);

    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000))
    }

    #[must_use]
    pub const fn from_secs(s: u64) -> Self {
        Self(s.saturating_mul(1_000_000))
    }

    /// Whole milliseconds, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    #[must_use]
    pub const fn saturating_mul(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }
}

/// A moment on the store's clock, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment 1970-01-01T00:00:00Z. As a look-back it selects the whole lane.
    pub const EPOCH: Self = Self(0);

    /// The moment that is `by` later. Saturates.
    #[must_use]
    pub const fn plus(self, by: Micros) -> Self {
        Self(self.0.saturating_add_unsigned(by.0))
    }

    /// The moment that is `by` earlier. Saturates.
    #[must_use]
    pub const fn minus(self, by: Micros) -> Self {
        Self(self.0.saturating_sub_unsigned(by.0))
    }

    /// The time from `earlier` to this moment. Zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Micros {
        Micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or_default())
    }

    /// Writes RFC 3339 in UTC with microseconds. RFC 3339 has no years outside 0–9999, so they are
    /// clamped.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        chrono::DateTime::from_timestamp_micros(self.0.clamp(RFC3339_MIN, RFC3339_MAX))
            .map(|moment| moment.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
            .unwrap_or_default()
    }

    /// Reads RFC 3339. Digits after the microseconds are cut off.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        chrono::DateTime::parse_from_rfc3339(text).ok().map(|moment| Self(moment.timestamp_micros()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// The moment 0000-01-01T00:00:00Z.
const RFC3339_MIN: i64 = -62_167_219_200_000_000;
/// The moment 9999-12-31T23:59:59.999999Z.
const RFC3339_MAX: i64 = 253_402_300_799_999_999;

/// A moment on the monotonic clock of this process, in microseconds since an arbitrary start. Do
/// not compare moments of different processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mono(pub u64);

impl Mono {
    /// The moment that is `by` later. Saturates.
    #[must_use]
    pub const fn plus(self, by: Micros) -> Self {
        Self(self.0.saturating_add(by.0))
    }

    /// The time from `earlier` to this moment. Zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Micros {
        Micros(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trips_and_clamps_the_year() {
        let moment = Timestamp(1_795_449_083_000_042);
        assert_eq!(moment.to_rfc3339(), "2026-11-23T15:51:23.000042Z");
        assert_eq!(Timestamp::from_rfc3339(&moment.to_rfc3339()), Some(moment));
        assert_eq!(Timestamp(-1).to_rfc3339(), "1969-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp(i64::MAX).to_rfc3339(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp(i64::MIN).to_rfc3339(), "0000-01-01T00:00:00.000000Z");
        assert_eq!(Timestamp::from_rfc3339("2026-11-23"), None);
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp(i64::MAX).plus(Micros(u64::MAX)), Timestamp(i64::MAX));
        assert_eq!(Timestamp(i64::MIN).minus(Micros(u64::MAX)), Timestamp(i64::MIN));
        assert_eq!(Timestamp(5).since(Timestamp(9)), Micros::ZERO);
        assert_eq!(Mono(u64::MAX).plus(Micros(1)), Mono(u64::MAX));
    }
}
