//! The SQL statements. Each constant is the file of the same name in `src/sql`.

macro_rules! statements {
    ($($name:ident),+ $(,)?) => {
        $(pub(crate) const $name: &str = include_str!(concat!("sql/", stringify!($name), ".sql"));)+
    };
}

#[expect(non_upper_case_globals, reason = "a statement has the name of its file")]
mod names {
    statements!(
        abandoned_list,
        app_exists,
        app_invoke,
        app_list,
        app_lock,
        app_make,
        begin_calls,
        dead_letter_list,
        delivery_list,
        discover,
        emit_and_claim,
        emit_events,
        enter,
        exchange,
        kv_get,
        kv_list,
        kv_mutate,
        kv_mutate_and_claim,
        letters_count,
        letters_discard,
        letters_redrive,
        loop_list,
        notify,
        ping,
        principal_add,
        principal_delete,
        principal_disable,
        principal_exists,
        principal_hash,
        principal_list,
        principal_password,
        prune_abandoned,
        prune_count,
        prune_letters,
        prune_loops,
        prune_sessions,
        queues,
        renew,
        role_grant,
        role_revoke,
        schema_make,
        script_delete,
        script_get,
        script_list,
        script_put,
        tick,
        token_add,
        token_bearer,
        token_delete,
        token_list,
        trigger_delete,
        trigger_get,
        trigger_insert,
        trigger_list,
        trigger_lock,
        trigger_pause,
        trigger_update,
    );
}

pub(crate) use names::*;
