//! The names of the metrics, each with its kind and its help text.

use metrics::{describe_counter, describe_gauge, describe_histogram};

macro_rules! names {
    ($($kind:ident $constant:ident = $name:literal, $help:literal;)+) => {
        $(pub(in super::super) const $constant: &str = $name;)+

        /// Registers the help texts, for the `# HELP` lines.
        pub(super) fn describe() {
            $(names!(@describe $kind $name, $help);)+
        }

        /// The name and the kind of each metric.
        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str)] = &[$(($name, stringify!($kind))),+];
    };
    (@describe counter $name:literal, $help:literal) => { describe_counter!($name, $help) };
    (@describe gauge $name:literal, $help:literal) => { describe_gauge!($name, $help) };
    (@describe histogram $name:literal, $help:literal) => { describe_histogram!($name, $help) };
}

names! {
    counter CLAIMED = "tidegate_deliveries_claimed_total", "Rows that were claimed.";
    counter CLAIMED_INLINE = "tidegate_deliveries_claimed_inline_total", "Rows that were claimed inline, by the transaction that wrote them.";
    counter STARTED = "tidegate_executions_started_total", "Executions that were started.";
    counter SETTLED = "tidegate_deliveries_settled_total", "Settlements that were applied, by ending.";
    counter DEFERRED = "tidegate_deliveries_deferred_total", "Deliveries that were deferred because no permit or no thread was free.";
    counter DROPPED = "tidegate_deliveries_dropped_total", "Deliveries that were dropped without an execution, by reason.";
    counter DEAD = "tidegate_dead_letters_total", "Dead letters that were created, by reason.";
    counter ABANDONED = "tidegate_abandoned_executions_total", "Sync executions whose caller was gone when the reply was ready, by cause.";
    counter REFUSED = "tidegate_calls_refused_total", "Sync calls that were refused before anything was written, by code.";
    counter REPEATED = "tidegate_calls_repeated_total", "Sync calls that got the reply of an earlier one by its idempotency key.";
    counter FENCED = "tidegate_settlements_fenced_total", "Settlements that were fenced and changed nothing.";
    counter CONFLICTED = "tidegate_effects_conflicts_total", "Executions that ran again because another writer changed a value that they had read.";
    counter LOST = "tidegate_leases_lost_total", "Claimed rows that were lost before their settlement.";
    counter NOT_STARTED = "tidegate_handlers_not_started_total", "Executions whose handler did not start.";
    counter REFUSED_SETTLEMENTS = "tidegate_settlements_refused_total", "Settlements whose data the store refused for good.";
    counter OVERRAN = "tidegate_executions_overrun_total", "Executions that did not end in time and were cancelled.";
    histogram WAITED = "tidegate_delivery_wait_seconds", "From the due time, or from the arrival of a sync call, to the start of the execution.";
    histogram START_WAIT = "tidegate_start_wait_seconds", "From the permit of an execution to the start of its handler.";
    histogram TOOK = "tidegate_execution_seconds", "From the start of a handler to its end.";
    counter STORE_REQUESTS = "tidegate_store_requests_total", "Round trips of the dispatcher to the store, by request and result.";
    histogram STORE_TOOK = "tidegate_store_request_seconds", "From the start of a round trip to the store to its end.";
    counter PRUNED = "tidegate_records_removed_total", "Old records that this daemon removed, by kind.";
    gauge RUNNING = "tidegate_executions_running", "Executions that run now.";
    gauge THREADS_WAITING = "tidegate_executions_waiting", "Executions that have a permit and wait for a script thread.";
    gauge STUCK = "tidegate_script_threads_stuck", "Script threads that are stuck in a built-in function, by app.";
    gauge PERMITS = "tidegate_gate_permits", "The most executions that may run at once.";
    gauge SYNC_RESERVE = "tidegate_gate_sync_reserve", "Permits that are reserved for sync calls.";
    gauge ASYNC_RESERVE = "tidegate_gate_async_reserve", "Permits that are reserved for deliveries.";
    gauge QUEUED = "tidegate_deliveries_queued", "Claimed rows that wait in this process for a permit.";
    gauge CALLS_WAITING = "tidegate_calls_waiting", "Sync calls that wait in this process for a permit.";
    gauge SETTLING = "tidegate_settlements_pending", "Settlements that the store has not answered yet.";
    gauge STORE_UP = "tidegate_store_up", "1 if the store answered this request, else 0.";
    gauge DEPTH = "tidegate_queue_depth", "Rows of a trigger that wait or run, counted up to 1,000.";
    gauge INVALID = "tidegate_triggers_invalid", "Stored triggers that this version cannot read.";
    gauge OLDEST = "tidegate_queue_oldest_due_seconds", "The time since the oldest row of a trigger that no live claim holds became due.";
    gauge BUILD = "tidegate_build_info", "1, with the version as a label.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_docs_list_each_metric_and_no_other() {
        let docs = include_str!("../../../../docs/metrics.md");
        let row = |line: &str| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_owned());
        let mut documented: Vec<String> =
            docs.lines().filter_map(row).filter(|name| name.starts_with("tidegate_")).collect();
        let mut known: Vec<String> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
        documented.sort();
        known.sort();
        assert_eq!(documented, known);
        for (name, kind) in ALL {
            assert_eq!(name.ends_with("_total"), *kind == "counter", "{name}");
            let line = docs.lines().find(|line| line.starts_with(&format!("| `{name}`"))).unwrap_or_default();
            assert!(line.contains(&format!("| {kind} |")), "{line}");
        }
    }
}
