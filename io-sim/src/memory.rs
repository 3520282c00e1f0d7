//! The tables.

use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{
    AbandonCause, AppName, Attempt, Collection, DeadLetterId, DeliveryId, Event, EventId, HandlerReply, InboxId, Json,
    Key, Lease, Match, PrincipalId, RetryPolicy, ScriptName, SyncOutcome, Timestamp, Trigger, TriggerId, Version,
};
use tidegate_ports::{DeadLetter, PrincipalRecord, Script, TokenRecord};

/// A store in memory. Its clock is [`Memory::set_now`]; nothing in it reads another, and nothing in it is random.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub(crate) now: Timestamp,
    ids: i64,
    versions: i64,
    events: u64,
    pub(crate) apps: BTreeMap<AppName, Timestamp>,
    pub(crate) scripts: BTreeMap<(AppName, ScriptName), Script>,
    pub(crate) triggers: BTreeMap<TriggerId, TriggerRow>,
    pub(crate) kv: BTreeMap<(AppName, Collection, Key), Value>,
    pub(crate) outbox: BTreeMap<DeliveryId, Row>,
    /// The claim's index: `(trigger, due_at, id)` of every row.
    pub(crate) due: BTreeSet<(TriggerId, Timestamp, DeliveryId)>,
    pub(crate) letters: BTreeMap<DeadLetterId, Letter>,
    pub(crate) abandoned: Vec<Abandoned>,
    pub(crate) loops: BTreeMap<(TriggerId, EventId), Loop>,
    pub(crate) principals: BTreeMap<PrincipalId, Account>,
    pub(crate) tokens: BTreeMap<String, (TokenRecord, [u8; 32])>,
    pub(crate) call_keys: BTreeMap<(AppName, String), CallKey>,
    pub(crate) idempotency: BTreeMap<(AppName, String), (String, Vec<EventId>)>,
}

#[derive(Clone, Debug)]
pub(crate) struct TriggerRow {
    pub(crate) trigger: Trigger,
    /// A deleted trigger's waiting rows still name it.
    pub(crate) deleted: bool,
    pub(crate) next_tick: Option<Timestamp>,
    /// The lane of an app's invocations: nobody wrote it, and no list shows it.
    pub(crate) hidden: bool,
}

impl TriggerRow {
    pub(crate) fn of(trigger: Trigger) -> Self {
        Self { trigger, deleted: false, next_tick: None, hidden: false }
    }

    /// Whether its rows wait. Those of a deleted trigger must die, and those of callers are only ever orphans.
    pub(crate) fn waits(&self) -> bool {
        let sync = matches!(self.trigger.spec.rule, Match::Http { .. });
        self.trigger.paused && !self.deleted && !sync
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) value: Json,
    pub(crate) version: Version,
    pub(crate) updated_at: Timestamp,
}

/// One row of the outbox.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub id: DeliveryId,
    /// Its lane.
    pub trigger: TriggerId,
    /// What happened.
    pub event: Event,
    /// The trigger's, when the event was emitted.
    pub policy: RetryPolicy,
    /// The trigger's, when the event was emitted.
    pub timeout: tidegate_core::Micros,
    /// Not claimed before.
    pub due_at: Timestamp,
    /// When it came to be.
    pub enqueued_at: Timestamp,
    /// The number of its last claim.
    pub lease: Lease,
    /// Until when nobody else claims it; the epoch if it is not leased.
    pub lease_until: Timestamp,
    pub(crate) leased_at: Timestamp,
    /// How often it was claimed, less the deferrals.
    pub attempt: u32,
    /// The attempts that failed.
    pub failed: Vec<Attempt>,
    /// How many redrives it has behind it.
    pub redrive_generation: u32,
    pub(crate) previous_letter: Option<DeadLetterId>,
    /// Where a sync caller waits.
    pub reply_to: Option<InboxId>,
    /// What an invocation runs, instead of its lane's handler.
    pub(crate) script: Option<ScriptName>,
    /// How a sync execution ended, until its reply is delivered.
    pub executed: Option<SyncOutcome>,
    pub(crate) call_key: Option<String>,
    /// The dead letter that it handles.
    pub handles_letter: Option<DeadLetterId>,
}

