//! The state of a daemon, as the checkers and the faults see it.

use super::clock::SkewedClock;
use crate::plan::{CallFault, CrashPoint, HandlerFault, Settings, StoreFault, Version};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tidegate_core::{Claim, InboxId, OpId, Request};

/// A daemon and its current life.
pub(super) struct DaemonState {
    pub(super) life: u64,
    pub(super) is_alive: bool,
    /// The settings of the next lives.
    pub(super) settings: Settings,
    /// The version of the current life.
    pub(super) version: Version,
    pub(super) clock: Option<SkewedClock>,
    /// The faults of the next store calls.
    pub(super) store_faults: VecDeque<StoreFault>,
    /// The faults of particular store calls, by the number of the call.
    pub(super) call_faults: BTreeMap<u64, CallFault>,
    /// The number of store calls in all lives.
    pub(super) calls: u64,
    /// The faults of the next executions.
    pub(super) handler_faults: VecDeque<HandlerFault>,
    /// The point of the next crash, and the downtime after it.
    pub(super) next_crash: Option<(CrashPoint, u64)>,
    pub(super) deaf_until: u64,
    pub(super) cut_until: u64,
    /// Until this time the executor starts no handler.
    pub(super) full_until: u64,
    pub(super) running: BTreeMap<OpId, Claim>,
    /// Actions whose port is not called yet.
    pub(super) store_calls: Vec<(OpId, Request)>,
    pub(super) executions: Vec<(OpId, Claim)>,
    pub(super) replies: Vec<(OpId, InboxId)>,
    /// Exchanges with settlements that were applied.
    pub(super) settling_ops: BTreeSet<OpId>,
    /// Store calls whose answer arrives a second time.
    pub(super) ops_answered_twice: BTreeSet<OpId>,
}

impl DaemonState {
    pub(super) fn before_first_life(settings: Settings) -> Self {
        Self {
            life: 0,
            is_alive: false,
            settings,
            version: settings.version,
            clock: None,
            store_faults: VecDeque::new(),
            call_faults: BTreeMap::new(),
            calls: 0,
            handler_faults: VecDeque::new(),
            next_crash: None,
            deaf_until: 0,
            cut_until: 0,
            full_until: 0,
            running: BTreeMap::new(),
            store_calls: Vec::new(),
            executions: Vec::new(),
            replies: Vec::new(),
            settling_ops: BTreeSet::new(),
            ops_answered_twice: BTreeSet::new(),
        }
    }

    /// Ends the current life.
    pub(super) fn forget_life(&mut self) {
        self.is_alive = false;
        self.clock = None;
        self.next_crash = None;
        self.store_calls.clear();
        self.executions.clear();
        self.replies.clear();
        self.settling_ops.clear();
        self.ops_answered_twice.clear();
    }
}
