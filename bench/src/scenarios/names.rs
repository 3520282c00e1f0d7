//! The names of the series that have targets.

macro_rules! names {
    ($($name:ident = $text:literal),+ $(,)?) => { $(pub(crate) const $name: &str = $text;)+ };
}

names!(
    PART_OF_RAW = "part of the raw loop",
    PART_OF_LEASES = "part of the raw loop with lease columns",
    FEW_AGAINST_MANY = "a tenth of the rows, against all",
    TWO_AGAINST_ONE = "two against one",
    FOUR_AGAINST_ONE = "four against one",
    SAME_P50 = "Postgres, the same daemon, p50",
    SAME_P99 = "Postgres, the same daemon, p99",
    ANOTHER_P50 = "Postgres, another daemon, p50",
    ANOTHER_P99 = "Postgres, another daemon, p99",
    SQLITE_P50 = "SQLite, p50",
    SQLITE_P99 = "SQLite, p99",
    HELD_LOSS = "throughput lost",
    HELD_P99 = "p99 held, against without",
    HELD_LAST = "p99 held, the last fifth against the first",
    BACKLOG_POSTGRES = "Postgres: many against few",
    BACKLOG_SQLITE = "SQLite: many against few",
    FAIRNESS_POSTGRES = "Postgres: p99 beside, more than alone",
    FAIRNESS_SQLITE = "SQLite: p99 beside, more than alone",
    SYNC_POSTGRES_P50 = "Postgres: c = 1, p50",
    SYNC_SQLITE_P50 = "SQLite: c = 1, p50",
    SYNC_POSTGRES_RATE = "Postgres: calls against single commits",
    SYNC_SQLITE_RATE = "SQLite: calls against single commits",
    SCRIPTS_FRESH = "a fresh isolate each, per core",
    KV_POSTGRES = "Postgres: puts against single commits",
    KV_SQLITE = "SQLite: puts against single commits",
    SCRIPTS_WARM = "a warm isolate, per core",
    TIDEGATE = "Tidegate",
    AGAINST_PEERS = "Tidegate against the best peer",
    WAL_BACKLOG = "backlog: WAL per delivery",
    WAL_LIVE = "stream: WAL per delivery",
    DEAD_TUPLES = "dead tuples, median",
    MEMORY_IDLE_POSTGRES = "Postgres: idle",
    MEMORY_IDLE_SQLITE = "SQLite: idle",
    MEMORY_DRAINING_POSTGRES = "Postgres: draining",
    MEMORY_DRAINING_SQLITE = "SQLite: draining",
);
