-- Tables. Everything lives in the schema "tidegate", whose name is written out everywhere: nothing depends on a search_path.
-- All times are timestamptz by this server's clock; 'epoch' in a lease column means "not leased". Names compare and sort by
-- bytes (collate "C"): that is what the other stores do.

do $$
begin
    if current_setting('server_encoding') <> 'UTF8' then
        raise exception 'Tidegate needs a database in UTF8, and this one is in %', current_setting('server_encoding')
            using hint = 'Create the database with: create database … encoding ''UTF8'' template template0';
    end if;
end
$$;

create table tidegate.apps (
    name       text collate "C" primary key,
    created_at timestamptz not null
);

-- KV and script versions. One sequence for all, so that a version never comes back after a delete and a handler's
-- read can be checked by comparing versions alone.
create sequence tidegate.versions;

create table tidegate.scripts (
    app        text collate "C" not null references tidegate.apps (name),
    name       text collate "C" not null,
    version    bigint not null,
    source     text not null,
    updated_at timestamptz not null,
    primary key (app, name)
);

-- A deleted trigger stays, because its waiting rows and its dead letters name it; its name is free again.
create table tidegate.triggers (
    id              bigint generated always as identity primary key,
    app             text collate "C" not null references tidegate.apps (name),
    name            text collate "C" not null,
    spec            jsonb not null,
    -- 'invoke' is the lane of the app's invocations: made with the app, and in no list.
    source          text not null check (source in ('kv', 'app', 'http', 'cron', 'dead_letter', 'invoke')),
    -- What SQL needs of the spec, taken from it when it is written: fan-out must not parse JSON.
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
    -- Of a cron trigger: its next tick; null until a dispatcher has looked at it.
    next_tick       timestamptz check (next_tick is null or source = 'cron'),
    deleted_at      timestamptz
);

create unique index triggers_living on tidegate.triggers (app, name) where deleted_at is null;
-- Fan-out finds an app's triggers of one source here.
create index triggers_matching on tidegate.triggers (app, source) where deleted_at is null and enabled;
-- Discovery looks here at every poll; it holds cron triggers alone.
create index triggers_ticking on tidegate.triggers (next_tick)
    where source = 'cron' and deleted_at is null and enabled;

-- Keys are compared by bytes, so that a list has the same order on every server and in the other stores.
--
-- No foreign key to apps: each put would lock the row of its app, and all puts of one app would meet there. Apps are never
-- removed, and the function that puts looks for the app first. The value is json and not jsonb: it reads back byte for
-- byte as it was put.
create table tidegate.kv (
    app        text collate "C" not null,
    collection text collate "C" not null,
    key        text collate "C" not null,
    value      json not null,
    version    bigint not null,
    updated_at timestamptz not null,
    primary key (app, collection, key)
) with (fillfactor = 80);

-- One event for one trigger: the hot table.
--
-- The columns of the lease are in no index and the pages are left half empty, so that leasing and renewing are HOT updates:
-- no index is written, and the old versions are pruned without a vacuum. They stand side by side and are never null, so
-- that such an update changes one short stretch of the row, and only that stretch goes to the WAL.
--
-- The order of columns: first what is always there and of fixed width, without padding, so that a claim finds all that it
-- looks at in one place at fixed offsets; then what may be null; then the texts, with what may be large last.
--
-- There are no foreign keys: each would cost a lookup and a shared lock on the trigger's row per insert, where all emits of
-- one trigger would meet; triggers are never removed, so a row's trigger is always there.
create table tidegate.outbox (
    -- Settlements name a row by its id.
    id                 bigint generated always as identity primary key,
    trigger_id         bigint not null,
    due_at             timestamptz not null,
    -- The number of the last claim, when it was made and how long it holds.
    lease              bigint not null default 0,
    lease_until        timestamptz not null default 'epoch',
    leased_at          timestamptz not null default 'epoch',
    -- How many attempts were begun. At most one more than allowed: such a claim executes nothing.
    attempt            integer not null default 0,
    -- What the trigger said when the event was emitted.
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
    -- The dead letter that this row was before it was redriven, and the one that it handles.
    previous_letter_id bigint,
    handles_letter_id  bigint,
    backoff            text not null,
    source             text not null check (source in ('kv', 'http', 'app', 'cron', 'table', 'dead_letter')),
    type               text not null,
    subject            text not null,
    actor              text not null,
    traceparent        text,
    -- Where a sync caller waits: `incarnation:seq`.
    reply_to           text,
    -- json and not jsonb: handed on byte for byte.
    data               json not null,
    -- The attempts that failed so far, as an array of the core's `Attempt`.
    failed             jsonb,
    -- What an invocation runs, instead of a handler of its lane.
    script             text,
    -- How a sync execution ended, until its reply is delivered: {"outcome", "status", "message"}.
    executed           jsonb,
    -- The key that the reply is kept under for whoever repeats the call.
    call_key           text,
    constraint attempts_are_counted check (attempt between 0 and max_attempts + 1),
    constraint leased_by_a_claim check (lease > 0 or lease_until = 'epoch'),
    constraint depth_tells_a_parent check (depth >= 0 and (depth > 0) = (parent_id is not null)),
    constraint only_sync_is_executed check (executed is null or reply_to is not null),
    constraint sync_or_handler check (reply_to is null or handles_letter_id is null),
    -- A handler of dead letters runs once and makes no dead letter.
    constraint handler_runs_once check (handles_letter_id is null or max_attempts = 1)
) with (
    fillfactor = 50,
    -- Most of a queue is dead rows: vacuum early and without pauses. The threshold keeps a nearly empty table from being
    -- vacuumed all the time.
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_scale_factor = 0.2,
    autovacuum_vacuum_cost_delay = 0
);

