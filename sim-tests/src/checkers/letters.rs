//! A dead-letter handler gets the last attempt that began. It is not executed after a loss, and is
//! never dropped. Its failure annotates the letter and makes no other letter.

use super::ledger::{Ledger, Restore};
use super::terminal::applied;
use super::{Checker, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use tidegate_core::{DeadLetterId, Delivery, DeliveryId, ExchangeReply, ExecError, Kind, Reply, Verdict};
use tidegate_io_sim::Memory;
use tidegate_ports::Resolution;

#[derive(Default)]
pub(super) struct Letters {
    handlers: Ledger<BTreeMap<DeliveryId, DeadLetterId>>,
    expected: Ledger<BTreeMap<DeadLetterId, Resolution>>,
}

impl Checker for Letters {
    fn name(&self) -> &'static str {
        "letters"
    }

    fn ledgers(&mut self) -> Vec<&mut dyn Restore> {
        vec![&mut self.handlers, &mut self.expected]
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::StoreApplied { request, reply, .. } => {
                for settlement in applied(request, reply) {
                    let id = settlement.claim.delivery;
                    let Some(letter) = self.handlers.get(&id) else { continue };
                    match settlement.verdict {
                        Verdict::Handled { .. } => _ = self.expected.insert(*letter, Resolution::Handled),
                        Verdict::HandlerFailed { .. } => _ = self.expected.insert(*letter, Resolution::HandlerFailed),
                        Verdict::Deferred { .. } => {}
                        ref other => return Err(format!("the handler {id} of {letter} ends as {}", other.name())),
                    }
                    probes.sometimes(Probe::LetterHandled, matches!(settlement.verdict, Verdict::Handled { .. }));
                    let failed = matches!(settlement.verdict, Verdict::HandlerFailed { .. });
                    probes.sometimes(Probe::LetterHandlerFailed, failed);
                }
                if let Reply::Exchange(ExchangeReply { claimed, .. }) = reply {
                    if let Some(what) = claimed.iter().find_map(|row| wrong_attempt(row, snapshot.store)) {
                        return Err(what);
                    }
                    let of = claimed.iter().filter_map(|row| Some((row.id, row.handles_letter?)));
                    self.handlers.extend(of);
                }
            }
            Observation::ExecutionStarted { delivery, .. } => {
                if let Kind::DeadLetterHandler(letter) = delivery.kind()
                    && delivery.lost > 0
                {
                    return Err(format!("the handler of {letter} is executed after a loss"));
                }
            }
            Observation::RunEnded => {
                for letter in snapshot.store.letters_after(DeadLetterId(i64::MIN)) {
                    probes.sometimes(Probe::Redriven, letter.resolution == Some(Resolution::Redriven));
                    probes.sometimes(Probe::Discarded, letter.resolution == Some(Resolution::Discarded));
                    if self.handlers.contains_key(&letter.delivery_id) {
                        return Err(format!("a handler's failure became the letter {}", letter.id));
                    }
                    let is_resolved_manually =
                        matches!(letter.resolution, Some(Resolution::Redriven | Resolution::Discarded));
                    let expected = self.expected.get(&letter.id).copied();
                    if !is_resolved_manually && letter.resolution != expected {
                        let actual = letter.resolution;
                        return Err(format!(
                            "letter {} is {actual:?}, expected {expected:?} from its handler",
                            letter.id
                        ));
                    }
                    let has_failure = letter.handler_failure.is_some();
                    if letter.resolution == Some(Resolution::HandlerFailed) && !has_failure {
                        return Err(format!("letter {} lacks the failure of its handler", letter.id));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Returns a message if the event of a dead-letter handler does not name the last attempt that
/// began.
fn wrong_attempt(handler: &Delivery, store: &Memory) -> Option<String> {
    let id = handler.handles_letter?;
    let letter = store.letters_after(DeadLetterId(id.0 - 1)).next().filter(|letter| letter.id == id)?;
    let last = letter.failed.iter().rfind(|attempt| attempt.error != ExecError::NeverBegan);
    let data: serde_json::Value = serde_json::from_str(handler.event.data.as_str()).ok()?;
    let shown = (data["error"].as_str(), data["message"].as_str());
    let expected = (last.map(|last| last.error.code()), last.map(|last| last.message.as_str()));
    (shown != expected).then(|| format!("the handler of letter {id} gets {shown:?}, expected {expected:?}"))
}
