//! Inline claims: a transaction that writes outbox rows also claims them for the dispatcher of this
//! process.
//!
//! The number of rows per lane is [`InlineRoom::quotas`]. A lane gives none of its rows if it is
//! paused or has a `max_concurrency`. The decision comes before the rows are written, so that a
//! claimed row gets no entry in the index of its lane.

use crate::SqliteStore;
use crate::claims::ClaimedRow;
use crate::error::OrRefused;
use crate::lane::Lane;
use crate::query::Query;
use crate::savepoint::{Part, Savepoint};
use crate::sql;
use crate::writer::Tx;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::{Delivery, DeliveryId, InlineRoom, Micros, TriggerId};
use tidegate_ports::{EmittedEvent, PortError};

/// The inline claims of one job. It is empty for a job whose rows wait for an exchange.
#[derive(Default)]
pub(crate) struct InlineClaims {
    room: InlineRoom,
    lanes: Vec<InlineLane>,
}

/// The inline claim of one lane.
struct InlineLane {
    lane: Lane,
    rows_left: u32,
    written: Vec<DeliveryId>,
}

impl InlineClaims {
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// Deals the room to the lanes of all rows that the job is about to write. `written` names the
    /// lane of each row.
    pub(crate) fn plan<'a>(&mut self, tx: &Tx<'_>, written: impl Iterator<Item = &'a TriggerId>) {
        if self.room.rows == 0 {
            return;
        }
        let written: Vec<TriggerId> = written.copied().collect();
        let mut lanes = BTreeMap::new();
        for trigger in written.iter().filter(|trigger| !self.room.closed_lanes.contains(trigger)) {
            lanes.entry(*trigger).or_insert_with(|| tx.lane_for_inline_claim(*trigger));
        }
        let is_limited = |trigger| {
            lanes.get(&trigger).is_some_and(|lane| lane.as_ref().is_some_and(|lane| lane.max_concurrency.is_some()))
        };
        for (trigger, rows_left) in self.room.quotas(written, is_limited) {
            if let Some(lane) = lanes.remove(&trigger).flatten() {
                self.lanes.push(InlineLane { lane, rows_left, written: Vec::new() });
            }
        }
    }

    /// The lane that claims the next row of `trigger`. `None` if the row waits for an exchange.
    fn lane_of(&mut self, trigger: TriggerId) -> Option<&mut InlineLane> {
        self.lanes.iter_mut().find(|one| one.lane.trigger == trigger && one.rows_left > 0)
    }

    /// Whether the next row of `trigger` waits for an exchange.
    pub(crate) fn waits(&mut self, trigger: TriggerId) -> bool {
        self.lane_of(trigger).is_none()
    }

    /// The row `id` of `trigger` was written.
    pub(crate) fn wrote(&mut self, trigger: TriggerId, id: DeliveryId) {
        if let Some(lane) = self.lane_of(trigger) {
            lane.rows_left -= 1;
            lane.written.push(id);
        }
    }
}

impl SqliteStore {
    /// Runs `write` in the next transaction, claims rows that it wrote if the dispatcher has room
    /// for them, and wakes the dispatcher after the commit. `events` finds the emitted events in
    /// the result of `write`.
    pub(crate) async fn write_events<T, W>(
        &self,
        write: W,
        events: fn(&mut T) -> &mut [EmittedEvent],
    ) -> Result<T, PortError>
    where
        T: Send + 'static,
        W: FnOnce(&Tx<'_>, &mut InlineClaims) -> Result<T, PortError> + Send + 'static,
    {
        let Some(dispatcher) = self.dispatcher.get().cloned() else {
            return self.writer.write(move |tx| write(tx, &mut InlineClaims::none())).await;
        };
        let guard = dispatcher.try_inline_claim();
        let limits = guard.as_ref().map(|guard| (guard.room().clone(), guard.lease_for()));
        let write_and_claim = move |tx: &Tx<'_>| {
            let (room, lease_for) = limits.unwrap_or_default();
            let mut inline = InlineClaims { room, lanes: Vec::new() };
            let mut result = write(tx, &mut inline)?;
            let claimed = tx.claim_inline(inline, lease_for)?;
            events(&mut result).iter_mut().for_each(|event| event.note_claimed(&claimed));
            Ok((result, claimed))
        };
        let after_commit = move |(result, claimed): &mut (T, Vec<Arc<Delivery>>)| {
            dispatcher.wake(events(result).iter().flat_map(EmittedEvent::unclaimed_lanes));
            if let Some(guard) = guard {
                guard.hand_over(std::mem::take(claimed));
            }
        };
        self.writer.write_and_then(write_and_claim, after_commit).await.map(|(result, _)| result)
    }
}

impl Tx<'_> {
    /// The lane, unless it is paused. A lane that cannot be read gives no rows, so that the rows
    /// are written even then.
    fn lane_for_inline_claim(&self, trigger: TriggerId) -> Option<Lane> {
        let lane = self.open_lane(trigger).unwrap_or_else(|error| {
            tracing::error!("an inline claim cannot read the lane {trigger}; its rows wait for an exchange: {error}");
            None
        });
        lane.map(|(lane, _)| lane)
    }

    /// Claims the rows that were written for it. If the claim fails, only the claim is undone: the
    /// rows go into the indexes of their lanes, and a later exchange claims them.
    fn claim_inline(&self, inline: InlineClaims, lease_for: Micros) -> Result<Vec<Arc<Delivery>>, PortError> {
        if inline.lanes.is_empty() {
            return Ok(Vec::new());
        }
        let savepoint = Savepoint::begin(self.connection, Part::InlineClaim).or_refused()?;
        let claims: Result<Vec<_>, _> = inline.lanes.iter().map(|lane| self.claim_written(lane, lease_for)).collect();
        savepoint.end(claims.is_ok()).or_refused()?;
        match claims {
            Ok(lanes) => Ok(lanes.into_iter().flatten().map(|row| row.delivery).collect()),
            Err(error) => {
                tracing::error!(
                    "an inline claim failed and is undone; the rows are written and wait for an exchange: {error}"
                );
                for id in inline.lanes.iter().flat_map(|lane| &lane.written) {
                    self.connection.run(sql::outbox_wait, [id.0])?;
                }
                Ok(Vec::new())
            }
        }
    }

    fn claim_written(&self, inline: &InlineLane, lease_for: Micros) -> Result<Vec<ClaimedRow>, PortError> {
        let lease = self.new_lease();
        let read =
            |id: &DeliveryId| self.connection.one(sql::claim_row, [id.0, 0], |row| inline.lane.claimed_row(row, lease));
        let rows = inline.written.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        self.add_claim(inline.lane.trigger, &rows, rows.len() as u32, lease_for)?;
        Ok(rows)
    }
}
