//! Turns an exception of a script into a failure of its class.

use rquickjs::{CaughtError, Ctx, Error, Object, Value};
use tidegate_core::{ExecError, Failure, Micros};

/// The most lines of a stack that a message keeps, from the innermost call outwards.
const STACK_LINES: usize = 4;

/// The failure for an exception, or for an error of QuickJS.
pub(crate) fn thrown<'js>(ctx: &Ctx<'js>, error: Error) -> Failure {
    match CaughtError::from_error(ctx, error) {
        CaughtError::Exception(exception) => {
            let message = exception.message().unwrap_or_default();
            let name: Option<String> = exception.as_object().get("name").ok();
            let name = name.unwrap_or_else(|| "Error".to_owned());
            if let Some(failure) = limit(&name, &message) {
                return failure;
            }
            let stack = exception.stack().unwrap_or_default();
            let stack: Vec<&str> =
                stack.lines().map(str::trim).filter(|line| !line.is_empty()).take(STACK_LINES).collect();
            let place = if stack.is_empty() { String::new() } else { format!("\n{}", stack.join("\n")) };
            // An error of the host that the script did not catch.
            let denied = exception.as_object().get("code").is_ok_and(|code: String| code == "principal_denied");
            let class = if denied { ExecError::PrincipalDenied } else { ExecError::ScriptError };
            with_retry_after(Failure::new(class, format!("{name}: {message}{place}")), exception.as_object())
        }
        // QuickJS throws null when it has no memory for an error object. Scripts rarely throw null.
        CaughtError::Value(value) if value.is_null() => out_of_memory(),
        CaughtError::Value(value) => {
            let text = describe(ctx, &value);
            let failure = Failure::new(ExecError::ScriptError, format!("threw {text}"));
            match value.as_object() {
                Some(object) => with_retry_after(failure, object),
                None => failure,
            }
        }
        CaughtError::Error(Error::Allocation) => out_of_memory(),
        CaughtError::Error(error) => Failure::new(ExecError::ScriptError, error.to_string()),
    }
}

fn limit(name: &str, message: &str) -> Option<Failure> {
    // QuickJS can build a long string as a rope without allocating it, up to a limit of its own.
    if message.contains("out of memory") || (name == "InternalError" && message == "string too long") {
        return Some(out_of_memory());
    }
    let deep = message.contains("call stack size exceeded") || message.contains("stack overflow");
    (deep && matches!(name, "RangeError" | "InternalError")).then(|| {
        Failure::new(ExecError::ResourceLimit, "the stack is deeper than scripts.stack_bytes_max allows".to_owned())
    })
}

pub(crate) fn out_of_memory() -> Failure {
    Failure::new(ExecError::ResourceLimit, "the script needs more memory than scripts.memory_bytes_max allows")
}

/// Sets the requested back-off if the error has a property `retryAfterMs`, or `retryAfter` in
/// seconds. The core cuts it to 7 days.
fn with_retry_after(mut failure: Failure, error: &Object<'_>) -> Failure {
    let number = |name: &str| error.get::<_, Option<f64>>(name).ok().flatten().filter(|n| *n > 0.0);
    let ms = number("retryAfterMs").or_else(|| number("retryAfter").map(|seconds| seconds * 1_000.0));
    failure.retry_after = ms.map(|ms| Micros((ms * 1_000.0).min(1e15) as u64));
    failure
}

fn describe<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> String {
    let json = ctx.json_stringify(value.clone()).ok().flatten().and_then(|text| text.to_string().ok());
    json.unwrap_or_else(|| value.type_name().to_owned())
}