#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) app: AppName,
    pub(crate) trigger: TriggerId,
    pub(crate) policy: RetryPolicy,
    pub(crate) timeout: tidegate_core::Micros,
    pub(crate) letter: DeadLetter,
}

/// A call by its idempotency key.
#[derive(Clone, Debug)]
pub(crate) struct CallKey {
    pub(crate) digest: String,
    pub(crate) delivery: DeliveryId,
    pub(crate) reply: Option<HandlerReply>,
    pub(crate) created_at: Timestamp,
}

/// A principal and the hash of its password.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) record: PrincipalRecord,
    pub(crate) hash: Option<String>,
}

/// A chain that was cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loop {
    pub(crate) count: u64,
    pub(crate) last_event: EventId,
    pub(crate) last_at: Timestamp,
}

/// A sync execution whose reply reached nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandoned {
    pub(crate) trigger: TriggerId,
    pub(crate) event: EventId,
    /// The delivery that it was.
    pub delivery: DeliveryId,
    /// Why.
    pub cause: AbandonCause,
    /// How it ended, if it did.
    pub outcome: Option<SyncOutcome>,
    /// When it was written down.
    pub at: Timestamp,
}

impl Row {
    /// Whether it is leased, expired or not.
    #[must_use]
    pub fn is_leased(&self) -> bool {
        self.lease_until > Timestamp::EPOCH
    }

    /// Whether it takes one of its lane's places, if those are limited. What was executed waits for its reply alone.
    pub(crate) fn takes_place(&self, now: Timestamp) -> bool {
        self.is_leased() && self.lease_until > now && self.executed.is_none()
    }

    pub(crate) fn index(&self) -> (TriggerId, Timestamp, DeliveryId) {
        (self.trigger, self.due_at, self.id)
    }
}

impl Memory {
    /// An empty store at this time.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { now, ..Self::default() }
    }

    /// Sets the store's clock. Like a database's it may be set back, too.
    pub fn set_now(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// The store's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How many deliveries wait or run.
    #[must_use]
    pub fn outbox_len(&self) -> usize {
        self.outbox.len()
    }

    /// The sync executions whose reply reached nobody, in order.
    #[must_use]
    pub fn abandoned(&self) -> &[Abandoned] {
        &self.abandoned
    }

    /// How many events of the chain that began with `root` were dropped for `trigger`.
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

    /// A UUIDv7 of the store's time and a counter.
    pub(crate) fn next_event_id(&mut self) -> EventId {
        self.events += 1;
        let millis = u64::try_from(self.now.0 / 1_000).unwrap_or_default();
        let mut bytes = [0; 10];
        bytes[2..].copy_from_slice(&self.events.to_be_bytes());
        EventId(uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
    }

    pub(crate) fn insert(&mut self, row: Row) {
        self.due.insert(row.index());
        self.outbox.insert(row.id, row);
    }

    pub(crate) fn remove(&mut self, id: DeliveryId) -> Option<Row> {
        let row = self.outbox.remove(&id)?;
        self.due.remove(&row.index());
        Some(row)
    }

    pub(crate) fn set_due(&mut self, id: DeliveryId, due_at: Timestamp) {
        if let Some(row) = self.outbox.get_mut(&id) {
            self.due.remove(&row.index());
            row.due_at = due_at;
            self.due.insert(row.index());
        }
    }

    /// The living trigger of that name.
    pub(crate) fn find_trigger(&self, app: &AppName, name: &tidegate_core::TriggerName) -> Option<TriggerId> {
        let is = |row: &&TriggerRow| {
            !row.deleted && !row.hidden && row.trigger.app == *app && row.trigger.spec.name == *name
        };
        self.triggers.values().find(is).map(|row| row.trigger.id)
    }
}
