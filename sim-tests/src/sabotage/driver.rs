//! Bugs in the driver: the link between a dispatcher and its ports. Only tier 2 has a driver.

use super::Bug;
use std::collections::VecDeque;
use tidegate_core::{Action, Fate, Input, Micros, Mono, OpId};

/// A bug affects one input of so many.
const ONE_OF: u64 = 5;

impl Bug {
    /// The input that a driver with the bug hands over. `None` if the driver loses the input.
    /// `nth` counts the inputs of the dispatcher.
    pub(crate) fn link_input(self, nth: u64, mut input: Input) -> Option<Input> {
        if let (Self::FateChanged, Input::StoreAnswered { result: Err(error), .. }) = (self, &mut input) {
            error.fate = Fate::NotApplied;
        }
        let is_lost = match (self, &input) {
            (Self::AnswerDropped, Input::StoreAnswered { .. })
            | (Self::OutcomeDropped, Input::ExecutionEnded { .. })
            | (Self::WakeUpLost, Input::WakeUp { .. })
            | (Self::InlineBatchLost, Input::InlineClaim { .. })
            | (Self::CallLost, Input::SyncCalled { .. }) => nth.is_multiple_of(ONE_OF),
            (Self::ShutdownIgnored, Input::ShutdownRequested) => true,
            _ => false,
        };
        (!is_lost).then_some(input)
    }

    /// The actions that a driver with the bug performs. `running` lists the executions.
    pub(crate) fn link_actions(self, action: Action, running: &[OpId]) -> VecDeque<Action> {
        match (self, &action) {
            (Self::ActionForgotten, Action::Execute { op, .. }) if op.seq.is_multiple_of(ONE_OF) => VecDeque::new(),
            (Self::CancelIgnored, Action::Cancel { .. }) => VecDeque::new(),
            (Self::CancelsAnother, Action::Cancel { .. }) => {
                let another = running.first().map(|op| Action::Cancel { op: *op });
                [action].into_iter().chain(another).collect()
            }
            _ => VecDeque::from([action]),
        }
    }

    /// The time at which a driver with the bug fires a timer.
    pub(crate) fn link_timer(self, wake_at: Option<Mono>) -> Option<Mono> {
        match self {
            Self::TimerLate => wake_at.map(|at| at.plus(Micros::from_millis(200))),
            _ => wake_at,
        }
    }
}
