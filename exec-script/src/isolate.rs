//! One QuickJS runtime for one execution, and the guard that ends it.

use crate::failure::{memory, thrown};
use crate::host::Host;
use crate::limits::Limits;
use crate::reply::Answer;
use rquickjs::function::Func;
use rquickjs::promise::{MaybePromise, PromiseState};
use rquickjs::{Context, Ctx, Error, Function, Module, Object, Runtime, Value};
use rustix::time::{ClockId, clock_gettime};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};
use tidegate_core::{ExecError, Failure, HandlerReply};

const PRELUDE: &str = include_str!("prelude.js");

/// When a script has to end, looked at by QuickJS every so often. What it throws then cannot be caught.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) deadline: Instant,
    pub(crate) timeout: Duration,
    pub(crate) cpu_max: Duration,
    pub(crate) cancelled: Arc<AtomicBool>,
    reason: Arc<AtomicU8>,
}

const RUNS: u8 = 0;
const TIMED_OUT: u8 = 1;
const CPU_USED_UP: u8 = 2;
const CANCELLED: u8 = 3;

impl Guard {
    pub(crate) fn new(timeout: Duration, cpu_max: Duration, cancelled: Arc<AtomicBool>) -> Self {
        let deadline = Instant::now() + timeout;
        Self { deadline, timeout, cpu_max, cancelled, reason: Arc::new(AtomicU8::new(RUNS)) }
    }

    /// Whether the script has to end now.
    fn is_over(&self, cpu_began: Duration) -> bool {
        let reason = if self.cancelled.load(Ordering::Relaxed) {
            CANCELLED
        } else if Instant::now() >= self.deadline {
            TIMED_OUT
        } else if cpu_time().saturating_sub(cpu_began) >= self.cpu_max {
            CPU_USED_UP
        } else {
            return false;
        };
        self.reason.store(reason, Ordering::Relaxed);
        true
    }

    /// Why the script was ended, if it was.
    fn failure(&self) -> Option<Failure> {
        match self.reason.load(Ordering::Relaxed) {
            TIMED_OUT => Some(timed_out(self.timeout)),
            CPU_USED_UP => Some(Failure::new(
                ExecError::ResourceLimit,
                format!("the script used more CPU than scripts.cpu_ms_max allows ({} ms)", self.cpu_max.as_millis()),
            )),
            CANCELLED => Some(Failure::new(ExecError::Lost, "the execution was cancelled")),
            _ => None,
        }
    }
}

pub(crate) fn timed_out(timeout: Duration) -> Failure {
    Failure::new(ExecError::Timeout, format!("ran past its timeout_ms of {} ms", timeout.as_millis()))
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// A module that was evaluated.
enum Loaded<'js> {
    /// Its default export, and what makes its arguments.
    Handler { handler: Function<'js>, prelude: Object<'js> },
    /// What is wrong with it.
    Unavailable(String),
}

/// Runs the default export of `source` with the event and what the host offers, and reads what it returns.
pub(crate) fn run(
    name: &str,
    source: &str,
    event: &str,
    info: &str,
    host: &Rc<RefCell<Host>>,
    guard: &Guard,
    answer: Answer,
) -> Result<Option<HandlerReply>, Failure> {
    let limits = host.borrow().limits;
    isolated(&limits, guard, |ctx| {
        let (handler, prelude) = match load(ctx, name, source, Some(host))? {
            Loaded::Handler { handler, prelude } => (handler, prelude),
            Loaded::Unavailable(message) => return Ok(Err(Failure::new(ExecError::ScriptUnavailable, message))),
        };
        let make = |what, of: &str| -> Result<Value<'_>, Error> {
            prelude.get::<_, Function<'_>>(what)?.call((ctx.json_parse(of)?,))
        };
        let event = if answer == Answer::Response { make("request", event)? } else { ctx.json_parse(event)? };
        let returned: MaybePromise<'_> = handler.call((event, make("ctx", info)?))?;
        Ok(match settle(ctx, &returned)? {
            Ok(value) => answer.read(ctx, value, limits.data_bytes_max),
            Err(failure) => Err(failure),
        })
    })
}

/// Evaluates `source` as far as to see that it has a handler.
pub(crate) fn examine(name: &str, source: &str, limits: &Limits, guard: &Guard) -> Result<(), Failure> {
    isolated(limits, guard, |ctx| {
        Ok(match load(ctx, name, source, None)? {
            Loaded::Handler { .. } => Ok(()),
            Loaded::Unavailable(message) => Err(Failure::new(ExecError::ScriptUnavailable, message)),
        })
    })
}

fn isolated<T>(
    limits: &Limits,
    guard: &Guard,
    work: impl for<'js> FnOnce(&Ctx<'js>) -> Result<Result<T, Failure>, Error>,
) -> Result<T, Failure> {
    let internal = |error: Error| Failure::new(ExecError::Internal, format!("QuickJS does not start: {error}"));
    let runtime = Runtime::new().map_err(internal)?;
    runtime.set_memory_limit(limits.memory_bytes_max);
    runtime.set_max_stack_size(limits.stack_bytes_max);
    let (watch, cpu_began) = (guard.clone(), cpu_time());
    runtime.set_interrupt_handler(Some(Box::new(move || watch.is_over(cpu_began))));
    let context = Context::full(&runtime).map_err(|error| match error {
        Error::Allocation => memory(),
        other => internal(other),
    })?;
    let result = context.with(|ctx| work(&ctx).unwrap_or_else(|error| Err(thrown(&ctx, error))));
    // A script that was ended has failed, whatever its promises say.
    guard.failure().map_or(result, Err)
}

fn load<'js>(ctx: &Ctx<'js>, name: &str, source: &str, host: Option<&Rc<RefCell<Host>>>) -> Result<Loaded<'js>, Error> {
    let host = host.map(Rc::clone);
    let call = Func::from(move |op: String, request: String| match &host {
        Some(host) => host.borrow_mut().call(&op, &request),
        None => NOT_YET.to_owned(),
    });
    let prelude: Function<'js> = ctx.eval(PRELUDE)?;
    let prelude: Object<'js> = prelude.call((call,))?;
    let module = match Module::declare(ctx.clone(), name, source) {
        Ok(module) => module,
        Err(error) => return unavailable(ctx, "does not compile", error),
    };
    let (module, evaluated) = module.eval()?;
    if let Err(failure) = settle(ctx, &MaybePromise::from_value(evaluated.into_value()))? {
        return Ok(Loaded::Unavailable(failure.message));
    }
    let default: Result<Value<'js>, Error> = module.get("default");
    Ok(match default.ok().and_then(|value| value.into_function()) {
        Some(handler) => Loaded::Handler { handler, prelude },
        None => Loaded::Unavailable("has no default export that is a function".to_owned()),
    })
}

/// What `console` gets while a script is only examined.
const NOT_YET: &str = r#"{"ok":null}"#;

fn unavailable<'js>(ctx: &Ctx<'js>, what: &str, error: Error) -> Result<Loaded<'js>, Error> {
    let failure = thrown(ctx, error);
    if failure.error == ExecError::ScriptError {
        Ok(Loaded::Unavailable(format!("{what}: {}", failure.message)))
    } else {
        Err(Error::Allocation)
    }
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
