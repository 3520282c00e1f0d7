//! Cron schedules: the next tick of a cron trigger. The rules of the time zones are compiled in, so
//! the result depends on the arguments alone.

mod wall_clock;

use crate::time::Timestamp;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use wall_clock::WallClock;

/// The microseconds of a second. A schedule ticks on whole seconds.
const MICROS: i64 = 1_000_000;

/// A cron expression such as `*/15 9-17 * * MON-FRI`. It has five fields: minute, hour, day of
/// month, month and day of week. An optional sixth field in front is for seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CronExpression(String);

/// A time zone with an IANA name such as `Europe/Berlin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeZone(Tz);

/// The reason why a text is not a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// The expression does not parse.
    #[error("the cron expression {text:?} is not valid: {reason}")]
    Expression {
        /// The text, cut to 80 characters.
        text: String,
        /// The message of the parser.
        reason: String,
    },
    /// The expression parses but names only days that do not exist, such as 30 February.
    #[error("the cron expression {0:?} never ticks")]
    Never(String),
    /// No time zone has this name.
    #[error("the time zone {0:?} is not known; use an IANA name such as \"Europe/Berlin\" or \"UTC\"")]
    TimeZone(String),
}

impl CronExpression {
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidSchedule> {
        let text = text.into();
        let cut = || text.chars().take(80).collect();
        let cron = parse(&text).map_err(|reason| InvalidSchedule::Expression { text: cut(), reason })?;
        match cron.find_next_occurrence(&DateTime::<Utc>::UNIX_EPOCH, false) {
            Ok(_) => Ok(Self(text)),
            Err(_) => Err(InvalidSchedule::Never(cut())),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first tick after `after`, by the wall clock of `zone`. `None` past the end of the
    /// calendar.
    ///
    /// When summer time begins, the wall clock skips a part of the day. When summer time ends, it
    /// repeats a part of the day. The hour field decides the ticks of this part:
    ///
    /// - A schedule that lists every hour, such as `*/15 * * * *`, ticks at regular intervals.
    ///   Repeated times tick twice, and skipped times do not tick.
    /// - Any other schedule ticks once for each listed time. A repeated time ticks when it occurs
    ///   first. All skipped times together make one tick, at the first moment after the gap.
    #[must_use]
    pub fn next_after(&self, after: Timestamp, zone: TimeZone) -> Option<Timestamp> {
        let cron = parse(&self.0).ok()?;
        let next = WallClock { cron: &cron, zone: zone.0 }.next_tick(after.0.div_euclid(MICROS))?;
        Some(Timestamp(next.checked_mul(MICROS)?))
    }
}

fn parse(text: &str) -> Result<Cron, String> {
    if text.len() > 256 {
        return Err("it is longer than 256 bytes".to_owned());
    }
    CronParser::builder().seconds(Seconds::Optional).build().parse(text).map_err(|error| error.to_string())
}

impl TimeZone {
    pub const UTC: Self = Self(Tz::UTC);

    /// The time zone with the IANA name `name`.
    pub fn new(name: &str) -> Result<Self, InvalidSchedule> {
        name.parse().map(Self).map_err(|_| InvalidSchedule::TimeZone(name.chars().take(80).collect()))
    }

    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.0.name()
    }
}

impl Default for TimeZone {
    fn default() -> Self {
        Self::UTC
    }
}

impl FromStr for CronExpression {
    type Err = InvalidSchedule;
    fn from_str(text: &str) -> Result<Self, InvalidSchedule> {
        Self::new(text)
    }
}

impl TryFrom<String> for CronExpression {
    type Error = InvalidSchedule;
    fn try_from(text: String) -> Result<Self, InvalidSchedule> {
        Self::new(text)
    }
}

impl From<CronExpression> for String {
    fn from(expression: CronExpression) -> Self {
        expression.0
    }
}

impl FromStr for TimeZone {
    type Err = InvalidSchedule;
    fn from_str(text: &str) -> Result<Self, InvalidSchedule> {
        Self::new(text)
    }
}

impl TryFrom<String> for TimeZone {
    type Error = InvalidSchedule;
    fn try_from(name: String) -> Result<Self, InvalidSchedule> {
        Self::new(&name)
    }
}

impl From<TimeZone> for String {
    fn from(zone: TimeZone) -> Self {
        zone.as_str().to_owned()
    }
}

impl fmt::Display for CronExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn next(expression: &str, zone: &str, after: &str) -> String {
        let after = Timestamp::from_rfc3339(after).unwrap();
        let zone = TimeZone::new(zone).unwrap();
        CronExpression::new(expression).unwrap().next_after(after, zone).unwrap().to_rfc3339()
    }

    #[test]
    fn a_schedule_ticks_by_the_wall_clock_of_its_zone() {
        for (expression, zone, after, expected) in [
            ("*/15 * * * *", "UTC", "2026-11-23T15:51:23Z", "2026-11-23T16:00:00.000000Z"),
            ("0 9 * * MON-FRI", "Europe/Berlin", "2026-11-20T12:00:00Z", "2026-11-23T08:00:00.000000Z"),
            ("0 9 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z", "2026-07-01T07:00:00.000000Z"),
            ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00.000000Z"),
            ("*/10 * * * * *", "UTC", "2026-01-01T00:00:01Z", "2026-01-01T00:00:10.000000Z"),
            ("0 0 * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00.000000Z"),
        ] {
            assert_eq!(next(expression, zone, after), expected, "{expression} {zone} after {after}");
        }
    }

    #[test]
    fn a_schedule_in_a_skipped_hour_ticks_once_that_day() {
        // 02:30 does not exist in Berlin on 29 March 2026.
        let first = next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z");
        assert!(first.starts_with("2026-03-29T01:"), "{first}");
        let second = next("30 2 * * *", "Europe/Berlin", &first);
        assert_eq!(second, "2026-03-30T00:30:00.000000Z");
    }

    #[test]
    fn invalid_schedules_are_refused() {
        for bad in ["", "* * *", "61 * * * *", "a * * * *", "@never"] {
            assert!(matches!(CronExpression::new(bad), Err(InvalidSchedule::Expression { .. })), "{bad:?}");
        }
        assert_eq!(CronExpression::new("0 0 30 2 *"), Err(InvalidSchedule::Never("0 0 30 2 *".to_owned())));
        assert!(TimeZone::new("Mars/Olympus").is_err());
    }

    proptest! {
        #[test]
        fn the_next_tick_is_within_50_hours_and_on_the_minute(
            minute in 0..60_u32, hour in 0..24_u32, after in 0..4_000_000_000_000_000_i64,
            zone in prop_oneof![Just("UTC"), Just("America/New_York"), Just("Australia/Lord_Howe")],
        ) {
            let expression = CronExpression::new(format!("{minute} {hour} * * *")).unwrap();
            let zone = TimeZone::new(zone).unwrap();
            let next = expression.next_after(Timestamp(after), zone).unwrap();
            prop_assert!(next > Timestamp(after));
            prop_assert!(next.since(Timestamp(after)).0 <= 50 * 3_600 * 1_000_000, "the next tick is at most 50 hours away");
            prop_assert_eq!(next.0 % 60_000_000, 0);
        }
    }
}
