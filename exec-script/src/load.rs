//! From a module to its handler.

use crate::failure::thrown;
use crate::sources::Source;
use rquickjs::promise::{MaybePromise, PromiseState};
use rquickjs::{Ctx, Error, Function, Persistent, Value};
use tidegate_core::{ExecError, Failure};

/// The default export of an evaluated module.
pub(crate) type Handler = Persistent<Function<'static>>;

/// Why a module is not loaded.
pub(crate) enum Unloaded {
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

/// The handler of `source`, which is loaded if it was not before.
pub(crate) fn ensure<'l>(
    ctx: &Ctx<'_>,
    handler: &'l mut Option<Handler>,
    source: &Source,
) -> Result<&'l Handler, Unloaded> {
    if handler.is_none() {
        *handler = Some(load(ctx, source)?);
    }
    handler.as_ref().ok_or(Unloaded::Failed(Error::Unknown))
}

fn load<'js>(ctx: &Ctx<'js>, source: &Source) -> Result<Handler, Unloaded> {
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
    Ok(Persistent::save(ctx, handler))
}

fn unavailable(message: String) -> Unloaded {
    Unloaded::Unavailable(Failure::new(ExecError::ScriptUnavailable, message))
}

/// Runs jobs until the promise is settled. The host's calls block, so a promise that is pending with no job left can
/// never settle.
pub(crate) fn settle<'js>(ctx: &Ctx<'js>, promise: &MaybePromise<'js>) -> Result<Result<Value<'js>, Failure>, Error> {
    while promise.state() == PromiseState::Pending {
        if !ctx.execute_pending_job() {
            let message = "the handler's promise can never settle: nothing that it waits for is pending";
            return Ok(Err(Failure::new(ExecError::ScriptError, message)));
        }
    }
    promise.result::<Value<'js>>().unwrap_or(Err(Error::Unknown)).map(Ok)
}
