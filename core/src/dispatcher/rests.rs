//! The rests of lanes whose handlers do not start. Without a rest, each row of a backlog would be
//! claimed and deferred at once, again and again.

use crate::names::TriggerId;
use crate::time::{Micros, Mono};
use std::collections::{BTreeMap, BTreeSet};

/// Lanes whose last handlers did not start. Empty in a daemon whose executor has threads.
#[derive(Clone, Debug, Default)]
pub(super) struct Rests {
    /// The lanes that rest, by the end of their rest.
    resting: BTreeSet<(Mono, TriggerId)>,
    refused: BTreeMap<TriggerId, Refused>,
}

/// A lane whose last handler did not start.
#[derive(Clone, Copy, Debug)]
struct Refused {
    /// The mean back-off of its rows.
    backoff: Micros,
    rests_until: Mono,
}

/// The back-off of a lane doubles with each rest in a row, up to this multiple of the first.
const FACTOR_MAX: u64 = 32;
/// The most lanes with a back-off. Without this bound, deleted triggers would stay in memory.
const LANES_MAX: usize = 1_000;

impl Rests {
    /// A handler of the lane did not start. Returns the mean back-off of its row.
    ///
    /// The lane rests for half of the back-off, which is the shortest back-off after the jitter. A
    /// refusal during a rest extends nothing: its execution began before the rest.
    pub(super) fn refuse(&mut self, trigger: TriggerId, first: Micros, now: Mono) -> Micros {
        let backoff = match self.refused.get(&trigger) {
            Some(refused) if self.is_resting(trigger, now) => return refused.backoff,
            Some(refused) => Micros(refused.backoff.0.saturating_mul(2).min(first.0.saturating_mul(FACTOR_MAX))),
            None => first,
        };
        let rests_until = now.plus(Micros(backoff.0 / 2));
        if self.refused.len() >= LANES_MAX {
            self.refused.pop_first();
        }
        self.refused.insert(trigger, Refused { backoff, rests_until });
        self.resting.insert((rests_until, trigger));
        backoff
    }

    pub(super) fn is_resting(&self, trigger: TriggerId, now: Mono) -> bool {
        self.refused.get(&trigger).is_some_and(|refused| now < refused.rests_until)
    }

    /// A handler of the lane started, so the next back-off is the first one again.
    pub(super) fn start(&mut self, trigger: TriggerId, now: Mono) {
        if self.refused.get(&trigger).is_some_and(|refused| refused.rests_until <= now) {
            self.refused.remove(&trigger);
        }
    }

    /// A lane whose rest has ended.
    pub(super) fn pop_ended(&mut self, now: Mono) -> Option<TriggerId> {
        self.next_end().filter(|end| *end <= now)?;
        self.resting.pop_first().map(|(_, trigger)| trigger)
    }

    pub(super) fn next_end(&self) -> Option<Mono> {
        self.resting.first().map(|(end, _)| *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: TriggerId = TriggerId(1);
    const FIRST: Micros = Micros(100);

    #[test]
    fn the_back_off_doubles_with_each_rest_until_a_handler_starts() {
        let (mut rests, mut now, mut backoffs) = (Rests::default(), Mono(0), Vec::new());
        for _ in 0..7 {
            backoffs.push(rests.refuse(LANE, FIRST, now).0);
            assert_eq!(rests.refuse(LANE, FIRST, now), Micros(backoffs[backoffs.len() - 1]), "during the rest");
            assert_eq!(rests.pop_ended(now), None);
            now = rests.next_end().unwrap();
            assert_eq!(rests.pop_ended(now), Some(LANE));
        }
        assert_eq!(backoffs, [100, 200, 400, 800, 1_600, 3_200, 3_200]);
        rests.start(LANE, now);
        assert_eq!(rests.refuse(LANE, FIRST, now), FIRST);
    }

    #[test]
    fn a_handler_that_ends_during_a_rest_does_not_end_it() {
        let mut rests = Rests::default();
        rests.refuse(LANE, FIRST, Mono(0));
        rests.start(LANE, Mono(49));
        assert_eq!(rests.refuse(LANE, FIRST, Mono(50)), Micros(200));
    }

    #[test]
    fn the_number_of_lanes_is_bounded() {
        let mut rests = Rests::default();
        for id in 0..2_000 {
            rests.refuse(TriggerId(id), FIRST, Mono(id as u64 * 1_000));
            while rests.pop_ended(Mono(id as u64 * 1_000)).is_some() {}
        }
        assert_eq!((rests.refused.len(), rests.resting.len()), (LANES_MAX, 1));
    }
}
