//! Loads a module and finds its handler.

use crate::failure::thrown;
use crate::sources::Source;
use rquickjs::promise::{MaybePromise, PromiseState};
use rquickjs::{Ctx, Error, Function, Persistent, Value};
use tidegate_core::{ExecError, Failure};

/// The default export of an evaluated module.
pub(crate) type Handler = Persistent<Function<'static>>;

/// The reason why a module was not loaded.
pub(crate) enum LoadError {
    /// The module is wrong, and will be wrong at the next attempt too.
    Unavailable(Failure),
    /// The execution was ended, or there was no memory.
    Interrupted(Error),
}

impl From<Error> for LoadError {
    fn from(error: Error) -> Self {
        Self::Interrupted(error)
    }
}

/// Returns the handler of `source`. Loads the module if `handler` is still empty.
pub(crate) fn load_once<'l>(
    ctx: &Ctx<'_>,
    handler: &'l mut Option<Handler>,
    source: &Source,
) -> Result<&'l Handler, LoadError> {
    if handler.is_none() {
        *handler = Some(load(ctx, source)?);
    }
    handler.as_ref().ok_or(LoadError::Interrupted(Error::Unknown))
}

fn load<'js>(ctx: &Ctx<'js>, source: &Source) -> Result<Handler, LoadError> {
    let module = match source.compiled.declare(ctx, &source.name, &source.text) {
        Ok(module) => module,
        Err(error) => {
            let failure = thrown(ctx, error);
            return Err(if failure.error == ExecError::ScriptError {
                unavailable(format!("the script does not compile: {}", failure.message))
            } else {
                LoadError::Interrupted(Error::Allocation)
            });
        }
    };
    let (module, evaluated) = module.eval()?;
    if let Err(failure) = settle(ctx, &MaybePromise::from_value(evaluated.into_value()))? {
        return Err(unavailable(failure.message));
    }
    let default: Result<Value<'js>, Error> = module.get("default");
    let Some(handler) = default.ok().and_then(|value| value.into_function()) else {
        let message = "the script has no default export that is a function; \
                       write `export default async function (event, ctx) { … }`";
        return Err(unavailable(message.to_owned()));
    };
    Ok(Persistent::save(ctx, handler))
}

fn unavailable(message: String) -> LoadError {
    LoadError::Unavailable(Failure::new(ExecError::ScriptUnavailable, message))
}

/// Runs jobs until the promise is settled. The functions of the host block their thread. So a
/// promise that is pending while no job is left can never settle.
pub(crate) fn settle<'js>(ctx: &Ctx<'js>, promise: &MaybePromise<'js>) -> Result<Result<Value<'js>, Failure>, Error> {
    while promise.state() == PromiseState::Pending {
        if !ctx.execute_pending_job() {
            let message = "the handler's promise can never settle: no operation is left that could settle it";
            return Ok(Err(Failure::new(ExecError::ScriptError, message)));
        }
    }
    promise.result::<Value<'js>>().unwrap_or(Err(Error::Unknown)).map(Ok)
}
