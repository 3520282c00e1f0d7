//! Workloads by name.

/// What clients do most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Some of everything, with every class of fault.
    #[default]
    Mixed,
    /// Handlers that fail, again and again: back-off and its jitter.
    Jitter,
    /// More callers and slow handlers than the gate has permits.
    Gate,
    /// Handlers that emit what triggers themselves.
    Loops,
    /// Answers that overtake each other: retries that are claimed again before it is known that they were settled.
    Overlap,
}

impl Profile {
    /// Every workload.
    pub const ALL: [Self; 5] = [Self::Mixed, Self::Jitter, Self::Gate, Self::Loops, Self::Overlap];

    /// Its name at the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Jitter => "jitter",
            Self::Gate => "gate",
            Self::Loops => "loops",
            Self::Overlap => "overlap",
        }
    }
}
