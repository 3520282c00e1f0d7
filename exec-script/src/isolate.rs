//! One QuickJS runtime with one script loaded in it.
//!
//! An isolate runs one execution after the other, each under its own guard and with its own host. Whether it is fit for
//! another one is asked after each that succeeded; one that failed, was ended, or left jobs behind is dropped.

use crate::failure::{out_of_memory, thrown};
use crate::guard::{CpuClock, Guard};
use crate::host::Host;
use crate::limits::Limits;
use crate::load::{Handler, Unloaded, ensure, settle};
use crate::memory::Memory;
use crate::prelude::Prelude;
use crate::reply::Answer;
use crate::slot::Slot;
use crate::sources::Source;
use rquickjs::promise::MaybePromise;
use rquickjs::{Context, Ctx, Error, Runtime, Value};
use std::rc::Rc;
use std::time::Instant;
use tidegate_core::{ExecError, Failure, HandlerReply};

/// A runtime, and in it a script once one was loaded.
pub(crate) struct Isolate {
    // QuickJS wants its values dropped before their runtime, and drops fields in this order.
    handler: Option<Handler>,
    prelude: Prelude,
    slot: Rc<Slot>,
    context: Context,
    runtime: Runtime,
    memory: Memory,
    /// Whether it can be made again what it was before its script was loaded.
    is_sealed: bool,
    limits: Limits,
    made_at: Instant,
    executions: u32,
    clock: CpuClock,
}

impl Isolate {
    /// An isolate without a script.
    pub(crate) fn new(limits: &Limits) -> Result<Self, Failure> {
        Self::within(Memory::new(), limits)
    }

    /// An isolate without a script that [`Isolate::renew`] makes again what it is now.
    pub(crate) fn renewable(limits: &Limits) -> Result<Self, Failure> {
        let mut isolate = Self::within(Memory::with_ground().ok_or_else(out_of_memory)?, limits)?;
        isolate.is_sealed = !isolate.runtime.is_job_pending() && isolate.memory.seal();
        Ok(isolate)
    }

    fn within(memory: Memory, limits: &Limits) -> Result<Self, Failure> {
        let failed = |error: Error| match error {
            Error::Allocation => out_of_memory(),
            other => Failure::new(ExecError::Internal, format!("QuickJS does not start: {other}")),
        };
        let runtime = Runtime::new_with_alloc(memory.clone()).map_err(failed)?;
        runtime.set_memory_limit(limits.memory_bytes_max);
        runtime.set_max_stack_size(limits.stack_bytes_max);
        let context = Context::full(&runtime).map_err(failed)?;
        let slot: Rc<Slot> = Rc::default();
        let prelude = context.with(|ctx| Prelude::load(&ctx, &slot).map_err(|error| thrown(&ctx, error)))?;
        let (limits, made_at) = (*limits, Instant::now());
        Ok(Self {
            handler: None,
            prelude,
            slot,
            context,
            runtime,
            memory,
            is_sealed: false,
            limits,
            made_at,
            executions: 0,
            clock: CpuClock::new(),
        })
    }

    /// Runs the default export of `source` with the event and what the host offers, and reads what it returns. `source`
    /// is the same at every call. The host comes back with what was staged.
    pub(crate) fn execute(
        &mut self,
        source: &Source,
        event: &str,
        host: Host,
        guard: &Guard,
        answer: Answer,
    ) -> (Option<Host>, Result<Option<HandlerReply>, Failure>) {
        let delivery = std::sync::Arc::clone(&host.delivery);
        let number = self.slot.begin(Some(host));
        self.executions += 1;
        let result = self.guarded(guard, |ctx, handler, prelude, limits| {
            let handler = match ensure(ctx, handler, source) {
                Ok(handler) => handler,
                Err(Unloaded::Unavailable(failure)) => return Ok(Err(failure)),
                Err(Unloaded::Failed(error)) => return Err(error),
            };
            let event: Value<'_> = ctx.json_parse(event)?;
            let event = match answer {
                Answer::Response => prelude.request(ctx, event)?,
                Answer::Value | Answer::None => event,
            };
            let second = prelude.context(ctx, number, &delivery)?;
            let returned: MaybePromise<'_> = handler.clone().restore(ctx)?.call((event, second))?;
            Ok(match settle(ctx, &returned)? {
                Ok(value) => answer.read(ctx, value, limits.data_bytes_max),
                Err(failure) => Err(failure),
            })
        });
        (self.slot.end(), result)
    }

