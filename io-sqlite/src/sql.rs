//! The statements. Each is a file with the name of its constant.
//!
//! If io-postgres has a file of the same name, both files do the same, and a comment in this
//! crate's file explains the differences. Two differences are general. Times are parameters here,
//! because the store's clock is in the program. SQLite has no functions, so several statements here
//! do the work of one function on Postgres.

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
        call_key_get,
        call_key_prune,
        call_key_put,
        call_key_reply,
        call_lane,
        checkpoint,
        claim,
        claim_add,
        claim_delete,
        claim_get,
        claim_left,
        claim_row,
        claim_same_due,
        claim_suspects,
        claims_expired,
        clock_set,
        dead_letter_list,
        delivery_cause,
        delivery_list,
        discover,
        expire_claims,
        fan_match,
        fan_out,
        floor_set,
        idempotency_get,
        idempotency_prune,
        idempotency_put,
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
        lose,
        migration_add,
        migrations_make,
        migrations_seen,
        newest_time,
        next_version,
        outbox_delete,
        outbox_wait,
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
        reads_changed,
        renew,
        role_grant,
        role_revoke,
        schedules,
        script_delete,
        script_get,
        script_list,
        script_put,
        sessions_delete,
        set_aside,
        settle_abandoned,
        settle_dead,
        settle_deferred,
        settle_done,
        settle_dropped,
        settle_executed,
        settle_retry,
        settle_valid,
        slots,
        suspect_take,
        suspects,
        suspects_least_lost,
        tick,
        token_add,
        token_bearer,
        token_delete,
        token_list,
        trigger_all,
        trigger_delete,
        trigger_disable,
        trigger_get,
        trigger_insert,
        trigger_list,
        trigger_pause,
        trigger_rename,
        trigger_update,
        version,
    );
}

pub(crate) use names::*;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::migrate;
    use rusqlite::Connection;

    /// A temporary table about doubles the cost of a statement.
    #[test]
    fn statements_for_single_rows_build_no_temporary_tables() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        for statement in [
            claim,
            claim_row,
            claim_same_due,
            claim_suspects,
            suspect_take,
            set_aside,
            lose,
            claim_add,
            claim_get,
            claims_expired,
            claim_left,
            claim_delete,
            floor_set,
            lane,
            slots,
            settle_done,
            settle_valid,
            settle_executed,
            outbox_delete,
            fan_match,
            fan_out,
            kv_put,
            kv_get,
            next_version,
            version,
            delivery_cause,
            call_lane,
        ] {
            let mut explained = connection.prepare(&format!("explain {statement}")).unwrap();
            let nulls = rusqlite::params_from_iter(vec![None::<i64>; explained.parameter_count()]);
            let steps = explained.query_map(nulls, |row| row.get::<_, String>("opcode")).unwrap();
            let tables = ["OpenEphemeral", "OpenAutoindex", "SorterOpen", "OpenPseudo"];
            let opened: Vec<String> =
                steps.map(Result::unwrap).filter(|step| tables.contains(&step.as_str())).collect();
            assert_eq!(opened, Vec::<String>::new(), "{statement}");
        }
    }
}
