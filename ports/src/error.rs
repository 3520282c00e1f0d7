use tidegate_core::{StoreError, Version};

/// The reason why a store did not perform a request. Nothing was changed, except possibly by a
/// request that failed with [`PortError::Store`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// The app does not exist. Deploy it first.
    #[error("there is no app of this name; deploy it first")]
    UnknownApp,
    /// The value does not have the version that the caller named.
    #[error(
        "the precondition does not hold; nothing was changed; the current version is {}: read the value and try again",
        current.map_or("absent".to_owned(), |version| version.0.to_string())
    )]
    PreconditionFailed {
        /// The version of the value now. `None` if the key is absent.
        current: Option<Version>,
    },
    /// The idempotency key belongs to an earlier request with another body.
    #[error("this idempotency key was used for a different request; nothing was changed; use a new key")]
    IdempotencyKeyReused,
    /// The store failed. With [`tidegate_core::Fate::Unknown`] the request may have been applied.
    #[error(transparent)]
    Store(#[from] StoreError),
}
