//! A claim: the id of a row and the number of its lease.

use crate::names::{DeliveryId, Lease};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One claim of one delivery. It is valid until its row is deleted, released or claimed again. When
/// `lease_until` passes, the claim stays valid until another claim takes the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Claim {
    pub delivery: DeliveryId,
    /// The number of the claim. It grows with every claim of the row.
    pub lease: Lease,
}

/// The name of an execution: the row and the claim, such as `17-1`.
impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.delivery, self.lease)
    }
}
