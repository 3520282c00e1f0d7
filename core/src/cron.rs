//! Cron schedules: the next tick of a cron trigger. The rules of the time zones are compiled in, so
//! the result depends on the arguments alone.

mod fields;
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
/// month, month and day of week. An optional sixth field in front is for seconds, and an optional
/// seventh field at the end is for years.
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
    #[error("the cron expression {0:?} never ticks: no date has all its days, months and years")]
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
    let parser = CronParser::builder().seconds(Seconds::Optional).build();
    // A name such as `@daily` stands for five fields.
    if text.trim_start().starts_with('@') {
        return parser.parse(text).map_err(|_| "the names are @yearly, @monthly, @weekly, @daily, @hourly".to_owned());
    }
    let fields = fields::split(text)?;
    for (field, text) in &fields {
        field.check(text)?;
    }
    parser.parse(text).map_err(|error| {
        // The parser does not say which field it refuses. Alone, the field is refused too.
        let is_refused = |at: usize| {
            let alone = |(n, (_, text)): (usize, &(_, &str))| if n == at { (*text).to_owned() } else { "*".to_owned() };
            let expression = fields.iter().enumerate().map(alone).collect::<Vec<String>>().join(" ");
            parser.parse(&expression).is_err()
        };
        match (0..fields.len()).find(|at| is_refused(*at)) {
            Some(at) => format!("the {} cannot be {:?}", fields[at].0.name, fields[at].1),
            None => error.to_string(),
        }
    })
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
        for never in ["0 0 30 2 *", "0 0 31 2 *", "0 0 31 4,6,9,11 *", "0 0 0 29 2 * 2025"] {
            assert_eq!(CronExpression::new(never), Err(InvalidSchedule::Never(never.to_owned())));
        }
        assert!(TimeZone::new("Mars/Olympus").is_err());
    }

    #[test]
    fn a_refused_expression_names_its_field_value_and_range() {
        for (expression, reason) in [
            ("60 * * * *", "the minute must be from 0 to 59, but it is 60"),
            ("* 24 * * *", "the hour must be from 0 to 23, but it is 24"),
            ("* * 0 * *", "the day of month must be from 1 to 31, but it is 0"),
            ("* * * 1,13 *", "the month must be from 1 to 12, but it is 13"),
            ("* * * * 1-8", "the day of week must be from 0 to 7, but it is 8"),
            ("60 * * * * *", "the second must be from 0 to 59, but it is 60"),
            ("99999999999999999999999 * * * *", "the minute must be from 0 to 59, but it is 18446744073709551615"),
            ("*/90 * * * *", "the step of the minute must be from 1 to 60, but it is 90"),
            ("*/0 * * * *", "the step of the minute must be from 1 to 60, but it is 0"),
            ("* 1-5/25 * * *", "the step of the hour must be from 1 to 24, but it is 25"),
            ("30-10 * * * *", "the range of the minute must ascend, but it is 30-10"),
            ("* * * FOO *", "the month cannot be \"FOO\""),
            ("* x * * *", "the hour cannot be \"x\""),
            ("*/5/5 * * * *", "the minute cannot be \"*/5/5\""),
            ("* * *", "it has 3 fields; write 5: minute, hour, day of month, month, day of week"),
            ("every day", "it has 2 fields; write 5: minute, hour, day of month, month, day of week"),
            ("@dayly", "the names are @yearly, @monthly, @weekly, @daily, @hourly"),
        ] {
            let expected = InvalidSchedule::Expression { text: expression.to_owned(), reason: reason.to_owned() };
            assert_eq!(CronExpression::new(expression), Err(expected), "{expression}");
        }
        for fine in
            ["*/60 * * * *", "0 0 1 */12 *", "0 0 L * *", "0 0 15W * *", "0 0 * * MON#2", "0 0 * * 5L", "@daily"]
        {
            assert!(CronExpression::new(fine).is_ok(), "{fine}");
        }
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
