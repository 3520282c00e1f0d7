//! Whether a script starts anew with each execution.

use serde::{Deserialize, Serialize};

/// What an execution of a script may find of those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// The module may already be loaded, with what earlier executions for the same trigger left in its variables.
    /// Whether it is, is never promised.
    #[default]
    Warm,
    /// The module is loaded for this execution alone and dropped after it.
    Fresh,
}

impl Isolation {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Warm, Self::Fresh];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Fresh => "fresh",
        }
    }

    /// Reads back what [`Self::name`] gave.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|isolation| isolation.name() == name)
    }

    /// Whether it is the default, which is not written: a version that does not know the option yet can then read every
    /// trigger that does not use it.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
