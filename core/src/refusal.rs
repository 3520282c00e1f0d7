//! The settlement of a delivery whose verdict the store refuses for good.

use crate::delivery::{Delivery, Kind, Run, Verdict};
use crate::effects::Effects;
use crate::outcome::{ExecError, Failure, Outcome};
use crate::store::{StoreError, StoreErrorKind};
use crate::sync::SyncOutcome;

/// The failure of an execution whose settlement the store refused. `is_first` is false if the store
/// refused the record of this failure too. Then its text may be the reason, and a fixed text
/// replaces it.
pub(crate) fn failure(error: &StoreError, is_first: bool) -> Failure {
    let kind = match error.kind {
        StoreErrorKind::TooLarge => ExecError::PayloadTooLarge,
        _ => ExecError::StoreRefused,
    };
    if is_first {
        Failure::new(
            kind,
            format!("the store refused the settlement; nothing that the handler wrote was applied: {error}"),
        )
    } else {
        Failure::new(kind, "the store refused the settlement and the record of its failure; nothing was applied")
    }
}

/// The verdict that replaces a refused one: without effects, and with `failure` as its only text.
/// `None` if the verdict has no data that could be left out.
pub(crate) fn without_data(delivery: &Delivery, verdict: &Verdict, failure: Failure, run: Run) -> Option<Verdict> {
    let failed = run.failed(delivery, failure.clone());
    match (verdict, delivery.kind()) {
        (Verdict::Dropped | Verdict::Deferred { .. } | Verdict::Replied | Verdict::Abandoned { .. }, _) => None,
        (Verdict::Executed { .. }, _) => {
            let outcome = SyncOutcome::of(&Outcome::Failed(failure));
            Some(Verdict::Executed { effects: Effects::default(), outcome, reply: None })
        }
        (_, Kind::DeadLetterHandler(_)) => Some(Verdict::HandlerFailed { failed }),
        (Verdict::Dead { reason, attempts, disable_trigger, .. }, _) => Some(Verdict::Dead {
            reason: *reason,
            attempts: *attempts,
            fingerprint: failed.fingerprint(),
            failed: Some(failed),
            disable_trigger: *disable_trigger,
        }),
        (Verdict::Done { .. } | Verdict::Retry { .. } | Verdict::Handled { .. } | Verdict::HandlerFailed { .. }, _) => {
            Some(Verdict::permanent(delivery, failed))
        }
    }
}
