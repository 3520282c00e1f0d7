//! The deal of a budget to lanes.

use crate::room::Budget;

/// What a lane has, and what the next claim should take from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneWants {
    /// Rows that run, wait for a permit, or may be returned by claims in flight.
    pub(super) has: u32,
    /// Rows that may start while permits are free.
    pub(super) to_start: u32,
    /// Rows that wait in the process.
    pub(super) to_wait: u32,
    /// Whether the lane may hold rows ahead.
    pub(super) claims_ahead: bool,
}

impl LaneWants {
    pub(super) fn rows(self) -> u32 {
        self.to_start.saturating_add(self.to_wait)
    }
}

/// The rows that a lane gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dealt {
    pub(super) rows: u32,
    /// How many of them start at once.
    pub(super) starts: u32,
}

/// Deals a budget to the lanes of `wants`.
///
/// A lane that has nothing gets one row before others, also from the reserve. The permits beyond
/// the reserve then go to the lanes that have the fewest rows. The rows that wait are dealt evenly.
///
/// Each permit is dealt twice if two exchanges overlap, so the first rows of a claim start at once
/// only as far as the budget says. A lane that holds no rows ahead gets these rows alone.
pub(super) fn deal(budget: Budget, wants: &[LaneWants]) -> Vec<Dealt> {
    let mut dealt = vec![0; wants.len()];
    let mut permits = budget.permits;
    for (rows, wants) in dealt.iter_mut().zip(wants) {
        if permits > 0 && wants.has == 0 && wants.to_start > 0 {
            *rows = 1;
            permits -= 1;
        }
    }
    let to_start: Vec<Share> = dealt
        .iter()
        .zip(wants)
        .map(|(rows, wants)| Share { has: wants.has.saturating_add(*rows), wanted: wants.to_start - rows })
        .collect();
    let to_wait: Vec<Share> = wants.iter().map(|wants| Share { has: 0, wanted: wants.to_wait }).collect();
    let started = level(permits.saturating_sub(budget.reserve), &to_start);
    let waiting = level(budget.rows.saturating_sub(budget.permits), &to_wait);
    let mut starts_left = budget.starts;
    let lanes = dealt.into_iter().zip(started).zip(waiting).zip(wants);
    lanes
        .map(|(((first, started), waiting), wants)| {
            let starts = (first + started).min(starts_left);
            starts_left -= starts;
            Dealt { rows: if wants.claims_ahead { first + started + waiting } else { starts }, starts }
        })
        .collect()
}

#[derive(Clone, Copy, Debug)]
struct Share {
    has: u32,
    wanted: u32,
}

impl Share {
    /// The rows that the share lacks to have `level` rows, as far as it wants them.
    fn lacks(self, level: u32) -> u32 {
        level.saturating_sub(self.has).min(self.wanted)
    }
}

