-- The tables.
--
-- All objects are in the schema "tidegate". Statements write the schema's name out, so they do not
-- depend on a search_path. All times are timestamptz by the clock of this server. 'epoch' in a
-- lease column means "not leased". Names compare and sort by bytes (collate "C"), as in the other
-- stores.

do $$
begin
    if current_setting('server_encoding') <> 'UTF8' then
        raise exception 'Tidegate needs a database with the encoding UTF8; this database has %',
            current_setting('server_encoding')
            using hint = 'Create a new one with: create database … encoding ''UTF8'' template template0';
    end if;
end
$$;

create table tidegate.apps (
    name       text collate "C" primary key,
    created_at timestamptz not null
);

-- Versions of values and of scripts. All of them come from one sequence, so a version is never used
-- again after a delete. Therefore the store checks the reads of a handler by comparing versions
-- alone.
create sequence tidegate.versions;

create table tidegate.scripts (
    app        text collate "C" not null references tidegate.apps (name),
    name       text collate "C" not null,
    version    bigint not null,
    source     text not null,
    updated_at timestamptz not null,
    primary key (app, name)
);

-- A deleted trigger keeps its row, because outbox rows and dead letters refer to it. Its name is
-- free for a new trigger.
create table tidegate.triggers (
    id              bigint generated always as identity primary key,
    app             text collate "C" not null references tidegate.apps (name),
    name            text collate "C" not null,
    spec            jsonb not null,
    -- 'invoke' is the lane of the app's invocations. It is created with the app, and no list shows
    -- it.
    source          text not null check (source in ('kv', 'app', 'http', 'cron', 'dead_letter', 'invoke')),
    -- The columns down to `enabled` repeat parts of the spec, so that fan-out does not parse JSON.
    on_set          boolean not null default false,
    on_delete       boolean not null default false,
    first_pattern   text collate "C" not null default '',
    second_pattern  text collate "C" not null default '',
    handler_kind    text not null check (handler_kind in ('script', 'native', 'webhook')),
    handler_name    text not null,
    max_attempts    integer not null,
    backoff         text not null,
    base_ms         integer not null,
    max_ms          integer not null,
    jitter          real not null,
    max_age_ms      bigint,
    timeout_ms      integer not null,
    max_concurrency integer check (max_concurrency >= 1),
    enabled         boolean not null,
    paused          boolean not null default false,
    registered_by   text not null,
    version         bigint not null,
    -- The next tick of a cron trigger. Null until a dispatcher has computed it.
    next_tick       timestamptz check (next_tick is null or source = 'cron'),
    deleted_at      timestamptz
);

create unique index triggers_living on tidegate.triggers (app, name) where deleted_at is null;
-- Fan-out looks up the triggers of one app and one source.
create index triggers_matching on tidegate.triggers (app, source) where deleted_at is null and enabled;
-- Each discovery looks up the cron triggers that are due. The index contains no other triggers.
create index triggers_ticking on tidegate.triggers (next_tick)
    where source = 'cron' and deleted_at is null and enabled;

-- Values. Keys compare by bytes, so that a list has the same order on every server and in the other
-- stores.
--
-- There is no foreign key to apps. With one, each put would lock the row of its app, and all puts
-- of an app would contend for that lock. Apps are never removed, and `kv_mutate` checks that the
-- app exists. The value is json and not jsonb, because a read must return the bytes that were put.
create table tidegate.kv (
    app        text collate "C" not null,
    collection text collate "C" not null,
    key        text collate "C" not null,
    value      json not null,
    version    bigint not null,
    updated_at timestamptz not null,
    primary key (app, collection, key)
) with (fillfactor = 80);

