-- Sync calls. A call's row is written already claimed by the daemon that holds the connection, so
-- that no other daemon executes it. Calls that arrive together share one transaction.

-- Sync calls, of a trigger or of a script of an app each, in parallel arrays.
create type tidegate.sync_calls as (
    -- The inboxes of the callers.
    reply_tos    text[],
    triggers     bigint[],
    -- The app, the script and its timeout. Null for the call of a trigger.
    apps         text[],
    scripts      text[],
    timeouts_ms  integer[],
    types        text[],
    subjects     text[],
    data         text[],
    -- The causes.
    actors       text[],
    root_ids     uuid[],
    parent_ids   uuid[],
    depths       integer[],
    traceparents text[],
    -- The idempotency keys and the digests of the calls, or null.
    keys         text[],
    digests      text[]
);

-- A sync call after its checks.
create type tidegate.checked_call as (
    -- 'begun', or the reason of a refusal. 'waits' until the key and the slot of the call are
    -- checked. 'repeated': the call repeats an earlier call with the same key.
    kind            text,
    id              bigint,
    claim           bigint,
    event_id        uuid,
    timeout_ms      integer,
    lane            bigint,
    app             text,
    trigger_name    text,
    trigger_version bigint,
    handler_kind    text,
    handler_name    text,
    registered_by   text,
    max_concurrency integer,
    -- The stored reply to an earlier call.
    reply           json
);

-- Checks calls as far as one statement can, and gives each its ids.
--
-- In plpgsql, which keeps the plan. A function in SQL would be planned again for each call.
--
-- The calls of a lane share a claim. The ids rise in the order of the calls.
--
-- Parameters: the time; the calls.
-- Returns: the checked calls, in order. A call with a key, or of a lane with a max_concurrency, has
--   the kind 'waits'.
-- Locks: none.
-- Changes: sequences.
create function tidegate.check_calls(p_now timestamptz, p_calls tidegate.sync_calls) returns tidegate.checked_call[]
language plpgsql as $$
begin
    return (
    with found as materialized (
        select
            c.place, t.id as lane, t.app, t.name, t.version, t.registered_by, t.max_concurrency,
            coalesce(c.timeout_ms, t.timeout_ms) as timeout_ms, coalesce(c.script, t.handler_name) as runs,
            case when c.script is null then t.handler_kind else 'script' end as runs_kind,
            case
                when t.id is null then 'gone'
                when t.paused then 'paused'
                -- An invocation runs as its caller. The API has checked the caller's rights.
                when c.script is null then coalesce(
                    nullif(tidegate.standing(t.registered_by, t.app), 'allowed'),
                    case when c.key is null and t.max_concurrency is null then 'begun' else 'waits' end)
                when c.key is null then 'begun'
                else 'waits'
            end as kind
        from unnest(
            (p_calls).triggers, (p_calls).apps, (p_calls).scripts, (p_calls).timeouts_ms, (p_calls).keys)
            with ordinality c (trigger_id, app, script, timeout_ms, key, place)
        left join lateral (
            select * from tidegate.triggers t
            where t.id = coalesce(c.trigger_id, (
                select i.id from tidegate.triggers i
                where i.app = c.app and i.source = 'invoke' and i.enabled and i.deleted_at is null))
            limit 1
        ) t on t.enabled and t.deleted_at is null and t.source = case when c.script is null then 'http' else 'invoke' end
    ), numbered as materialized (
        select f.lane, tidegate.claim_number() as claim from found f where f.kind in ('begun', 'waits') group by f.lane
    )
    select array_agg(row(
        f.kind, case when n.claim is not null then nextval('tidegate.outbox_id_seq') end, n.claim,
        tidegate.uuid_v7(p_now), f.timeout_ms, f.lane, f.app, f.name, f.version, f.runs_kind, f.runs, f.registered_by,
        f.max_concurrency, null)::tidegate.checked_call)
    from (select * from found f order by f.place offset 0) f
    left join numbered n on n.lane = f.lane and f.kind in ('begun', 'waits'));
end
$$;

