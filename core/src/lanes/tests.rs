use super::lane::{FLOOR_SLACK, STRAGGLER_SLACK};
use super::*;
use crate::time::Micros;

const NOW: Timestamp = Timestamp(1_000_000_000);

fn budget(rows: u32) -> Budget {
    Budget { rows, permits: rows, starts: rows, reserve: 0, share: 100, prefetch: 0 }
}

fn woken_lanes(triggers: &[i64]) -> Lanes {
    let mut lanes = Lanes::default();
    triggers.iter().for_each(|id| lanes.wake(TriggerId(*id)));
    lanes
}

fn discovered_lane(next_due: Timestamp, max_concurrency: Option<u32>) -> LaneState {
    LaneState { trigger: TriggerId(1), next_due, max_concurrency }
}

fn send_claim(lanes: &mut Lanes, now: Timestamp, budget: Budget) -> Vec<LaneQuota> {
    let quotas = lanes.deal_quotas(now, budget);
    lanes.claim_sent(now, &quotas);
    quotas
}

/// Sends a claim and ends it without an answer.
fn deal(lanes: &mut Lanes, budget: Budget) -> Vec<(i64, u32)> {
    let quotas = send_claim(lanes, NOW, budget);
    quotas.iter().for_each(|quota| _ = lanes.end_claim(*quota));
    quotas.iter().map(|quota| (quota.trigger.0, quota.quota)).collect()
}

#[test]
fn quotas_are_equal_and_the_first_lanes_get_the_rest() {
    assert_eq!(deal(&mut woken_lanes(&[1, 2, 3]), budget(9)), [(1, 3), (2, 3), (3, 3)]);
    assert_eq!(deal(&mut woken_lanes(&[1, 2, 3]), budget(10)), [(1, 4), (2, 3), (3, 3)]);
    assert_eq!(deal(&mut woken_lanes(&[1]), budget(9)), [(1, 9)]);
    assert_eq!(deal(&mut woken_lanes(&[1]), budget(0)), []);
}

#[test]
fn a_budget_that_is_too_small_for_all_lanes_goes_to_each_in_turn() {
    let mut lanes = woken_lanes(&[1, 2, 3]);
    let mut order = Vec::new();
    for _ in 0..4 {
        order.extend(deal(&mut lanes, budget(2)).iter().map(|(trigger, _)| *trigger));
        [1, 2, 3].iter().for_each(|id| lanes.wake(TriggerId(*id)));
    }
    assert_eq!(order, [1, 2, 3, 1, 2, 3, 1, 2]);
}

#[test]
fn one_lane_never_gets_more_than_its_share() {
    let mut lanes = woken_lanes(&[1]);
    let eighth = Budget { reserve: 8, share: 56, ..budget(64) };
    assert_eq!(deal(&mut lanes, eighth), [(1, 56)]);
    for n in 0..56 {
        lanes.enqueue(TriggerId(1), DeliveryId(n), false);
        assert!(lanes.next_to_start(true).is_some());
    }
    lanes.wake(TriggerId(1));
    assert_eq!(deal(&mut lanes, Budget { rows: 8, permits: 8, ..eighth }), []);
}

#[test]
fn max_concurrency_counts_rows_that_are_settling() {
    let mut lanes = Lanes::default();
    lanes.discovered(&[discovered_lane(NOW, Some(2))]);
    assert_eq!(deal(&mut lanes, budget(10)), [(1, 2)]);
    lanes.enqueue(TriggerId(1), DeliveryId(1), false);
    lanes.next_to_start(true).unwrap();
    lanes.ended(TriggerId(1));
    lanes.settling(TriggerId(1));
    assert_eq!(deal(&mut lanes, budget(10)), [(1, 1)]);
    lanes.settled(TriggerId(1));
    assert_eq!(deal(&mut lanes, budget(10)), [(1, 2)]);
}

