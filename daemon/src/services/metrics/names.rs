//! The names, each with its unit and what it tells.

use metrics::{describe_counter, describe_gauge, describe_histogram};

macro_rules! names {
    ($($kind:ident $constant:ident = $name:literal, $help:literal;)+) => {
        $(pub(super) const $constant: &str = $name;)+

        /// Says what each metric is, for the `# HELP` lines.
        pub(super) fn describe() {
            $(names!(@describe $kind $name, $help);)+
        }

        /// All of them, by name.
        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str)] = &[$(($name, stringify!($kind))),+];
    };
    (@describe counter $name:literal, $help:literal) => { describe_counter!($name, $help) };
    (@describe gauge $name:literal, $help:literal) => { describe_gauge!($name, $help) };
    (@describe histogram $name:literal, $help:literal) => { describe_histogram!($name, $help) };
}

names! {
    counter CLAIMED = "tidegate_deliveries_claimed_total", "Rows that were claimed.";
    counter CARRIED = "tidegate_deliveries_carried_total", "Rows that were claimed by the transaction that wrote them.";
    counter STARTED = "tidegate_executions_started_total", "Executions that were started.";
    counter SETTLED = "tidegate_deliveries_settled_total", "Settlements that were applied, by how the delivery ended.";
    counter DEFERRED = "tidegate_deliveries_deferred_total", "Deliveries that found no permit and come again.";
    counter DROPPED = "tidegate_deliveries_dropped_total", "Deliveries that were skipped for good, by reason.";
    counter DEAD = "tidegate_dead_letters_total", "Dead letters that were made, by reason.";
    counter ABANDONED = "tidegate_abandoned_executions_total", "Sync executions whose reply reached nobody, by cause.";
    counter REFUSED = "tidegate_calls_refused_total", "Sync calls that were refused before anything was written, by code.";
    counter REPEATED = "tidegate_calls_repeated_total", "Sync calls that got the reply of an earlier one by its idempotency key.";
    counter FENCED = "tidegate_settlements_fenced_total", "Settlements that came too late and changed nothing.";
    counter CONFLICTED = "tidegate_effects_conflicts_total", "Executions that ran again because what they had read was written.";
    counter LOST = "tidegate_leases_lost_total", "Claims that were lost while they were held.";
    counter OVERRAN = "tidegate_executions_overrun_total", "Executions that were written off because they did not end.";
    histogram WAITED = "tidegate_delivery_wait_seconds", "From due, or from a caller's arrival, to the start of an execution.";
    histogram TOOK = "tidegate_execution_seconds", "From the start of an execution to its end.";
    counter STORE_REQUESTS = "tidegate_store_requests_total", "Round trips of the dispatcher to the store, by request and result.";
    histogram STORE_TOOK = "tidegate_store_request_seconds", "How long a round trip to the store takes.";
    gauge RUNNING = "tidegate_executions_running", "Executions that run now.";
    gauge PERMITS = "tidegate_gate_permits", "Executions that may run at once.";
    gauge RESERVE = "tidegate_gate_sync_reserve", "Of the permits, those for sync callers alone.";
    gauge QUEUED = "tidegate_deliveries_queued", "Claimed rows that wait in this process for a permit.";
    gauge CALLS_WAITING = "tidegate_calls_waiting", "Sync calls that wait in this process for a permit.";
    gauge SETTLING = "tidegate_settlements_pending", "Settlements that the store has not answered yet.";
    gauge STORE_UP = "tidegate_store_up", "1 if the store answered this request, else 0.";
    gauge DEPTH = "tidegate_queue_depth", "Rows of a trigger that wait or run, counted up to 1,000.";
    gauge OLDEST = "tidegate_queue_oldest_due_seconds", "How long the first row of a trigger that nobody holds has been due.";
    gauge BUILD = "tidegate_build_info", "1, with the version as a label.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_docs_name_every_metric_and_no_other() {
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
