use tidegate_core::{StoreError, Version};

/// Why a store did not do what it was asked. In each case nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// The app does not exist. Deploy it first.
    #[error("there is no app of this name; deploy it first")]
    UnknownApp,
    /// The value's version is not the one that the caller named.
    #[error("the precondition does not hold: the current version is {}", current.map_or("absent".to_owned(), |v| v.0.to_string()))]
    PreconditionFailed {
        /// What is there now; `None` if nothing is.
        current: Option<Version>,
    },
    /// The idempotency key was used before with another request.
    #[error("this idempotency key was used for a different request")]
    IdempotencyKeyReused,
    /// The store failed. With [`tidegate_core::Fate::Unknown`] the call may have been applied all the same.
    #[error(transparent)]
    Store(#[from] StoreError),
}
