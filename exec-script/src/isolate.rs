//! One QuickJS runtime with one script loaded in it.
//!
//! An isolate runs one execution after the other, each under its own guard and with its own host. Whether it is fit for
//! another one is asked after each that succeeded; one that failed, was ended, or left jobs behind is dropped.

use crate::bytecode::Compiled;
use crate::failure::{memory, thrown};
use crate::guard::Guard;
use crate::host::Host;
use crate::limits::Limits;
use crate::reply::Answer;
use crate::slot::Slot;
use crate::sources::Source;
use rquickjs::function::Func;
use rquickjs::promise::{MaybePromise, PromiseState};
use rquickjs::{Context, Ctx, Error, Function, Object, Persistent, Runtime, Value};
use std::rc::Rc;
use std::time::Instant;
use tidegate_core::{Delivery, ExecError, Failure, HandlerReply};

const PRELUDE_SOURCE: &str = include_str!("prelude.js");
static PRELUDE: Compiled = Compiled::new();

/// The more an isolate holds, the longer it takes to count: it is counted again after one execution for each of these.
const COUNTED_BYTES: usize = 128 << 10;
/// An isolate is counted at the latest after so many executions.
const UNCOUNTED_MAX: usize = 32;

/// A runtime, and in it a script once one was loaded.
pub(crate) struct Isolate {
    // QuickJS wants its values dropped before their runtime, and drops fields in this order.
    loaded: Option<Loaded>,
    slot: Rc<Slot>,
    context: Context,
    runtime: Runtime,
    limits: Limits,
    made_at: Instant,
    executions: u32,
    heap_bytes: usize,
    uncounted: usize,
}

/// An evaluated module.
struct Loaded {
    /// Its default export.
    handler: Persistent<Function<'static>>,
    /// Makes a handler's second argument.
    ctx: Persistent<Function<'static>>,
    /// Makes an HTTP handler's first argument of its event.
    request: Persistent<Function<'static>>,
}

/// Why a module is not loaded.
enum Unloaded {
    /// What is wrong with it.
    Unavailable(Failure),
    /// Not its fault: it was ended, or there was no memory.
    Failed(Error),
}

impl From<Error> for Unloaded {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Isolate {
    /// An isolate without a script.
    pub(crate) fn new(limits: &Limits) -> Result<Self, Failure> {
        let internal = |error: Error| Failure::new(ExecError::Internal, format!("QuickJS does not start: {error}"));
        let runtime = Runtime::new().map_err(internal)?;
        runtime.set_memory_limit(limits.memory_bytes_max);
        runtime.set_max_stack_size(limits.stack_bytes_max);
        let context = Context::full(&runtime).map_err(|error| match error {
            Error::Allocation => memory(),
            other => internal(other),
        })?;
        Ok(Self {
            loaded: None,
            slot: Rc::default(),
            context,
            runtime,
            limits: *limits,
            made_at: Instant::now(),
            executions: 0,
            heap_bytes: 0,
            uncounted: 0,
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
        let result = self.guarded(guard, |ctx, loaded, slot, limits| {
            let loaded = match ensure(ctx, loaded, source, slot) {
                Ok(loaded) => loaded,
                Err(Unloaded::Unavailable(failure)) => return Ok(Err(failure)),
                Err(Unloaded::Failed(error)) => return Err(error),
            };
            let event: Value<'_> = ctx.json_parse(event)?;
            let event = match answer {
                Answer::Response => loaded.request.clone().restore(ctx)?.call((event,))?,
                Answer::Value | Answer::None => event,
            };
            let second = context_of(ctx, loaded, number, &delivery)?;
            let returned: MaybePromise<'_> = loaded.handler.clone().restore(ctx)?.call((event, second))?;
            Ok(match settle(ctx, &returned)? {
                Ok(value) => answer.read(ctx, value, limits.data_bytes_max),
                Err(failure) => Err(failure),
            })
        });
        (self.slot.end(), result)
    }

    /// Evaluates `source` as far as to see that it has a handler.
    pub(crate) fn examine(&mut self, source: &Source, guard: &Guard) -> Result<(), Failure> {
        self.guarded(guard, |ctx, loaded, slot, _| match ensure(ctx, loaded, source, slot) {
            Ok(_) => Ok(Ok(())),
            Err(Unloaded::Unavailable(failure)) => Ok(Err(failure)),
            Err(Unloaded::Failed(error)) => Err(error),
        })
    }

    /// Whether it may run another execution after one that succeeded.
    pub(crate) fn is_fit(&mut self) -> bool {
        // A job that is left would run in the next execution, on whose account it does not belong.
        !self.runtime.is_job_pending()
            && self.executions < self.limits.warm_executions_max
            && !self.is_old()
            && self.count() <= self.limits.warm_heap_max()
    }

    /// Whether it was made too long ago to be used again.
    pub(crate) fn is_old(&self) -> bool {
        self.made_at.elapsed() >= self.limits.warm_age_max()
    }

    /// What it held when it was counted last.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.heap_bytes
    }

    /// What it holds, as far as is known without counting at every execution.
    fn count(&mut self) -> usize {
        if self.executions > 1 && self.uncounted < (self.heap_bytes / COUNTED_BYTES).min(UNCOUNTED_MAX) {
            self.uncounted += 1;
            return self.heap_bytes;
        }
        self.uncounted = 0;
        self.heap_bytes = allocated(&self.runtime);
        if self.heap_bytes > self.limits.warm_heap_max() {
            // Some of it may be garbage that nobody has collected yet.
            self.runtime.run_gc();
            self.heap_bytes = allocated(&self.runtime);
        }
        self.heap_bytes
    }

    fn guarded<T>(
        &mut self,
        guard: &Guard,
        work: impl for<'js> FnOnce(&Ctx<'js>, &mut Option<Loaded>, &Rc<Slot>, &Limits) -> Result<Result<T, Failure>, Error>,
    ) -> Result<T, Failure> {
        let Self { loaded, slot, context, runtime, limits, .. } = self;
        runtime.set_interrupt_handler(Some(Box::new(guard.watch())));
        let result =
            context.with(|ctx| work(&ctx, loaded, slot, limits).unwrap_or_else(|error| Err(thrown(&ctx, error))));
        runtime.set_interrupt_handler(None);
        // A script that was ended has failed, whatever its promises say.
        guard.failure().map_or(result, Err)
    }
}

fn allocated(runtime: &Runtime) -> usize {
    usize::try_from(runtime.memory_usage().malloc_size).unwrap_or(usize::MAX)
}

fn ensure<'js, 'l>(
    ctx: &Ctx<'js>,
    loaded: &'l mut Option<Loaded>,
    source: &Source,
    slot: &Rc<Slot>,
) -> Result<&'l Loaded, Unloaded> {
    if loaded.is_none() {
        *loaded = Some(load(ctx, source, slot)?);
    }
    loaded.as_ref().ok_or(Unloaded::Failed(Error::Unknown))
}

