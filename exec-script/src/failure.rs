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
            let failure = Failure::new(class, format!("{name}: {message}{place}"));
            with_retry_after(ctx, failure, exception.as_object())
        }
        // QuickJS throws null when it has no memory for an error object. Scripts rarely throw null.
        CaughtError::Value(value) if value.is_null() => out_of_memory(),
        CaughtError::Value(value) => {
            let text = describe(ctx, &value);
            let failure = Failure::new(ExecError::ScriptError, format!("threw {text}"));
            match value.as_object() {
                Some(object) => with_retry_after(ctx, failure, object),
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

/// The properties of an error that request a back-off, and their units in microseconds.
const RETRY_AFTER: [(&str, f64); 2] = [("retryAfterMs", 1e3), ("retryAfter", 1e6)];
/// The longest value in a message, in bytes.
const VALUE_BYTES_MAX: usize = 100;

/// Sets the back-off that the error requests by a property of [`RETRY_AFTER`]. The core cuts it to
/// 7 days. A value that is no positive finite number requests nothing, and the message says so.
fn with_retry_after<'js>(ctx: &Ctx<'js>, mut failure: Failure, error: &Object<'js>) -> Failure {
    let requests = RETRY_AFTER.into_iter().map(|(name, unit)| (name, unit, property(ctx, error, name)));
    let is_set = |value: &Result<Value<'js>, String>| {
        value.as_ref().map_or(true, |value| !value.is_undefined() && !value.is_null())
    };
    let Some((name, unit, value)) = requests.into_iter().find(|(.., value)| is_set(value)) else {
        return failure;
    };
    let number = value.as_ref().ok().and_then(Value::as_number);
    match number.filter(|number| number.is_finite() && *number > 0.0) {
        Some(number) => {
            failure.retry_after = Some(Micros((number * unit).min(1e15) as u64));
            failure
        }
        None => {
            let mut text = value.map_or_else(|error| error, |value| number_or_json(ctx, &value));
            text.truncate(text.floor_char_boundary(VALUE_BYTES_MAX));
            failure.with_note(&format!(
                "{name} is {text} and was not used: it must be a positive finite number. The back-off of the \
                 trigger counts."
            ))
        }
    }
}

/// The value of a property, or a description of the exception that its getter threw.
fn property<'js>(ctx: &Ctx<'js>, error: &Object<'js>, name: &str) -> Result<Value<'js>, String> {
    error.get(name).map_err(|error| {
        // The exception would otherwise stay pending in the context.
        let _ = CaughtError::from_error(ctx, error);
        "a getter that throws".to_owned()
    })
}

fn number_or_json<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> String {
    match value.as_number() {
        Some(number) if number.is_nan() => "NaN".to_owned(),
        Some(number) if number.is_infinite() => if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        Some(number) => number.to_string(),
        None => describe(ctx, value),
    }
}

fn describe<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> String {
    let json = ctx.json_stringify(value.clone()).ok().flatten().and_then(|text| text.to_string().ok());
    json.unwrap_or_else(|| value.type_name().to_owned())
}
