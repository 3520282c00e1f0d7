//! Bugs in the fan-out of events.

use super::Bug;
use crate::world::World;
use tidegate_core::DeliveryId;

impl World {
    /// Adds a second copy of the last emitted row.
    pub(crate) fn fan_out_again(&mut self) {
        let last = self.store().rows_after(DeliveryId(i64::MIN)).filter(|row| row.lease.0 == 0).last().cloned();
        if let Some(mut row) = last.filter(|_| self.bug() == Some(Bug::FansOutTwice)) {
            row.id = DeliveryId(row.id.0 + 500_000);
            self.store_mut().bring_back(row);
        }
    }
}
