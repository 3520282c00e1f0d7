//! One QuickJS runtime with one script loaded in it.
//!
//! An isolate runs executions one after the other, each with its own guard and its own host
//! function. After an execution that succeeded, [`Isolate::may_run_again`] decides whether it may
//! run another one. After an execution that failed, was ended early, or left jobs behind, the
//! isolate is dropped.

use crate::failure::{out_of_memory, thrown};
use crate::guard::{CpuClock, Guard};
use crate::host_slot::{HostFunction, HostSlot};
use crate::limits::Limits;
use crate::load::{Handler, load_once};
use crate::memory::Memory;
use crate::prelude::Prelude;
use crate::rejections::Rejections;
use crate::reply::ReplyKind;
use crate::scope::Scope;
use crate::sources::Source;
use rquickjs::{Context, Error, Runtime, Value};
use std::rc::Rc;
use std::time::Instant;
use tidegate_core::{Delivery, ExecError, Failure, HandlerReply};

/// A runtime. It has no script until the first execution loads one.
pub(crate) struct Isolate {
    // QuickJS values must be dropped before their runtime, and Rust drops fields in this order.
    handler: Option<Handler>,
    prelude: Prelude,
    rejections: Rejections,
    slot: Rc<HostSlot>,
    context: Context,
    runtime: Runtime,
    memory: Memory,
    has_snapshot: bool,
    limits: Limits,
    created_at: Instant,
    executions: u32,
    clock: CpuClock,
}

/// One call of a handler.
pub(crate) struct HandlerCall<'c> {
    /// The script. It must be the same in every call of an isolate.
    pub(crate) source: &'c Source,
    pub(crate) delivery: &'c Delivery,
    /// The first argument, as JSON.
    pub(crate) event: &'c str,
    pub(crate) reply_kind: ReplyKind,
}

impl Isolate {
    /// An isolate without a script.
    pub(crate) fn new(limits: &Limits) -> Result<Self, Failure> {
        Self::with_memory(Memory::new(limits.memory_bytes_max), limits)
    }

    /// An isolate without a script that [`Isolate::restore`] brings back to this state.
    pub(crate) fn restorable(limits: &Limits) -> Result<Self, Failure> {
        let memory = Memory::with_arena(limits.memory_bytes_max).ok_or_else(out_of_memory)?;
        let mut isolate = Self::with_memory(memory, limits)?;
        isolate.has_snapshot = !isolate.runtime.is_job_pending() && isolate.memory.take_snapshot();
        Ok(isolate)
    }

    fn with_memory(memory: Memory, limits: &Limits) -> Result<Self, Failure> {
        let failed = |error: Error| match error {
            Error::Allocation => out_of_memory(),
            other => Failure::new(ExecError::Internal, format!("QuickJS does not start: {other}")),
        };
        let runtime = Runtime::new_with_alloc(memory.clone()).map_err(failed)?;
        runtime.set_max_stack_size(limits.stack_bytes_max);
        let context = Context::full(&runtime).map_err(failed)?;
        let slot: Rc<HostSlot> = Rc::default();
        let prelude = context.with(|ctx| Prelude::load(&ctx, &slot).map_err(|error| thrown(&ctx, &memory, error)))?;
        let rejections = Rejections::of(&runtime);
        let (limits, created_at) = (*limits, Instant::now());
        Ok(Self {
            handler: None,
            prelude,
            rejections,
            slot,
            context,
            runtime,
            memory,
            has_snapshot: false,
            limits,
            created_at,
            executions: 0,
            clock: CpuClock::new(),
        })
    }

    /// Calls the default export of the script, and reads its return value. `host` answers the calls
    /// that the script makes.
    pub(crate) fn execute(
        &mut self,
        call: &HandlerCall<'_>,
        host: HostFunction,
        guard: &Guard,
    ) -> Result<Option<HandlerReply>, Failure> {
        let execution = self.slot.begin(host);
        self.executions += 1;
        let result = self.run_guarded(guard, |scope, handler| {
            let handler = match load_once(scope, handler, call.source) {
                Ok(handler) => handler,
                Err(failure) => return Ok(Err(failure)),
            };
            let (ctx, prelude) = (&scope.ctx, scope.prelude);
            let event: Value<'_> = ctx.json_parse(call.event)?;
            let event = match call.reply_kind {
                ReplyKind::Response => prelude.request(ctx, event)?,
                ReplyKind::Value | ReplyKind::None => event,
            };
            let context = prelude.context(ctx, execution, call.delivery)?;
            let returned: Value<'_> = handler.clone().restore(ctx)?.call((event, context))?;
            let result = match scope.settle(returned)? {
                Ok(result) => result,
                Err(failure) => return Ok(Err(failure)),
            };
            if let Err(failure) = scope.check_result(&result)? {
                return Ok(Err(failure));
            }
            let reply = call.reply_kind.read(scope, result);
            // Reading the result can call the script, which can start more work.
            Ok(scope.finish()?.and(reply))
        });
        self.slot.end();
        result
    }

