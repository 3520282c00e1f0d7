//! The place where an isolate finds the host function of the execution that runs in it now.
//!
//! An isolate outlives its executions, and a script may keep an object that belongs to an earlier
//! one. So each call names its execution, and only calls of the current execution are answered.

use crate::random::Random;
use std::cell::{Cell, RefCell};

/// Answers one call of a script: takes the operation and its arguments as JSON, and returns JSON.
pub(crate) type HostFunction = Box<dyn FnMut(&str, String) -> String>;

/// The execution number that `console` and `crypto` send. Both belong to the isolate, so any
/// execution may call them.
const ANY_EXECUTION: u32 = 0;

/// The answer to a call that belongs to an earlier execution.
const EXECUTION_ENDED: &str = r#"{"error":{"code":"execution_ended","message":"this execution has ended; do not keep ctx or a part of it for a later execution"}}"#;

/// The answer to `console` while a script is only checked.
const NOT_RUNNING: &str = r#"{"ok":null}"#;

#[derive(Default)]
pub(crate) struct HostSlot {
    function: RefCell<Option<HostFunction>>,
    execution: Cell<u32>,
    random: Cell<Option<Random>>,
}

impl HostSlot {
    /// Installs the host function of a new execution. Returns the number that the calls of this
    /// execution must send.
    pub(crate) fn begin(&self, function: HostFunction) -> u32 {
        let number = self.execution.get() + 1;
        self.execution.set(number);
        *self.function.borrow_mut() = Some(function);
        // A new seed for each execution, so that its random numbers reveal nothing about those of
        // another.
        self.random.set(None);
        number
    }

    /// Removes the host function.
    pub(crate) fn end(&self) {
        self.function.borrow_mut().take();
    }

    /// The next value of `Math.random`. QuickJS would keep the generator's state in its own memory,
    /// and repeat the same numbers in each execution that starts from the same snapshot.
    pub(crate) fn random(&self) -> f64 {
        let mut random = self.random.get().unwrap_or_else(Random::new);
        let number = random.next_number();
        self.random.set(Some(random));
        number
    }

    /// Answers one call in JSON.
    pub(crate) fn call(&self, execution: u32, op: &str, request: String) -> String {
        match self.function.borrow_mut().as_mut() {
            _ if execution != ANY_EXECUTION && execution != self.execution.get() => EXECUTION_ENDED.to_owned(),
            Some(function) => function(op, request),
            None => NOT_RUNNING.to_owned(),
        }
    }
}
