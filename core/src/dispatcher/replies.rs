//! The replies that are being handed to their callers.

use crate::claim::Claim;
use std::collections::BTreeMap;

/// The claims whose replies are being handed over, by the number of the operation. `None` for a
/// call without a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Replies {
    in_flight: BTreeMap<u64, Option<Claim>>,
}

impl Replies {
    pub(super) fn insert(&mut self, seq: u64, claim: Option<Claim>) {
        self.in_flight.insert(seq, claim);
    }

    /// Returns `None` if the reply is not in flight, and `Some(None)` for a call without a row.
    pub(super) fn remove(&mut self, seq: u64) -> Option<Option<Claim>> {
        self.in_flight.remove(&seq)
    }

    pub(super) fn len(&self) -> u32 {
        self.in_flight.len() as u32
    }
}
