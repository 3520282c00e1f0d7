//! Puts and deletes of values, grouped: mutations that arrive at the same time share a call, its
//! round trip and its commit.
//!
//! At most two calls are in flight. A mutation that arrives while both are in flight is queued for
//! the next call. So a single caller waits for no other mutation, and groups grow with the load. A
//! mutation runs even if its caller drops the future.

use crate::error::port;
use crate::inline_claim::{OutboxWriter, WriteStatement, Written};
use crate::sql;
use crate::time::PgTime;
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidegate_core::{AppName, Cause, Collection, EventId, Fate, Json, Key, Parent, StoreError, TriggerId, Version};
use tidegate_ports::{EmittedEvent, Guard, KvMutation, PortError};
use tokio::sync::oneshot;

/// The most calls in flight. With more calls, groups are smaller and calls wait for each other's
/// locks.
const CALLS_MAX: usize = 2;
/// The most mutations in one call. This limits how long the first mutation of a group waits for the
/// last one.
const GROUP_MAX: usize = 64;
/// A group whose values have reached this size takes no more mutations.
const GROUP_BYTES: usize = 1 << 20;

const MUTATE: WriteStatement = WriteStatement { plain: sql::kv_mutate, and_claim: sql::kv_mutate_and_claim };

/// One put or delete.
#[derive(Clone, Debug)]
pub(crate) struct Mutation {
    pub(crate) app: AppName,
    pub(crate) collection: Collection,
    pub(crate) key: Key,
    /// The new value. `None` deletes the key.
    pub(crate) value: Option<Json>,
    pub(crate) guard: Guard,
    pub(crate) cause: Cause,
}

/// `Ok(None)` is the delete of an absent key.
type MutationResult = Result<Option<KvMutation>, PortError>;

/// Groups mutations and runs their calls.
#[derive(Clone, Debug)]
pub(crate) struct Mutations {
    writer: OutboxWriter,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    pending: VecDeque<PendingMutation>,
    calls_in_flight: usize,
}

#[derive(Debug)]
struct PendingMutation {
    mutation: Mutation,
    reply: oneshot::Sender<MutationResult>,
}

impl Mutations {
    pub(crate) fn new(writer: OutboxWriter) -> Self {
        Self { writer, queue: Arc::default() }
    }

    /// Runs `mutation` in a call that it may share with other mutations.
    pub(crate) async fn run(&self, mutation: Mutation) -> MutationResult {
        let (reply, result) = oneshot::channel();
        if self.lock().push(PendingMutation { mutation, reply }) {
            tokio::spawn(self.clone().run_calls());
        }
        result.await.unwrap_or_else(|_| {
            Err(StoreError::unknown("the store was closed; the mutation may have been applied").into())
        })
    }

    /// Makes calls until no mutation is pending.
    async fn run_calls(self) {
        loop {
            let Some(group) = self.lock().next_group() else { return };
            let (mutations, replies): (Vec<_>, Vec<_>) =
                group.into_iter().map(|pending| (pending.mutation, pending.reply)).unzip();
            let results = self.run_group(&mutations).await;
            for (reply, result) in replies.into_iter().zip(results) {
                // The caller may have dropped its future. Its mutation is applied.
                reply.send(result).ok();
            }
            // Yield once, so that a client whose put was just answered can join the next group. The
            // yield halves the number of calls.
            tokio::task::yield_now().await;
        }
    }

    /// Returns one result per mutation. If Postgres refuses the group, each mutation runs alone, so
    /// that one bad value does not fail the others.
    async fn run_group(&self, group: &[Mutation]) -> Vec<MutationResult> {
        match self.call(group).await {
            Ok(results) => results,
            Err(error) if is_refused(&error) && group.len() > 1 => {
                let mut results = Vec::with_capacity(group.len());
                for one in group {
                    let alone = self.call(std::slice::from_ref(one)).await;
                    results.push(alone.and_then(|mut results| results.pop().unwrap_or_else(|| Err(missing_results()))));
                }
                results
            }
            Err(error) => vec![Err(error); group.len()],
        }
    }

