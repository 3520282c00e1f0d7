//! Puts and deletes that come together share a call, and so a round trip, a transaction and its commit.
//!
//! A few calls are under way at once; what comes meanwhile waits and goes with the next. So a caller who is alone waits
//! for nobody, and groups grow with the load by themselves. A caller that is gone does not stop its mutation.

use crate::claimed::Claimed;
use crate::error::{port, store};
use crate::time::PgTime;
use crate::{PgStore, sql};
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use tidegate_core::{
    AppName, Cause, Collection, EventId, Fate, Json, Key, StoreError, StoreErrorKind, TriggerId, Version,
};
use tidegate_ports::{EmittedEvent, Guard, KvMutation, PortError};
use tokio::sync::oneshot;

/// Calls under way at once. More would be smaller, and wait for each other's locks.
const CALLS_MAX: usize = 2;
/// The most mutations in one call: bounds how long the first one waits for the last.
const GROUP_MAX: usize = 64;
/// A group that is larger already takes no more: values may be large.
const GROUP_BYTES: usize = 1 << 20;

/// One put or delete.
#[derive(Clone, Debug)]
pub(crate) struct Mutation {
    pub(crate) app: AppName,
    pub(crate) collection: Collection,
    pub(crate) key: Key,
    /// `None` deletes.
    pub(crate) value: Option<Json>,
    pub(crate) guard: Guard,
    pub(crate) cause: Cause,
}

type Answer = Result<Option<KvMutation>, PortError>;

#[derive(Debug)]
struct Asked {
    mutation: Mutation,
    answer: oneshot::Sender<Answer>,
}

/// What waits, and how many calls are under way.
#[derive(Debug, Default)]
pub(crate) struct Mutations(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    asked: VecDeque<Asked>,
    calls: usize,
}

impl Mutations {
    /// Whether a call must be begun for it.
    fn ask(&self, asked: Asked) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.asked.push_back(asked);
        let begins = waiting.calls < CALLS_MAX;
        waiting.calls += usize::from(begins);
        begins
    }

    /// The next group; without one the call is over. No two of a group name the same key: a statement changes a row once.
    fn next(&self) -> Option<Vec<Asked>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut group, mut later) = (Vec::new(), VecDeque::new());
        let (mut keys, mut bytes) = (HashSet::new(), 0);
        while group.len() < GROUP_MAX
            && bytes < GROUP_BYTES
            && let Some(asked) = waiting.asked.pop_front()
        {
            let Mutation { app, collection, key, value, .. } = &asked.mutation;
            if keys.insert((app.clone(), collection.clone(), key.clone())) {
                bytes += value.as_ref().map_or(0, |value| value.as_str().len());
                group.push(asked);
            } else {
                later.push_back(asked);
            }
        }
        while let Some(asked) = later.pop_back() {
            waiting.asked.push_front(asked);
        }
        if group.is_empty() {
            waiting.calls -= 1;
            return None;
        }
        Some(group)
    }
}

impl PgStore {
    /// Does it with what others ask for at the same time.
    pub(crate) async fn mutate(&self, mutation: Mutation) -> Answer {
        let (answer, answered) = oneshot::channel();
        if self.mutations.ask(Asked { mutation, answer }) {
            tokio::spawn(self.clone().mutate_what_waits());
        }
        answered.await.unwrap_or_else(|_| Err(StoreError::unknown("the store was closed meanwhile").into()))
    }

    async fn mutate_what_waits(self) {
        while let Some(group) = self.mutations.next() {
            let (mutations, answers): (Vec<_>, Vec<_>) =
                group.into_iter().map(|asked| (asked.mutation, asked.answer)).unzip();
            let results = self.mutate_group(&mutations).await;
            for (answer, result) in answers.into_iter().zip(results) {
                // Nobody may be waiting any more; it is done all the same.
                answer.send(result).ok();
            }
            // Whoever was answered and asks again at once goes with the next group, not with the one after it: half as many
            // calls, each with twice as much.
            tokio::task::yield_now().await;
        }
    }

