//! What things are called in SQL, in the API and in metrics: what a store wrote yesterday is read by these names today.

use tidegate_core::{AbandonCause, DeadReason, Source};

const REASONS: [(DeadReason, &str); 5] = [
    (DeadReason::AttemptsExhausted, "attempts_exhausted"),
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

/// The first thing that has another name, or that another name is read as.
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
    reasons.chain(causes).chain(sources).find(|(is_right, _)| !is_right).map(|(_, what)| what)
}
