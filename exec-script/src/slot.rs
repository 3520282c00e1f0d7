//! Where an isolate finds the host of the execution that runs in it now.
//!
//! An isolate outlives its executions, and a script may keep what one of them was given. Each call says for which
//! execution it is; only the one that runs now is answered.

use crate::host::Host;
use crate::random::Random;
use std::cell::{Cell, RefCell};

/// What `console` and `crypto` say: they belong to the isolate, and so to whichever execution runs.
const ANY: u32 = 0;

#[derive(Default)]
pub(crate) struct Slot {
    host: RefCell<Option<Host>>,
    execution: Cell<u32>,
    random: Cell<Option<Random>>,
}

impl Slot {
    /// Lets `host` answer from now on; the number by which its execution calls it.
    pub(crate) fn begin(&self, host: Option<Host>) -> u32 {
        let number = self.execution.get() + 1;
        self.execution.set(number);
        *self.host.borrow_mut() = host;
        // What one execution drew tells nothing about what another one draws.
        self.random.set(None);
        number
    }

    /// Nobody answers any more. The host, with what was staged.
    pub(crate) fn end(&self) -> Option<Host> {
        self.host.borrow_mut().take()
    }

    /// What `Math.random` answers. QuickJS would draw from a state within its own memory, and repeat itself in each
    /// execution that begins from the same memory.
    pub(crate) fn random(&self) -> f64 {
        let mut random = self.random.get().unwrap_or_else(Random::new);
        let drawn = random.draw();
        self.random.set(Some(random));
        drawn
    }

    /// Answers one call in JSON.
    pub(crate) fn call(&self, execution: u32, op: &str, request: &str) -> String {
        match self.host.borrow_mut().as_mut() {
            _ if execution != ANY && execution != self.execution.get() => ENDED.to_owned(),
            Some(host) => host.call(op, request),
            None => NOT_YET.to_owned(),
        }
    }
}

/// What the host functions of an earlier execution are answered.
const ENDED: &str = r#"{"error":{"code":"execution_ended","message":"this execution has ended; ctx and what belongs to it must not be kept for a later one"}}"#;

/// What `console` gets while a script is only examined.
const NOT_YET: &str = r#"{"ok":null}"#;
