//! The record of a run: a timeline for people, and a hash of every input and output for machines.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use tidegate_core::{ExchangeReply, Reply, Request, Settlement};

/// The part of a run that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceMode {
    /// Record nothing; the fastest mode.
    Nothing,
    Timeline,
    Hash,
}

pub(crate) struct Trace {
    mode: TraceMode,
    now: u64,
    lines: Vec<String>,
    hash: Sha256,
    text: String,
}

impl Trace {
    pub(crate) fn new(mode: TraceMode) -> Self {
        Self { mode, now: 0, lines: Vec::new(), hash: Sha256::new(), text: String::new() }
    }

    /// Sets the current time, in microseconds.
    pub(crate) fn at(&mut self, now: u64) {
        self.now = now;
    }

    /// Adds a line to the timeline.
    pub(crate) fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.mode == TraceMode::Timeline {
            self.lines.push(format!("{:>10.3} ms  {}", self.now as f64 / 1e3, what()));
        }
    }

    /// Adds the settlements and claims of a request to the timeline.
    pub(crate) fn tell_applied(&mut self, daemon: usize, request: &Request, reply: &Reply) {
        if let Request::Exchange { settle, .. } = request {
            for Settlement { claim, verdict } in settle {
                self.tell(|| format!("store: daemon {daemon} settles {claim}: {}", verdict.name()));
            }
        }
        if let Reply::Exchange(ExchangeReply { claimed, .. }) = reply {
            for row in claimed {
                let (claim, name, attempt) = (row.claim(), &row.trigger_name, row.attempt);
                self.tell(|| format!("store: daemon {daemon} claims {claim}, {name}, attempt {attempt}"));
            }
        }
    }

    /// Adds a value to the hash. It must be the same in every run of the plan.
    pub(crate) fn note(&mut self, what: &impl std::fmt::Debug) {
        if self.mode == TraceMode::Hash {
            self.text.clear();
            // Writing to a string cannot fail.
            writeln!(self.text, "{} {what:?}", self.now).ok();
            self.hash.update(&self.text);
        }
    }

    /// Returns the timeline and the hash.
    pub(crate) fn finish(self) -> (Vec<String>, String) {
        let hash = if self.mode == TraceMode::Hash { format!("{:x}", self.hash.finalize()) } else { String::new() };
        (self.lines, hash)
    }
}