fn load<'js>(ctx: &Ctx<'js>, source: &Source, slot: &Rc<Slot>) -> Result<Loaded, Unloaded> {
    let slot = Rc::clone(slot);
    let call = Func::from(move |execution: u32, op: String, request: String| slot.call(execution, &op, &request));
    let (prelude, _) = PRELUDE.declare(ctx, "prelude", PRELUDE_SOURCE)?.eval()?;
    let made: Object<'js> = prelude.get::<_, Function<'js>>("default")?.call((call,))?;
    let module = match source.compiled.declare(ctx, &source.name, &source.text) {
        Ok(module) => module,
        Err(error) => {
            let failure = thrown(ctx, error);
            return Err(if failure.error == ExecError::ScriptError {
                unavailable(format!("does not compile: {}", failure.message))
            } else {
                Unloaded::Failed(Error::Allocation)
            });
        }
    };
    let (module, evaluated) = module.eval()?;
    if let Err(failure) = settle(ctx, &MaybePromise::from_value(evaluated.into_value()))? {
        return Err(unavailable(failure.message));
    }
    let default: Result<Value<'js>, Error> = module.get("default");
    let Some(handler) = default.ok().and_then(|value| value.into_function()) else {
        return Err(unavailable("has no default export that is a function".to_owned()));
    };
    Ok(Loaded {
        handler: Persistent::save(ctx, handler),
        ctx: Persistent::save(ctx, made.get::<_, Function<'js>>("ctx")?),
        request: Persistent::save(ctx, made.get::<_, Function<'js>>("request")?),
    })
}

fn unavailable(message: String) -> Unloaded {
    Unloaded::Unavailable(Failure::new(ExecError::ScriptUnavailable, message))
}

/// A handler's second argument.
fn context_of<'js>(ctx: &Ctx<'js>, loaded: &Loaded, number: u32, delivery: &Delivery) -> Result<Value<'js>, Error> {
    let info = Object::new(ctx.clone())?;
    info.set("app", delivery.event.app.as_str())?;
    info.set("trigger", delivery.trigger_name.as_str())?;
    info.set("attempt", delivery.attempt)?;
    info.set("maxAttempts", delivery.policy.max_attempts())?;
    info.set("idempotencyKey", delivery.idempotency_key())?;
    info.set("fencingToken", delivery.lease.0 as f64)?;
    info.set("executionId", delivery.claim().to_string())?;
    loaded.ctx.clone().restore(ctx)?.call((number, info))
}

/// Runs jobs until the promise is settled. The host's calls block, so a promise that is pending with no job left can
/// never settle.
fn settle<'js>(ctx: &Ctx<'js>, promise: &MaybePromise<'js>) -> Result<Result<Value<'js>, Failure>, Error> {
    while promise.state() == PromiseState::Pending {
        if !ctx.execute_pending_job() {
            let message = "the handler's promise can never settle: nothing that it waits for is pending";
            return Ok(Err(Failure::new(ExecError::ScriptError, message)));
        }
    }
    promise.result::<Value<'js>>().unwrap_or(Err(Error::Unknown)).map(Ok)
}
