//! The ticks of a schedule by a wall clock that is set forward and back.
//!
//! A change of the clock ends one *span* of a constant offset from UTC and begins the next one. In
//! a span the wall clock runs evenly, so a tick is found by the wall clock alone. Between two spans
//! the clock skips a part of the day or repeats it.

use chrono::{DateTime, Offset, TimeZone as _, Utc};
use chrono_tz::Tz;
use croner::Cron;

/// The seconds between two looks for a change. Two changes of a zone are further apart.
const LOOK_EVERY: i64 = 24 * 3_600;
/// A repeated part of a day begins at most this many seconds before its last moment.
const REPEATED_MAX: i64 = 26 * 3_600;

/// A schedule by the wall clock of a zone. Moments and readings of the wall clock are in seconds
/// since 1970-01-01T00:00:00, in UTC and by the wall clock.
pub(super) struct WallClock<'a> {
    pub(super) cron: &'a Cron,
    pub(super) zone: Tz,
}

/// A change of the offset from UTC.
struct Change {
    /// The first moment with the new offset.
    at: i64,
    before: i64,
    after: i64,
}

impl Change {
    /// The wall clock just before the change, if it had not changed.
    fn reading_before(&self) -> i64 {
        self.at + self.before
    }

    fn reading_after(&self) -> i64 {
        self.at + self.after
    }
}

impl WallClock<'_> {
    /// The first tick after `after`.
    pub(super) fn next_tick(&self, after: i64) -> Option<i64> {
        let every_hour = self.ticks_every_hour();
        let mut at = after;
        let mut offset = self.offset(after);
        // The first reading of the wall clock that may be a tick.
        let mut from = after + offset + 1;
        if !every_hour {
            let last = self.change(after - REPEATED_MAX, after);
            from = last.map_or(from, |change| from.max(change.reading_before()));
        }
        loop {
            let reading = self.next_reading(from)?;
            let Some(change) = self.change(at, reading - offset) else { return Some(reading - offset) };
            let is_skipped = reading < change.reading_after();
            if is_skipped && !every_hour {
                return Some(change.at);
            }
            // After a skip the readings go on at the end of the gap. After a repetition a regular
            // schedule reads the repeated part again.
            from = change.reading_after();
            if !every_hour {
                from = from.max(change.reading_before());
            }
            (at, offset) = (change.at, change.after);
        }
    }

    /// Whether every hour of a day has ticks. Such a schedule ticks at regular intervals.
    fn ticks_every_hour(&self) -> bool {
        (0..24).all(|hour| self.cron.pattern.hour_match(hour).is_ok_and(|ticks| ticks))
    }

    /// The first reading from `from` on that matches the expression.
    fn next_reading(&self, from: i64) -> Option<i64> {
        let from: DateTime<Utc> = DateTime::from_timestamp_secs(from)?;
        self.cron.find_next_occurrence(&from, true).ok().map(|reading| reading.timestamp())
    }

    /// The first change after the moment `from`, up to the moment `to`.
    fn change(&self, from: i64, to: i64) -> Option<Change> {
        let before = self.offset(from);
        let mut unchanged = from;
        while unchanged < to {
            let look = to.min(unchanged + LOOK_EVERY);
            if self.offset(look) != before {
                return Some(self.change_within(unchanged, look));
            }
            unchanged = look;
        }
        None
    }

    /// The change between two moments with different offsets.
    fn change_within(&self, mut unchanged: i64, mut changed: i64) -> Change {
        let before = self.offset(unchanged);
        while changed - unchanged > 1 {
            let middle = unchanged + (changed - unchanged) / 2;
            if self.offset(middle) == before { unchanged = middle } else { changed = middle }
        }
        Change { at: changed, before, after: self.offset(changed) }
    }

    /// The offset from UTC at a moment. Moments outside the calendar have the offset 0.
    fn offset(&self, at: i64) -> i64 {
        DateTime::from_timestamp_secs(at)
            .map_or(0, |at| self.zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc().into())
    }
}