/// Deals `rows` so that the shares that have the fewest rows get the next ones. If rows are left
/// that are too few for all of these shares, the first ones get one more.
fn level(rows: u32, shares: &[Share]) -> Vec<u32> {
    let needed = |level: u32| shares.iter().map(|share| u64::from(share.lacks(level))).sum::<u64>();
    // The highest level that `rows` can pay for is in `low..high`.
    let (mut low, mut high) = (0, u32::MAX);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if needed(middle) <= u64::from(rows) {
            low = middle;
        } else {
            high = middle;
        }
    }
    let mut left = u64::from(rows) - needed(low);
    let dealt = |share: &Share| {
        let more = u32::from(left > 0 && share.lacks(high) > share.lacks(low));
        left -= u64::from(more);
        share.lacks(low) + more
    };
    shares.iter().map(dealt).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn budget(permits: u32, reserve: u32, waiting: u32) -> Budget {
        Budget { rows: permits + waiting, permits, starts: permits, reserve, share: 100, prefetch: waiting }
    }

    fn wants_of(has: u32, to_start: u32, to_wait: u32) -> LaneWants {
        LaneWants { has, to_start, to_wait, claims_ahead: true }
    }

    fn check(budget: Budget, wants: &[(u32, u32, u32)], quotas: &[u32]) {
        let wants: Vec<LaneWants> =
            wants.iter().map(|(has, to_start, to_wait)| wants_of(*has, *to_start, *to_wait)).collect();
        let dealt: Vec<u32> = deal(budget, &wants).iter().map(|dealt| dealt.rows).collect();
        assert_eq!(dealt, quotas, "{wants:?}");
    }

    #[test]
    fn lanes_that_have_nothing_get_the_first_rows_and_the_poorest_lanes_get_the_next() {
        check(budget(7, 7, 0), &[(25, 24, 0), (24, 25, 0), (0, 49, 0)], &[0, 0, 1]);
        check(budget(9, 7, 0), &[(25, 24, 0), (1, 48, 0), (0, 49, 0)], &[0, 1, 1]);
        check(budget(16, 7, 0), &[(4, 9, 0), (1, 9, 0), (0, 9, 0)], &[1, 4, 4]);
        check(budget(2, 1, 0), &[(0, 1, 0), (0, 1, 0), (0, 1, 0)], &[1, 1, 0]);
        check(budget(56, 7, 0), &[(0, 49, 0)], &[49]);
    }

    #[test]
    fn rows_that_wait_are_dealt_evenly_and_use_no_permits() {
        check(budget(0, 7, 10), &[(60, 0, 90), (49, 0, 100)], &[5, 5]);
        check(budget(7, 7, 10), &[(40, 9, 2), (9, 40, 100)], &[2, 8]);
    }

    #[test]
    fn rows_start_at_once_only_with_permits_that_no_claim_in_flight_has() {
        let budget = Budget { starts: 3, ..budget(6, 0, 4) };
        let ahead = LaneWants { claims_ahead: true, ..wants_of(0, 5, 5) };
        let dealt = |lanes: &[LaneWants]| -> Vec<(u32, u32)> {
            deal(budget, lanes).iter().map(|dealt| (dealt.rows, dealt.starts)).collect()
        };
        assert_eq!(dealt(&[ahead, ahead]), [(5, 3), (5, 0)]);
        let not_ahead = LaneWants { claims_ahead: false, to_wait: 0, ..ahead };
        assert_eq!(dealt(&[ahead, not_ahead]), [(7, 3), (0, 0)]);
        assert_eq!(dealt(&[not_ahead, ahead]), [(3, 3), (7, 0)]);
    }

    proptest! {
        #[test]
        fn a_deal_is_fair_and_complete(
            wants in prop::collection::vec((0..10_u32, 0..50_u32, 0..50_u32), 1..20),
            permits in 0..100_u32,
            reserve in 0..9_u32,
            waiting in 0..100_u32,
        ) {
            let wants: Vec<LaneWants> = wants.into_iter().map(|(has, start, wait)| wants_of(has, start, wait)).collect();
            let quotas = deal(budget(permits, reserve, waiting), &wants);
            prop_assert!(quotas.iter().zip(&wants).all(|(dealt, wants)| dealt.starts <= dealt.rows.min(wants.to_start)));
            prop_assert!(quotas.iter().map(|dealt| dealt.starts).sum::<u32>() <= permits);
            let quotas: Vec<u32> = quotas.iter().map(|dealt| dealt.rows).collect();
            let dealt: u32 = quotas.iter().sum();
            prop_assert!(dealt <= permits + waiting);
            prop_assert!(quotas.iter().zip(&wants).all(|(quota, wants)| *quota <= wants.rows()), "{quotas:?} of {wants:?}");
            let firsts = wants.iter().filter(|wants| wants.has == 0 && wants.to_start > 0).count() as u32;
            let served = quotas.iter().zip(&wants).filter(|(quota, wants)| wants.has == 0 && wants.to_start > 0 && **quota > 0);
            prop_assert!(served.count() as u32 >= firsts.min(permits), "{quotas:?} of {wants:?}");
            if waiting == 0 {
                let start: u32 = wants.iter().map(|wants| wants.to_start).sum();
                let most = firsts.min(permits) + permits.saturating_sub(firsts).saturating_sub(reserve);
                prop_assert_eq!(dealt, most.min(start), "no row of the budget is left while a lane wants it");
                let poorest = quotas.iter().zip(&wants).filter(|(quota, wants)| **quota < wants.to_start);
                if let Some(least) = poorest.map(|(quota, wants)| wants.has + quota).min() {
                    let mut rich = quotas.iter().zip(&wants).filter(|(quota, _)| **quota > 0);
                    prop_assert!(rich.all(|(quota, wants)| wants.has + quota <= least + 1), "{quotas:?} of {wants:?}");
                }
            }
        }
    }
}
