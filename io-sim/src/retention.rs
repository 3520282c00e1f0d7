//! Removes the records that are older than their retention.

use crate::memory::Memory;
use tidegate_core::{Micros, Timestamp};
use tidegate_ports::{DeadLetter, RecordKind, Resolution, SESSION_PREFIX, TokenRecord};

impl Memory {
    /// Removes at most `limit` records of this kind that are older than `age`, the oldest first.
    pub(crate) fn prune(&mut self, kind: RecordKind, age: Micros, limit: u32) -> u32 {
        let Some(last) = self.old(kind, age, limit).last().copied() else { return 0 };
        let mut left = limit;
        let mut is_kept = |at: Option<Timestamp>| {
            let is_old = left > 0 && at.is_some_and(|at| at <= last);
            left -= u32::from(is_old);
            !is_old
        };
        match kind {
            RecordKind::OpenLetters | RecordKind::HandledLetters | RecordKind::DiscardedLetters => {
                self.letters.retain(|_, row| is_kept(letter_time(&row.letter, kind)));
            }
            RecordKind::AbandonedExecutions => self.abandoned.retain(|row| is_kept(Some(row.at))),
            RecordKind::Loops => self.loops.retain(|_, row| is_kept(Some(row.last_at))),
            RecordKind::Sessions => self.tokens.retain(|_, (token, _)| is_kept(session_time(token))),
        }
        limit - left
    }

    pub(crate) fn count_old(&self, kind: RecordKind, age: Micros, count_max: u32) -> u32 {
        u32::try_from(self.old(kind, age, count_max).len()).unwrap_or(u32::MAX)
    }

    /// The times of the oldest records, in order, at most `limit`.
    fn old(&self, kind: RecordKind, age: Micros, limit: u32) -> Vec<Timestamp> {
        let mut times: Vec<Timestamp> = match kind {
            RecordKind::OpenLetters | RecordKind::HandledLetters | RecordKind::DiscardedLetters => {
                self.letters.values().filter_map(|row| letter_time(&row.letter, kind)).collect()
            }
            RecordKind::AbandonedExecutions => self.abandoned.iter().map(|row| row.at).collect(),
            RecordKind::Loops => self.loops.values().map(|row| row.last_at).collect(),
            RecordKind::Sessions => self.tokens.values().filter_map(|(token, _)| session_time(token)).collect(),
        };
        let before = self.now.minus(age);
        times.retain(|at| *at < before);
        times.sort_unstable();
        times.truncate(limit as usize);
        times
    }
}

/// The creation of the letter, if it is of this kind.
fn letter_time(letter: &DeadLetter, kind: RecordKind) -> Option<Timestamp> {
    let of_letter = match letter.resolution {
        None | Some(Resolution::HandlerFailed) => RecordKind::OpenLetters,
        Some(Resolution::Handled | Resolution::Redriven) => RecordKind::HandledLetters,
        Some(Resolution::Discarded) => RecordKind::DiscardedLetters,
    };
    (of_letter == kind).then_some(letter.created_at)
}

/// The expiry of the token, if it is a session.
fn session_time(token: &TokenRecord) -> Option<Timestamp> {
    token.expires_at.filter(|_| token.name.starts_with(SESSION_PREFIX))
}
