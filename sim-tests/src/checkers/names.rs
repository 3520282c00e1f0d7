//! The names in SQL, in the API and in metrics, and the meaning of each error, as tables of their
//! own. A store that was written earlier is read by these names.

use tidegate_core::{AbandonCause, Backoff, DeadReason, ExecError, Request, Source, SyncOutcome};

const REASONS: [(DeadReason, &str); 6] = [
    (DeadReason::AttemptsExhausted, "attempts_exhausted"),
    (DeadReason::Lost, "lost"),
    (DeadReason::MaxAge, "max_age"),
    (DeadReason::Permanent, "permanent"),
    (DeadReason::PrincipalDenied, "principal_denied"),
    (DeadReason::HandlerMissing, "handler_missing"),
];
const CAUSES: [(AbandonCause, &str); 2] =
    [(AbandonCause::NodeLost, "node_lost"), (AbandonCause::CallerGone, "caller_gone")];
const SOURCES: [(Source, &str); 6] = [
    (Source::Kv, "kv"),
    (Source::Http, "http"),
    (Source::App, "app"),
    (Source::Cron, "cron"),
    (Source::Table, "table"),
    (Source::DeadLetter, "dead_letter"),
];
const SHAPES: [(Backoff, &str); 3] =
    [(Backoff::Exponential, "exponential"), (Backoff::Linear, "linear"), (Backoff::Constant, "constant")];
/// The code, the status for a sync caller, and whether another attempt may help.
const ERRORS: [(ExecError, &str, u16, bool); 23] = [
    (ExecError::Timeout, "timeout", 504, true),
    (ExecError::ScriptError, "script_error", 500, true),
    (ExecError::ResourceLimit, "resource_limit", 500, true),
    (ExecError::ScriptUnavailable, "script_unavailable", 503, false),
    (ExecError::ScriptDefect, "script_defect", 500, false),
    (ExecError::InvalidJson, "invalid_json", 400, false),
    (ExecError::HandlerMissing, "handler_missing", 404, false),
    (ExecError::PrincipalDenied, "principal_denied", 403, false),
    (ExecError::InvalidReply, "invalid_reply", 502, false),
    (ExecError::EndpointUnreachable, "endpoint_unreachable", 502, true),
    (ExecError::EndpointStatus(400), "endpoint_status", 502, false),
    (ExecError::EndpointStatus(429), "endpoint_status", 502, true),
    (ExecError::EndpointStatus(500), "endpoint_status", 502, true),
    (ExecError::EffectsConflict, "effects_conflict", 409, true),
    (ExecError::Overloaded, "overloaded", 503, false),
    (ExecError::Lost, "lost", 500, true),
    (ExecError::NeverBegan, "never_began", 503, true),
    (ExecError::PayloadTooLarge, "payload_too_large", 500, false),
    (ExecError::StoreRefused, "store_refused", 500, false),
    (ExecError::Internal, "internal", 500, true),
    (ExecError::LoopRefused, "loop_refused", 508, false),
    (ExecError::IdempotencyKeyReused, "idempotency_key_reused", 422, false),
    (ExecError::IdempotencyKeyInUse, "idempotency_key_in_use", 409, false),
];

/// True if another attempt may help, by the table.
pub(super) fn may_help(error: ExecError) -> bool {
    let known = ERRORS.iter().find(|(one, ..)| *one == error);
    known.is_none_or(|(.., may_help)| *may_help)
}

/// The first name or meaning in the code that differs from the tables.
pub(super) fn misnamed() -> Option<String> {
    let reasons = REASONS.iter().map(|(one, name)| {
        let is_right = one.as_str() == *name && DeadReason::from_name(name) == Some(*one);
        (is_right, format!("{one:?} is not {name}"))
    });
    let causes = CAUSES.iter().map(|(one, name)| {
        let is_right = one.as_str() == *name && AbandonCause::from_name(name) == Some(*one);
        (is_right, format!("{one:?} is not {name}"))
    });
    let sources = SOURCES.iter().map(|(one, name)| {
        let is_right = one.as_str() == *name && Source::from_name(name) == Some(*one);
        (is_right, format!("{one:?} is not {name}"))
    });
    let shapes = SHAPES.iter().map(|(one, name)| {
        let is_right = one.as_str() == *name && Backoff::from_name(name) == Some(*one);
        (is_right, format!("{one:?} is not {name}"))
    });
    let errors = ERRORS.iter().map(|(one, code, status, may_help)| {
        let actual = (one.code(), one.reply_status(), one.is_retryable(), one.disables_trigger());
        (actual == (*code, *status, *may_help, false), format!("{one:?} is {actual:?}"))
    });
    let outcomes = ERRORS.iter().map(|(one, code, status, _)| {
        let outcome = |error| SyncOutcome { status: *status, error, message: None }.name();
        (
            outcome(Some(*one)) == *code && outcome(None) == "succeeded",
            format!("a call with this outcome is not {code}"),
        )
    });
    let requests = [(Request::Discover, "discover"), (Request::Tick { ticks: Vec::new() }, "tick")];
    let requests =
        requests.into_iter().map(|(request, name)| (request.name() == name, format!("{request:?} is not {name}")));
    let disabling =
        std::iter::once((ExecError::EndpointStatus(410).disables_trigger(), "410 does not disable".to_owned()));
    let all = reasons
        .chain(causes)
        .chain(sources)
        .chain(shapes)
        .chain(errors)
        .chain(outcomes)
        .chain(requests)
        .chain(disabling);
    all.into_iter().find(|(is_right, _)| !is_right).map(|(_, what)| what)
}
