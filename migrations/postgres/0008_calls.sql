-- Sync calls. A call's row is written already leased to the daemon that holds the connection, so
-- that no other daemon executes it. Calls that arrive together share one transaction.

-- Begins sync calls. Each call is for a trigger, or for a script of an app.
--
-- One statement checks and writes all calls, because a statement that inserts into the outbox costs
-- more than its row (see `fan_out`). Calls of the kind 'waits' have an idempotency key or a lane
-- with a limit. They follow one by one, because each must see the keys and slots that the call
-- before it has taken. To write the row of such a call, the function calls itself with the call's
-- id and the time.
--
-- Parameters: the length of the lease; then one array per field, with one element per call; for the
--   function's own use, the time and the ids of calls that were checked before.
-- Returns: one row per call. `kind` is 'begun', with the columns of the delivery that the caller
--   does not know; or 'repeated', with the reply to the first call with the same key; or the reason
--   of the refusal.
-- Locks: the rows of the idempotency keys and the advisory locks of lanes with a limit, until the
--   end of the transaction.
-- Changes: outbox, slots, call_keys.
create function tidegate.begin_calls(
    p_lease_us bigint, p_reply_tos text[], p_triggers bigint[], p_apps text[], p_scripts text[], p_timeouts_ms integer[],
    p_types text[], p_subjects text[], p_data text[], p_actors text[], p_root_ids uuid[], p_parent_ids uuid[],
    p_depths integer[], p_traceparents text[], p_keys text[], p_digests text[], p_now timestamptz default clock_timestamp(),
    p_ids bigint[] default '{}'
) returns table (
    kind text, reply_to text, now timestamptz, id bigint, event_id uuid, timeout_ms integer, trigger_id bigint, app text,
    trigger_name text, trigger_version bigint, handler_kind text, handler_name text, script_version bigint,
    registered_by text, reply json
)
language plpgsql as $$
#variable_conflict use_column
declare
    v_call record;
