-- Sync calls. A call's row is written already claimed by the daemon that holds the connection, so
-- that no other daemon executes it. Calls that arrive together share one transaction.

-- A sync call: of a trigger, or of a script of an app.
create type tidegate.sync_call as (
    -- The inbox of the caller.
    reply_to   text,
    trigger_id bigint,
    -- The app, the script and its timeout. Null for the call of a trigger.
    app        text,
    script     text,
    timeout_ms integer,
    type       text,
    subject    text,
    data       text,
    cause      tidegate.cause,
    -- The idempotency key and the digest of the call, or null.
    key        text,
    digest     text
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
create function tidegate.check_calls(p_now timestamptz, p_calls tidegate.sync_call[]) returns tidegate.checked_call[]
language plpgsql as $$
begin
    return (
    with checked as materialized (
        select
            c.place, t.*, coalesce(c.timeout_ms, t.timeout_ms) as call_timeout_ms, coalesce(c.script, t.handler_name) as runs,
            case when c.script is null then t.handler_kind else 'script' end as runs_kind,
            case
                when t.id is null then 'gone'
                when t.paused then 'paused'
                -- An invocation runs as its caller. The API has checked the caller's rights.
                when c.script is null and t.standing <> 'allowed' then t.standing
                when c.key is not null or t.max_concurrency is not null then 'waits'
                else 'begun'
            end as kind
        from unnest(p_calls) with ordinality c (
            reply_to, trigger_id, app, script, timeout_ms, type, subject, data, cause, key, digest, place)
        left join lateral (
            select t.*, tidegate.standing(t.registered_by, t.app) as standing from tidegate.triggers t
            where t.id = c.trigger_id and t.source = 'http' and t.enabled and t.deleted_at is null
            union all
            select t.*, 'allowed' from tidegate.triggers t
            where t.app = c.app and t.source = 'invoke' and t.enabled and t.deleted_at is null
            limit 1) t on true
    ), numbered as materialized (
        select c.id, tidegate.claim_number() as claim from checked c where c.kind in ('begun', 'waits') group by c.id
    )
    select array_agg(row(
        c.kind, c.delivery_id, c.claim, tidegate.uuid_v7(p_now), c.call_timeout_ms, c.id, c.app, c.name, c.version,
        c.runs_kind, c.runs, c.registered_by, c.max_concurrency, null)::tidegate.checked_call order by c.place)
    from (
        select c.*, n.claim, case when n.claim is not null then nextval('tidegate.outbox_id_seq') end as delivery_id
        from checked c left join numbered n on n.id = c.id and c.kind in ('begun', 'waits')
        order by c.place
        offset 0
    ) c);
end
$$;

-- Reserves the idempotency key of a call for it.
--
-- A key is free again after a day, or when its execution has ended without a success. A call with
-- the same key at the same time waits here for the end of this transaction.
--
-- Parameters: the time; the call; its checked form.
-- Returns: the checked form, with the kind 'waits' if the key is reserved now, or else
--   'key_reused', 'key_in_use' or 'repeated'.
-- Locks: the row of the key.
-- Changes: call_keys. One new key in 100 also prunes at most 1,000 old ones.
create function tidegate.reserve_key(
    p_now timestamptz, p_call tidegate.sync_call, inout p_checked tidegate.checked_call
)
language plpgsql as $$
begin
    insert into tidegate.call_keys as k (app, key, digest, delivery_id, claim, created_at)
    values ((p_checked).app, (p_call).key, (p_call).digest, (p_checked).id, (p_checked).claim, p_now)
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
            case when k.digest <> (p_call).digest then 'key_reused' when k.reply is null then 'key_in_use'
                else 'repeated' end,
            k.delivery_id, k.claim, k.reply
        into p_checked.kind, p_checked.id, p_checked.claim, p_checked.reply
        from tidegate.call_keys k where k.app = (p_checked).app and k.key = (p_call).key;
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
    p_now timestamptz, p_calls tidegate.sync_call[], inout p_checked tidegate.checked_call[]
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
        where (p_calls[w.place]).key is not null
        order by (p_checked[w.place]).app, (p_calls[w.place]).key, w.place
    loop
        p_checked[v_at] := tidegate.reserve_key(p_now => p_now, p_call => p_calls[v_at], p_checked => p_checked[v_at]);
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
                where (p_checked[v_at]).kind = 'waits' and k.app = (p_checked[v_at]).app and k.key = (p_calls[v_at]).key;
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
create function tidegate.begin_calls(p_calls tidegate.sync_call[], p_lease_us bigint)
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
        select * from unnest(p_calls, v_checked) with ordinality c (
            reply_to, called_id, called_app, script, given_ms, type, subject, data, cause, call_key, digest, kind, id,
            claim, event_id, timeout_ms, lane, app, trigger_name, trigger_version, handler_kind, handler_name,
            registered_by, max_concurrency, reply, place)
    ), written as (
        insert into tidegate.outbox (
            id, trigger_id, due_at, enqueued_at, time, event_id, max_attempts, policy_id, timeout_ms, waits, event, data,
            reply_to, script, call_key)
        overriding system value
        select
            c.id, c.lane, v_now, v_now, v_now, c.event_id, 1, 1, c.timeout_ms, false,
            tidegate.event_head('http', c.type, c.subject, c.cause), c.data::json, c.reply_to, c.script, c.call_key
        from call c where c.kind = 'begun'
        order by c.place
        returning id, trigger_id, ctid as place
    ), claimed as (
        insert into tidegate.claims (
            claim, trigger_id, lease_until, claimed_at, rows_left, slots, ids, places)
        select
            c.claim, w.trigger_id, v_now + p_lease_us * interval '1 microsecond', v_now, count(*), count(*),
            array_agg(w.id order by w.id), array_agg(w.place order by w.id)
        from written w join call c on c.id = w.id and c.kind = 'begun'
        group by c.claim, w.trigger_id
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
