//! Checks the fields of a cron expression one by one, so that a message can name the field, its
//! value and its range.

use std::ops::RangeInclusive;

/// A field of an expression.
pub(super) struct Field {
    pub(super) name: &'static str,
    range: RangeInclusive<u32>,
    /// The number of different values, which is the greatest step.
    step_max: u32,
}

const fn field(name: &'static str, range: RangeInclusive<u32>, step_max: u32) -> Field {
    Field { name, range, step_max }
}

/// The fields of an expression with seconds and years. Most expressions have neither.
const FIELDS: [Field; 7] = [
    field("second", 0..=59, 60),
    field("minute", 0..=59, 60),
    field("hour", 0..=23, 24),
    field("day of month", 1..=31, 31),
    field("month", 1..=12, 12),
    field("day of week", 0..=7, 7),
    field("year", 1..=5_000, 5_000),
];

/// The texts of the fields of `expression`, each with its rules. The error is a message about the
/// number of fields.
pub(super) fn split(expression: &str) -> Result<Vec<(&'static Field, &str)>, String> {
    let texts: Vec<&str> = expression.split_whitespace().collect();
    let fields = match texts.len() {
        5 => &FIELDS[1..6],
        6 => &FIELDS[..6],
        7 => &FIELDS[..],
        count => {
            return Err(format!("it has {count} fields; write 5: minute, hour, day of month, month, day of week"));
        }
    };
    Ok(fields.iter().zip(texts).collect())
}

impl Field {
    /// Checks the numbers of a text such as `1-5,*/10`. Names and special signs are left to the
    /// parser.
    pub(super) fn check(&self, text: &str) -> Result<(), String> {
        text.split(',').try_for_each(|part| self.check_part(part))
    }

    fn check_part(&self, part: &str) -> Result<(), String> {
        let (values, step) = part.split_once('/').map_or((part, None), |(values, step)| (values, Some(step)));
        if let Some(step) = step.and_then(number)
            && !(1..=u64::from(self.step_max)).contains(&step)
        {
            let Self { name, step_max, .. } = self;
            return Err(format!("the step of the {name} must be from 1 to {step_max}, but it is {step}"));
        }
        let (first, last) = values.split_once('-').map_or((values, None), |(first, last)| (first, Some(last)));
        for value in [Some(first), last].into_iter().flatten().filter_map(number) {
            let (min, max) = (*self.range.start(), *self.range.end());
            if !(u64::from(min)..=u64::from(max)).contains(&value) {
                return Err(format!("the {} must be from {min} to {max}, but it is {value}", self.name));
            }
        }
        match (number(first), last.and_then(number)) {
            (Some(first), Some(last)) if first > last => {
                Err(format!("the range of the {} must ascend, but it is {first}-{last}", self.name))
            }
            _ => Ok(()),
        }
    }
}

/// The number that `text` consists of. A number with too many digits is greater than all ranges.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}