begin
    now := p_now;
    for v_call in
        with requested as materialized (
            select
                c.*,
                -- The ids rise in the order of the calls, including calls of the kind 'waits'.
                case when c.kind in ('begun', 'waits') then coalesce(c.given_id, nextval('tidegate.outbox_id_seq')) end
                    as id,
                case when c.kind = 'begun' then tidegate.uuid_v7(p_now) end as event_id
            from (
                select
                    c.*, t.id as trigger_id, coalesce(c.given_ms, t.timeout_ms) as timeout_ms, t.app, t.name, t.version,
                    case when c.script is null then t.handler_kind else 'script' end as handler_kind,
                    coalesce(c.script, t.handler_name) as handler_name, t.registered_by, t.max_concurrency,
                    case
                        when c.given_id is not null then 'begun'
                        when t.id is null then 'gone'
                        when t.paused then 'paused'
                        -- An invocation runs as its caller. The API has checked the caller's
                        -- rights.
                        when c.script is null and t.standing <> 'allowed' then t.standing
                        when c.key is not null or t.max_concurrency is not null then 'waits'
                        else 'begun'
                    end as kind
                from unnest(
                    p_reply_tos, p_triggers, p_apps, p_scripts, p_timeouts_ms, p_types, p_subjects, p_data, p_actors,
                    p_root_ids, p_parent_ids, p_depths, p_traceparents, p_keys, p_digests, p_ids) with ordinality c (
                    reply_to, called_id, called_app, script, given_ms, type, subject, data, actor, root_id, parent_id,
                    depth, traceparent, key, digest, given_id, place)
                left join lateral (
                    select t.*, tidegate.standing(t.registered_by, t.app) as standing from tidegate.triggers t
                    where t.id = c.called_id and t.source = 'http' and t.enabled and t.deleted_at is null
                    union all
                    select t.*, 'allowed' from tidegate.triggers t
                    where t.app = c.called_app and t.source = 'invoke' and t.enabled and t.deleted_at is null
                    limit 1) t on true
                offset 0
            ) c
        ), begun as (
            insert into tidegate.outbox (
                id, trigger_id, due_at, lease, lease_until, leased_at, attempt, max_attempts, base_ms, max_ms, jitter,
                timeout_ms, depth, enqueued_at, time, event_id, root_id, parent_id, backoff, source, type, subject, actor,
                traceparent, reply_to, data, script, call_key)
            overriding system value
            select
                a.id, a.trigger_id, p_now, 1, p_now + p_lease_us * interval '1 microsecond', p_now, 1, 1, 1, 1, 0,
                a.timeout_ms, a.depth, p_now, p_now, a.event_id, coalesce(a.root_id, a.event_id), a.parent_id, 'constant',
                'http', a.type, a.subject, a.actor, a.traceparent, a.reply_to, a.data::json, a.script, a.key
            from requested a where a.kind = 'begun'
        )
        select a.*, s.version as script_version
        from requested a
        left join lateral (
            select version from tidegate.scripts where app = a.app and name = a.handler_name limit 1
        ) s on a.handler_kind = 'script'
        order by a.place
    loop
        kind := v_call.kind;
        reply_to := v_call.reply_to;
        id := v_call.id;
        reply := null;
        if kind = 'waits' and v_call.max_concurrency is not null
            and not tidegate.has_slot(p_now, v_call.trigger_id, v_call.max_concurrency)
        then
            kind := 'busy';
        end if;
        if kind = 'waits' and v_call.key is not null then
            -- A call with the same key at the same time waits here for the end of this transaction.
            -- A key is free again after a day, or when its execution has ended without a success.
            insert into tidegate.call_keys as k (app, key, digest, delivery_id, created_at)
            values (v_call.app, v_call.key, v_call.digest, id, p_now)
            on conflict on constraint call_keys_pkey do update set
                digest = excluded.digest, delivery_id = excluded.delivery_id, reply = null,
                created_at = excluded.created_at
                where k.created_at < p_now - interval '1 day' or (
                    k.digest = excluded.digest and k.reply is null
                    and not exists (select from tidegate.outbox o where o.id = k.delivery_id));
            if not found then
                select
                    case when k.digest <> v_call.digest then 'key_reused' when k.reply is null then 'key_in_use'
                        else 'repeated' end,
                    k.delivery_id, k.reply
                into kind, id, reply
                from tidegate.call_keys k where k.app = v_call.app and k.key = v_call.key;
            elsif random() < 0.01 then
                -- One new key in 100 prunes at most 1,000 old keys, and skips keys that another
                -- call prunes.
                delete from tidegate.call_keys where (app, key) in (
                    select k.app, k.key from tidegate.call_keys k
                    where k.created_at < p_now - interval '1 day'
                    order by k.created_at
                    limit 1000
                    for update skip locked);
            end if;
        end if;
        if kind = 'waits' then
            if v_call.max_concurrency is not null then
                insert into tidegate.slots (trigger_id, delivery_id, lease) values (v_call.trigger_id, id, 1);
            end if;
            return query select b.* from tidegate.begin_calls(
                p_lease_us, array[v_call.reply_to], array[v_call.called_id], array[v_call.called_app],
                array[v_call.script], array[v_call.given_ms], array[v_call.type], array[v_call.subject],
                array[v_call.data], array[v_call.actor], array[v_call.root_id], array[v_call.parent_id],
                array[v_call.depth], array[v_call.traceparent], array[v_call.key], array[v_call.digest], p_now,
                array[id]) b;
            continue;
        end if;
        event_id := v_call.event_id;
        timeout_ms := v_call.timeout_ms;
        trigger_id := v_call.trigger_id;
        app := v_call.app;
        trigger_name := v_call.name;
        trigger_version := v_call.version;
        handler_kind := v_call.handler_kind;
        handler_name := v_call.handler_name;
        script_version := v_call.script_version;
        registered_by := v_call.registered_by;
        return next;
    end loop;
end
$$;

-- Whether a lane with a max_concurrency has a free slot.
--
-- Parameters: the time; the lane; its limit.
-- Returns: true if a slot is free.
-- Locks: the advisory lock of the lane, until the end of the transaction. Other calls wait for the
--   lock; claims skip the lane.
-- Changes: deletes stale rows from slots.
create function tidegate.has_slot(p_now timestamptz, p_trigger bigint, p_limit integer) returns boolean
language plpgsql as $$
begin
    perform pg_advisory_xact_lock((7232::bigint << 40) | p_trigger);
    return tidegate.slots_taken(p_now, p_trigger) < p_limit;
end
$$;