    /// Evaluates `source` as far as to see that it has a handler.
    pub(crate) fn examine(&mut self, source: &Source, guard: &Guard) -> Result<(), Failure> {
        self.guarded(guard, |ctx, handler, _, _| match ensure(ctx, handler, source) {
            Ok(_) => Ok(Ok(())),
            Err(Unloaded::Unavailable(failure)) => Ok(Err(failure)),
            Err(Unloaded::Failed(error)) => Err(error),
        })
    }

    /// Whether it may run another execution after one that succeeded.
    pub(crate) fn is_fit(&mut self) -> bool {
        // A job that is left would run in the next execution, on whose account it does not belong.
        !self.runtime.is_job_pending()
            && self.is_young()
            && (self.memory.held() <= self.limits.warm_heap_max() || {
                // Some of it may be garbage that nobody has collected yet.
                self.runtime.run_gc();
                self.memory.held() <= self.limits.warm_heap_max()
            })
    }

    /// Makes it again what it was before its script was loaded, if it can and may be used again.
    #[expect(unsafe_code, reason = "that nothing refers to what is overwritten is known here")]
    pub(crate) fn renew(mut self) -> Option<Self> {
        if !self.is_sealed || !self.is_young() {
            return None;
        }
        self.handler = None;
        // SAFETY: the handler was the only handle made since the seal, besides those within `execute`, which has
        // returned. Nothing after the seal makes a Rust function or a class, and those of the prelude cannot have been
        // freed, because the prelude's handles keep them.
        unsafe { self.memory.put_back() };
        Some(self)
    }

    fn is_young(&self) -> bool {
        self.executions < self.limits.warm_executions_max && !self.is_old()
    }

    /// Whether it was made too long ago to be used again.
    pub(crate) fn is_old(&self) -> bool {
        self.made_at.elapsed() >= self.limits.warm_age_max()
    }

    /// What it holds.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.memory.held()
    }

    fn guarded<T>(
        &mut self,
        guard: &Guard,
        work: impl for<'js> FnOnce(&Ctx<'js>, &mut Option<Handler>, &Prelude, &Limits) -> Result<Result<T, Failure>, Error>,
    ) -> Result<T, Failure> {
        let Self { handler, prelude, context, runtime, limits, clock, .. } = self;
        runtime.set_interrupt_handler(Some(Box::new(guard.watch(clock))));
        let result =
            context.with(|ctx| work(&ctx, handler, prelude, limits).unwrap_or_else(|error| Err(thrown(&ctx, error))));
        runtime.set_interrupt_handler(None);
        // A script that was ended has failed, whatever its promises say.
        guard.failure().map_or(result, Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    const LEAVES: &str = "globalThis.left = [new Uint8Array(1 << 20), {}]; Array.prototype.map.left = globalThis;
        for (let i = 0; i < 9999; i++) left.push({ i, of: 'x' + i, f: () => left });
        export default () => { Promise.resolve().then(() => left) }";

    #[test]
    fn what_is_renewed_holds_what_it_held_at_first() {
        let mut isolate = Isolate::renewable(&Limits::default()).expect("there is memory");
        assert!(isolate.is_sealed, "the ground is long enough, and no job is left of the prelude");
        let held = isolate.memory.held();
        for _ in 0..3 {
            let guard = Guard::new(Duration::from_secs(20), Duration::from_secs(20), Arc::default());
            let source = Source::new("s".to_owned(), 1, LEAVES.to_owned());
            isolate.examine(&source, &guard).expect("it has a handler");
            assert!(isolate.memory.held() > held + (2 << 20), "{} after {held}", isolate.memory.held());
            isolate.executions += 1;
            isolate = isolate.renew().expect("it is young");
            assert_eq!(isolate.memory.held(), held);
        }
        isolate.executions = isolate.limits.warm_executions_max;
        assert!(isolate.renew().is_none(), "it ran so many and no more");
    }
}
