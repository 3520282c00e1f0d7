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
    /// Daemons that die at every point, under load.
    Crash,
    /// A store that goes back to earlier states under load.
    Restore,
    /// A few lanes with many rows beside lanes with single rows.
    Fair,
}

impl Profile {
    pub const ALL: [Self; 8] =
        [Self::Mixed, Self::Jitter, Self::Gate, Self::Loops, Self::Overlap, Self::Crash, Self::Restore, Self::Fair];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Jitter => "jitter",
            Self::Gate => "gate",
            Self::Loops => "loops",
            Self::Overlap => "overlap",
            Self::Crash => "crash",
            Self::Restore => "restore",
            Self::Fair => "fair",
        }
    }

    /// A description for the command line.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Mixed => "all kinds of steps, with every class of fault",
            Self::Jitter => "handlers that fail repeatedly",
            Self::Gate => "more callers and slow handlers than the gate has permits",
            Self::Loops => "handlers whose events trigger themselves",
            Self::Overlap => "answers that overtake each other",
            Self::Crash => "daemons that die at every point, under load",
            Self::Restore => "a store that goes back to earlier states, under load",
            Self::Fair => "a few lanes with many rows beside lanes with single rows",
        }
    }

    /// The profile with this name on the command line.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }
}
