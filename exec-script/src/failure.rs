//! Turns an exception of a script into a failure of its class.

use crate::memory::Memory;
use crate::text::{text_of, well_formed};
use rquickjs::{CaughtError, Ctx, Error, Object, Type, Value};
use tidegate_core::{ExecError, Failure, Micros};

/// The most lines of a stack that a message keeps, from the innermost call outwards.
const STACK_LINES: usize = 4;

const NO_INTL: &str = "Intl is unsupported: scripts have no data of locales. Format the value in the script.";

/// The failure for an exception, or for an error of QuickJS.
pub(crate) fn thrown<'js>(ctx: &Ctx<'js>, memory: &Memory, error: Error) -> Failure {
    match error {
        Error::Exception => thrown_value(ctx, memory, ctx.catch()),
        Error::Allocation => out_of_memory(),
        error => Failure::new(ExecError::ScriptError, error.to_string()),
    }
}

/// The failure for a value that a script threw.
pub(crate) fn thrown_value<'js>(ctx: &Ctx<'js>, memory: &Memory, value: Value<'js>) -> Failure {
    match value.as_object() {
        Some(error) if error.is_error() => thrown_error(ctx, error),
        object => match value.type_of() {
            // QuickJS throws null, or no value at all, when it has no memory for an error object.
            Type::Null | Type::Uninitialized if memory.is_exhausted() => out_of_memory(),
            Type::Uninitialized => too_deep(),
            _ => {
                let failure = Failure::new(ExecError::ScriptError, format!("threw {}", describe(ctx, &value)));
                object.map_or(failure.clone(), |object| with_retry_after(ctx, failure, object))
            }
        },
    }
}

fn thrown_error<'js>(ctx: &Ctx<'js>, error: &Object<'js>) -> Failure {
    let text = |name: &str| property(ctx, error, name).ok().and_then(|value| text_of(ctx, value.as_string()?));
    let name = text("name").unwrap_or_else(|| "Error".to_owned());
    let message = text("message").unwrap_or_default();
    if let Some(failure) = limit(&name, &message) {
        return failure;
    }
    let stack = text("stack").unwrap_or_default();
    // The functions of the prelude mean nothing to the author of a script.
    let is_own = |line: &&str| !line.is_empty() && !line.contains("(tidegate-prelude");
    let place: String =
        stack.lines().map(str::trim).filter(is_own).take(STACK_LINES).map(|line| format!("\n{line}")).collect();
    let class = match (text("code").as_deref(), &*name) {
        // Errors of the host that the script did not catch.
        (Some("resource_limit"), _) => ExecError::ResourceLimit,
        (Some("principal_denied"), _) => ExecError::PrincipalDenied,
        (Some("invalid_json"), _) => ExecError::InvalidJson,
        (Some("effects_too_large"), _) => ExecError::PayloadTooLarge,
        // The next attempt would find the same script and the same event.
        (_, "ReferenceError" | "SyntaxError") => ExecError::ScriptDefect,
        _ => ExecError::ScriptError,
    };
    let failure = with_retry_after(ctx, Failure::new(class, format!("{name}: {message}{place}")), error);
    if name == "ReferenceError" && message == "Intl is not defined" { failure.with_note(NO_INTL) } else { failure }
}

/// The failure for an error by which QuickJS reports that a limit was reached.
fn limit(name: &str, message: &str) -> Option<Failure> {
    match (name, message) {
        // QuickJS builds a long string as a rope without allocating it, up to a limit of its own.
        ("InternalError", "string too long") => Some(out_of_memory()),
        ("InternalError", message) if message.starts_with("out of memory") => Some(out_of_memory()),
        // The parser of the engine reports its own recursion as an error of the syntax.
        ("RangeError" | "InternalError" | "SyntaxError", message)
            if message.contains("call stack size exceeded") || message.contains("stack overflow") =>
        {
            Some(too_deep())
        }
        _ => None,
    }
}

fn too_deep() -> Failure {
    Failure::new(ExecError::ResourceLimit, "the stack is deeper than scripts.stack_bytes_max allows")
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
        clear(ctx, error);
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
    let json = ctx.json_stringify(value.clone()).and_then(|text| text.map(|text| text.to_string()).transpose());
    match json {
        Ok(Some(json)) => well_formed(json),
        Ok(None) => value.type_name().to_owned(),
        Err(error) => {
            clear(ctx, error);
            value.type_name().to_owned()
        }
    }
}

/// Takes an exception from the context, where it would otherwise stay pending.
fn clear(ctx: &Ctx<'_>, error: Error) {
    let _ = CaughtError::from_error(ctx, error);
}
