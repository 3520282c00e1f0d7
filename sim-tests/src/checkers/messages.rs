//! The message of a failed attempt is the handler's, cut between two characters so that it has at
//! most 4,096 bytes. If the handler requested a back-off that is too long, the last line says so,
//! and it is never cut.

use super::terminal::applied;
use super::{Checker, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use crate::world::long_message;
use std::collections::BTreeMap;
use tidegate_core::{Claim, Micros, Outcome, Verdict};

const BYTES_MAX: usize = 4_096;
/// Seven days in milliseconds.
const RETRY_AFTER_MS_MAX: u64 = 7 * 24 * 3_600_000;

#[derive(Default)]
pub(super) struct Messages {
    /// The message that each failed execution must leave.
    expected: BTreeMap<Claim, String>,
}

/// The message by its definition, and not by the code under test.
fn expected(message: &str, requested: Option<Micros>) -> String {
    let too_long = requested.map(|requested| requested.0 / 1_000).filter(|ms| *ms > RETRY_AFTER_MS_MAX);
    let note = too_long.map(|ms| {
        format!("\nThe handler requested a retry after {ms} ms; the most is {RETRY_AFTER_MS_MAX} ms (7 days).")
    });
    let note = note.unwrap_or_default();
    let mut kept = message.to_owned();
    while kept.len() + note.len() > BYTES_MAX {
        kept.pop();
    }
    kept + &note
}

impl Checker for Messages {
    fn name(&self) -> &'static str {
        "messages"
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, probes: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::ExecutionEnded { claim, outcome: Some(Outcome::Failed(failure)), .. } => {
                if let Some((message, requested)) = long_message(claim.delivery, &failure.message) {
                    self.expected.insert(*claim, expected(&message, requested));
                }
            }
            Observation::StoreApplied { request, reply, .. } => {
                for settlement in applied(request, reply) {
                    let (Verdict::Retry { failed, .. } | Verdict::Dead { failed: Some(failed), .. }) =
                        &settlement.verdict
                    else {
                        continue;
                    };
                    let Some(expected) = self.expected.get(&settlement.claim) else { continue };
                    probes.sometimes(Probe::LongMessage, true);
                    if failed.message != *expected {
                        return Err(format!("{} failed with {:?}, not {expected:?}", settlement.claim, failed.message));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
