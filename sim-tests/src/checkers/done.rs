//! A delivery is done only after a success under the claim that was executed, with the effects that
//! the handler staged. It is retried only after a failure.

use super::terminal::applied;
use super::{Checker, Observation, Snapshot};
use crate::probes::Probes;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{Claim, Effects, Incarnation, Outcome, Verdict};

#[derive(Default)]
pub(super) struct Done {
    executed_claims: BTreeSet<(Incarnation, Claim)>,
    /// Sync claims whose execution was applied. Applying it again changes nothing.
    applied_calls: BTreeSet<Claim>,
    /// The last success of each claim, by the life that executed it.
    successes: BTreeMap<(Incarnation, Claim), Effects>,
    /// Its earlier successes, which conflicted. After a restore, a late request may apply one.
    conflicted: BTreeMap<(Incarnation, Claim), Vec<Effects>>,
}

impl Checker for Done {
    fn name(&self) -> &'static str {
        "done"
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        _: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::ExecutionStarted { op, delivery, .. } => {
                let key = (op.incarnation, delivery.claim());
                self.executed_claims.insert(key);
                if let Some(effects) = self.successes.remove(&key) {
                    self.conflicted.entry(key).or_default().push(effects);
                }
            }
            Observation::ExecutionEnded { op, claim, outcome: Some(Outcome::Succeeded { effects, .. }) } => {
                self.successes.insert((op.incarnation, *claim), effects.clone());
            }
            Observation::StoreApplied { op, request, reply, .. } => {
                for settlement in applied(request, reply) {
                    let claim = settlement.claim;
                    let key = (op.incarnation, claim);
                    let is_call = matches!(settlement.verdict, Verdict::Executed { .. });
                    if is_call && !self.applied_calls.insert(claim) {
                        continue;
                    }
                    let staged = match &settlement.verdict {
                        Verdict::Done { effects } | Verdict::Handled { effects } => Some(effects),
                        Verdict::Executed { effects, outcome, .. } if outcome.error.is_none() => Some(effects),
                        Verdict::Executed { effects, .. } if !effects.is_empty() => {
                            return Err(format!("{claim} failed, and its effects were applied"));
                        }
                        Verdict::Retry { .. } if !self.executed_claims.contains(&key) => {
                            return Err(format!("{claim} failed without being executed"));
                        }
                        Verdict::Retry { .. } => None,
                        _ => None,
                    };
                    let was_staged = |effects: &Effects| {
                        self.successes.get(&key) == Some(effects)
                            || snapshot.is_restored
                                && self.conflicted.get(&key).is_some_and(|earlier| earlier.contains(effects))
                    };
                    if staged.is_some_and(|effects| !was_staged(effects)) {
                        return Err(format!("{claim} is {} without a matching success", settlement.verdict.name()));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