-- Deliveries: one event for one trigger. This is the hot table.
--
-- Claims and renewals are HOT updates: they write no index, and Postgres prunes the old row
-- versions without a vacuum. For that, the lease columns are in no index and the pages are filled
-- to 50 % only. The lease columns are adjacent and never null, so such an update changes one short
-- range of the row, and only that range goes to the WAL.
--
-- The order of the columns: first the columns that are never null and have a fixed width, without
-- padding, so that a claim finds all columns that it reads at fixed offsets; then the columns that
-- may be null; then texts, with the largest last.
--
-- There are no foreign keys. Each would cost a lookup and a shared lock on the trigger's row per
-- insert, and all emits of one trigger would contend for that lock. Triggers are never removed, so
-- the trigger of a row always exists.
create table tidegate.outbox (
    -- A settlement refers to its row by this id.
    id                 bigint generated always as identity primary key,
    trigger_id         bigint not null,
    due_at             timestamptz not null,
    -- The number of the last claim, the end of its lease, and the time of the claim.
    lease              bigint not null default 0,
    lease_until        timestamptz not null default 'epoch',
    leased_at          timestamptz not null default 'epoch',
    -- The attempts that have begun. A claim after the last allowed attempt counts one more, and
    -- executes nothing.
    attempt            integer not null default 0,
    -- The retry policy and timeout of the trigger at the time of the emit.
    max_attempts       integer not null,
    base_ms            integer not null,
    max_ms             integer not null,
    jitter             real not null,
    timeout_ms         integer not null,
    depth              integer not null,
    redrive_generation integer not null default 0,
    enqueued_at        timestamptz not null,
    time               timestamptz not null,
    event_id           uuid not null,
    root_id            uuid not null,
    parent_id          uuid,
    max_age_ms         bigint,
    -- The dead letter that was redriven into this row, and the dead letter that this row handles.
    previous_letter_id bigint,
    handles_letter_id  bigint,
    backoff            text not null,
    source             text not null check (source in ('kv', 'http', 'app', 'cron', 'table', 'dead_letter')),
    type               text not null,
    subject            text not null,
    actor              text not null,
    traceparent        text,
    -- The inbox of the sync caller: `incarnation:seq`.
    reply_to           text,
    -- json and not jsonb, because the handler must get the bytes that were emitted.
    data               json not null,
    -- The failed attempts, as an array of the core's `Attempt`.
    failed             jsonb,
    -- The script of an invocation, which runs instead of the lane's handler.
    script             text,
    -- The outcome of a sync execution whose reply is not delivered yet: {"outcome", "status",
    -- "message"}.
    executed           jsonb,
    -- The idempotency key of the call. The reply is stored under it, for a repeated call.
    call_key           text,
    constraint attempts_are_counted check (attempt between 0 and max_attempts + 1),
    constraint leased_by_a_claim check (lease > 0 or lease_until = 'epoch'),
    constraint depth_tells_a_parent check (depth >= 0 and (depth > 0) = (parent_id is not null)),
    constraint only_sync_is_executed check (executed is null or reply_to is not null),
    constraint sync_or_handler check (reply_to is null or handles_letter_id is null),
    -- The handler of a dead letter runs once, and its failure creates no dead letter.
    constraint handler_runs_once check (handles_letter_id is null or max_attempts = 1)
) with (
    fillfactor = 50,
    -- Most row versions of a queue are dead, so vacuum starts early and does not pause. The
    -- threshold keeps Postgres from vacuuming a nearly empty table all the time.
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_scale_factor = 0.2,
    autovacuum_vacuum_cost_delay = 0
);

-- The index of lanes, for claims and discovery only. The entries of a lane are adjacent. A claim
-- walks them from its floor in the order of due time; the id orders rows with the same due time, so
-- no sort is needed. A discovery jumps from lane to lane and reads the first row of each. Each
-- further index would cost one more write per row.
--
-- The id is an expression, so that no condition on the id can use this index. While a long
-- transaction keeps dead rows in the table, the planner estimates that a walk over this whole index
-- is as cheap as one lookup in the primary key.
create index outbox_lanes on tidegate.outbox (trigger_id, due_at, (id + 0));

