-- Sync calls: their rows are written already leased to the daemon that holds the connection, so that no other one ever
-- executes them. One transaction for all calls that came together.

-- Writes the rows of calls, in their order. `p_calls` is an array of objects: `reply_to`, `trigger` or `app` with `script`
-- and `timeout_ms`, then the event. Answers, by kind: 'now' once, 'begun' rows, and refused calls, whose kind is why and
-- whose `reply_to` is which.
create function tidegate.begin_calls(p_calls jsonb, p_lease_us bigint) returns setof tidegate.exchanged
language plpgsql
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_call jsonb;
    v_lane record;
    v_event_id uuid;
    v_row tidegate.exchanged;
    v_none tidegate.exchanged;
begin
    v_row.kind := 'now';
    v_row.now := v_now;
    return next v_row;

    for v_call in select * from jsonb_array_elements(p_calls) loop
        v_row := v_none;
        v_row.reply_to := v_call ->> 'reply_to';
        if v_call ? 'trigger' then
            select t.*, t.registered_by as runs_as into v_lane from tidegate.triggers t
            where t.id = (v_call ->> 'trigger')::bigint and t.source = 'http' and t.enabled and t.deleted_at is null;
        else
            select t.*, v_call ->> 'actor' as runs_as into v_lane from tidegate.triggers t
            where t.app = v_call ->> 'app' and t.source = 'invoke' and t.enabled and t.deleted_at is null;
        end if;
        if not found then
            v_row.kind := 'gone';
        elsif v_lane.paused then
            v_row.kind := 'paused';
        elsif not v_call ? 'trigger' then
            null;
        elsif tidegate.standing(v_lane.registered_by, v_lane.app) <> 'allowed' then
            v_row.kind := tidegate.standing(v_lane.registered_by, v_lane.app);
        elsif v_lane.max_concurrency is not null and not tidegate.has_slot(v_now, v_lane.id, v_lane.max_concurrency) then
            v_row.kind := 'busy';
        end if;
        if v_row.kind is null and v_call ? 'key' then
            -- Who comes at the same time waits here for the end of this transaction. A key is free again when it is older
            -- than a day, or when its execution has ended without a success.
            insert into tidegate.call_keys as k (app, key, digest, delivery_id, created_at)
            values (v_lane.app, v_call ->> 'key', v_call ->> 'digest', 0, v_now)
            on conflict (app, key) do update set
                digest = excluded.digest, delivery_id = 0, reply = null, created_at = excluded.created_at
                where k.created_at < v_now - interval '1 day' or (
                    k.digest = excluded.digest and k.reply is null
                    and not exists (select from tidegate.outbox o where o.id = k.delivery_id));
            if not found then
                select
                    case when k.digest <> v_call ->> 'digest' then 'key_reused' when k.reply is null then 'key_in_use'
                        else 'repeated' end,
                    k.delivery_id, k.reply
                into v_row.kind, v_row.id, v_row.data
                from tidegate.call_keys k where k.app = v_lane.app and k.key = v_call ->> 'key';
                v_row.lease := 1;
            elsif random() < 0.01 then
                -- Now and then, a few at a time, and none that another is pruning.
                delete from tidegate.call_keys where (app, key) in (
                    select k.app, k.key from tidegate.call_keys k
                    where k.created_at < v_now - interval '1 day'
                    order by k.created_at
                    limit 1000
                    for update skip locked);
            end if;
        end if;
        if v_row.kind is not null then
            return next v_row;
            continue;
        end if;

        v_event_id := tidegate.uuid_v7(v_now);
        insert into tidegate.outbox (
            trigger_id, due_at, lease, lease_until, leased_at, attempt, max_attempts, base_ms, max_ms, jitter,
            timeout_ms, depth, enqueued_at, time, event_id, root_id, parent_id, backoff, source, type, subject, actor,
            traceparent, reply_to, data, script, call_key)
        values (
            v_lane.id, v_now, 1, v_now + p_lease_us * interval '1 microsecond', v_now, 1, 1, 1, 1, 0,
            coalesce((v_call ->> 'timeout_ms')::integer, v_lane.timeout_ms), (v_call ->> 'depth')::integer, v_now, v_now,
            v_event_id, coalesce((v_call ->> 'root_id')::uuid, v_event_id), (v_call ->> 'parent_id')::uuid, 'constant',
            'http', v_call ->> 'type', v_call ->> 'subject', v_call ->> 'actor', v_call ->> 'traceparent',
            v_call ->> 'reply_to', (v_call ->> 'data')::json, v_call ->> 'script', v_call ->> 'key')
        returning
            'begun', null, id, lease, trigger_id, attempt, due_at, max_attempts, outbox.backoff, base_ms, max_ms, jitter,
            max_age_ms, timeout_ms, enqueued_at, redrive_generation, reply_to, handles_letter_id, event_id, source, type,
            subject, time, actor, root_id, parent_id, depth, traceparent, data, v_lane.app, v_lane.name, v_lane.version,
            case when script is null then v_lane.handler_kind else 'script' end, coalesce(script, v_lane.handler_name),
            null, v_lane.runs_as, 'allowed'
        into v_row;
        if v_row.handler_kind = 'script' then
            select s.version into v_row.script_version from tidegate.scripts s
            where s.app = v_lane.app and s.name = v_row.handler_name;
        end if;
        if v_call ? 'key' then
            update tidegate.call_keys set delivery_id = v_row.id where app = v_lane.app and key = v_call ->> 'key';
        end if;
        if v_lane.max_concurrency is not null then
            insert into tidegate.slots (trigger_id, delivery_id, lease) values (v_lane.id, v_row.id, 1);
        end if;
        return next v_row;
    end loop;
end
$$;

-- Whether a limited lane has a place left. Until the end of the transaction nobody else looks at that lane's places: calls
-- wait for each other, claims pass it by.
create function tidegate.has_slot(p_now timestamptz, p_trigger bigint, p_limit integer) returns boolean
language plpgsql as $$
declare
    v_live integer;
begin
    perform pg_advisory_xact_lock((7232::bigint << 40) | p_trigger);
    select count(*) into v_live
    from tidegate.slots s
    join tidegate.outbox o on o.id = any (array[s.delivery_id]) and o.lease = s.lease and o.lease_until > p_now
    where s.trigger_id = p_trigger;
    return v_live < p_limit;
end
$$;
