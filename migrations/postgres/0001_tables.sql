-- Everything lives in the schema "tidegate", which the migration's connection has made and put first in its path.
-- All times are timestamptz by this server's clock; 'epoch' in a lease column means "not leased".

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
    source          text not null check (source in ('kv', 'app', 'http', 'cron', 'dead_letter')),
    -- What SQL needs of the spec, taken from it when it is written: fan-out must not parse JSON.
    on_set          boolean not null default false,
    on_delete       boolean not null default false,
    first_pattern   text collate "C" not null default '',
    second_pattern  text collate "C" not null default '',
    handler_kind    text not null check (handler_kind in ('script', 'native', 'webhook')),
    handler_name    text not null,
    max_attempts    integer not null,
    backoff         text not null,
    base_ms         bigint not null,
    max_ms          bigint not null,
    jitter          double precision not null,
    max_age_ms      bigint,
    timeout_ms      bigint not null,
    max_concurrency integer,
    enabled         boolean not null,
    paused          boolean not null default false,
    registered_by   text not null,
    version         bigint not null,
    -- Of a cron trigger: its next tick; null until a dispatcher has looked at it.
    next_tick       timestamptz,
    deleted_at      timestamptz
);

create unique index triggers_living on tidegate.triggers (app, name) where deleted_at is null;
-- Fan-out finds an app's triggers of one source here.
create index triggers_matching on tidegate.triggers (app, source) where deleted_at is null and enabled;
-- Discovery looks here at every poll; it holds cron triggers alone.
create index triggers_ticking on tidegate.triggers (next_tick)
    where source = 'cron' and deleted_at is null and enabled;

-- Keys are compared by bytes, so that a list has the same order on every server and in the other stores.
create table tidegate.kv (
    app        text collate "C" not null references tidegate.apps (name),
    collection text collate "C" not null,
    key        text collate "C" not null,
    value      json not null,
    version    bigint not null,
    updated_at timestamptz not null,
    primary key (app, collection, key)
) with (fillfactor = 80);

-- One event for one trigger: the hot table. The columns of the lease are in no index and the pages are left half
-- empty, so that leasing and renewing are HOT updates: no index is written, and the old versions are pruned without a
-- vacuum. lease_until is never null, so that the row keeps its layout. There are no foreign keys: each would cost a
-- lookup and a shared row lock per insert; triggers are never removed, so a row's trigger is always there.
create table tidegate.outbox (
    id                 bigint generated always as identity primary key,
    trigger_id         bigint not null,
    due_at             timestamptz not null,
    lease              bigint not null default 0,
    lease_until        timestamptz not null default 'epoch',
    leased_at          timestamptz not null default 'epoch',
    attempt            integer not null default 0 check (attempt >= 0),
    max_attempts       integer not null check (max_attempts between 1 and 100),
    depth              integer not null check (depth >= 0),
    redrive_generation integer not null default 0,
    base_ms            bigint not null,
    max_ms             bigint not null,
    jitter             double precision not null,
    timeout_ms         bigint not null,
    enqueued_at        timestamptz not null,
    time               timestamptz not null,
    event_id           uuid not null,
    root_id            uuid not null,
    parent_id          uuid,
    max_age_ms         bigint,
    previous_letter_id bigint,
    handles_letter_id  bigint,
    backoff            text not null check (backoff in ('exponential', 'linear', 'constant')),
    source             text not null check (source in ('kv', 'http', 'app', 'cron', 'table', 'dead_letter')),
    type               text not null,
    subject            text not null,
    actor              text not null,
    traceparent        text,
    reply_to           text,
    data               json not null,
    failed             jsonb,
    check (reply_to is null or handles_letter_id is null)
) with (
    fillfactor = 50,
    -- Rows live for milliseconds: vacuum early, often and without pauses.
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_insert_scale_factor = 0.2,
    autovacuum_vacuum_cost_delay = 0
);

-- Claim, discovery and nothing else: a lane is a run of this index, in the order in which it is claimed. One more
-- index would be one more write per row.
create index outbox_lanes on tidegate.outbox (trigger_id, due_at, id);

-- Live leases of triggers with a max_concurrency, so that a claim counts them without walking a long lane. A row here
-- whose delivery no longer bears the lease is stale; the next claim of the lane removes it.
create table tidegate.slots (
    trigger_id  bigint not null,
    delivery_id bigint not null,
    lease       bigint not null,
    primary key (trigger_id, delivery_id)
);

create table tidegate.dead_letters (
    id                 bigint generated always as identity primary key,
    app                text collate "C" not null,
    delivery_id        bigint not null,
    trigger_id         bigint not null,
    trigger_name       text not null,
    trigger_version    bigint not null,
    handler_kind       text,
    handler_name       text,
    script_version     bigint,
    principal          text not null,
    reason             text not null check (reason in
        ('attempts_exhausted', 'max_age', 'permanent', 'principal_denied', 'handler_missing')),
    attempts           integer not null,
    failed             jsonb not null,
    fingerprint        text not null,
    enqueued_at        timestamptz not null,
    created_at         timestamptz not null,
    resolution         text check (resolution in ('handled', 'handler_failed', 'redriven', 'discarded')),
    redrive_generation integer not null,
    previous_letter_id bigint,
    max_attempts       integer not null,
    backoff            text not null,
    base_ms            bigint not null,
    max_ms             bigint not null,
    jitter             double precision not null,
    max_age_ms         bigint,
    timeout_ms         bigint not null,
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

-- Lists are by app, newest first.
create index dead_letters_of_app on tidegate.dead_letters (app, id);

create table tidegate.abandoned_executions (
    delivery_id bigint primary key,
    app         text collate "C" not null,
    trigger_id  bigint not null,
    event_id    uuid not null,
    reply_to    text not null,
    cause       text not null check (cause in ('node_lost', 'caller_gone')),
    at          timestamptz not null
);

-- Chains that were cut because they were too deep: one row per trigger and root event.
create table tidegate.loops (
    trigger_id    bigint not null,
    root_id       uuid not null,
    count         bigint not null,
    last_event_id uuid not null,
    last_at       timestamptz not null,
    primary key (trigger_id, root_id)
);

create table tidegate.idempotency_keys (
    app        text collate "C" not null,
    key        text collate "C" not null,
    digest     text not null,
    event_ids  uuid[] not null,
    created_at timestamptz not null,
    primary key (app, key)
);

create index idempotency_keys_age on tidegate.idempotency_keys (created_at);