-- The leases of triggers with a max_concurrency, so that a claim counts them without a walk over a
-- long lane. A row is stale if its delivery has another lease now, is not leased, or is executed.
-- The next claim or call of the lane removes stale rows.
create table tidegate.slots (
    trigger_id  bigint not null,
    delivery_id bigint not null,
    lease       bigint not null,
    primary key (trigger_id, delivery_id)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- Dead letters: deliveries that are not tried again unless they are redriven. Names and versions
-- are copies, so a later change of the trigger does not change the record.
create table tidegate.dead_letters (
    id                 bigint generated always as identity primary key,
    app                text collate "C" not null,
    delivery_id        bigint not null,
    trigger_id         bigint not null,
    trigger_name       text collate "C" not null,
    trigger_version    bigint not null,
    handler_kind       text,
    handler_name       text,
    script_version     bigint,
    principal          text not null,
    reason             text not null check (reason in
        ('attempts_exhausted', 'max_age', 'permanent', 'principal_denied', 'handler_missing')),
    attempts           integer not null check (attempts >= 0),
    failed             jsonb not null,
    fingerprint        text collate "C" not null,
    enqueued_at        timestamptz not null,
    created_at         timestamptz not null,
    -- Null: the letter is open.
    resolution         text check (resolution in ('handled', 'handler_failed', 'redriven', 'discarded')),
    redrive_generation integer not null,
    previous_letter_id bigint,
    -- The failed attempt of the letter's handler.
    handler_failure    jsonb,
    max_attempts       integer not null,
    backoff            text not null,
    base_ms            integer not null,
    max_ms             integer not null,
    jitter             real not null,
    max_age_ms         bigint,
    timeout_ms         integer not null,
    event_id           uuid not null,
    source             text not null,
    type               text not null,
    subject            text not null,
    time               timestamptz not null,
    actor              text not null,
    root_id            uuid not null,
    parent_id          uuid,
    depth              integer not null,
    traceparent        text,
    data               json not null
);

-- For lists, newest first: the letters of an app, of one trigger, and with one fingerprint.
create index dead_letters_of_app on tidegate.dead_letters (app, id);
create index dead_letters_of_trigger on tidegate.dead_letters (app, trigger_name, id);
create index dead_letters_alike on tidegate.dead_letters (app, fingerprint, id);

-- Abandoned executions: sync executions without a delivered reply.
create table tidegate.abandoned_executions (
    delivery_id bigint primary key,
    app         text collate "C" not null,
    trigger_id  bigint not null,
    event_id    uuid not null,
    reply_to    text not null,
    cause       text not null check (cause in ('node_lost', 'caller_gone')),
    -- 'succeeded' or the code of the failure. Null if the outcome is unknown.
    outcome     text,
    status      integer,
    message     text,
    at          timestamptz not null
);

create index abandoned_executions_of_app on tidegate.abandoned_executions (app, delivery_id);

-- Loops: chains of events that were cut at the depth limit. One row per trigger and root event.
create table tidegate.loops (
    trigger_id    bigint not null,
    root_id       uuid not null,
    count         bigint not null,
    last_event_id uuid not null,
    last_at       timestamptz not null,
    primary key (trigger_id, root_id)
);

-- Idempotency keys of emit requests, with the events of the first request. A key is kept for a day.
create table tidegate.idempotency_keys (
    app        text collate "C" not null,
    key        text collate "C" not null,
    digest     text not null,
    event_ids  uuid[] not null,
    created_at timestamptz not null,
    primary key (app, key)
);

-- For pruning keys that are older than a day.
create index idempotency_keys_age on tidegate.idempotency_keys (created_at);

-- Idempotency keys of sync calls, with the execution of the first call and the reply if it
-- succeeded. A key is kept for a day.
create table tidegate.call_keys (
    app         text collate "C" not null,
    key         text collate "C" not null,
    digest      text not null,
    delivery_id bigint not null,
    reply       json,
    created_at  timestamptz not null,
    primary key (app, key)
);

-- For pruning keys that are older than a day.
create index call_keys_age on tidegate.call_keys (created_at);
