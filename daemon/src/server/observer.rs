//! Writes the facts of the dispatcher as log lines. No other code logs them.

use super::line_budget::{LineBudget, LineVerdict};
use super::lines::Lines;
use super::log::LogStyle;
use crate::{terminal, wall_clock};
use std::time::Instant;
use tidegate_core::{Delivery, Ending, ExecError, Fact, Micros, Run, Timestamp};
use tidegate_ports::Observer;

#[derive(Debug)]
pub(super) struct LogObserver {
    /// The lines on standard output, and whether they have colours. Only in development.
    lines: Option<(Lines, bool)>,
    successes: LineBudget,
}

impl LogObserver {
    pub(super) fn new(style: LogStyle) -> Self {
        let lines = match style {
            LogStyle::Dev { colour } => Some((Lines::start(std::io::stdout()), colour)),
            LogStyle::Text | LogStyle::Json => None,
        };
        Self { lines, successes: LineBudget::default() }
    }
}

impl Observer for LogObserver {
    fn observe(&mut self, fact: &Fact) {
        match (&mut self.lines, fact) {
            (Some((lines, coloured)), Fact::DeliverySettled { delivery, ending, run }) => {
                lines.write(line(wall_clock::now(), delivery, ending, *run, *coloured));
            }
            (None, Fact::DeliverySettled { delivery, ending, run }) => {
                log_settled(delivery, ending, *run, &mut self.successes);
            }
            (_, fact) => log(fact),
        }
    }
}

/// The line about a settled delivery: time (UTC), trigger, subject, ending.
fn line(now: Timestamp, delivery: &Delivery, ending: &Ending, run: Option<Run>, coloured: bool) -> String {
    let (colour, text) = describe(delivery, ending, run);
    let (on, off) = if coloured { (colour, "\x1b[0m") } else { ("", "") };
    let time = now.to_rfc3339();
    let time = time.get(11..19).unwrap_or_default();
    let trigger = delivery.trigger_name.as_str();
    let (subject, text) = (terminal::line(delivery.event.subject.as_str()), terminal::line(&text));
    format!("{time} {trigger:<16} {subject:<24} {on}{text}{off}\n")
}

const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";

