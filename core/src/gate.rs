//! The execution gate: the only place that admits executions, async and sync alike.
//!
//! At the moment of an admission, the number of running executions never exceeds `permits`. If the
//! limits are lowered below the number of running executions, these finish, and the gate admits
//! none until a permit is free again.

use crate::config::GateLimits;

/// Counts the running executions, and admits executions while a permit is free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionGate {
    limits: GateLimits,
    running_async: u32,
    running_sync: u32,
}

/// The kind of an execution. It decides which permits the execution may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A row of the outbox. No caller waits for it. It may also use the permits of `async_reserve`.
    Async,
    /// A sync call. Its caller waits. It may also use the permits of `sync_reserve`.
    Sync,
}

impl ExecutionGate {
    /// A gate without running executions.
    #[must_use]
    pub const fn new(limits: GateLimits) -> Self {
        Self { limits, running_async: 0, running_sync: 0 }
    }

    /// Admits one execution if a permit is free for its kind. Returns whether it was admitted.
    #[must_use]
    pub fn try_admit(&mut self, caller: Caller) -> bool {
        if self.free(caller) == 0 {
            return false;
        }
        match caller {
            Caller::Async => self.running_async += 1,
            Caller::Sync => self.running_sync += 1,
        }
        true
    }

    /// Frees the permit of an admitted execution that ended.
    pub fn release(&mut self, caller: Caller) {
        let running = match caller {
            Caller::Async => &mut self.running_async,
            Caller::Sync => &mut self.running_sync,
        };
        debug_assert!(*running > 0, "a permit was released twice");
        *running = running.saturating_sub(1);
    }

    /// The number of executions of this kind that the gate would admit now.
    #[must_use]
    pub fn free(&self, caller: Caller) -> u32 {
        let all = self.limits.permits.saturating_sub(self.running());
        match caller {
            Caller::Async => all.min(self.limits.for_async().saturating_sub(self.running_async)),
            Caller::Sync => all.min(self.limits.for_sync().saturating_sub(self.running_sync)),
        }
    }

    /// The permits that async work may use now, free or not.
    pub(crate) fn async_permits(&self) -> u32 {
        self.limits.for_async().min(self.limits.permits.saturating_sub(self.running_sync))
    }

    /// The permits that sync calls may use now, free or not.
    pub(crate) fn sync_permits(&self) -> u32 {
        self.limits.for_sync().min(self.limits.permits.saturating_sub(self.running_async))
    }

    /// The number of running executions.
    #[must_use]
    pub fn running(&self) -> u32 {
        self.running_async.saturating_add(self.running_sync)
    }

    /// Whether async executions run.
    pub(crate) fn runs_async(&self) -> bool {
        self.running_async > 0
    }

    /// The limits in force.
    #[must_use]
    pub const fn limits(&self) -> GateLimits {
        self.limits
    }

    /// Replaces the limits. Running executions keep their permits.
    pub fn change(&mut self, limits: GateLimits) {
        self.limits = limits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn async_executions_leave_the_reserve_free() {
        let mut gate = ExecutionGate::new(GateLimits { permits: 4, sync_reserve: 1, async_reserve: 0 });
        let admitted: Vec<bool> = (0..4).map(|_| gate.try_admit(Caller::Async)).collect();
        assert_eq!(admitted, [true, true, true, false]);
        assert!(gate.try_admit(Caller::Sync));
        assert!(!gate.try_admit(Caller::Sync));
        gate.release(Caller::Async);
        assert!(gate.try_admit(Caller::Sync), "sync calls may use free permits outside the reserve");
        assert_eq!(gate.running(), 4);
    }

    #[test]
    fn sync_calls_leave_the_async_reserve_free() {
        let mut gate = ExecutionGate::new(GateLimits { permits: 4, sync_reserve: 1, async_reserve: 2 });
        let admitted: Vec<bool> = (0..3).map(|_| gate.try_admit(Caller::Sync)).collect();
        assert_eq!(admitted, [true, true, false]);
        assert!(gate.try_admit(Caller::Async) && gate.try_admit(Caller::Async));
        assert!(!gate.try_admit(Caller::Async), "all permits are in use");
    }

    #[test]
    fn a_lowered_limit_admits_no_execution_until_a_permit_is_free() {
        let mut gate = ExecutionGate::new(GateLimits { permits: 4, sync_reserve: 0, async_reserve: 0 });
        for _ in 0..4 {
            assert!(gate.try_admit(Caller::Async));
        }
        gate.change(GateLimits { permits: 2, sync_reserve: 0, async_reserve: 0 });
        gate.release(Caller::Async);
        gate.release(Caller::Async);
        assert!(!gate.try_admit(Caller::Async));
        gate.release(Caller::Async);
        assert!(gate.try_admit(Caller::Async));
    }

    proptest! {
        #[test]
        fn an_admission_never_exceeds_the_limits(steps in prop::collection::vec((0..5_u8, 1..20_u32, 0..20_u32, 0..20_u32), 1..200)) {
            let mut gate = ExecutionGate::new(GateLimits { permits: 5, sync_reserve: 2, async_reserve: 0 });
            let (mut of_async, mut of_sync) = (0_u32, 0_u32);
            for (step, permits, for_sync, for_async) in steps {
                match step {
                    0 | 1 => {
                        let caller = if step == 0 { Caller::Async } else { Caller::Sync };
                        if gate.try_admit(caller) {
                            if step == 0 { of_async += 1 } else { of_sync += 1 }
                            prop_assert!(of_async + of_sync <= gate.limits().permits);
                            prop_assert!(step == 1 || of_async <= gate.limits().for_async());
                            prop_assert!(step == 0 || of_sync <= gate.limits().for_sync());
                        }
                    }
                    2 if of_async > 0 => { gate.release(Caller::Async); of_async -= 1; }
                    3 if of_sync > 0 => { gate.release(Caller::Sync); of_sync -= 1; }
                    _ => {
                        let limits = GateLimits { permits, sync_reserve: for_sync.min(permits - 1), async_reserve: 0 };
                        let async_reserve = for_async.min(limits.async_reserve_max());
                        gate.change(GateLimits { async_reserve, ..limits });
                    }
                }
                prop_assert_eq!(gate.running(), of_async + of_sync);
            }
        }
    }
}
