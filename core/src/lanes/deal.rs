//! The deal of a budget to lanes.

use crate::names::TriggerId;

/// Deals `rows` to the lanes of `wanted`: equal quotas, none larger than wanted, and at least one
/// row for each lane. `wanted` has at most `rows` lanes.
pub(super) fn equal_quotas(rows: u32, wanted: &[(TriggerId, u32)]) -> Vec<(TriggerId, u32)> {
    let mut quotas: Vec<(TriggerId, u32)> = wanted.iter().map(|(trigger, _)| (*trigger, 0)).collect();
    let mut left = rows;
    loop {
        let open = quotas.iter().zip(wanted).filter(|((_, quota), (_, wanted))| quota < wanted).count() as u32;
        if open == 0 || left == 0 {
            return quotas;
        }
        let share = (left / open).max(1);
        for ((_, quota), (_, wanted)) in quotas.iter_mut().zip(wanted) {
            let more = share.min(*wanted - *quota).min(left);
            *quota += more;
            left -= more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_deal_is_fair_and_complete(wanted in prop::collection::vec(1..50_u32, 1..20), rows in 1..200_u32) {
            let mut wanted: Vec<(TriggerId, u32)> =
                wanted.iter().enumerate().map(|(n, rows)| (TriggerId(n as i64), *rows)).collect();
            wanted.truncate(rows as usize);
            let quotas = equal_quotas(rows, &wanted);
            let dealt_rows: u32 = quotas.iter().map(|(_, quota)| quota).sum();
            let wanted_rows: u32 = wanted.iter().map(|(_, wanted)| wanted).sum();
            prop_assert_eq!(dealt_rows, rows.min(wanted_rows), "no row of the budget is left while a lane needs it");
            let open = quotas.iter().zip(&wanted).filter(|((_, quota), (_, wanted))| quota < wanted);
            if let Some(least) = open.map(|((_, quota), _)| *quota).min() {
                prop_assert!(quotas.iter().all(|(_, quota)| *quota <= least + 1), "{:?} of {:?}", quotas, wanted);
            }
        }
    }
}
