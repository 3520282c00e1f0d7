//! The workloads and their names.

/// A workload: the kind of steps that dominates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// All kinds of steps, with every class of fault.
    #[default]
    Mixed,
    /// Handlers that fail repeatedly: back-off and jitter.
    Jitter,
    /// More callers and slow handlers than the gate has permits.
    Gate,
    /// Handlers whose events trigger themselves.
    Loops,
    /// Answers that overtake each other: retries are claimed again before their settlement is
    /// answered.
    Overlap,
}

impl Profile {
    pub const ALL: [Self; 5] = [Self::Mixed, Self::Jitter, Self::Gate, Self::Loops, Self::Overlap];

    /// The name on the command line.
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