-- Reserves the idempotency key of a call for it.
--
-- A key is free again after a day, or when its execution has ended without a success. A call with
-- the same key at the same time waits here for the end of this transaction.
--
-- Parameters: the time; the key; the digest of the call; the checked call.
-- Returns: the checked call, with the kind 'waits' if the key is reserved now, or else
--   'key_reused', 'key_in_use' or 'repeated'.
-- Locks: the row of the key.
-- Changes: call_keys. One new key in 100 also prunes at most 1,000 old ones.
create function tidegate.reserve_key(
    p_now timestamptz, p_key text, p_digest text, inout p_checked tidegate.checked_call
)
language plpgsql as $$
begin
    insert into tidegate.call_keys as k (app, key, digest, delivery_id, claim, created_at)
    values ((p_checked).app, p_key, p_digest, (p_checked).id, (p_checked).claim, p_now)
    on conflict on constraint call_keys_pkey do update set
        digest = excluded.digest, delivery_id = excluded.delivery_id, claim = excluded.claim, reply = null,
        created_at = excluded.created_at
        where k.created_at < p_now - interval '1 day' or (
            k.digest = excluded.digest and k.reply is null
            and not exists (select from tidegate.outbox o where o.id = k.delivery_id)
            -- The key of an earlier call of this transaction, whose row is not written yet.
            and k.created_at <> excluded.created_at);
    if not found then
        select
            case when k.digest <> p_digest then 'key_reused' when k.reply is null then 'key_in_use'
                else 'repeated' end,
            k.delivery_id, k.claim, k.reply
        into p_checked.kind, p_checked.id, p_checked.claim, p_checked.reply
        from tidegate.call_keys k where k.app = (p_checked).app and k.key = p_key;
    elsif random() < 0.01 then
        delete from tidegate.call_keys where (app, key) in (
            select k.app, k.key from tidegate.call_keys k
            where k.created_at < p_now - interval '1 day'
            order by k.created_at
            limit 1000
            for update skip locked);
    end if;
end
$$;

-- Checks the keys and slots of the calls with the kind 'waits', each after the calls before it.
--
-- All keys come before all lanes, which is the order of locks of an exchange. A call that finds no
-- free slot gives its key back, whatever the key has said.
--
-- Parameters: the time; the calls; their checked forms.
-- Returns: the checked forms, without the kind 'waits'.
-- Locks: the rows of the keys; the lanes with a max_concurrency.
-- Changes: call_keys, claims.
create function tidegate.reserve_calls(
    p_now timestamptz, p_calls tidegate.sync_calls, inout p_checked tidegate.checked_call[]
)
language plpgsql as $$
declare
    v_waiting constant integer[] := array(
        select c.place from unnest(p_checked) with ordinality c (
            kind, id, claim, event_id, timeout_ms, lane, app, trigger_name, trigger_version, handler_kind, handler_name,
            registered_by, max_concurrency, reply, place)
        where c.kind = 'waits' order by c.place);
    v_limited bigint[] := '{}';
    v_free jsonb := '{}';
    v_lane text;
    v_at integer;
begin
    for v_at in
        select w.place from unnest(v_waiting) w (place)
        where (p_calls).keys[w.place] is not null
        order by (p_checked[w.place]).app, (p_calls).keys[w.place], w.place
    loop
        p_checked[v_at] := tidegate.reserve_key(
            p_now => p_now, p_key => (p_calls).keys[v_at], p_digest => (p_calls).digests[v_at],
            p_checked => p_checked[v_at]);
    end loop;
    foreach v_at in array v_waiting loop
        if (p_checked[v_at]).max_concurrency is not null then
            v_limited := v_limited || (p_checked[v_at]).lane;
        end if;
    end loop;
    perform tidegate.lock_lanes(p_lanes => array(select distinct l from unnest(v_limited) l));
    foreach v_at in array v_waiting loop
        v_lane := (p_checked[v_at]).lane;
        if (p_checked[v_at]).max_concurrency is not null then
            if not v_free ? v_lane then
                v_free := v_free || jsonb_build_object(v_lane, tidegate.free_slots(
                    p_now => clock_timestamp(), p_lane => (p_checked[v_at]).lane,
                    p_limit => (p_checked[v_at]).max_concurrency));
            end if;
            if (v_free ->> v_lane)::integer = 0 then
                delete from tidegate.call_keys k
                where (p_checked[v_at]).kind = 'waits' and k.app = (p_checked[v_at]).app and k.key = (p_calls).keys[v_at];
                p_checked[v_at].kind := 'busy';
            elsif (p_checked[v_at]).kind = 'waits' then
                v_free := v_free || jsonb_build_object(v_lane, (v_free ->> v_lane)::integer - 1);
            end if;
        end if;
        if (p_checked[v_at]).kind = 'waits' then
            p_checked[v_at].kind := 'begun';
        end if;
    end loop;