    /// One answer for each.
    async fn mutate_group(&self, group: &[Mutation]) -> Vec<Answer> {
        match self.call_mutate(group).await {
            Ok(answers) => answers,
            // One that Postgres refuses must not take the others with it.
            Err(error) if is_refused(&error) && group.len() > 1 => {
                let mut answers = Vec::with_capacity(group.len());
                for one in group {
                    let alone = self.call_mutate(std::slice::from_ref(one)).await;
                    answers.push(alone.and_then(|mut answers| answers.pop().unwrap_or_else(|| Err(unanswered()))));
                }
                answers
            }
            Err(error) => vec![Err(error); group.len()],
        }
    }

    async fn call_mutate(&self, group: &[Mutation]) -> Result<Vec<Answer>, PortError> {
        let guards = || group.iter().map(|one| in_words(one.guard));
        let parents = || group.iter().map(|one| one.cause.parent);
        let depth = |parent: tidegate_core::Parent| i32::try_from(parent.depth).unwrap_or(i32::MAX);
        let mut connection = self.connection().await?;
        let offer = self.try_inline_claim();
        let query = sqlx::query(if offer.is_some() { sql::kv_mutate_and_claim } else { sql::kv_mutate })
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
            .bind(group.iter().map(|one| one.cause.traceparent.as_deref()).collect::<Vec<_>>());
        let rows = Claimed::bind(query, offer.as_ref()).fetch_all(&mut *connection).await;
        let mut rows = connection.finish(rows).map_err(store)?;
        let claimed = if offer.is_some() { Claimed::split_off(&mut rows) } else { Vec::new() };
        let mut answers = answers(&rows).map_err(port)?;
        if let Some(offer) = offer {
            let mutated = answers.iter_mut().filter_map(|answer| answer.as_mut().ok()?.as_mut());
            mutated.for_each(|mutated| mutated.emitted.note_claimed(&claimed));
            offer.claimed(claimed);
        }
        if answers.len() != group.len() {
            return Err(unanswered());
        }
        self.tell_of(answers.iter().filter_map(|answer| Some(&answer.as_ref().ok()?.as_ref()?.emitted)));
        Ok(answers)
    }
}

fn in_words(guard: Guard) -> (&'static str, Option<i64>) {
    match guard {
        Guard::Any => ("any", None),
        Guard::Absent => ("absent", None),
        Guard::Version(version) => ("version", Some(version.0)),
    }
}

fn is_refused(error: &PortError) -> bool {
    matches!(error, PortError::Store(StoreError { fate: Fate::NotApplied, kind: StoreErrorKind::Refused, .. }))
}

fn unanswered() -> PortError {
    StoreError::unknown("Postgres did not answer for each mutation").into()
}

/// What each mutation came to, in their order.
fn answers(rows: &[PgRow]) -> Result<Vec<Answer>, sqlx::Error> {
    let mut answers = Vec::with_capacity(rows.len());
    let mut by_event = HashMap::new();
    for row in rows {
        answers.push(match row.try_get("status")? {
            "done" => {
                let event_id = EventId(row.try_get("emitted_id")?);
                by_event.insert(event_id, answers.len());
                Ok(Some(KvMutation {
                    version: Version(row.try_get("version")?),
                    updated_at: row.try_get::<PgTime, _>("updated_at")?.0,
                    emitted: EmittedEvent::new(event_id, Vec::new()),
                }))
            }
            "woken" => {
                let place = by_event.get(&EventId(row.try_get("emitted_id")?)).copied();
                if let Some(Ok(Some(KvMutation { emitted, .. }))) = place.and_then(|place| answers.get_mut(place)) {
                    emitted.lanes.push(TriggerId(row.try_get("woken")?));
                }
                continue;
            }
            "absent" => Ok(None),
            "unknown_app" => Err(PortError::UnknownApp),
            _ => Err(PortError::PreconditionFailed { current: row.try_get::<Option<i64>, _>("version")?.map(Version) }),
        });
    }
    Ok(answers)
}
