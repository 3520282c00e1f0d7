-- A time is in microseconds since 1970-01-01 UTC. Only the process that has the file open writes
-- times. JSON is stored as the text that the client sent, so that it reads back byte for byte.

create table apps (
    name       text primary key not null,
    created_at integer not null
) strict, without rowid;

-- Numbers that only grow. The versions of values and scripts come from the row 'version'. A version
-- is never used again after a delete. Therefore the store checks the reads of a handler by
-- comparing versions alone.
create table counters (
    name  text primary key not null,
    value integer not null
) strict, without rowid;

insert into counters (name, value) values ('version', 0);

create table scripts (
    app        text not null references apps (name),
    name       text not null,
    version    integer not null,
    source     text not null,
    updated_at integer not null,
    primary key (app, name)
) strict, without rowid;

-- A deleted trigger keeps its row, because rows of the outbox and dead letters refer to it. Its
-- name is free again.
create table triggers (
    id              integer primary key autoincrement,
    app             text not null references apps (name),
    name            text not null,
    spec            text not null check (json_valid(spec)),
    -- 'invoke' is the lane of the app's invocations. It is created with the app, and no list shows
    -- it.
    source          text not null check (source in ('kv', 'app', 'http', 'cron', 'dead_letter', 'invoke')),
    -- The fields of the spec that SQL needs. They are copied at each write, so that a fan-out
    -- parses no JSON.
    on_set          integer not null default 0,
    on_delete       integer not null default 0,
    first_pattern   text not null default '',
    second_pattern  text not null default '',
    handler_kind    text not null check (handler_kind in ('script', 'native', 'webhook')),
    handler_name    text not null,
    max_attempts    integer not null,
    max_lost        integer not null,
    backoff         text not null,
    base_ms         integer not null,
    max_ms          integer not null,
    jitter          real not null,
    max_age_ms      integer,
    timeout_ms      integer not null,
    max_concurrency integer,
    enabled         integer not null,
    paused          integer not null default 0,
    registered_by   text not null,
    version         integer not null,
    -- The next tick of a cron trigger; null until the dispatcher has computed it.
    next_tick       integer,
    deleted_at      integer
) strict;

-- An app has one living trigger of a name. Ports find a trigger by its name in this index.
create unique index triggers_living on triggers (app, name) where deleted_at is null;
-- A fan-out finds the triggers of an app with one source in this index.
create index triggers_matching on triggers (app, source) where deleted_at is null and enabled;
-- Each discovery reads the due ticks from this index, which contains only cron triggers.
create index triggers_ticking on triggers (next_tick) where source = 'cron' and deleted_at is null and enabled;

create table kv (
    app        text not null references apps (name),
    collection text not null,
    key        text not null,
    value      text not null,
    version    integer not null,
    updated_at integer not null,
    primary key (app, collection, key)
) strict, without rowid;

-- One event for one trigger. A claim does not change the row: it is listed in the table `claims`. A
-- row is held if a claim lists its id and its present turn. The checks use `or`, because SQLite
-- builds a table at each insert for an `in` list of three or more values. `data` is the last
-- column, because it may be long, and SQLite reads a row from its start.
create table outbox (
    id                 integer primary key autoincrement,
    trigger_id         integer not null,
    due_at             integer not null,
    -- Whether the row is in the index of its lane. A row that is claimed when it is written enters
    -- the index when it goes back.
    waits              integer not null default 1,
    -- Whether the row is free and left an expired claim. Such a row waits in an index of its own.
    suspect            integer not null default 0,
    -- How many times the row has left a claim without being deleted. A claim lists the turn of each
    -- row, so a claim that has lost a row no longer names it.
    turn               integer not null default 0,
    -- The attempts that failed. The attempt that runs is `attempt` + 1.
    attempt            integer not null default 0 check (attempt >= 0),
    -- The losses: the claims that expired after the handler may have begun.
    lost               integer not null default 0 check (lost >= 0),
    max_attempts       integer not null check (max_attempts between 1 and 100),
    max_lost           integer not null check (max_lost between 1 and 100),
    backoff            text not null check (backoff = 'exponential' or backoff = 'linear' or backoff = 'constant'),
    base_ms            integer not null,
    max_ms             integer not null,
    jitter             real not null,
    max_age_ms         integer,
    timeout_ms         integer not null,
    enqueued_at        integer not null,
    redrive_generation integer not null default 0,
    previous_letter_id integer,
    reply_to           text,
    handles_letter_id  integer,
    failed             text,
    -- The script of an invocation, which replaces the handler of the lane.
    script             text,
    -- The outcome of a sync execution, until its reply is delivered: {"outcome", "status",
    -- "message"}.
    executed           text,
    -- The idempotency key of the call. A repeated call with the key gets the stored reply.
    call_key           text,
    event_id           blob not null,
    source             text not null check (
        source = 'kv' or source = 'http' or source = 'app' or source = 'cron' or source = 'table' or source = 'dead_letter'),
    type               text not null,
    subject            text not null,
    time               integer not null,
    actor              text not null,
    root_id            blob not null,
    parent_id          blob,
    depth              integer not null check (depth >= 0),
    traceparent        text,
    data               text not null,
    check (executed is null or reply_to is not null),
    check (not (suspect and waits)),
    check (reply_to is null or handles_letter_id is null)
) strict;

