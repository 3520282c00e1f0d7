//! Cron schedules over ten years of six time zones, compared with a second implementation. This one
//! lists the wall-clock times of each day, and takes the rules of the time zones from jiff.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone as Zone};
use jiff::{SignedDuration, Timestamp as Instant, ToSpan};
use std::collections::BTreeSet;
use tidegate_core::{CronExpression, TimeZone, Timestamp};

/// Gaps and repetitions of an hour, of half an hour, around midnight, and on both hemispheres.
const ZONES: &[&str] = &[
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
];

/// Schedules of single times, lists, ranges and steps. A name of a month or of a day is written as
/// a number, because the second implementation reads only numbers.
const EXPRESSIONS: &[&str] = &[
    "30 2 * * *",
    "0 0 * * *",
    "0,30 2 * * *",
    "15,45 0-3 * * *",
    "0 1-3 * * *",
    "*/20 2 * * *",
    "5-10 1,2 * * *",
    "0 */2 * * *",
    "0 1-23/2 * * *",
    "*/15 0-22 * * *",
    "*/15 9-17 * * 1-5",
    "30 * * * *",
    "*/10 * * * *",
    "59 0-23 * * *",
    "30 1-2 * 3,10 0",
    "0 2 1-7 * *",
    "30 2 29 2 *",
    "10 0 1 1 *",
    "0 0 1 4,9,11 0",
    "0,30 15 2 * * *",
    "*/30 * 2 * * *",
    "*/30 */20 * * 3,4,9-11 *",
];

/// The values that one field of an expression lists.
fn values(field: &str, min: i8, max: i8) -> BTreeSet<i8> {
    let part = |part: &str| {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (from.parse().unwrap(), to.parse().unwrap()),
            None if range == "*" => (min, max),
            None => (range.parse().unwrap(), range.parse().unwrap()),
        };
        (from..=to).step_by(step.parse().unwrap()).collect::<Vec<_>>()
    };
    field.split(',').flat_map(part).collect()
}

struct Model {
    zone: Zone,
    seconds: BTreeSet<i8>,
    minutes: BTreeSet<i8>,
    hours: BTreeSet<i8>,
    days: BTreeSet<i8>,
    months: BTreeSet<i8>,
    weekdays: BTreeSet<i8>,
    /// Whether a day must match one of the two day fields, because both are restricted.
    any_day_field: bool,
}

impl Model {
    fn new(expression: &str, zone: &str) -> Self {
        let mut fields: Vec<&str> = expression.split(' ').collect();
        if fields.len() == 5 {
            fields.insert(0, "0");
        }
        Self {
            zone: Zone::get(zone).unwrap(),
            seconds: values(fields[0], 0, 59),
            minutes: values(fields[1], 0, 59),
            hours: values(fields[2], 0, 23),
            days: values(fields[3], 1, 31),
            months: values(fields[4], 1, 12),
            weekdays: values(fields[5], 0, 6),
            any_day_field: fields[3] != "*" && fields[5] != "*",
        }
    }

    fn ticks_on(&self, date: Date) -> bool {
        let day = self.days.contains(&date.day());
        let weekday = self.weekdays.contains(&date.weekday().to_sunday_zero_offset());
        let is_day = if self.any_day_field { day || weekday } else { day && weekday };
        is_day && self.months.contains(&date.month())
    }

    /// The moments of a wall-clock time at which the schedule ticks.
    fn moments(&self, at: DateTime) -> Vec<Instant> {
        let every_hour = self.hours.len() == 24;
        let ambiguous = self.zone.to_ambiguous_timestamp(at);
        match ambiguous.offset() {
            AmbiguousOffset::Gap { .. } if every_hour => vec![],
            AmbiguousOffset::Gap { .. } => {
                let later = ambiguous.later().unwrap() + 1.nanosecond();
                vec![self.zone.preceding(later).next().unwrap().timestamp()]
            }
            AmbiguousOffset::Fold { .. } if every_hour => {
                vec![ambiguous.earlier().unwrap(), ambiguous.later().unwrap()]
            }
            _ => vec![ambiguous.earlier().unwrap()],
        }
    }

    /// The ticks after `from`, up to `to`.
    fn ticks(&self, from: Instant, to: Instant) -> BTreeSet<i64> {
        let first = self.zone.to_datetime(from).date().yesterday().unwrap();
        let last = self.zone.to_datetime(to).date().tomorrow().unwrap();
        let mut ticks = BTreeSet::new();
        for date in first.series(1.day()).take_while(|date| *date <= last).filter(|date| self.ticks_on(*date)) {
            for (hour, minute) in self.hours.iter().flat_map(|hour| self.minutes.iter().map(move |m| (*hour, *m))) {
                for second in &self.seconds {
                    ticks.extend(self.moments(date.at(hour, minute, *second, 0)));
                }
            }
        }
        ticks.into_iter().filter(|tick| *tick > from && *tick <= to).map(Instant::as_microsecond).collect()
    }

    /// The parts of the ten years to compare. All of it for a schedule with one tick a day, and the
    /// hours around each change of the clocks for a more frequent one.
    fn spans(&self) -> Vec<(Instant, Instant)> {
        let (from, to) = ("2020-01-01T00:00:00Z".parse().unwrap(), "2030-01-01T00:00:00Z".parse().unwrap());
        let near = match self.seconds.len() * self.minutes.len() * self.hours.len() {
            1 => return vec![(from, to)],
            2..=8 => SignedDuration::from_hours(30),
            _ => SignedDuration::from_hours(4),
        };
        let changes = self.zone.following(from).map(|change| change.timestamp()).take_while(|at| *at < to);
        changes.map(|at| (at - near, at + near)).collect()
    }
}

#[test]
fn every_tick_of_ten_years_is_the_tick_of_a_second_implementation() {
    let mut compared = 0;
    for zone in ZONES {
        for text in EXPRESSIONS {
            let (model, expression) = (Model::new(text, zone), CronExpression::new(*text).unwrap());
            for (from, to) in model.spans() {
                let expected = model.ticks(from, to);
                let next = |after: &Timestamp| expression.next_after(*after, TimeZone::new(zone).unwrap());
                let ticks = std::iter::successors(next(&Timestamp(from.as_microsecond())), next);
                let ticks: Vec<i64> = ticks.map(|at| at.0).take_while(|at| *at <= to.as_microsecond()).collect();
                let wrong = ticks.iter().zip(&expected).find(|(one, other)| one != other);
                assert_eq!(wrong.map(|(one, other)| (Timestamp(*one), Timestamp(*other))), None, "{text} in {zone}");
                assert_eq!(ticks.len(), expected.len(), "{text} in {zone} from {from} to {to}");
                compared += ticks.len();
            }
        }
    }
    assert!(compared > 50_000, "only {compared} ticks were compared");
}
