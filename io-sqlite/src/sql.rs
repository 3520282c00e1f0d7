//! The statements, each a file named for what it does.

macro_rules! statements {
    ($($name:ident),+ $(,)?) => {
        $(pub(crate) const $name: &str = include_str!(concat!("sql/", stringify!($name), ".sql"));)+
    };
}

#[expect(non_upper_case_globals, reason = "a statement is named like its file")]
mod names {
    statements!(
        abandoned_list,
        app_exists,
        app_invoke,
        app_list,
        app_make,
        begin,
        call_begin,
        call_lane,
        checkpoint,
        claim,
        dead_letter_list,
        delivery_cause,
        delivery_list,
        discover,
        expire_leases,
        fan_out,
        idempotency_get,
        idempotency_prune,
        idempotency_put,
        is_executed,
        kv_delete,
        kv_get,
        kv_list,
        kv_put,
        lane,
        letter_resolve,
        letters_pick,
        letters_redrive,
        letters_resolve,
        loop_list,
        newest_time,
        next_version,
        ping,
        queues,
        reads_changed,
        renew,
        schedules,
        script_delete,
        script_get,
        script_list,
        script_put,
        settle_abandoned,
        settle_dead,
        settle_deferred,
        settle_done,
        settle_dropped,
        settle_executed,
        settle_retry,
        settle_valid,
        slots_count,
        slots_free,
        slots_take,
        tick,
        trigger_delete,
        trigger_disable,
        trigger_get,
        trigger_insert,
        trigger_list,
        trigger_pause,
        trigger_update,
    );
}

pub(crate) use names::*;