end
$$;

-- Begins sync calls.
--
-- One statement writes all rows, because a statement that inserts into the outbox costs more than
-- its row (see `fan_out`).
--
-- Parameters: the calls; the length of the lease.
-- Returns: one row per call. `kind` is 'begun', with the columns of the delivery that the caller
--   does not know; or 'repeated', with the reply to the first call with the same key; or the reason
--   of the refusal.
-- Locks: those of `reserve_calls`.
-- Changes: outbox, claims, call_keys.
create function tidegate.begin_calls(p_calls tidegate.sync_calls, p_lease_us bigint)
returns table (
    kind text, reply_to text, now timestamptz, id bigint, claim bigint, event_id uuid, timeout_ms integer,
    trigger_id bigint, app text, trigger_name text, trigger_version bigint, handler_kind text, handler_name text,
    script_version bigint, registered_by text, reply json
)
language plpgsql as $$
#variable_conflict use_column
declare
    v_now timestamptz := clock_timestamp();
    v_checked tidegate.checked_call[] := tidegate.check_calls(p_now => v_now, p_calls => p_calls);
begin
    if exists (select from unnest(v_checked) c where c.kind = 'waits') then
        v_checked := tidegate.reserve_calls(p_now => v_now, p_calls => p_calls, p_checked => v_checked);
    end if;
    return query
    with call as materialized (
        select * from unnest(
            (p_calls).reply_tos, (p_calls).scripts, (p_calls).types, (p_calls).subjects, (p_calls).data,
            (p_calls).actors, (p_calls).root_ids, (p_calls).parent_ids, (p_calls).depths, (p_calls).traceparents,
            (p_calls).keys, v_checked) with ordinality c (
            reply_to, script, type, subject, data, actor, root_id, parent_id, depth, traceparent, call_key, kind, id,
            claim, event_id, timeout_ms, lane, app, trigger_name, trigger_version, handler_kind, handler_name,
            registered_by, max_concurrency, reply, place)
    ), written as (
        insert into tidegate.outbox (
            id, trigger_id, due_at, enqueued_at, time, event_id, max_attempts, policy_id, timeout_ms, waits, event, data,
            reply_to, script, call_key)
        overriding system value
        select
            c.id, c.lane, v_now, v_now, v_now, c.event_id, 1, 1, c.timeout_ms, false,
            tidegate.event_head('http', c.type, c.subject, row(
                c.actor, c.root_id, c.parent_id, c.depth, c.traceparent)), c.data::json, c.reply_to, c.script, c.call_key
        from call c where c.kind = 'begun'
        returning id, trigger_id, ctid as place
    ), claimed as (
        insert into tidegate.claims (
            claim, trigger_id, lease_until, claimed_at, rows_left, ids, places)
        select
            (select c.claim from call c where c.lane = w.trigger_id and c.kind = 'begun' limit 1), w.trigger_id,
            v_now + p_lease_us * interval '1 microsecond', v_now, count(*), array_agg(w.id), array_agg(w.place)
        from written w
        group by w.trigger_id
    )
    select
        c.kind, c.reply_to, v_now, c.id, c.claim, c.event_id, c.timeout_ms, c.lane, c.app, c.trigger_name,
        c.trigger_version, c.handler_kind, c.handler_name, s.version, c.registered_by, c.reply
    from call c
    left join lateral (
        select version from tidegate.scripts where app = c.app and name = c.handler_name limit 1
    ) s on c.handler_kind = 'script'
    order by c.place;
end
$$;
