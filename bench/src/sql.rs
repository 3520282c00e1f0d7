//! The SQL statements. Each is a file, named after its purpose.

macro_rules! statements {
    ($($name:ident),+ $(,)?) => {
        $(pub(crate) const $name: &str = include_str!(concat!("sql/", stringify!($name), ".sql"));)+
    };
}

#[expect(non_upper_case_globals, reason = "a statement is named like its file")]
mod names {
    statements!(
        backend_process,
        commits_postgres,
        commits_setup,
        commits_sqlite,
        dead_tuples_counted,
        dead_tuples_extension,
        dead_tuples_found,
        lane_postgres,
        outbox_count,
        outbox_fill_postgres,
        raw_postgres_claims_exchange,
        raw_postgres_claims_fill,
        raw_postgres_claims_setup,
        raw_postgres_leases_exchange,
        raw_postgres_leases_fill,
        raw_postgres_leases_setup,
        raw_postgres_left,
        raw_sqlite_checkpoint,
        raw_sqlite_claim,
        raw_sqlite_claim_add,
        raw_sqlite_claim_delete,
        raw_sqlite_fill,
        raw_sqlite_leases_claim,
        raw_sqlite_leases_settle,
        raw_sqlite_leases_setup,
        raw_sqlite_left,
        raw_sqlite_settle,
        raw_sqlite_setup,
        sqlite_outbox_count,
        transaction_end,
        transaction_hold,
        vacuum_and_checkpoint,
        wal_written,
    );
}

pub(crate) use names::*;
