-- The tables.
--
-- All objects are in the schema "tidegate". Statements write the schema's name out, so they do not
-- depend on a search_path. All times are timestamptz by the clock of this server. Names compare and
-- sort by bytes (collate "C"), as in the other stores.

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

-- The roles of the database that may emit events of an app in SQL, with `tidegate.emit`. A member
-- of such a role may emit, too. The owner of the schema and superusers need no row.
create table tidegate.emitters (
    app  text collate "C" not null,
    role text collate "C" not null,
    primary key (app, role)
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

-- Retry policies. Outbox rows and dead letters refer to a policy by its id, which is shorter
-- than the policy itself. A policy never changes, so a row keeps the policy of its emit. There are
-- as many policies as there are different ones among all triggers.
create table tidegate.policies (
    id           integer generated always as identity primary key,
    max_attempts integer not null,
    max_lost     integer not null,
    backoff      text not null,
    base_ms      integer not null,
    max_ms       integer not null,
    jitter       real not null,
    max_age_ms   bigint
);

create unique index policies_alike
    on tidegate.policies (max_attempts, max_lost, backoff, base_ms, max_ms, jitter, coalesce(max_age_ms, -1));

-- The id of a retry policy. The policy is stored if it is new.
--
-- Parameters: the fields of the policy.
-- Returns: the id.
-- Locks: a transaction that stores the same policy at the same time is waited for.
-- Changes: policies.
create function tidegate.policy_id(
    p_max_attempts integer, p_max_lost integer, p_backoff text, p_base_ms integer, p_max_ms integer, p_jitter real,
    p_max_age_ms bigint
) returns integer
language plpgsql as $$
declare
    v_id integer;
begin
    insert into tidegate.policies (max_attempts, max_lost, backoff, base_ms, max_ms, jitter, max_age_ms)
    values (p_max_attempts, p_max_lost, p_backoff, p_base_ms, p_max_ms, p_jitter, p_max_age_ms)
    on conflict do nothing;
    select p.id into strict v_id from tidegate.policies p
    where p.max_attempts = p_max_attempts and p.max_lost = p_max_lost and p.backoff = p_backoff
      and p.base_ms = p_base_ms and p.max_ms = p_max_ms and p.jitter = p_jitter and coalesce(p.max_age_ms, -1) = coalesce(p_max_age_ms, -1);
    return v_id;
end
$$;

-- The policy with one attempt, and otherwise the fields of another policy.
--
-- Parameters: the other policy.
-- Returns: the id.
-- Locks: those of `policy_id`.
-- Changes: policies.
create function tidegate.once(p_policy integer) returns integer
language sql as $$
    select tidegate.policy_id(1, p.max_lost, p.backoff, p.base_ms, p.max_ms, p.jitter, p.max_age_ms)
    from tidegate.policies p where p.id = p_policy
$$;

-- Policy 1: a sync call is never retried.
select tidegate.policy_id(1, 1, 'constant', 1, 1, 0, null);

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
    policy_id       integer not null references tidegate.policies (id),
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
-- A claim does not write the row. It lists the row in `claims`. The row changes only when it goes
-- back: for a retry, after a deferral, or when its claim is lost. So a delivery costs one insert
-- and one delete, and most rows have one version.
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
    enqueued_at        timestamptz not null,
    time               timestamptz not null,
    event_id           uuid not null,
    -- How many times the row went back. A claim lists the turn of each of its rows, so a claim no
    -- longer holds a row that has gone back since.
    turn               integer not null default 0,
    -- The attempts that failed.
    attempt            integer not null default 0,
    -- The retry policy and timeout of the trigger at the time of the emit.
    max_attempts       integer not null,
    policy_id          integer not null,
    timeout_ms         integer not null,
    redrive_generation integer not null default 0,
    -- The losses: the claims that expired after the handler may have begun.
    lost               smallint not null default 0,
    -- Whether the row is in the index of lanes. False for a row that was claimed by the transaction
    -- that wrote it, and for a row that left an expired claim.
    waits              boolean not null default true,
    -- Whether the row is free and left an expired claim. Such a row waits in an index of its own.
    suspect            boolean not null default false,
    -- The dead letter that was redriven into this row, and the dead letter that this row handles.
    previous_letter_id bigint,
    handles_letter_id  bigint,
    -- The event without its id, time and data. `tidegate.event_head` makes it, and the view
    -- `deliveries` shows its fields.
    event              text not null,
    -- json and not jsonb, because the handler must get the bytes that were emitted.
    data               json not null,
    -- The inbox of the sync caller: `incarnation:seq`.
    reply_to           text,
    -- The failed attempts, as an array of the core's `Attempt`.
    failed             jsonb,
    -- The script of an invocation, which runs instead of the lane's handler.
    script             text,
    -- The outcome of a sync execution whose reply is not delivered yet: {"outcome", "status",
    -- "message"}.
    executed           jsonb,
    -- The idempotency key of the call. The reply is stored under it, for a repeated call.
    call_key           text,
    constraint attempts_are_counted check (attempt >= 0 and lost >= 0),
    constraint no_suspect_waits check (not (suspect and waits)),
    constraint only_sync_is_executed check (executed is null or reply_to is not null),
    -- The handler of a dead letter runs once, and its failure creates no dead letter.
    constraint handler_runs_once check (handles_letter_id is null or (max_attempts = 1 and reply_to is null))
) with (
    -- Most rows of a queue are dead, so vacuum starts early and does not pause. The threshold keeps
    -- Postgres from vacuuming a nearly empty table all the time.
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_insert_scale_factor = 0.2,
    autovacuum_vacuum_cost_delay = 0
);