#[test]
fn lanes_start_their_rows_in_turn() {
    let mut lanes = Lanes::default();
    for (trigger, delivery) in [(1, 10), (1, 11), (1, 12), (2, 20)] {
        lanes.enqueue(TriggerId(trigger), DeliveryId(delivery), false);
    }
    let mut order = Vec::new();
    while let Some((_, delivery)) = lanes.next_to_start(true) {
        order.push(delivery.0);
    }
    assert_eq!(order, [10, 20, 11, 12]);
    assert_eq!(lanes.queued(), 0);
}

#[test]
fn the_lane_that_runs_the_fewest_rows_starts_the_next_one() {
    let mut lanes = Lanes::default();
    for n in 0..5 {
        lanes.enqueue(TriggerId(1), DeliveryId(n), false);
    }
    (0..3).for_each(|_| _ = lanes.next_to_start(true).unwrap());
    for n in 20..25 {
        lanes.enqueue(TriggerId(2), DeliveryId(n), false);
    }
    let started = (0..5).map(|_| lanes.next_to_start(true).unwrap().1.0);
    assert_eq!(started.collect::<Vec<_>>(), [20, 21, 22, 3, 23], "the second lane catches up first");
}

#[test]
fn the_reserve_is_for_lanes_that_run_nothing() {
    let mut lanes = Lanes::default();
    for (trigger, delivery) in [(1, 10), (1, 11), (2, 20), (2, 21)] {
        lanes.enqueue(TriggerId(trigger), DeliveryId(delivery), false);
    }
    let started: Vec<_> = (0..3).map(|_| lanes.next_to_start(false).map(|(_, delivery)| delivery.0)).collect();
    assert_eq!(started, [Some(10), Some(20), None]);
    lanes.ended(TriggerId(2));
    assert_eq!(lanes.next_to_start(false), Some((TriggerId(2), DeliveryId(21))));
}

#[test]
fn a_conflict_halves_the_window_and_settlements_without_conflict_open_it() {
    let mut lanes = Lanes::default();
    for n in 0..8 {
        lanes.enqueue(TriggerId(1), DeliveryId(n), false);
    }
    lanes.conflicted(TriggerId(1), 5);
    assert!(lanes.next_to_start(true).is_some() && lanes.next_to_start(true).is_some());
    assert_eq!(lanes.next_to_start(true), None, "half of five is two");
    lanes.ended(TriggerId(1));
    lanes.settling(TriggerId(1));
    assert_eq!(lanes.next_to_start(true), None, "a row that is settling counts");
    lanes.settled(TriggerId(1));
    assert!(lanes.next_to_start(true).is_some());
    for _ in 0..3 {
        lanes.settled(TriggerId(1));
    }
    assert!(lanes.next_to_start(true).is_some(), "the window has grown to three");
}

#[test]
fn an_empty_claim_ends_the_lane_unless_the_lane_was_woken_since() {
    let mut lanes = woken_lanes(&[1]);
    let quota = send_claim(&mut lanes, NOW, budget(5))[0];
    lanes.claim_answered(quota, 0, false, NOW);
    assert_eq!(deal(&mut lanes, budget(5)), []);
    lanes.wake(TriggerId(1));
    let quota = send_claim(&mut lanes, NOW, budget(5))[0];
    lanes.wake(TriggerId(1));
    lanes.claim_answered(quota, 0, false, NOW);
    assert_eq!(deal(&mut lanes, budget(5)), [(1, 5)]);
}

/// Sends a claim, answers it with `claimed` rows, and returns its look-back.
fn look_back(lanes: &mut Lanes, now: Timestamp, claimed: u32) -> Timestamp {
    lanes.wake(TriggerId(1));
    let quota = send_claim(lanes, now, budget(5))[0];
    lanes.claim_answered(quota, claimed, false, now);
    quota.look_back
}

