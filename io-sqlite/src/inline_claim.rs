//! Inline claims: a transaction that writes outbox rows also claims them for the dispatcher of this
//! process.
//!
//! The number of rows per lane is [`InlineRoom::quotas`]. The claim itself is [`Tx::claim`], as in
//! an exchange, so that pauses and limits hold for inline claims too.

use crate::SqliteStore;
use crate::error::OrRefused;
use crate::savepoint::{Part, Savepoint};
use crate::writer::Tx;
use tidegate_core::{Delivery, InlineRoom, LaneQuota, Micros};
use tidegate_ports::{EmittedEvent, PortError};

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
        W: FnOnce(&Tx<'_>) -> Result<T, PortError> + Send + 'static,
    {
        let Some(dispatcher) = self.dispatcher.get().cloned() else { return self.writer.write(write).await };
        let guard = dispatcher.try_inline_claim();
        let limits = guard.as_ref().map(|guard| (guard.room().clone(), guard.lease_for()));
        let write_and_claim = move |tx: &Tx<'_>| {
            let mut result = write(tx)?;
            let claimed = match &limits {
                Some((room, lease_for)) => tx.claim_inline(events(&mut result), room, *lease_for)?,
                None => Vec::new(),
            };
            Ok((result, claimed))
        };
        let after_commit = move |(result, claimed): &mut (T, Vec<Delivery>)| {
            dispatcher.wake(events(result).iter().flat_map(EmittedEvent::unclaimed_lanes));
            if let Some(guard) = guard {
                guard.hand_over(std::mem::take(claimed));
            }
        };
        self.writer.write_and_then(write_and_claim, after_commit).await.map(|(result, _)| result)
    }
}

impl Tx<'_> {
    /// Claims rows of `emitted` and marks the events with all rows claimed. If the claim
    /// fails, only the claim is undone: the rows stay, and a later exchange claims them.
    fn claim_inline(
        &self,
        emitted: &mut [EmittedEvent],
        room: &InlineRoom,
        lease_for: Micros,
    ) -> Result<Vec<Delivery>, PortError> {
        let written_lanes = emitted.iter().flat_map(|event| event.lanes.iter().copied());
        let quotas = room.quotas(written_lanes, |_| false);
        if quotas.is_empty() {
            return Ok(Vec::new());
        }
        let savepoint = Savepoint::begin(self.connection, Part::InlineClaim).or_refused()?;
        let claims: Result<Vec<_>, _> = quotas
            .into_iter()
            .map(|(trigger, quota)| self.claim(LaneQuota { trigger, quota, look_back: self.now }, lease_for))
            .collect();
        savepoint.end(claims.is_ok()).or_refused()?;
        let claimed = claims.map(|lanes| lanes.concat()).unwrap_or_else(|error| {
            tracing::error!(
                "an inline claim failed and is undone; the rows are written and wait for an exchange: {error}"
            );
            Vec::new()
        });
        emitted.iter_mut().for_each(|event| event.note_claimed(&claimed));
        Ok(claimed)
    }
}