/// The ending of a delivery as text, and its colour.
fn describe(delivery: &Delivery, ending: &Ending, run: Option<Run>) -> (&'static str, String) {
    let attempts = delivery.policy.max_attempts();
    let took = || duration(run.map_or(Micros::ZERO, |run| run.duration));
    match ending {
        Ending::Done | Ending::Handled => (GREEN, format!("done in {}", took())),
        Ending::Retry { delay, failed } => {
            let next = delivery.attempt + 1;
            let line = first_line(&failed.message);
            (YELLOW, format!("retry {next}/{attempts} in {}: {} {line}", duration(*delay), failed.error))
        }
        Ending::Dead { attempts, failed, reason } => {
            let cause = failed.as_ref().map_or_else(
                || reason.as_str().to_owned(),
                |failed| format!("{} {}", failed.error, first_line(&failed.message)),
            );
            let plural = if *attempts == 1 { "" } else { "s" };
            (RED, format!("dead letter after {attempts} attempt{plural}: {cause}"))
        }
        Ending::Dropped => (RED, format!("dropped: {} events deep, probably a loop", delivery.event.depth)),
        Ending::Deferred { delay } => (YELLOW, format!("deferred by {}: no permit or thread free", duration(*delay))),
        Ending::HandlerFailed { failed } => {
            (RED, format!("dead-letter handler failed: {} {}", failed.error, first_line(&failed.message)))
        }
        Ending::Replied { outcome } => match outcome.error {
            None => (GREEN, format!("replied {} in {}", outcome.status, took())),
            Some(error) => {
                let message = outcome.message.as_deref().map(first_line).unwrap_or_default();
                (RED, format!("replied {}: {error} {message}", outcome.status))
            }
        },
        Ending::Abandoned { cause } => (RED, format!("abandoned: {}", cause.as_str())),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn duration(time: Micros) -> String {
    match time.0 {
        micros @ 0..1_000 => format!("{micros} µs"),
        micros @ 1_000..10_000_000 => format!("{} ms", micros / 1_000),
        micros => format!("{} s", micros / 1_000_000),
    }
}

macro_rules! delivery_event {
    ($level:ident, $delivery:expr, $($rest:tt)+) => {
        tracing::$level!(
            delivery.id = $delivery.id.0,
            delivery.attempt = $delivery.attempt,
            app = $delivery.event.app.as_str(),
            trigger = $delivery.trigger_name.as_str(),
            event.id = %$delivery.event.id,
            event.subject = $delivery.event.subject.as_str(),
            $($rest)+
        )
    };
}

fn log_settled(delivery: &Delivery, ending: &Ending, run: Option<Run>, successes: &mut LineBudget) {
    // A closure, because the text is not needed if the level is disabled.
    let text = || describe(delivery, ending, run).1;
    let duration_ms = run.map(|run| run.duration.0 as f64 / 1e3);
    match ending {
        Ending::Dropped => delivery_event!(
            warn, delivery, ending = ending.as_str(), event.depth = delivery.event.depth, event.root_id = %delivery.event.root_id,
            event.parent_id = ?delivery.event.parent_id.map(|id| id.to_string()), "{}", text()
        ),
        Ending::Dead { .. } | Ending::HandlerFailed { .. } => {
            delivery_event!(warn, delivery, ending = ending.as_str(), duration_ms, "{}", text());
        }
        Ending::Retry { .. } | Ending::Abandoned { .. } => {
            delivery_event!(info, delivery, ending = ending.as_str(), duration_ms, "{}", text());
        }
        // The caller of a public trigger does not get the reason, and no attempt is kept. A call
        // that found no permit says nothing about its handler.
        Ending::Replied { outcome } if outcome.error.is_some_and(|error| error != ExecError::Overloaded) => {
            let message = outcome.message.as_deref();
            delivery_event!(
                info,
                delivery,
                ending = ending.as_str(),
                duration_ms,
                error.message = message,
                "{}",
                text()
            );
        }
        Ending::Done | Ending::Handled | Ending::Replied { .. } | Ending::Deferred { .. } => {
            let LineVerdict::Write { omitted } = successes.take(Instant::now()) else {
                delivery_event!(debug, delivery, ending = ending.as_str(), duration_ms, "{}", text());
                return;
            };
            if omitted > 0 {
                tracing::info!(omitted, "deliveries that succeeded without a line at info, because they were too many");
            }
            delivery_event!(info, delivery, ending = ending.as_str(), duration_ms, "{}", text());
        }
    }
}

/// Logs that the store refused data for good.
fn log_refused(fact: &Fact) {
    match fact {
        Fact::SettlementRefused { delivery, verdict, error } => {
            delivery_event!(
                warn,
                delivery,
                verdict = verdict.as_str(),
                "the store refused the settlement, so it is settled without its data: {error}"
            );
        }
        Fact::ExchangeRefused { settlements, error } => {
            tracing::debug!(
                settlements,
                "the store refused an exchange, so its settlements are sent in halves: {error}"
            );
        }
        Fact::CallsRefused { calls, error } => {
            tracing::warn!(calls, "the store refused new calls; several are begun one at a time: {error}");
        }
        _ => {}
    }
}

fn log(fact: &Fact) {
    match fact {
        // The observer handles it.
        Fact::DeliverySettled { .. } => {}
        Fact::ExecutionStarted { delivery, waited } => {
            delivery_event!(debug, delivery, waited_us = waited.0, "started");
        }
        Fact::SettlementFenced { delivery, resent } => {
            delivery_event!(
                info,
                delivery,
                resent,
                "the settlement was fenced and changed nothing: its claim no longer holds the row"
            );
        }
        Fact::SettlementRefused { .. } | Fact::ExchangeRefused { .. } | Fact::CallsRefused { .. } => log_refused(fact),
        Fact::CallRefused { call, failure, waited } => {
            let failure = failure.as_ref().map_or("the caller hung up", |failure| failure.message.as_str());
            tracing::debug!(
                event.subject = call.event.subject.as_str(),
                waited_us = waited.0,
                "call refused: {failure}"
            );
        }
        Fact::CallRepeated { call } => {
            tracing::debug!(
                event.subject = call.event.subject.as_str(),
                "a repeated call got the reply of the first call"
            );
        }
        Fact::EffectsConflicted { delivery, times } => {
            delivery_event!(
                debug,
                delivery,
                times,
                "another writer changed a value that the handler had read; the handler runs again"
            );
        }
        Fact::LeaseLost { delivery } => delivery_event!(warn, delivery, "the claim was lost before its settlement"),
        // One line for each rest. A lane with a backlog has many such deliveries before it rests.
        Fact::HandlerNotStarted { delivery, reason, begins_rest: true } => {
            delivery_event!(info, delivery, "the handler did not start, so its trigger rests: {reason}");
        }
        Fact::HandlerNotStarted { delivery, reason, begins_rest: false } => {
            delivery_event!(debug, delivery, "the handler did not start: {reason}");
        }
        Fact::ExecutionOverran { delivery } => {
            delivery_event!(warn, delivery, "the execution did not end in time and was cancelled")
        }
        // Only the first of several failures is a warning. The recovery is logged once, too.
        Fact::StoreFailed { request, error, failures: 1, .. } => {
            tracing::warn!(store.request = request.as_str(), "the store failed, trying again: {}", error.report());
        }
        Fact::StoreFailed { request, error, failures, retry_in } => {
            tracing::debug!(store.request = request.as_str(), failures, retry_in_us = retry_in.0, "{}", error.report());
        }
        Fact::StoreRecovered { failures, after } => {
            tracing::info!(failures, "the store answers again after {}", duration(*after));
        }
        Fact::ShutdownStarted { running } => tracing::info!(running, "shutting down"),
        Fact::InlineClaim { claimed } => tracing::trace!(claimed, "claimed inline"),
        Fact::ExchangeAnswered { settled, claimed, took } => {
            tracing::trace!(settled, claimed, took_us = took.0, "exchange");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::{Attempt, DeadReason};

    fn delivery() -> Delivery {
        let id = "00000000-0000-0000-0000-000000000001";
        let event = serde_json::json!({
            "id": id, "app": "shop", "source": "kv", "type": "kv.set", "subject": "orders/1", "time": 0, "data": null,
            "actor": "admin", "root_id": id, "parent_id": null, "depth": 17, "traceparent": null,
        });
        let delivery = serde_json::json!({
            "id": 1, "trigger_id": 1, "trigger_name": "receipt", "trigger_version": 1, "event": event,
            "handler": {"script": "receipt"}, "script_version": 1, "runs_as": "admin", "standing": "allowed",
            "policy": {"max_attempts": 3}, "timeout": 1, "attempt": 1, "lost": 0, "lease": 1, "due_at": 0, "enqueued_at": 0,
            "redrive_generation": 0, "reply_to": null, "handles_letter": null,
        });
        serde_json::from_value(delivery).unwrap()
    }

    #[test]
    fn a_settled_delivery_is_one_line() {
        let failed = || Attempt {
            attempt: 1,
            started_at: Timestamp(0),
            duration: None,
            error: ExecError::ScriptError,
            message: "Error: no paper\n    at receipt:1:1".to_owned(),
        };
        let dead = Ending::Dead { reason: DeadReason::AttemptsExhausted, attempts: 3, failed: Some(failed()) };
        let run = Run { start_wait: Micros(9_000), started_at: Timestamp(0), duration: Micros(3_400) };
        let lost = Ending::Dead { reason: DeadReason::Lost, attempts: 1, failed: None };
        for (ending, text) in [
            (Ending::Done, "done in 3 ms"),
            (
                Ending::Retry { delay: Micros(120_000), failed: failed() },
                "retry 2/3 in 120 ms: script_error Error: no paper",
            ),
            (dead, "dead letter after 3 attempts: script_error Error: no paper"),
            (lost, "dead letter after 1 attempt: lost"),
            (Ending::Dropped, "dropped: 17 events deep, probably a loop"),
            (Ending::Deferred { delay: Micros(250_000) }, "deferred by 250 ms: no permit or thread free"),
        ] {
            let line = |coloured| line(Timestamp(43_445_000_000), &delivery(), &ending, Some(run), coloured);
            assert_eq!(line(false), format!("12:04:05 {:<16} {:<24} {text}\n", "receipt", "orders/1"));
            assert!(line(true).contains("\x1b[") && line(true).ends_with("\x1b[0m\n"), "{:?}", line(true));
        }
    }

    #[test]
    fn durations_have_a_unit() {
        for (micros, text) in [(999, "999 µs"), (3_400, "3 ms"), (9_999_999, "9999 ms"), (60_000_000, "60 s")] {
            assert_eq!(duration(Micros(micros)), text);
        }
    }
}