-- The index of lanes, for claims and discovery only. The entries of a lane are adjacent. A claim
-- walks them from its floor in the order of due time; the id orders rows with the same due time, so
-- no sort is needed. A discovery jumps from lane to lane. Each further index would cost one more
-- write per row.
--
-- The id is an expression, so that no condition on the id can use this index. While a long
-- transaction keeps dead rows in the table, the planner estimates that a walk over this whole index
-- is as cheap as one lookup in the primary key.
create index outbox_lanes on tidegate.outbox (trigger_id, due_at, (id + 0)) where waits;

-- The free suspects of each lane. They are outside the index of lanes, because a claim that passed
-- over them could not move the floor of its lane.
create index outbox_suspects on tidegate.outbox (trigger_id, due_at, (id + 0)) where suspect;

-- Claims: the rows of one lane that one transaction has claimed.
--
-- A claim holds a row if it lists the row's id, and the row still has the listed turn. A settlement
-- or renewal is valid if its claim holds its row, also after the end of the lease. After that end,
-- an exchange may end the claim.
--
-- The arrays are parallel, in the order of the claim. They are stored outside the row and are never
-- changed, so that updates of the row are short.
create table tidegate.claims (
    -- The time of the claim in microseconds, and a number below 1024. So a claim's number is never
    -- used again, even after a restore of an earlier state of the database.
    claim       bigint primary key,
    trigger_id  bigint not null,
    lease_until timestamptz not null,
    claimed_at  timestamptz not null,
    -- The rows that the claim still holds. The claim is deleted with its last row.
    rows_left   integer not null check (rows_left > 0),
    -- Whether the claim can no longer be renewed: its slots were given to another claim after the
    -- end of its lease.
    is_void     boolean not null default false,
    -- The floor of the lane after this claim. '-infinity' if the claim took no row from the index.
    floor_due   timestamptz not null default '-infinity',
    floor_id    bigint not null default 0,
    -- The first rows of the arrays, which the daemon starts at once. It holds the others ahead.
    -- Null: all rows start at once.
    starts      integer check (starts >= 0),
    ids         bigint[] not null,
    -- Null: each row has the turn 0.
    turns       integer[],
    -- The daemon of the session that made the claim, see `tidegate.enter`. Null if it is unknown.
    daemon      integer default nullif(current_setting('tidegate.daemon', true), '')::integer,
    -- The ctids of the rows when they were claimed. A row that has moved is found by its id.
    places      tid[] not null
) with (
    fillfactor = 50,
    toast_tuple_target = 512,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0.02,
    toast.autovacuum_vacuum_cost_delay = 0
);

alter table tidegate.claims
    alter ids set storage external, alter turns set storage external, alter places set storage external;

-- For the search for expired claims, and for the live claims of a lane.
create index claims_expiry on tidegate.claims (lease_until);

create sequence tidegate.claim_numbers;

-- The daemons that have used the database and whose claims were not ended since.
create table tidegate.daemons (
    daemon     integer generated always as identity primary key,
    -- The machine and the address of the daemon. A daemon that starts again has the same name.
    name       text collate "C" not null,
    entered_at timestamptz not null default clock_timestamp()
);

-- Numbers of claims while the clock is behind an earlier claim: see `tidegate.number_above`.
create sequence tidegate.late_claim_numbers;

-- Lanes: one row per trigger. A claim holds the lock of its lane until its commit, so the claims of
-- one lane follow one another.
--
-- The floor of a lane is the last row of its index that was claimed: no row above it is claimed. It
-- is the highest of the floors here and in the lane's live claims. Here it is written a few times a
-- second only: while a long transaction runs, each version of a row stays and must be passed over.
create table tidegate.lanes (
    trigger_id   bigint primary key,
    floor_due    timestamptz not null default '-infinity',
    floor_id     bigint not null default 0,
    -- No claim with a lower number holds an indexed row of the lane. It spares a walk over dead
    -- rows of `claims`, which also stay while a long transaction runs.
    oldest_claim bigint not null default 0,
    -- The due time from which the next claim searches for free rows below the floor. Not null if
    -- the last claim of such rows was full.
    search_due   timestamptz,
    -- When the columns above were last written.
    written_at   timestamptz not null default '-infinity',
    -- When a discovery next searches the whole lane for free rows below the floor.
    next_walk    timestamptz not null default '-infinity'
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- One row: where discoveries begin to look at claims, so that they do not walk over dead rows.
create table tidegate.claims_floor (
    -- No lease that ends earlier is left.
    lease_until  timestamptz not null,
    -- No claim with a lower number is left, unless its transaction took long.
    oldest_claim bigint not null,
    -- When a discovery next looks at all claims.
    next_walk    timestamptz not null,
    -- When a discovery last looked at all claims. A time that is ahead of the clock shows that the
    -- clock was set back.
    walked_at    timestamptz not null
) with (fillfactor = 50);

insert into tidegate.claims_floor values ('-infinity', 0, '-infinity', '-infinity');

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
        ('attempts_exhausted', 'lost', 'max_age', 'permanent', 'principal_denied', 'handler_missing')),
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
    policy_id          integer not null,
    timeout_ms         integer not null,
    event_id           uuid not null,
    time               timestamptz not null,
    event              text not null,
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
    claim       bigint not null,
    reply       json,
    created_at  timestamptz not null,
    primary key (app, key)
);

-- For pruning keys that are older than a day.
create index call_keys_age on tidegate.call_keys (created_at);
