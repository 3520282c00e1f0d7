//! The requests of a dispatcher.

use crate::memory::Memory;
use crate::rows::Row;
use crate::settle::SettleReport;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::{
    Cause, ClaimRoom, Delivery, DeliveryId, DiscoverReply, EventType, ExchangeReply, Handler, Json, LaneState, Match,
    NewEvent, PrincipalId, RenewReply, Reply, Request, Schedule, Source, Standing, Subject, SuspectLane, Tick,
    TickReply, Timestamp, TriggerId,
};

impl Memory {
    /// Performs a request as one transaction.
    pub fn call(&mut self, request: Request) -> Reply {
        let now = self.now;
        match request {
            Request::Exchange { settle, claim, suspect, lease_for, claim_bytes_max } => {
                let SettleReport { fenced, conflicted, woken_lanes } = self.settle(settle);
                suspect.into_iter().for_each(|claim| self.end_expired(claim));
                let (mut claimed, mut room): (Vec<Arc<Delivery>>, _) = (Vec::new(), ClaimRoom::new(claim_bytes_max));
                for quota in claim {
                    claimed.append(&mut self.claim_lane(quota, &mut room, lease_for));
                }
                let suspects_room = ClaimRoom::new(claim_bytes_max);
                let found = suspect.map_or_else(Vec::new, |claim| self.claim_suspects(claim, suspects_room, lease_for));
                let suspects = found.len() as u32;
                claimed.extend(found);
                let woken_lanes = woken_lanes.into_iter().collect();
                let is_cut = room.is_cut();
                Reply::Exchange(ExchangeReply { now, fenced, conflicted, claimed, suspects, is_cut, woken_lanes })
            }
            Request::BeginCalls { calls, lease_for } => self.begin_calls(calls, lease_for),
            Request::Renew { held, lease_for } => Reply::Renew(RenewReply { now, fenced: self.renew(held, lease_for) }),
            Request::Discover => {
                self.move_times_back();
                let (lanes, suspects) = (self.due_lanes(), self.suspect_lanes());
                Reply::Discover(DiscoverReply { now, lanes, suspects, schedules: self.schedules() })
            }
            Request::Tick { ticks } => {
                let emitted = ticks.into_iter().filter(|tick| self.tick(*tick));
                let woken_lanes = emitted.map(|tick| tick.trigger).collect();
                Reply::Tick(TickReply { now, woken_lanes })
            }
        }
    }

    /// A held row as a delivery, with the current handler and standing of its trigger.
    pub(crate) fn delivery_of(&self, row: Row) -> Option<Arc<Delivery>> {
        let lane = self.triggers.get(&row.trigger)?;
        let trigger = &lane.trigger;
        let runs_as = self.runs_as(&row)?;
        let handler = row.script.map_or_else(|| trigger.spec.handler.clone(), Handler::Script);
        let script_version = match &handler {
            Handler::Script(name) => {
                self.scripts.get(&(trigger.app.clone(), name.clone())).map(|script| script.version)
            }
            Handler::Native(_) | Handler::Webhook(_) => None,
        };
        Some(Arc::new(Delivery {
            id: row.id,
            trigger_id: row.trigger,
            trigger_name: trigger.spec.name.clone(),
            trigger_version: trigger.version,
            event: row.event,
            handler: (!lane.deleted).then_some(handler),
            script_version: script_version.filter(|_| !lane.deleted),
            standing: if lane.hidden { Standing::Allowed } else { self.standing(&trigger.registered_by, &trigger.app) },
            runs_as,
            policy: row.policy,
            timeout: row.timeout,
            attempt: row.attempt + 1,
            lost: row.lost,
            lease: row.lease,
            due_at: row.due_at,
            enqueued_at: row.enqueued_at,
            redrive_generation: row.redrive_generation,
            reply_to: row.reply_to,
            handles_letter: row.handles_letter,
        }))
    }

    fn due_lanes(&self) -> Vec<LaneState> {
        let mut lanes = Vec::new();
        for (trigger, lane) in &self.triggers {
            if lane.holds_deliveries() {
                continue;
            }
            let next_due = self.lane(*trigger).find(|row| row.waits()).map(|row| row.due_at);
            if let Some(next_due) = next_due {
                let max_concurrency = lane.trigger.spec.max_concurrency.map(tidegate_core::MaxConcurrency::get);
                lanes.push(LaneState { trigger: *trigger, next_due, max_concurrency });
            }
        }
        lanes
    }

    fn suspect_lanes(&self) -> Vec<SuspectLane> {
        let mut lanes: BTreeMap<TriggerId, Timestamp> = BTreeMap::new();
        for row in self.outbox.values() {
            let is_open = || self.triggers.get(&row.trigger).is_some_and(|lane| !lane.holds_deliveries());
            if row.is_expired(self.now) || (!row.is_leased() && row.is_suspect && is_open()) {
                let due_at = lanes.entry(row.trigger).or_insert(row.due_at);
                *due_at = row.due_at.min(*due_at);
            }
        }
        lanes.into_iter().map(|(trigger, next_due)| SuspectLane { trigger, next_due }).collect()
    }

    /// All rows of a lane, in the order of `(due_at, id)`.
    pub fn lane(&self, trigger: TriggerId) -> impl Iterator<Item = &Row> {
        let (low, high) = (DeliveryId(i64::MIN), DeliveryId(i64::MAX));
        self.due
            .range((trigger, Timestamp(i64::MIN), low)..=(trigger, Timestamp(i64::MAX), high))
            .filter_map(|(_, _, id)| self.outbox.get(id))
    }

    fn schedules(&self) -> Vec<Schedule> {
        let mut schedules = Vec::new();
        for (trigger, row) in self.triggers.iter().filter(|(_, row)| !row.deleted && row.trigger.spec.enabled) {
            let Match::Cron { expression, time_zone } = &row.trigger.spec.rule else { continue };
            if row.next_tick.is_none_or(|at| at <= self.now) {
                let (expression, time_zone) = (expression.clone(), *time_zone);
                schedules.push(Schedule { trigger: *trigger, expression, time_zone, next_tick: row.next_tick });
            }
        }
        schedules
    }

    /// Applies a tick, unless another daemon has already applied it. Returns whether an event was
    /// emitted.
    fn tick(&mut self, tick: Tick) -> bool {
        let Some(row) = self.triggers.get_mut(&tick.trigger) else { return false };
        let is_cron = matches!(row.trigger.spec.rule, Match::Cron { .. });
        if row.deleted || !row.trigger.spec.enabled || !is_cron || row.next_tick != tick.expected {
            return false;
        }
        row.next_tick = Some(tick.next);
        let (app, name) = (row.trigger.app.clone(), row.trigger.spec.name.clone());
        let Some(scheduled_at) = tick.expected else { return false };
        let new = NewEvent {
            event_type: EventType::new("cron.tick").expect("a constant within the rule"),
            subject: Subject::new(name.as_str()).expect("a trigger's name fits into a subject"),
            data: Json::from(serde_json::json!({ "scheduled_at": scheduled_at.to_rfc3339() })),
        };
        let cause = Cause::outside(PrincipalId::new("system").expect("a constant within the rule"));
        self.emit_to(tick.trigger, &app, Source::Cron, new, &cause);
        true
    }
}
