//! Emissions that claim their rows for the dispatcher of this process, in the transaction that writes them.

use crate::SqliteStore;
use crate::writer::Tx;
use tidegate_core::{Delivery, Micros};
use tidegate_driver::{Emitted, PortError, WakeHandle, carried_claim};

impl SqliteStore {
    /// Does `work`, which has `emitted`, in the next transaction.
    pub(crate) async fn write_events<T, W>(
        &self,
        work: W,
        emitted: fn(&mut T) -> &mut [Emitted],
    ) -> Result<T, PortError>
    where
        T: Send + 'static,
        W: FnOnce(&Tx<'_>) -> Result<T, PortError> + Send + 'static,
    {
        let Some(offer) = self.dispatcher.get().and_then(WakeHandle::take_offer) else {
            return self.writer.write(work).await;
        };
        let (rows, lease_for) = (offer.rows(), offer.lease_for());
        let work = move |tx: &Tx<'_>| {
            let mut done = work(tx)?;
            let claimed = tx.claim_written(emitted(&mut done), rows, lease_for)?;
            Ok((done, claimed))
        };
        let committed = move |(_, claimed): &mut (T, Vec<Delivery>)| offer.claimed(std::mem::take(claimed));
        self.writer.write_and_then(work, committed).await.map(|(done, _)| done)
    }
}

impl Tx<'_> {
    fn claim_written(&self, emitted: &mut [Emitted], room: u32, lease_for: Micros) -> Result<Vec<Delivery>, PortError> {
        let mut claimed = Vec::new();
        for asked in carried_claim(emitted, room, self.now) {
            claimed.append(&mut self.claim(asked, lease_for)?);
        }
        emitted.iter_mut().for_each(|one| one.note_claimed(&claimed));
        Ok(claimed)
    }
}