-- For claims and discovery only. A lane is one range of this index, in the order of claims: by
-- due_at, then by the id, which SQLite appends to every entry. Naming the id here would store it
-- twice. Rows that are claimed when they are written are not in the index, so that a sync call or
-- an inline claim does not pay for an entry that nothing reads.
create index outbox_lanes on outbox (trigger_id, due_at) where waits;

-- The free suspects of each lane. They are outside the index of lanes, because a claim that passed
-- over them could not move the floor of its lane.
create index outbox_suspects on outbox (trigger_id, due_at) where suspect;

-- The last row that a claim took from each lane. A row is due at the time of the transaction that
-- writes it or puts it back, or later, and no two transactions have the same time. So no free row
-- of the index is at the floor or below. A claim begins above it and reads no deleted row and no
-- held one.
create table floors (
    trigger_id integer primary key,
    due_at     integer not null,
    id         integer not null
) strict;

-- The store's clock: one row. A transaction writes the time if the last one is a second old, and a
-- close writes it. So the store's clock does not go back after a restart, even if the clock of the
-- system was set back.
create table clock (
    now integer not null
) strict;
insert into clock values (0);

-- The rows of one lane that one transaction claimed for a dispatcher. One row here in place of a
-- write to each claimed row. `lease` is the number of the claim.
create table claims (
    lease       integer primary key,
    trigger_id  integer not null,
    -- An expired claim holds its rows until an exchange ends it.
    lease_until integer not null,
    claimed_at  integer not null,
    -- The rows that the claim holds. The claim is deleted with the last one.
    rows_left   integer not null check (rows_left > 0),
    -- The rows that count against the max_concurrency of the trigger: all rows that the claim
    -- holds, except executed ones, which wait only for the delivery of their reply.
    slots       integer not null check (slots between 0 and rows_left),
    -- The claimed rows as a JSON array of [id, turn], in the order of the claim. It is never
    -- changed.
    deliveries  text not null,
    -- The first rows of the array, which the daemon starts at once. It holds the others ahead.
    starts      integer not null check (starts >= 0)
) strict;

-- The expired claims and the slots of one lane.
create index claims_of_lane on claims (trigger_id, lease_until);

create table dead_letters (
    id                 integer primary key autoincrement,
    app                text not null,
    delivery_id        integer not null,
    trigger_id         integer not null,
    trigger_name       text not null,
    trigger_version    integer not null,
    handler_kind       text,
    handler_name       text,
    script_version     integer,
    principal          text not null,
    reason             text not null check (reason in
        ('attempts_exhausted', 'lost', 'max_age', 'permanent', 'principal_denied', 'handler_missing')),
    attempts           integer not null,
    failed             text not null,
    fingerprint        text not null,
    enqueued_at        integer not null,
    created_at         integer not null,
    resolution         text check (resolution in ('handled', 'handler_failed', 'redriven', 'discarded')),
    redrive_generation integer not null,
    previous_letter_id integer,
    -- The failure of its dead-letter handler, as a JSON attempt.
    handler_failure    text,
    max_attempts       integer not null,
    max_lost           integer not null,
    backoff            text not null,
    base_ms            integer not null,
    max_ms             integer not null,
    jitter             real not null,
    max_age_ms         integer,
    timeout_ms         integer not null,
    event_id           blob not null,
    source             text not null,
    type               text not null,
    subject            text not null,
    time               integer not null,
    actor              text not null,
    root_id            blob not null,
    parent_id          blob,
    depth              integer not null,
    traceparent        text,
    data               text not null
) strict;

-- Lists show the letters of one app, newest first.
create index dead_letters_of_app on dead_letters (app, id);

create table abandoned_executions (
    delivery_id integer primary key,
    app         text not null,
    trigger_id  integer not null,
    event_id    blob not null,
    reply_to    text not null,
    cause       text not null check (cause in ('node_lost', 'caller_gone')),
    -- 'succeeded' or the code of the failure; null if the execution did not end.
    outcome     text,
    status      integer,
    message     text,
    at          integer not null
) strict;

-- Lists show the executions of one app, newest first.
create index abandoned_executions_of_app on abandoned_executions (app, delivery_id);

-- Loops: chains that were cut because they were too deep. One row per trigger and root event.
create table loops (
    trigger_id    integer not null,
    root_id       blob not null,
    count         integer not null,
    last_event_id blob not null,
    last_at       integer not null,
    primary key (trigger_id, root_id)
) strict, without rowid;

-- The idempotency keys of emissions, each with the ids of its events. Kept for one day.
create table idempotency_keys (
    app        text not null,
    key        text not null,
    digest     text not null,
    event_ids  text not null,
    created_at integer not null,
    primary key (app, key)
) strict, without rowid;

-- To delete old keys.
create index idempotency_keys_age on idempotency_keys (created_at);

-- The idempotency keys of calls, each with its execution and, after a success, the reply. Kept for
-- one day.
create table call_keys (
    app         text not null,
    key         text not null,
    digest      text not null,
    delivery_id integer not null,
    -- The number of the claim under which the call began.
    lease       integer not null,
    reply       text,
    created_at  integer not null,
    primary key (app, key)
) strict, without rowid;

-- To delete old keys.
create index call_keys_age on call_keys (created_at);