-- Claim, discovery and nothing else. A lane is a run of this index: a claim walks it from its floor, in the order of due
-- time, and the id breaks ties without a sort; a discovery jumps from run to run and looks at the first row of each. One
-- more index would be one more write per row.
--
-- The id is an expression, so that nobody looks for an id here. Where most of the table is dead, because somebody holds a
-- transaction open, the planner finds a walk over all of this index as cheap as one step in the primary key's.
create index outbox_lanes on tidegate.outbox (trigger_id, due_at, (id + 0));

-- Live leases of triggers with a max_concurrency, so that a claim counts them without walking a long lane. A row here
-- whose delivery no longer bears the lease is stale; the next claim or call of the lane removes it.
create table tidegate.slots (
    trigger_id  bigint not null,
    delivery_id bigint not null,
    lease       bigint not null,
    primary key (trigger_id, delivery_id)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- Deliveries that will not be tried again by themselves. Names and versions are copies: what a trigger says later does
-- not change what happened.
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
    -- Null is open.
    resolution         text check (resolution in ('handled', 'handler_failed', 'redriven', 'discarded')),
    redrive_generation integer not null,
    previous_letter_id bigint,
    -- What the handler that was to handle it failed of.
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

-- Lists are newest first: an app's, those of one trigger, those that failed alike.
create index dead_letters_of_app on tidegate.dead_letters (app, id);
create index dead_letters_of_trigger on tidegate.dead_letters (app, trigger_name, id);
create index dead_letters_alike on tidegate.dead_letters (app, fingerprint, id);

-- Sync executions whose reply reached nobody.
create table tidegate.abandoned_executions (
    delivery_id bigint primary key,
    app         text collate "C" not null,
    trigger_id  bigint not null,
    event_id    uuid not null,
    reply_to    text not null,
    cause       text not null check (cause in ('node_lost', 'caller_gone')),
    -- 'succeeded' or the code of the failure; null if nobody knows how it ended.
    outcome     text,
    status      integer,
    message     text,
    at          timestamptz not null
);

create index abandoned_executions_of_app on tidegate.abandoned_executions (app, delivery_id);

-- Chains that were cut because they were too deep: one row per trigger and root event.
create table tidegate.loops (
    trigger_id    bigint not null,
    root_id       uuid not null,
    count         bigint not null,
    last_event_id uuid not null,
    last_at       timestamptz not null,
    primary key (trigger_id, root_id)
);

-- Requests that must not be made twice, and what they were answered. Kept for a day.
create table tidegate.idempotency_keys (
    app        text collate "C" not null,
    key        text collate "C" not null,
    digest     text not null,
    event_ids  uuid[] not null,
    created_at timestamptz not null,
    primary key (app, key)
);

-- Finds what is older than a day.
create index idempotency_keys_age on tidegate.idempotency_keys (created_at);

-- Calls that must not be made twice, each with the execution that it became and the reply of a success. Kept for a day.
create table tidegate.call_keys (
    app         text collate "C" not null,
    key         text collate "C" not null,
    digest      text not null,
    delivery_id bigint not null,
    reply       json,
    created_at  timestamptz not null,
    primary key (app, key)
);

create index call_keys_age on tidegate.call_keys (created_at);
