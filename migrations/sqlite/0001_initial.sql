-- Times are microseconds since 1970-01-01 UTC, written by the one process that has this file open.
-- JSON is kept as the text that came in, so that it reads back byte for byte.

create table apps (
    name       text primary key not null,
    created_at integer not null
) strict, without rowid;

-- One row of numbers that only grow. KV versions and script versions come from it, so that a version never comes
-- back after a delete and a handler's read can be checked by comparing versions alone.
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

-- A deleted trigger stays, because its waiting rows and its dead letters name it; its name is free again.
create table triggers (
    id              integer primary key autoincrement,
    app             text not null references apps (name),
    name            text not null,
    spec            text not null check (json_valid(spec)),
    -- 'invoke' is the lane of the app's invocations: made with the app, and in no list.
    source          text not null check (source in ('kv', 'app', 'http', 'cron', 'dead_letter', 'invoke')),
    -- What SQL needs of the spec, taken from it when it is written: fan-out must not parse JSON.
    on_set          integer not null default 0,
    on_delete       integer not null default 0,
    first_pattern   text not null default '',
    second_pattern  text not null default '',
    handler_kind    text not null check (handler_kind in ('script', 'native', 'webhook')),
    handler_name    text not null,
    max_attempts    integer not null,
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
    -- Of a cron trigger: its next tick; null until the dispatcher has looked at it.
    next_tick       integer,
    deleted_at      integer
) strict;

create unique index triggers_living on triggers (app, name) where deleted_at is null;
-- Fan-out finds an app's triggers of one source here.
create index triggers_matching on triggers (app, source) where deleted_at is null and enabled;
-- Discovery looks here at every poll; it holds cron triggers alone.
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

-- One event for one trigger. lease_until = 0 means "not leased"; a lease that is over but not released keeps its time,
-- so that the next claim knows of the attempt that was lost. Its checks say `or`: for a list of three or more values
-- SQLite would build a table at each insert.
create table outbox (
    id                 integer primary key autoincrement,
    trigger_id         integer not null,
    due_at             integer not null,
    lease              integer not null default 0,
    lease_until        integer not null default 0,
    leased_at          integer not null default 0,
    attempt            integer not null default 0 check (attempt >= 0),
    max_attempts       integer not null check (max_attempts between 1 and 100),
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
    failed             text,
    -- What an invocation runs, instead of a handler of its lane.
    script             text,
    -- How a sync execution ended, until its reply is delivered: {"outcome", "status", "message"}.
    executed           text,
    -- The key that the reply is kept under for whoever repeats the call.
    call_key           text,
    check (executed is null or reply_to is not null),
    check (reply_to is null or handles_letter_id is null)
) strict;

-- Claim, discovery and nothing else: a lane is a run of this index, in the order in which it is claimed.
create index outbox_lanes on outbox (trigger_id, due_at, id);

-- Live leases of triggers with a max_concurrency, so that a claim counts them without walking a long lane. A row here
-- whose delivery no longer bears the lease is stale; the next claim or call of the lane removes it.
create table slots (
    trigger_id  integer not null,
    delivery_id integer not null,
    lease       integer not null,
    primary key (trigger_id, delivery_id)
) strict, without rowid;

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
        ('attempts_exhausted', 'max_age', 'permanent', 'principal_denied', 'handler_missing')),
    attempts           integer not null,
    failed             text not null,
    fingerprint        text not null,
    enqueued_at        integer not null,
    created_at         integer not null,
    resolution         text check (resolution in ('handled', 'handler_failed', 'redriven', 'discarded')),
    redrive_generation integer not null,
    previous_letter_id integer,
    -- What the handler that was to handle it failed of.
    handler_failure    text,
    max_attempts       integer not null,
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

-- Lists are by app, newest first.
create index dead_letters_of_app on dead_letters (app, id);

create table abandoned_executions (
    delivery_id integer primary key,
    app         text not null,
    trigger_id  integer not null,
    event_id    blob not null,
    reply_to    text not null,
    cause       text not null check (cause in ('node_lost', 'caller_gone')),
    -- 'succeeded' or the code of the failure; null if nobody knows how it ended.
    outcome     text,
    status      integer,
    message     text,
    at          integer not null
) strict;

create index abandoned_executions_of_app on abandoned_executions (app, delivery_id);

-- Chains that were cut because they were too deep: one row per trigger and root event.
create table loops (
    trigger_id    integer not null,
    root_id       blob not null,
    count         integer not null,
    last_event_id blob not null,
    last_at       integer not null,
    primary key (trigger_id, root_id)
) strict, without rowid;

create table idempotency_keys (
    app        text not null,
    key        text not null,
    digest     text not null,
    event_ids  text not null,
    created_at integer not null,
    primary key (app, key)
) strict, without rowid;

create index idempotency_keys_age on idempotency_keys (created_at);

-- Calls that must not be made twice, each with the execution that it became and the reply of a success. Kept for a day.
create table call_keys (
    app         text not null,
    key         text not null,
    digest      text not null,
    delivery_id integer not null,
    reply       text,
    created_at  integer not null,
    primary key (app, key)
) strict, without rowid;

create index call_keys_age on call_keys (created_at);
