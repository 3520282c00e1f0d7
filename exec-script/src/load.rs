//! Loads a module and finds its handler.

use crate::scope::Scope;
use crate::sources::Source;
use rquickjs::{Error, Function, Persistent, Value};
use tidegate_core::{ExecError, Failure};

/// The default export of an evaluated module.
pub(crate) type Handler = Persistent<Function<'static>>;

/// Returns the handler of `source`. Loads the module if `handler` is still empty.
pub(crate) fn load_once<'l>(
    scope: &Scope<'_, '_>,
    handler: &'l mut Option<Handler>,
    source: &Source,
) -> Result<&'l Handler, Failure> {
    let loaded = match handler.take() {
        Some(loaded) => loaded,
        None => load(scope, source)?,
    };
    Ok(handler.insert(loaded))
}

fn load<'js>(scope: &Scope<'_, 'js>, source: &Source) -> Result<Handler, Failure> {
    let ctx = &scope.ctx;
    let failed = |what: &str, error: Error| unavailable(what, scope.failure(error));
    let module = source.compiled.declare(ctx, &source.name, &source.text);
    let module = module.map_err(|error| failed("the script does not compile: ", error))?;
    let what = "the script failed while it was loaded: ";
    let (module, evaluated) = module.eval().map_err(|error| failed(what, error))?;
    let settled = scope.settle(evaluated.into_value()).map_err(|error| failed(what, error))?;
    settled.map_err(|failure| unavailable(what, failure))?;
    let default: Value<'js> = module.get("default").unwrap_or_else(|_| Value::new_undefined(ctx.clone()));
    let refusal = scope.prelude.refuse_handler(ctx, default.clone()).map_err(|error| scope.failure(error))?;
    match (refusal, default.into_function()) {
        (None, Some(handler)) => Ok(Persistent::save(ctx, handler)),
        (reason, _) => Err(Failure::new(ExecError::ScriptUnavailable, reason.unwrap_or_default())),
    }
}

/// The failure of a script that will be wrong at the next attempt too. A limit is no fault of the
/// script: an isolate that is used again may have less memory.
fn unavailable(what: &str, failure: Failure) -> Failure {
    match failure.error {
        ExecError::ResourceLimit => failure,
        _ => Failure::new(ExecError::ScriptUnavailable, format!("{what}{}", failure.message)),
    }
}
