//! Emissions that claim their rows for the dispatcher of this process, in the transaction that writes them.

use crate::SqliteStore;
use crate::error::OrRefused;
use crate::writer::Tx;
use tidegate_core::{Delivery, InlineRoom, Micros};
use tidegate_ports::{EmittedEvent, PortError};

impl SqliteStore {
    /// Does `work`, which has `emitted`, in the next transaction, and tells the dispatcher of it after the commit.
    pub(crate) async fn write_events<T, W>(
        &self,
        work: W,
        emitted: fn(&mut T) -> &mut [EmittedEvent],
    ) -> Result<T, PortError>
    where
        T: Send + 'static,
        W: FnOnce(&Tx<'_>) -> Result<T, PortError> + Send + 'static,
    {
        let Some(dispatcher) = self.dispatcher.get().cloned() else { return self.writer.write(work).await };
        let offer = dispatcher.try_inline_claim();
        let room = offer.as_ref().map(|offer| (offer.room().clone(), offer.lease_for()));
        let work = move |tx: &Tx<'_>| {
            let mut done = work(tx)?;
            let claimed = match &room {
                Some((room, lease_for)) => tx.claim_written(emitted(&mut done), room, *lease_for)?,
                None => Vec::new(),
            };
            Ok((done, claimed))
        };
        let committed = move |(done, claimed): &mut (T, Vec<Delivery>)| {
            dispatcher.wake(emitted(done).iter().flat_map(EmittedEvent::waiting));
            if let Some(offer) = offer {
                offer.claimed(std::mem::take(claimed));
            }
        };
        self.writer.write_and_then(work, committed).await.map(|(done, _)| done)
    }
}

impl Tx<'_> {
    /// A claim that fails is undone alone, and what was written waits for another.
    fn claim_written(
        &self,
        emitted: &mut [EmittedEvent],
        room: &InlineRoom,
        lease_for: Micros,
    ) -> Result<Vec<Delivery>, PortError> {
        let asked = room.quotas(emitted.iter().flat_map(|one| one.lanes.iter().copied()), self.now);
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        self.statement("savepoint claim")?;
        let claims = asked.into_iter().map(|asked| self.claim(asked, lease_for));
        let claimed = match claims.collect::<Result<Vec<_>, _>>() {
            Ok(claimed) => claimed.concat(),
            Err(error) => {
                tracing::error!("rows could not be claimed as they were written: {error}");
                self.statement("rollback to claim")?;
                Vec::new()
            }
        };
        self.statement("release claim")?;
        emitted.iter_mut().for_each(|one| one.note_claimed(&claimed));
        Ok(claimed)
    }

    fn statement(&self, sql: &str) -> Result<(), PortError> {
        self.connection.prepare_cached(sql).or_refused()?.execute(()).or_refused().map(drop)
    }
}