    async fn call(&self, group: &[Mutation]) -> Result<Vec<MutationResult>, PortError> {
        let guards = || group.iter().map(|one| guard_parts(one.guard));
        let parents = || group.iter().map(|one| one.cause.parent);
        let depth = |parent: Parent| i32::try_from(parent.depth).unwrap_or(i32::MAX);
        let written = self.writer.write(MUTATE, |query| {
            query
                .bind(group.iter().map(|one| one.app.as_str()).collect::<Vec<_>>())
                .bind(group.iter().map(|one| one.collection.as_str()).collect::<Vec<_>>())
                .bind(group.iter().map(|one| one.key.as_str()).collect::<Vec<_>>())
                .bind(group.iter().map(|one| one.value.as_ref().map(Json::as_str)).collect::<Vec<_>>())
                .bind(guards().map(|(guard, _)| guard).collect::<Vec<_>>())
                .bind(guards().map(|(_, version)| version).collect::<Vec<_>>())
                .bind(group.iter().map(|one| one.cause.actor.as_str()).collect::<Vec<_>>())
                .bind(parents().map(|parent| parent.map(|parent| parent.root_id.0)).collect::<Vec<_>>())
                .bind(parents().map(|parent| parent.map(|parent| parent.parent_id.0)).collect::<Vec<_>>())
                .bind(parents().map(|parent| parent.map_or(0, depth)).collect::<Vec<_>>())
                .bind(group.iter().map(|one| one.cause.traceparent.as_deref()).collect::<Vec<_>>())
        });
        let Written { rows, inline_claim } = written.await?;
        let mut results = results(&rows).map_err(port)?;
        let emitted = results.iter_mut().filter_map(|result| Some(&mut result.as_mut().ok()?.as_mut()?.emitted));
        self.writer.publish(inline_claim, emitted);
        if results.len() == group.len() { Ok(results) } else { Err(missing_results()) }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code panics between two changes that belong together.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Adds a mutation. Returns true if the caller must start a call.
    fn push(&mut self, pending: PendingMutation) -> bool {
        self.pending.push_back(pending);
        let starts_call = self.calls_in_flight < CALLS_MAX;
        self.calls_in_flight += usize::from(starts_call);
        starts_call
    }

    /// Takes the next group, or counts one call less if no mutation is pending. A group has each
    /// key at most once, because a statement can change a row only once.
    fn next_group(&mut self) -> Option<Vec<PendingMutation>> {
        let (mut group, mut later) = (Vec::new(), VecDeque::new());
        let (mut keys, mut bytes) = (HashSet::new(), 0);
        while group.len() < GROUP_MAX
            && bytes < GROUP_BYTES
            && let Some(pending) = self.pending.pop_front()
        {
            let Mutation { app, collection, key, value, .. } = &pending.mutation;
            if keys.insert((app.clone(), collection.clone(), key.clone())) {
                bytes += value.as_ref().map_or(0, |value| value.as_str().len());
                group.push(pending);
            } else {
                later.push_back(pending);
            }
        }
        while let Some(pending) = later.pop_back() {
            self.pending.push_front(pending);
        }
        if group.is_empty() {
            self.calls_in_flight -= 1;
            return None;
        }
        Some(group)
    }
}

/// The guard in the form of `tidegate.kv_mutation`: a name and a version.
fn guard_parts(guard: Guard) -> (&'static str, Option<i64>) {
    match guard {
        Guard::Any => ("any", None),
        Guard::Absent => ("absent", None),
        Guard::Version(version) => ("version", Some(version.0)),
    }
}

fn is_refused(error: &PortError) -> bool {
    matches!(error, PortError::Store(StoreError { fate: Fate::NotApplied, kind, .. }) if kind.is_refusal())
}

fn missing_results() -> PortError {
    StoreError::unknown("Postgres did not return a result for each mutation; they may have been applied").into()
}

/// Decodes the result of each mutation, in order, with the lanes that got a row of its event.
fn results(rows: &[PgRow]) -> Result<Vec<MutationResult>, sqlx::Error> {
    let mut results = Vec::with_capacity(rows.len());
    let mut place_by_event = HashMap::new();
    for row in rows {
        results.push(match row.try_get("status")? {
            "done" => {
                let event_id = EventId(row.try_get("emitted_id")?);
                place_by_event.insert(event_id, results.len());
                Ok(Some(KvMutation {
                    version: Version(row.try_get("version")?),
                    updated_at: row.try_get::<PgTime, _>("updated_at")?.0,
                    emitted: EmittedEvent::new(event_id, Vec::new()),
                }))
            }
            "woken" => {
                let place = place_by_event.get(&EventId(row.try_get("emitted_id")?)).copied();
                if let Some(Ok(Some(KvMutation { emitted, .. }))) = place.and_then(|place| results.get_mut(place)) {
                    emitted.lanes.push(TriggerId(row.try_get("woken")?));
                }
                continue;
            }
            "absent" => Ok(None),
            "unknown_app" => Err(PortError::UnknownApp),
            _ => Err(PortError::PreconditionFailed { current: row.try_get::<Option<i64>, _>("version")?.map(Version) }),
        });
    }
    Ok(results)
}
