//! A bound on the log lines about successes. A drain settles more than a hundred thousand
//! deliveries in a second. A line for each of them would cost more than the work itself.

use std::time::{Duration, Instant};

/// The most lines in one second.
const LINES_MAX: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct LineBudget {
    /// The begin of the current second, which begins with a line.
    since: Option<Instant>,
    written: u32,
    omitted: u64,
}

/// What to do with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineVerdict {
    /// Write the line. Before it, this many lines were omitted in an earlier second.
    Write {
        omitted: u64,
    },
    Omit,
}

impl LineBudget {
    pub(super) fn take(&mut self, now: Instant) -> LineVerdict {
        let is_new = self.since.is_none_or(|since| now.saturating_duration_since(since) >= SECOND);
        if is_new {
            (self.since, self.written) = (Some(now), 0);
        }
        if self.written >= LINES_MAX {
            self.omitted += 1;
            return LineVerdict::Omit;
        }
        self.written += 1;
        LineVerdict::Write { omitted: std::mem::take(&mut self.omitted) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_a_bounded_number_of_lines() {
        let (mut budget, start) = (LineBudget::default(), Instant::now());
        for n in 0..LINES_MAX + 5 {
            let expected = if n < LINES_MAX { LineVerdict::Write { omitted: 0 } } else { LineVerdict::Omit };
            assert_eq!(budget.take(start + SECOND / 2), expected, "line {n}");
        }
        assert_eq!(budget.take(start + SECOND), LineVerdict::Omit, "the second began with its first line");
        assert_eq!(budget.take(start + SECOND * 2), LineVerdict::Write { omitted: 6 });
        assert_eq!(budget.take(start + SECOND * 2), LineVerdict::Write { omitted: 0 });
    }
}
