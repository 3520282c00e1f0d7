//! Loads a module and finds its handler.

use crate::scope::Scope;
use crate::sources::Source;
use rquickjs::{Error, Function, Persistent, Value};
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
    scope: &Scope<'_, '_>,
    handler: &'l mut Option<Handler>,
    source: &Source,
) -> Result<&'l Handler, LoadError> {
    if handler.is_none() {
        *handler = Some(load(scope, source)?);
    }
    handler.as_ref().ok_or(LoadError::Interrupted(Error::Unknown))
}

fn load<'js>(scope: &Scope<'_, 'js>, source: &Source) -> Result<Handler, LoadError> {
    let ctx = &scope.ctx;
    let module = match source.compiled.declare(ctx, &source.name, &source.text) {
        Ok(module) => module,
        Err(error) => {
            let failure = scope.failure(error);
            return Err(if failure.error == ExecError::ScriptError {
                unavailable(format!("the script does not compile: {}", failure.message))
            } else {
                LoadError::Interrupted(Error::Allocation)
            });
        }
    };
    let (module, evaluated) = module.eval()?;
    if let Err(failure) = scope.settle(evaluated.into_value())? {
        return Err(unavailable(failure.message));
    }
    let default: Value<'js> = module.get("default").unwrap_or_else(|_| Value::new_undefined(ctx.clone()));
    if let Some(reason) = scope.prelude.refuse_handler(ctx, default.clone())? {
        return Err(unavailable(reason));
    }
    let handler: Function<'js> = default.into_function().ok_or(Error::Unknown)?;
    Ok(Persistent::save(ctx, handler))
}

fn unavailable(message: String) -> LoadError {
    LoadError::Unavailable(Failure::new(ExecError::ScriptUnavailable, message))
}