#[test]
fn a_claim_looks_for_stragglers_once_a_second() {
    let mut lanes = Lanes::default();
    let times = [0, 1, 999_999, 1_000_000, 1_500_000, 2_000_000].map(|us| NOW.plus(Micros(us)));
    let slack = times.map(|now| now.since(look_back(&mut lanes, now, 1)));
    let (long, short) = (STRAGGLER_SLACK, FLOOR_SLACK);
    assert_eq!(slack, [long, short, short, long, short, long]);
}

#[test]
fn a_claim_looks_for_stragglers_after_the_clock_was_set_back() {
    let mut lanes = Lanes::default();
    let times = [0, 10_000_000, 9_999_999].map(|us| NOW.minus(Micros(us)));
    let slack = times.map(|now| now.since(look_back(&mut lanes, now, 1)));
    assert_eq!(slack, [STRAGGLER_SLACK, STRAGGLER_SLACK, FLOOR_SLACK]);
}

#[test]
fn a_claim_looks_back_to_an_older_row_that_was_discovered_until_it_is_answered() {
    let mut lanes = Lanes::default();
    look_back(&mut lanes, NOW, 0);
    let (old, older) = (NOW.minus(Micros::from_secs(60)), NOW.minus(Micros::from_secs(70)));
    lanes.discovered(&[discovered_lane(old, None)]);
    let quota = send_claim(&mut lanes, NOW, budget(1))[0];
    assert_eq!(quota.look_back, old);
    lanes.discovered(&[discovered_lane(older, None)]);
    lanes.claim_answered(quota, 1, false, NOW);
    assert_eq!(look_back(&mut lanes, NOW, 0), older, "the answered claim did not look back far enough");
    assert_eq!(look_back(&mut lanes, NOW, 0), NOW.minus(FLOOR_SLACK));
    lanes.discovered(&[discovered_lane(NOW, None)]);
    assert_eq!(look_back(&mut lanes, NOW, 0), NOW.minus(FLOOR_SLACK), "a younger row changes nothing");
}

#[test]
fn a_claim_looks_at_the_whole_lane_after_a_claim_failed() {
    let mut lanes = woken_lanes(&[1]);
    let quota = send_claim(&mut lanes, NOW, budget(1))[0];
    assert_eq!(quota.look_back, NOW.minus(STRAGGLER_SLACK));
    lanes.claim_failed(quota);
    assert_eq!(look_back(&mut lanes, NOW, 0), Timestamp::EPOCH);
    assert_eq!(look_back(&mut lanes, NOW, 0), NOW.minus(FLOOR_SLACK));
}

#[test]
fn a_lane_is_due_when_its_retry_is_due() {
    let mut lanes = Lanes::default();
    let later = NOW.plus(Micros(500));
    lanes.put_back(TriggerId(1), later);
    assert_eq!(deal(&mut lanes, budget(5)), []);
    assert_eq!(lanes.next_due_after(NOW), Some(later));
    assert_eq!(send_claim(&mut lanes, later, budget(5)).len(), 1);
    assert_eq!(lanes.next_due_after(later), None);
}

#[test]
fn a_discovery_forgets_idle_lanes() {
    let mut lanes = woken_lanes(&[1, 2]);
    let quotas = send_claim(&mut lanes, NOW, budget(2));
    quotas.iter().for_each(|quota| lanes.claim_answered(*quota, 0, false, NOW));
    lanes.enqueue(TriggerId(2), DeliveryId(1), false);
    lanes.discovered(&[]);
    assert_eq!(lanes.len(), 1);
}

#[test]
fn a_lane_claims_ahead_only_if_a_lost_row_may_run_again() {
    let budget = Budget { prefetch: 50, permits: 4, ..budget(60) };
    let mut lanes = woken_lanes(&[1, 2]);
    lanes.set_claims_ahead(TriggerId(1), true);
    assert_eq!(deal(&mut lanes, budget), [(1, 52), (2, 2)]);
}
