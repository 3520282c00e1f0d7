//! The dispatcher with a small store in memory that loses answers. Every delivery ends, and none
//! succeeds twice.

use crate::fixtures::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tidegate_core::*;

#[derive(Clone, Debug)]
struct Row {
    delivery: Delivery,
    leased_until: Timestamp,
    /// Whether its claim holds it ahead.
    is_ahead: bool,
    /// Whether it was held ahead when its claim ended.
    was_ahead: bool,
}

impl Row {
    fn is_suspect(&self) -> bool {
        self.was_ahead || self.delivery.was_lost()
    }
}

/// The end of a delivery that became a dead letter.
#[derive(Debug, PartialEq, Eq)]
struct Dead {
    /// The failed attempts. `None` if the delivery died of another reason.
    failed: Option<u32>,
    lost: u32,
}

/// Rows in memory. It keeps to the contract of a store.
#[derive(Default)]
struct Store {
    rows: BTreeMap<DeliveryId, Row>,
    done: BTreeMap<DeliveryId, u32>,
    dead: BTreeMap<DeliveryId, Dead>,
    now: Timestamp,
}

impl Store {
    fn call(&mut self, request: Request) -> Reply {
        let now = self.now;
        match request {
            Request::Exchange { settle, claim, suspect, lease_for, .. } => {
                let mut fenced = Vec::new();
                for settlement in settle {
                    if !self.settle(&settlement) {
                        fenced.push(settlement.claim);
                    }
                }
                suspect.into_iter().for_each(|claim| self.end_expired(claim));
                let mut claimed: Vec<_> =
                    claim.into_iter().flat_map(|quota| self.claim_lane(quota, lease_for)).collect();
                let found = suspect.map_or_else(Vec::new, |claim| self.claim_suspects(claim, lease_for));
                let suspects = found.len() as u32;
                claimed.extend(found);
                let claimed = claimed.into_iter().map(Arc::new).collect();
                let (conflicted, woken_lanes) = (Vec::new(), Vec::new());
                Reply::Exchange(ExchangeReply {
                    now,
                    fenced,
                    conflicted,
                    claimed,
                    suspects,
                    is_cut: false,
                    woken_lanes,
                })
            }
            Request::Renew { held, lease_for } => {
                let fenced = held.into_iter().filter(|claim| !self.renew(*claim, lease_for)).collect();
                Reply::Renew(RenewReply { now, fenced })
            }
            Request::Discover => {
                let (mut lanes, mut suspects) = (BTreeMap::new(), BTreeMap::new());
                for row in self.rows.values().filter(|row| row.leased_until <= now) {
                    let is_waiting = !row.is_suspect() && row.leased_until == Timestamp::EPOCH;
                    let of = if is_waiting { &mut lanes } else { &mut suspects };
                    let due = of.entry(row.delivery.trigger_id).or_insert(row.delivery.due_at);
                    *due = row.delivery.due_at.min(*due);
                }
                let state = |(trigger, next_due)| LaneState { trigger, next_due, max_concurrency: None };
                let lanes = lanes.into_iter().map(state).collect();
                let suspects =
                    suspects.into_iter().map(|(trigger, next_due)| SuspectLane { trigger, next_due }).collect();
                Reply::Discover(DiscoverReply { now, lanes, suspects, schedules: vec![] })
            }
            Request::BeginCalls { .. } | Request::Tick { .. } => {
                panic!("this test has no sync calls and no cron triggers")
            }
        }
    }

    fn valid(&mut self, claim: Claim) -> Option<&mut Row> {
        let row = self.rows.get_mut(&claim.delivery)?;
        (row.delivery.lease == claim.lease && row.leased_until > Timestamp::EPOCH).then_some(row)
    }

