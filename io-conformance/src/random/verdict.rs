//! The verdicts and effects of a random stream.

use super::DAY;
use crate::support::{collection, json as text, key, new_event};
use std::collections::BTreeMap;
use tidegate_core::{
    AbandonCause, Attempt, DeadReason, Effects, ExecError, HandlerReply, Kind, KvWrite, Micros, ReadVersion,
    SyncOutcome, Timestamp, Verdict, Version,
};

/// The start time of every attempt.
const STARTED: Timestamp = Timestamp(1_700_000_000_000_000);

/// The verdict that the bits of `how` select for a delivery of `kind`. `versions` contains the
/// version of each key that the effects of the verdict read.
pub(super) fn verdict(kind: Kind, how: u8, versions: &BTreeMap<u8, Option<Version>>) -> Verdict {
    let delay = if how & 64 == 0 { Micros::ZERO } else { DAY };
    let failed = Attempt {
        attempt: 1,
        started_at: STARTED,
        duration: Some(Micros(1_500)),
        error: if how & 32 == 0 { ExecError::ScriptError } else { ExecError::EndpointStatus(503) },
        message: "it 'failed'".to_owned(),
    };
    match (kind, how % 8) {
        (Kind::Async, 0..=2) => Verdict::Done { effects: effects(how, versions) },
        (Kind::Async, 3 | 4) => Verdict::Retry { delay, failed },
        (Kind::Async, 5) => Verdict::Dead {
            reason: DeadReason::ALL[usize::from(how >> 3) % DeadReason::ALL.len()],
            attempts: 2,
            fingerprint: failed.fingerprint(),
            failed: (how & 16 == 0).then_some(failed),
            disable_trigger: how & 128 != 0,
        },
        (Kind::Async, 6) => Verdict::Dropped,
        (Kind::Sync(_), 0..=3) => {
            let is_ok = how & 8 == 0;
            let effects = if is_ok { effects(how, versions) } else { Effects::default() };
            let error = (!is_ok).then_some(ExecError::ScriptError);
            let outcome = SyncOutcome { status: 200, error, message: error.map(|_| "no".to_owned()) };
            let reply = HandlerReply { status: 201, headers: vec![("a".to_owned(), "b".to_owned())], body: None };
            Verdict::Executed { effects, outcome, reply: (is_ok && how & 16 == 0).then_some(reply) }
        }
        (Kind::Sync(_), 4 | 5) => Verdict::Replied,
        (Kind::Sync(_), _) => {
            Verdict::Abandoned { cause: if how & 8 == 0 { AbandonCause::CallerGone } else { AbandonCause::NodeLost } }
        }
        (Kind::DeadLetterHandler(_), 0..=3) => Verdict::Handled { effects: effects(how, versions) },
        (Kind::DeadLetterHandler(_), 4..=6) => Verdict::HandlerFailed { failed },
        (Kind::Async | Kind::DeadLetterHandler(_), _) => Verdict::Deferred { delay },
    }
}

fn effects(how: u8, versions: &BTreeMap<u8, Option<Version>>) -> Effects {
    let mut effects = Effects::default();
    let at = (how >> 3) % 4;
    let (collection, key) = (collection("c"), key(&format!("k{at}")));
    if how & 32 != 0 {
        let version = versions.get(&at).copied().flatten();
        effects.reads.push(ReadVersion { collection: collection.clone(), key: key.clone(), version });
    }
    if how & 64 != 0 {
        let value = (how & 8 == 0).then(|| text("[1, 2]"));
        effects.writes.push(KvWrite { collection, key, value });
    }
    if how & 128 != 0 {
        effects.events.push(new_event("go", "again", "{}"));
    }
    effects
}
