//! The commands of a random stream. A number selects an item modulo the number of items, so that
//! every stream is valid, even after shrinking.

use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(super) enum Command {
    Put { key: u8, guard: GuardBy },
    Delete { key: u8, guard: GuardBy },
    Get { key: u8 },
    Emit { to: u8, count: u8, once: Option<u8>, digest: bool },
    Exchange { settle: Vec<(u8, u8)>, claim: Vec<(u8, u8)>, suspect: Option<u8>, long: bool },
    Begin { calls: Vec<Option<u8>>, long: bool },
    Renew { claims: Vec<u8>, long: bool },
    Discover,
    SetTrigger { which: u8, change: u8 },
    DeleteTrigger { which: u8 },
    Pause { which: u8, paused: bool },
    Disable { disabled: bool },
    Redrive { letters: Option<Vec<u8>>, limit: u8 },
    Discard { letters: Option<Vec<u8>>, limit: u8 },
    Count,
}

/// The guard of a write.
#[derive(Clone, Copy, Debug)]
pub(super) enum GuardBy {
    Nothing,
    Absence,
    LastRead,
}

fn guard() -> impl Strategy<Value = GuardBy> {
    prop_oneof![Just(GuardBy::Nothing), Just(GuardBy::Absence), Just(GuardBy::LastRead)]
}

fn letters() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 1..4))
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        3 => (0..4_u8, guard()).prop_map(|(key, guard)| Command::Put { key, guard }),
        1 => (0..4_u8, guard()).prop_map(|(key, guard)| Command::Delete { key, guard }),
        1 => (0..4_u8).prop_map(|key| Command::Get { key }),
        5 => (0..4_u8, 1..4_u8, prop::option::weighted(0.3, 0..3_u8), any::<bool>())
            .prop_map(|(to, count, once, digest)| Command::Emit { to, count, once, digest }),
        12 => (
            prop::collection::vec((any::<u8>(), any::<u8>()), 0..5),
            prop::collection::vec((0..6_u8, 1..5_u8), 0..4),
            prop::option::of(any::<u8>()),
            any::<bool>(),
        )
            .prop_map(|(settle, claim, suspect, long)| Command::Exchange { settle, claim, suspect, long }),
        3 => (prop::collection::vec(prop::option::weighted(0.5, 0..3_u8), 1..3), any::<bool>())
            .prop_map(|(calls, long)| Command::Begin { calls, long }),
        1 => (prop::collection::vec(any::<u8>(), 1..5), any::<bool>())
            .prop_map(|(claims, long)| Command::Renew { claims, long }),
        2 => Just(Command::Discover),
        1 => (0..6_u8, any::<u8>()).prop_map(|(which, change)| Command::SetTrigger { which, change }),
        1 => (0..6_u8).prop_map(|which| Command::DeleteTrigger { which }),
        1 => (0..6_u8, any::<bool>()).prop_map(|(which, paused)| Command::Pause { which, paused }),
        1 => any::<bool>().prop_map(|disabled| Command::Disable { disabled }),
        1 => (letters(), 1..4_u8).prop_map(|(letters, limit)| Command::Redrive { letters, limit }),
        1 => (letters(), 1..3_u8).prop_map(|(letters, limit)| Command::Discard { letters, limit }),
        1 => Just(Command::Count),
    ]
}

pub(super) fn commands(count_max: usize) -> impl Strategy<Value = Vec<Command>> {
    prop::collection::vec(command(), 1..count_max)
}