    fn settle(&mut self, settlement: &Settlement) -> bool {
        let now = self.now;
        let Some(row) = self.valid(settlement.claim) else { return false };
        let id = settlement.claim.delivery;
        match &settlement.verdict {
            Verdict::Done { .. } => {
                self.rows.remove(&id);
                *self.done.entry(id).or_default() += 1;
            }
            Verdict::Dead { attempts, reason, .. } => {
                let (attempts, lost) = (*attempts, row.delivery.lost);
                let failed = attempts - lost;
                self.rows.remove(&id);
                let is_exhausted = *reason == DeadReason::AttemptsExhausted;
                let dead = Dead { failed: is_exhausted.then_some(failed), lost };
                assert_eq!(self.dead.insert(id, dead), None, "one delivery made two dead letters");
            }
            Verdict::Retry { delay, .. } => {
                row.delivery.due_at = now.plus(*delay);
                row.delivery.attempt += 1;
                row.leased_until = Timestamp::EPOCH;
            }
            Verdict::Deferred { delay } => {
                row.delivery.due_at = now.plus(*delay);
                row.leased_until = Timestamp::EPOCH;
            }
            other => panic!("this test has no such verdict: {other:?}"),
        }
        true
    }

    fn renew(&mut self, claim: Claim, lease_for: Micros) -> bool {
        let until = self.now.plus(lease_for);
        self.valid(claim).map(|row| row.leased_until = until).is_some()
    }

    fn end_expired(&mut self, SuspectClaim { trigger, backoff, .. }: SuspectClaim) {
        let now = self.now;
        let is_expired = |row: &&mut Row| row.leased_until > Timestamp::EPOCH && row.leased_until <= now;
        for row in self.rows.values_mut().filter(|row| row.delivery.trigger_id == trigger).filter(is_expired) {
            row.leased_until = Timestamp::EPOCH;
            if row.is_ahead && row.delivery.policy.max_lost() > 1 {
                row.was_ahead = true;
            } else {
                row.delivery.lost = (row.delivery.lost + 1).min(row.delivery.policy.max_lost());
                row.delivery.due_at = now.plus(loss_backoff(backoff, row.delivery.lost));
            }
        }
    }

    fn claim_lane(&mut self, LaneQuota { trigger, quota, starts, .. }: LaneQuota, lease_for: Micros) -> Vec<Delivery> {
        let due = self.due(trigger, false);
        due.into_iter()
            .take(quota as usize)
            .zip(0_u32..)
            .map(|(id, nth)| self.claim(id, nth >= starts, lease_for))
            .collect()
    }

    fn claim_suspects(&mut self, claim: SuspectClaim, lease_for: Micros) -> Vec<Delivery> {
        let mut due = self.due(claim.trigger, true);
        due.sort_by_key(|id| self.rows[id].delivery.lost);
        let was_lost = |id: &DeliveryId| self.rows[id].delivery.was_lost();
        let taken: Vec<DeliveryId> = match due.first() {
            Some(first) if was_lost(first) => vec![*first],
            _ => due.into_iter().filter(|id| !was_lost(id)).take(claim.quota as usize).collect(),
        };
        taken.into_iter().map(|id| self.claim(id, false, lease_for)).collect()
    }

    /// The free rows of a lane that are due: its suspects, or all others.
    fn due(&self, trigger: TriggerId, suspects: bool) -> Vec<DeliveryId> {
        let is_due = |row: &&Row| row.leased_until == Timestamp::EPOCH && row.delivery.due_at <= self.now;
        let of_lane = |row: &&Row| row.delivery.trigger_id == trigger && row.is_suspect() == suspects;
        let mut due: Vec<&Row> = self.rows.values().filter(is_due).filter(of_lane).collect();
        due.sort_by_key(|row| (row.delivery.due_at, row.delivery.id));
        due.into_iter().map(|row| row.delivery.id).collect()
    }

    fn claim(&mut self, id: DeliveryId, is_ahead: bool, lease_for: Micros) -> Delivery {
        let row = self.rows.get_mut(&id).expect("the caller has found the row");
        (row.is_ahead, row.was_ahead) = (is_ahead, false);
        row.leased_until = self.now.plus(lease_for);
        row.delivery.lease.0 += 1;
        row.delivery.clone()
    }
}

