//! The tables of the store, and the counters for its ids.

use crate::rows::{Abandoned, Account, CallKey, Letter, Loop, Row, TriggerRow, Value};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{
    AppName, Collection, DeadLetterId, DeliveryId, Event, EventId, Key, Lease, Micros, PrincipalId, RetryPolicy,
    ScriptName, Timestamp, TriggerId, Version,
};
use tidegate_ports::{Script, TokenRecord};

/// A store in memory. Its only clock is [`Memory::set_now`], and it uses no randomness. So equal
/// calls have equal results.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub(crate) now: Timestamp,
    ids: i64,
    versions: i64,
    events: u64,
    /// The number of the last claim.
    pub(crate) last_claim: i64,
    /// The time of the last discovery.
    walked_at: Timestamp,
    /// The distance of all moves of due times.
    moved_back: Micros,
    pub(crate) apps: BTreeMap<AppName, Timestamp>,
    pub(crate) scripts: BTreeMap<(AppName, ScriptName), Script>,
    pub(crate) triggers: BTreeMap<TriggerId, TriggerRow>,
    pub(crate) kv: BTreeMap<(AppName, Collection, Key), Value>,
    pub(crate) outbox: BTreeMap<DeliveryId, Row>,
    /// The index for claims: `(trigger, due_at, id)` of every row.
    pub(crate) due: BTreeSet<(TriggerId, Timestamp, DeliveryId)>,
    /// The floor of each lane: the due time and the id of a row.
    pub(crate) floors: BTreeMap<TriggerId, (Timestamp, DeliveryId)>,
    pub(crate) letters: BTreeMap<DeadLetterId, Letter>,
    pub(crate) abandoned: Vec<Abandoned>,
    pub(crate) loops: BTreeMap<(TriggerId, EventId), Loop>,
    pub(crate) principals: BTreeMap<PrincipalId, Account>,
    pub(crate) tokens: BTreeMap<String, (TokenRecord, [u8; 32])>,
    pub(crate) call_keys: BTreeMap<(AppName, String), CallKey>,
    pub(crate) idempotency: BTreeMap<(AppName, String), (String, Vec<EventId>)>,
}

/// A clock that was set back by more than this makes the store move its due times.
const SET_BACK_MAX: Micros = Micros::from_secs(60);

impl Memory {
    /// An empty store with its clock set to `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { now, walked_at: now, ..Self::default() }
    }

    /// Sets the store's clock. The clock may go back, like the clock of a database server.
    pub fn set_now(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Goes back to an earlier state, like a database that is restored from a backup or that fails
    /// over to a replica without the last transactions. Ids of rows are given again. Ids of
    /// events are random, so they are not. Versions of values go on, and so does the clock.
    pub fn restore(&mut self, earlier: &Self) {
        let Self { now, events, versions, .. } = *self;
        *self = Self { now, events, versions, ..earlier.clone() };
    }

    /// The distance of all moves of due times by [`Self::move_times_back`].
    #[must_use]
    pub fn moved_back(&self) -> Micros {
        self.moved_back
    }

    /// Moves the times that lie ahead, if the clock was set back by more than a minute since the
    /// last discovery. Otherwise retries and the rows of dead daemons would wait until the clock
    /// has reached their old times. Schedules begin again with their next tick.
    pub(crate) fn move_times_back(&mut self) {
        let (now, distance) = (self.now, self.walked_at.since(self.now));
        self.walked_at = now;
        if distance <= SET_BACK_MAX {
            return;
        }
        self.moved_back = self.moved_back.saturating_add(distance);
        let ahead = |row: &&Row| row.due_at > now || row.lease_until > now;
        let ids: Vec<DeliveryId> = self.outbox.values().filter(ahead).map(|row| row.id).collect();
        for id in ids {
            let Some(mut row) = self.remove(id) else { continue };
            for at in [&mut row.due_at, &mut row.lease_until] {
                *at = if *at > now { at.minus(distance) } else { *at };
            }
            self.insert(row);
        }
        for lane in self.triggers.values_mut() {
            lane.next_tick = lane.next_tick.filter(|at| *at <= now);
        }
    }

    /// The time of the store's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The number of deliveries in the outbox.
    #[must_use]
    pub fn outbox_len(&self) -> usize {
        self.outbox.len()
    }

    /// All abandoned executions, in the order in which they were recorded.
    #[must_use]
    pub fn abandoned(&self) -> &[Abandoned] {
        &self.abandoned
    }

    /// The number of deliveries of `trigger` that were dropped in the chain that begins with
    /// `root`.
    #[must_use]
    pub fn dropped(&self, trigger: TriggerId, root: EventId) -> u64 {
        self.loops.get(&(trigger, root)).map_or(0, |entry| entry.count)
    }

    pub(crate) fn next_id(&mut self) -> i64 {
        self.ids += 1;
        self.ids
    }

    pub(crate) fn next_version(&mut self) -> Version {
        self.versions += 1;
        Version(self.versions)
    }

    /// A UUIDv7 made of the store's time and a counter.
    pub(crate) fn next_event_id(&mut self) -> EventId {
        self.events += 1;
        let millis = u64::try_from(self.now.0 / 1_000).unwrap_or_default();
        let mut bytes = [0; 10];
        bytes[2..].copy_from_slice(&self.events.to_be_bytes());
        EventId(uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
    }

    /// A row that is due now and was not claimed yet. It is not in the outbox.
    pub(crate) fn new_row(&mut self, trigger: TriggerId, event: Event, policy: RetryPolicy, timeout: Micros) -> Row {
        Row {
            id: DeliveryId(self.next_id()),
            trigger,
            event,
            policy,
            timeout,
            due_at: self.now,
            enqueued_at: self.now,
            lease: Lease(0),
            lease_until: Timestamp::EPOCH,
            leased_at: Timestamp::EPOCH,
            is_ahead: false,
            is_suspect: false,
            attempt: 0,
            lost: 0,
            failed: Vec::new(),
            redrive_generation: 0,
            previous_letter: None,
            reply_to: None,
            script: None,
            executed: None,
            call_key: None,
            handles_letter: None,
        }
    }

    /// How many rows of a lane count against its `max_concurrency`.
    pub(crate) fn running_in(&self, trigger: TriggerId) -> u32 {
        let is_running = |row: &&Row| row.trigger == trigger && row.is_running(self.now);
        self.outbox.values().filter(is_running).count() as u32
    }

    pub(crate) fn insert(&mut self, row: Row) {
        self.due.insert(row.due_key());
        self.outbox.insert(row.id, row);
    }

    pub(crate) fn remove(&mut self, id: DeliveryId) -> Option<Row> {
        let row = self.outbox.remove(&id)?;
        self.due.remove(&row.due_key());
        Some(row)
    }

    pub(crate) fn set_due(&mut self, id: DeliveryId, due_at: Timestamp) {
        if let Some(row) = self.outbox.get_mut(&id) {
            self.due.remove(&row.due_key());
            row.due_at = due_at;
            self.due.insert(row.due_key());
        }
    }

    /// The trigger with this name that is not deleted.
    pub(crate) fn find_trigger(&self, app: &AppName, name: &tidegate_core::TriggerName) -> Option<TriggerId> {
        let is_wanted = |row: &&TriggerRow| {
            !row.deleted && !row.hidden && row.trigger.app == *app && row.trigger.spec.name == *name
        };
        self.triggers.values().find(is_wanted).map(|row| row.trigger.id)
    }
}