    /// Loads `source` and checks that it has a handler, without calling the handler.
    pub(crate) fn check(&mut self, source: &Source, guard: &Guard) -> Result<(), Failure> {
        self.run_guarded(guard, |scope, handler| Ok(load_once(scope, handler, source).map(|_| ())))
    }

    /// Whether the isolate may run another execution after one that succeeded.
    pub(crate) fn may_run_again(&mut self) -> bool {
        // A job that is still pending would run in the next execution, and count against the limits
        // of that execution.
        !self.runtime.is_job_pending()
            && self.is_within_limits()
            && (self.memory.bytes() <= self.limits.warm_heap_max() || {
                // Some of the bytes may be garbage that was not collected yet.
                self.runtime.run_gc();
                self.memory.bytes() <= self.limits.warm_heap_max()
            })
    }

    /// Restores the isolate to the state before its script was loaded. Returns `None` if it has no
    /// snapshot or may not be used again.
    #[expect(unsafe_code, reason = "only the isolate knows that nothing refers to the memory that is overwritten")]
    pub(crate) fn restore(mut self) -> Option<Self> {
        if !self.has_snapshot || !self.is_within_limits() {
            return None;
        }
        self.handler = None;
        // SAFETY: `execute` has returned, so the handles that it made are gone, and the handler was
        // the only other handle made since the snapshot. No code after the snapshot makes a Rust
        // function or a class. Those of the prelude still exist, because the prelude holds handles
        // to them.
        unsafe { self.memory.restore() };
        Some(self)
    }

    fn is_within_limits(&self) -> bool {
        self.executions < self.limits.warm_executions_max && !self.is_old()
    }

    /// Whether the isolate has reached `scripts.warm_age_ms_max`.
    pub(crate) fn is_old(&self) -> bool {
        self.created_at.elapsed() >= self.limits.warm_age_max()
    }

    /// The memory of the isolate. The host counts the bytes that it holds for an execution there.
    pub(crate) fn memory(&self) -> Memory {
        self.memory.clone()
    }

    /// The bytes that the isolate holds, including garbage.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.memory.bytes()
    }

    fn run_guarded<T>(
        &mut self,
        guard: &Guard,
        work: impl FnOnce(&Scope<'_, '_>, &mut Option<Handler>) -> Result<Result<T, Failure>, Error>,
    ) -> Result<T, Failure> {
        let Self { handler, prelude, rejections, context, runtime, memory, limits, clock, .. } = self;
        runtime.set_interrupt_handler(Some(Box::new(guard.interrupt_handler(clock))));
        memory.begin();
        let result = context.with(|ctx| {
            let scope = Scope { ctx, prelude, memory, rejections, guard, limits };
            let result = work(&scope, handler).unwrap_or_else(|error| Err(scope.failure(error)));
            rejections.clear();
            result
        });
        runtime.set_interrupt_handler(None);
        // An execution that the guard ended has failed, even if its promise was fulfilled.
        guard.failure().map_or(result, Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    const CHANGES_EVERYTHING: &str = "globalThis.left = [new Uint8Array(1 << 20), {}];
        Array.prototype.map.left = globalThis;
        for (let i = 0; i < 9999; i++) left.push({ i, of: 'x' + i, f: () => left });
        export default () => { Promise.resolve().then(() => left) }";

    #[test]
    fn a_restored_isolate_holds_as_many_bytes_as_before() {
        let mut isolate = Isolate::restorable(&Limits::default()).expect("there is memory");
        assert!(isolate.has_snapshot, "the prelude fits into the arena and leaves no job pending");
        let bytes = isolate.memory.bytes();
        for _ in 0..3 {
            let guard = Guard::new(Duration::from_secs(20), Duration::from_secs(20), Arc::default());
            let source = Source::new("s".to_owned(), 1, CHANGES_EVERYTHING.to_owned());
            isolate.check(&source, &guard).expect("the script has a handler");
            assert!(isolate.memory.bytes() > bytes + (2 << 20), "{} after {bytes}", isolate.memory.bytes());
            isolate.executions += 1;
            isolate = isolate.restore().expect("the isolate is within its limits");
            assert_eq!(isolate.memory.bytes(), bytes);
        }
        isolate.executions = isolate.limits.warm_executions_max;
        assert!(isolate.restore().is_none(), "it has run warm_executions_max executions");
    }
}
