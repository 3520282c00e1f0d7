//! The claim of one row: the id of the row and the number of its claim.

use crate::names::{DeliveryId, Lease};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One delivery under one claim. It is valid while the claim holds the row: until the row is
/// deleted, goes back to its lane or is lost. When the lease expires, it stays valid until an
/// exchange ends the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Claim {
    pub delivery: DeliveryId,
    /// The number of the claim. Other rows of the same lane may have the same number, and the same
    /// row has another number each time it is claimed.
    pub lease: Lease,
}

/// The name of an execution: the row and the claim, such as `17-1`.
impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.delivery, self.lease)
    }
}
