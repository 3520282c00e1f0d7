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
}

impl LaneWants {
    pub(super) fn rows(self) -> u32 {
        self.to_start.saturating_add(self.to_wait)
    }
}

/// Deals a budget: the quota of each lane of `wants`.
///
/// A lane that has nothing gets one row before others, also from the reserve. The permits beyond
/// the reserve then go to the lanes that have the fewest rows. The rows that wait are dealt evenly.
pub(super) fn deal(budget: Budget, wants: &[LaneWants]) -> Vec<u32> {
    let mut quotas = vec![0; wants.len()];
    let mut permits = budget.permits;
    for (quota, wants) in quotas.iter_mut().zip(wants) {
        if permits > 0 && wants.has == 0 && wants.to_start > 0 {
            *quota = 1;
            permits -= 1;
        }
    }
    let to_start: Vec<Share> = quotas
        .iter()
        .zip(wants)
        .map(|(quota, wants)| Share { has: wants.has.saturating_add(*quota), wanted: wants.to_start - quota })
        .collect();
    let to_wait: Vec<Share> = wants.iter().map(|wants| Share { has: 0, wanted: wants.to_wait }).collect();
    let started = level(permits.saturating_sub(budget.reserve), &to_start);
    let waiting = level(budget.rows.saturating_sub(budget.permits), &to_wait);
    for ((quota, started), waiting) in quotas.iter_mut().zip(started).zip(waiting) {
        *quota += started + waiting;
    }
    quotas
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
        Budget { rows: permits + waiting, permits, reserve, share: 100, prefetch: waiting }
    }

    fn check(budget: Budget, wants: &[(u32, u32, u32)], quotas: &[u32]) {
        let wants: Vec<LaneWants> = wants
            .iter()
            .map(|(has, to_start, to_wait)| LaneWants { has: *has, to_start: *to_start, to_wait: *to_wait })
            .collect();
        assert_eq!(deal(budget, &wants), quotas, "{wants:?}");
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

    proptest! {
        #[test]
        fn a_deal_is_fair_and_complete(
            wants in prop::collection::vec((0..10_u32, 0..50_u32, 0..50_u32), 1..20),
            permits in 0..100_u32,
            reserve in 0..9_u32,
            waiting in 0..100_u32,
        ) {
            let wants: Vec<LaneWants> =
                wants.into_iter().map(|(has, to_start, to_wait)| LaneWants { has, to_start, to_wait }).collect();
            let quotas = deal(budget(permits, reserve, waiting), &wants);
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