/// The fate of one store call. The fates repeat in a cycle.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    NotApplied,
    AnswerLost,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_delivery_ends_and_none_succeeds_twice(
        rows in prop::collection::vec((1..4_i64, 1..=3_u32), 1..40),
        fates in prop::collection::vec(prop_oneof![6 => Just(Fate::Answered), 1 => Just(Fate::NotApplied), 1 => Just(Fate::AnswerLost)], 1..40),
        failures in prop::collection::vec(prop::bool::weighted(0.3), 1..40),
        restart_after in 1..60_usize,
    ) {
        let mut store = Store { now: NOW, ..Store::default() };
        for (n, (trigger, max_attempts)) in rows.iter().enumerate() {
            let base = delivery(*trigger, n as i64);
            let row = Delivery { lease: Lease(0), policy: policy(*max_attempts), ..base };
            store.rows.insert(row.id, Row { delivery: row, leased_until: Timestamp::EPOCH, is_ahead: false, was_ahead: false });
        }
        let mut dispatcher = Dispatcher::new(config(|_| ()), boot(), Mono(0));
        let (mut now, mut fate, mut failure) = (Mono(0), fates.iter().cycle(), failures.iter().cycle());
        let mut inbox: VecDeque<Input> = VecDeque::new();
        let mut faults = true;
        for step in 0..20_000 {
            if step == restart_after {
                // A crash: the held claims, the executions and the calls in flight are forgotten.
                inbox.clear();
                let incarnation = Incarnation(uuid::Uuid::from_u128(3));
                dispatcher = Dispatcher::new(config(|_| ()), Boot { incarnation, ..boot() }, now);
            }
            faults &= step < 300;
            let wake_at = loop {
                match dispatcher.poll() {
                    Output::Action(Action::CallStore { op, request }) => {
                        let result = match if faults { fate.next() } else { None } {
                            None | Some(Fate::Answered) => Ok(store.call(request)),
                            Some(Fate::NotApplied) => Err(StoreError::not_applied(StoreErrorKind::Unavailable, "refused")),
                            Some(Fate::AnswerLost) => { store.call(request); Err(StoreError::unknown("lost")) }
                        };
                        inbox.push_back(Input::StoreAnswered { op, result });
                    }
                    Output::Action(Action::Execute { op, .. }) => {
                        let fails = *failure.next().unwrap();
                        let outcome = if fails { failed(ExecError::ScriptError) } else { succeeded() };
                        inbox.push_back(Input::ExecutionEnded { op, outcome, start_wait: Micros::ZERO });
                    }
                    Output::Action(Action::Reply { .. }) => unreachable!("there are no sync calls"),
                    Output::Action(Action::Cancel { .. }) | Output::Fact(_) => {}
                    Output::Idle { wake_at, .. } => break wake_at,
                    Output::Stopped => unreachable!("no shutdown was requested"),
                }
            };
            if store.rows.is_empty() && inbox.is_empty() && dispatcher.view().held == 0 {
                break;
            }
            let input = match inbox.pop_front() {
                Some(input) => { now = now.plus(Micros(200)); input }
                None => { now = wake_at.expect("a discovery is always planned"); Input::Tick }
            };
            store.now = NOW.plus(now.since(Mono(0)));
            dispatcher.handle(now, input);
        }
        prop_assert!(store.rows.is_empty(), "rows are left: {:?}", store.rows);
        prop_assert_eq!(store.done.len() + store.dead.len(), rows.len());
        prop_assert!(store.done.values().all(|times| *times == 1));
        for (id, Dead { failed, lost }) in &store.dead {
            let policy = policy(rows[id.0 as usize].1);
            match failed {
                Some(failed) => prop_assert_eq!(*failed, policy.max_attempts()),
                None => prop_assert_eq!(*lost, policy.max_lost()),
            }
        }
        let view = dispatcher.view();
        prop_assert_eq!((view.running, view.queued, view.held), (0, 0, 0));
    }
}
