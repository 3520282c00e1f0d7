//! The faults that planted bugs need. A bug that shows only with a kind of fault proves that the
//! simulation plays this fault.

use super::Bug;
use crate::plan::{Fault, Plan, Step, TriggerChange, Version};

impl Bug {
    /// The plan without the kind of fault that the bug needs. `None` if the bug needs no certain
    /// kind.
    #[must_use]
    pub fn without_its_fault(self, plan: &Plan) -> Option<Plan> {
        let mut plan = plan.clone();
        let is_change = |step: &Step, is_needed: fn(&TriggerChange) -> bool| matches!(step, Step::Deploy { change, .. } if is_needed(change));
        match self {
            Self::NumbersRepeat => plan.faults.retain(|(_, fault)| !matches!(fault, Fault::Restore { .. })),
            Self::TimesNotMoved => {
                plan.faults.retain(|(_, fault)| !matches!(fault, Fault::StoreClock { by } if *by < 0));
            }
            Self::OutageFreesRows => plan.faults.retain(|(_, fault)| !matches!(fault, Fault::Outage { .. })),
            Self::PoisonForgiven => plan.steps.retain(|(_, step)| !matches!(step, Step::Poison { .. })),
            Self::PreviousFindsNothing => {
                plan.settings.version = Version::Current;
                for (_, fault) in &mut plan.faults {
                    if let Fault::Rollout { settings, .. } = fault {
                        settings.version = Version::Current;
                    }
                }
            }
            Self::DeployFreesRows => plan.steps.retain(|(_, step)| !is_change(step, |_| true)),
            Self::DisabledLosesRows => {
                plan.steps.retain(|(_, step)| !is_change(step, |one| matches!(one, TriggerChange::Disabled(_))));
            }
            Self::DeletedWaits => {
                plan.steps.retain(|(_, step)| !is_change(step, |one| matches!(one, TriggerChange::Deleted(_))));
            }
            Self::ChangedPolicy => {
                plan.steps.retain(|(_, step)| !is_change(step, |one| matches!(one, TriggerChange::Changed(_))));
            }
            Self::LimitForgetsHeld => {
                plan.steps.retain(|(_, step)| !is_change(step, |one| matches!(one, TriggerChange::Limit(_))));
            }
            _ => return None,
        }
        Some(plan)
    }
}
