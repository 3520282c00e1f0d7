//! The queue of outputs, and the numbers of the operations that it starts.

use crate::io::{Action, Fact, Output};
use crate::names::{Incarnation, OpId};
use crate::store::Request;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
pub(super) struct Outputs {
    incarnation: Incarnation,
    last_seq: u64,
    queue: VecDeque<Output>,
}

impl Outputs {
    pub(super) fn new(incarnation: Incarnation) -> Self {
        Self { incarnation, last_seq: 0, queue: VecDeque::new() }
    }

    /// The number of the next operation. A number is never used twice, even if its operation is not
    /// started.
    pub(super) fn next_op(&mut self) -> OpId {
        self.last_seq = self.last_seq.saturating_add(1);
        self.op(self.last_seq)
    }

    /// The operation of this incarnation with the number `seq`.
    pub(super) fn op(&self, seq: u64) -> OpId {
        OpId { incarnation: self.incarnation, seq }
    }

    pub(super) fn push_action(&mut self, action: Action) {
        self.queue.push_back(Output::Action(action));
    }

    pub(super) fn emit_fact(&mut self, fact: Fact) {
        self.queue.push_back(Output::Fact(fact));
    }

    /// Sends a request to the store. Returns the number of the operation.
    pub(super) fn call_store(&mut self, request: Request) -> u64 {
        let op = self.next_op();
        self.push_action(Action::CallStore { op, request });
        op.seq
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
