//! The isolation of a script's executions from each other.

use serde::{Deserialize, Serialize};

/// Whether an execution of a script may see the state of earlier executions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// The module may already be loaded. Then its variables have the values that earlier executions
    /// for the same trigger left. A handler must not rely on either case.
    #[default]
    Warm,
    /// The module is loaded for one execution and dropped after it.
    Fresh,
}

impl Isolation {
    /// Every isolation, in the order of the variants.
    pub const ALL: [Self; 2] = [Self::Warm, Self::Fresh];

    /// The name of the isolation in manifests, SQL and API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Fresh => "fresh",
        }
    }

    /// The isolation with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|isolation| isolation.name() == name)
    }

    /// Whether this is the default. The default is not written, so that a version without this
    /// option can read every trigger that does not use it.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
