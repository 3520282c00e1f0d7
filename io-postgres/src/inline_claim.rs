//! Statements that write outbox rows, and the inline claim of those rows.
//!
//! Each such statement has two forms. The plain form writes the rows. The other form also calls
//! `tidegate.fan_out_and_claim`, in the same round trip and the same commit, and the dispatcher of
//! this process gets the claimed rows. The dispatcher grants one inline claim at a time, and only
//! while it has room.

use crate::claimed_rows::ClaimedRows;
use crate::error;
use crate::notify::Notifier;
use crate::pool::Pool;
use crate::time::micros;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres, Row};
use std::sync::{Arc, OnceLock};
use tidegate_core::{Delivery, TriggerId};
use tidegate_ports::{EmittedEvent, InlineClaimGuard, PortError, WakeHandle};

type PgQuery<'q> = Query<'q, Postgres, PgArguments>;

/// Runs the statements that write outbox rows, and wakes the dispatchers that have to claim them.
#[derive(Clone, Debug)]
pub(crate) struct OutboxWriter {
    pool: Pool,
    notifier: Arc<Notifier>,
    dispatcher: Arc<OnceLock<WakeHandle>>,
}

/// A statement in its two forms. The second form takes the parameters of the first form, followed
/// by the parameters of the claim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteStatement {
    pub(crate) plain: &'static str,
    pub(crate) and_claim: &'static str,
}

/// The answer to a [`WriteStatement`].
#[derive(Debug)]
pub(crate) struct Written {
    /// The rows of the plain form.
    pub(crate) rows: Vec<PgRow>,
    pub(crate) inline_claim: Option<InlineClaim>,
}

/// The deliveries that a statement claimed while it wrote them.
#[derive(Debug)]
pub(crate) struct InlineClaim {
    guard: InlineClaimGuard,
    claimed: Vec<Arc<Delivery>>,
}

impl OutboxWriter {
    pub(crate) fn new(pool: Pool, notifier: Arc<Notifier>) -> Self {
        Self { pool, notifier, dispatcher: Arc::default() }
    }

    /// Sets the dispatcher of this process. A second dispatcher is ignored.
    pub(crate) fn attach(&self, dispatcher: WakeHandle) {
        self.dispatcher.set(dispatcher).ok();
    }

    /// Runs `statement` on one connection, with an inline claim if the dispatcher grants one.
    /// `bind` adds the parameters of the plain form.
    pub(crate) async fn write<'q>(
        &self,
        statement: WriteStatement,
        bind: impl FnOnce(PgQuery<'q>) -> PgQuery<'q> + Send,
    ) -> Result<Written, PortError> {
        self.pool
            .write(async {
                let mut connection = self.pool.acquire().await.map_err(error::unreachable)?;
                let guard = self.dispatcher.get().and_then(WakeHandle::try_inline_claim);
                let query = match &guard {
                    Some(guard) => bind_claim(bind(sqlx::query(statement.and_claim)), guard),
                    None => bind(sqlx::query(statement.plain)),
                };
                let rows = query.fetch_all(&mut *connection).await;
                let mut rows = connection.finish(rows).map_err(error::store)?;
                let inline_claim = guard.map(|guard| InlineClaim { guard, claimed: split_off_claimed(&mut rows) });
                Ok(Written { rows, inline_claim })
            })
            .await
    }

    /// Marks the events whose rows are all claimed, hands the claimed rows to the dispatcher of
    /// this process, and wakes the dispatchers for the lanes of all other rows. Call it after the
    /// commit.
    pub(crate) fn publish<'e>(
        &self,
        inline_claim: Option<InlineClaim>,
        emitted: impl Iterator<Item = &'e mut EmittedEvent>,
    ) {
        let mut lanes: Vec<TriggerId> = Vec::new();
        let claimed = inline_claim.as_ref().map(|claim| claim.claimed.as_slice());
        for event in emitted {
            if let Some(claimed) = claimed {
                event.note_claimed(claimed);
            }
            lanes.extend(event.unclaimed_lanes());
        }
        if let Some(InlineClaim { guard, claimed }) = inline_claim {
            guard.hand_over(claimed);
        }
        if !lanes.is_empty() {
            self.notifier.notify(lanes.iter().copied());
            if let Some(dispatcher) = self.dispatcher.get() {
                dispatcher.wake(lanes);
            }
        }
    }
}

/// Adds the fields of `tidegate.inline_room`.
fn bind_claim<'q>(query: PgQuery<'q>, guard: &InlineClaimGuard) -> PgQuery<'q> {
    let room = guard.room();
    query
        .bind(i32::try_from(room.rows).unwrap_or(i32::MAX))
        .bind(room.closed_lanes.iter().map(|lane| lane.0).collect::<Vec<_>>())
        .bind(micros(guard.lease_for()))
}

/// Removes the rows of the claim from the end of an answer, and decodes them. An undecodable row
/// does not fail the write: the row stays claimed, and another claim takes it after the lease has
/// expired.
fn split_off_claimed(answer: &mut Vec<PgRow>) -> Vec<Arc<Delivery>> {
    let is_written = |row: &PgRow| row.try_get::<Option<&str>, _>("kind").is_ok_and(|kind| kind.is_none());
    let of_claim = answer.split_off(answer.partition_point(is_written));
    let mut claimed = ClaimedRows::default();
    let pushed = of_claim.iter().map(|row| claimed.push(row.try_get("kind")?, row)).collect::<Vec<_>>();
    let decoded = pushed.into_iter().filter_map(|pushed| pushed.err().map(Err)).chain(claimed.deliveries());
    let report = |error: &sqlx::Error| {
        tracing::error!(
            "a row of an inline claim cannot be read; it is claimed again after its lease has expired: {error}"
        );
    };
    decoded.filter_map(|row| row.inspect_err(report).ok()).collect()
}
