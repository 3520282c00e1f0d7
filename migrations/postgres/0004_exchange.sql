-- The dispatcher's requests, each one call and one transaction.
--
-- A claim is valid while its row bears the lease and is leased, expired or not. Each statement of these functions sees
-- what was committed before it began, so a check that follows a lock is a check of the present.
--
-- Everybody takes locks in one order, so that nobody waits in a circle: rows of the outbox by id, keys by stripe, then rows
-- of loops, of dead letters and of triggers, each by its key. Claims wait for nothing: they skip what is locked.
--
-- Statements are written such that the planner has only one choice, for the reason given in 0002. To that end
-- `o.id = any (array[s.id])` says `o.id = s.id` in a form that cannot be merge-joined: else the planner would think of
-- walking the whole primary key, which is cheap as long as the table is empty. `lateral (… limit 1)` and `offset 0` keep a
-- lookup from being turned into a join.

-- Applies a delivery's effects. False: what it had read was written by somebody else, and nothing was changed. The
-- caller holds the locks of all keys.
create function tidegate.apply_effects(
    p_now timestamptz, p_delivery bigint, p_effects jsonb, out applied boolean, out woken bigint[]
)
language plpgsql as $$
declare
    v_cause record;
begin
    woken := '{}';
    select
        t.app, case when t.source = 'invoke' then o.actor else t.registered_by end as runs_as, o.root_id, o.event_id, o.depth + 1 as depth, o.traceparent into strict v_cause
    from (select * from tidegate.outbox where id = p_delivery limit 1) o
    cross join lateral (select * from tidegate.triggers where id = o.trigger_id limit 1) t;
    applied := not exists (
        select from jsonb_array_elements(p_effects -> 'reads') r
        left join lateral (
            select version from tidegate.kv
            where app = v_cause.app and collection = r ->> 0 and key = r ->> 1 limit 1) k on true
        where coalesce(k.version, -1) <> (r ->> 2)::bigint);
    if not applied then
        return;
    end if;
    if p_effects @? '$.writes[0]' then
        select coalesce(w.woken, '{}') into woken
        from tidegate.kv_write(p_now, array(
            select row(
                true, v_cause.app, w ->> 0, w ->> 1, w ->> 2, v_cause.runs_as, v_cause.root_id, v_cause.event_id, v_cause.depth,
                v_cause.traceparent)::tidegate.kv_change
            from jsonb_array_elements(p_effects -> 'writes') with ordinality w (w, n)
            order by n)) w;
    end if;
    if p_effects @? '$.events[0]' then
        select woken || coalesce(array_agg(f.trigger_id), '{}') into woken
        from tidegate.fan_out(p_now, 'app', array(
            select row(
                v_cause.app, tidegate.uuid_v7(p_now), e ->> 0, e ->> 1, (e ->> 2)::json, v_cause.runs_as, v_cause.root_id,
                v_cause.event_id, v_cause.depth, v_cause.traceparent)::tidegate.new_event
            from jsonb_array_elements(p_effects -> 'events') with ordinality e (e, n)
            order by n)) f;
    end if;
end
$$;

-- Moves a delivery to the dead letters and fires the triggers that listen for that. Nobody listens for the letters of
-- those who handle letters.
create function tidegate.bury(p_now timestamptz, p_delivery bigint, p_verdict jsonb) returns bigint[]
language plpgsql as $$
declare
    v_letter record;
    v_last jsonb;
    v_id uuid := tidegate.uuid_v7(p_now);
begin
    insert into tidegate.dead_letters (
        app, delivery_id, trigger_id, trigger_name, trigger_version, handler_kind, handler_name, script_version,
        principal, reason, attempts, failed, fingerprint, enqueued_at, created_at, redrive_generation,
        previous_letter_id, max_attempts, backoff, base_ms, max_ms, jitter, max_age_ms, timeout_ms, event_id, source,
        type, subject, time, actor, root_id, parent_id, depth, traceparent, data)
    select
        t.app, o.id, t.id, t.name, t.version, case when t.deleted_at is null then t.handler_kind end,
        case when t.deleted_at is null then t.handler_name end, case when t.deleted_at is null then s.version end,
        t.registered_by, p_verdict ->> 'reason', (p_verdict ->> 'attempts')::integer,
        coalesce(o.failed, '[]') || coalesce(nullif(p_verdict -> 'failed', 'null'), '[]'), p_verdict ->> 'fingerprint',
        o.enqueued_at, p_now, o.redrive_generation, o.previous_letter_id, o.max_attempts, o.backoff, o.base_ms,
        o.max_ms, o.jitter, o.max_age_ms, o.timeout_ms, o.event_id, o.source, o.type, o.subject, o.time, o.actor,
        o.root_id, o.parent_id, o.depth, o.traceparent, o.data
    from (select * from tidegate.outbox where id = p_delivery limit 1) o
    cross join lateral (select * from tidegate.triggers where id = o.trigger_id limit 1) t
    left join lateral (
        select version from tidegate.scripts where app = t.app and name = t.handler_name limit 1
    ) s on t.handler_kind = 'script'
    returning * into strict v_letter;
    if v_letter.source = 'dead_letter' then
        return '{}';
    end if;
    v_last := v_letter.failed -> -1;
    return array(select f.trigger_id from tidegate.fan_out(p_now, 'dead_letter', array[row(
        v_letter.app, v_id, 'dead_letter.created', v_letter.trigger_name,
        json_build_object(
            'dead_letter_id', v_letter.id, 'trigger', v_letter.trigger_name, 'reason', v_letter.reason,
            'fingerprint', v_letter.fingerprint, 'attempts', v_letter.attempts,
            'error', case jsonb_typeof(v_last -> 'error')
                when 'object' then (select k from jsonb_object_keys(v_last -> 'error') k) else v_last ->> 'error' end,
            'message', v_last ->> 'message',
            'event', json_build_object(
                'id', v_letter.event_id, 'source', v_letter.source, 'type', v_letter.type,
                'subject', v_letter.subject, 'data', v_letter.data)),
        v_letter.principal, v_letter.root_id, v_letter.event_id, v_letter.depth + 1, v_letter.traceparent
        )::tidegate.new_event], null, v_letter.id) f);
end
$$;

-- Locks what a batch of settlements will touch: its rows, the keys that its effects read or write, the dead letters that
-- it resolves and the triggers that it switches off. Plain successes lock their rows too, so that one statement takes all
-- row locks in their order.
create function tidegate.lock_settled(p_done_ids bigint[], p_settle jsonb) returns void
language plpgsql as $$
declare
    v_ids bigint[];
    v_stripe integer;
begin
    select array_agg(s.id order by s.id) into v_ids
    from (
        select d.id from unnest(p_done_ids) d (id)
        union
        select (s ->> 'id')::bigint from jsonb_array_elements(p_settle) s
    ) s;
    perform from unnest(v_ids) s (id)
    cross join lateral (select from tidegate.outbox o where o.id = s.id for update) o;

    -- What follows knows the rows only by their ids: a row that is not there, or not ours any more, locks too much at most.
    for v_stripe in
        select distinct tidegate.kv_stripe(t.app, k ->> 0, k ->> 1) as stripe
        from jsonb_array_elements(p_settle) s
        cross join lateral (select trigger_id from tidegate.outbox where id = (s ->> 'id')::bigint limit 1) o
        cross join lateral (select app from tidegate.triggers where id = o.trigger_id limit 1) t
        cross join lateral jsonb_array_elements(
            coalesce(s #> '{verdict,effects,reads}', '[]') || coalesce(s #> '{verdict,effects,writes}', '[]')) k
        order by stripe
    loop
        perform tidegate.kv_lock(v_stripe);
    end loop;

    if p_settle @? '$[*].verdict ? (@.kind == "handled" || @.kind == "handler_failed")' then
        perform from (
            select distinct o.letter
            from jsonb_array_elements(p_settle) s
            cross join lateral (
                select handles_letter_id as letter from tidegate.outbox where id = (s ->> 'id')::bigint limit 1) o
            order by o.letter
        ) o
        cross join lateral (select from tidegate.dead_letters l where l.id = o.letter for update) l;
    end if;
    if p_settle @? '$[*].verdict ? (@.disable_trigger == true)' then
        perform from (
            select distinct o.trigger_id
            from jsonb_array_elements(p_settle) s
            cross join lateral (select trigger_id from tidegate.outbox where id = (s ->> 'id')::bigint limit 1) o
            where (s #>> '{verdict,disable_trigger}')::boolean
            order by o.trigger_id
        ) o
        cross join lateral (select from tidegate.triggers t where t.id = o.trigger_id for update) t;
    end if;
end
$$;

-- Settles one delivery in one of the rarer ways: 'applied', 'fenced' or 'conflicted'. All that it touches is locked. A
-- delivery that is dropped comes back as a loop, for `count_loops`.
create function tidegate.settle(
    p_now timestamptz, p_settlement jsonb, out result text, out woken bigint[], out looped tidegate.loops
)
language plpgsql as $$
declare
    v_verdict jsonb := p_settlement -> 'verdict';
    v_kind text := v_verdict ->> 'kind';
    v_delay interval := (v_verdict ->> 'delay_us')::bigint * interval '1 microsecond';
    v_row tidegate.outbox;
    v_applied boolean;
begin
    result := 'applied';
    woken := '{}';
    select * into v_row from tidegate.outbox
    where id = (p_settlement ->> 'id')::bigint and lease = (p_settlement ->> 'lease')::bigint and lease_until > 'epoch';
    if not found then
        result := 'fenced';
        return;
    end if;
    if v_kind = 'executed' and v_row.executed is not null then
        -- The answer to it was lost, and it is sent again.
        return;
    end if;
    if v_verdict -> 'effects' is not null then
        select e.applied, e.woken into v_applied, woken
        from tidegate.apply_effects(p_now, v_row.id, v_verdict -> 'effects') e;
        if not v_applied then
            result := 'conflicted';
            return;
        end if;
    end if;

    if v_kind = 'retry' then
        update tidegate.outbox set
            due_at = p_now + v_delay, lease_until = 'epoch', failed = coalesce(failed, '[]') || (v_verdict -> 'failed')
        where id = v_row.id;
        return;
    elsif v_kind = 'deferred' then
        update tidegate.outbox set
            due_at = p_now + v_delay, lease_until = 'epoch', attempt = greatest(attempt - 1, 0)
        where id = v_row.id;
        return;
    elsif v_kind = 'executed' then
        -- HOT: it is in no index.
        update tidegate.outbox set executed = v_verdict -> 'outcome' where id = v_row.id;
        if v_row.call_key is not null and v_verdict ? 'reply' then
            update tidegate.call_keys k set reply = (v_verdict ->> 'reply')::json
            from tidegate.triggers t
            where t.id = v_row.trigger_id and k.app = t.app and k.key = v_row.call_key and k.delivery_id = v_row.id;
        end if;
        return;
    elsif v_kind = 'dead' then
        -- First, because the letter tells of the version that failed.
        woken := tidegate.bury(p_now, v_row.id, v_verdict);
        if (v_verdict ->> 'disable_trigger')::boolean then
            -- An enabled cron trigger begins anew, so its next tick is forgotten.
            update tidegate.triggers set
                enabled = false, spec = jsonb_set(spec, '{enabled}', 'false'), version = version + 1, next_tick = null
            where id = v_row.trigger_id and enabled;
        end if;
    elsif v_kind = 'dropped' then
        looped := row(v_row.trigger_id, v_row.root_id, 1, v_row.event_id, p_now);
    elsif v_kind = 'abandoned' then
        insert into tidegate.abandoned_executions (
            delivery_id, app, trigger_id, event_id, reply_to, cause, outcome, status, message, at)
        select
            v_row.id, t.app, t.id, v_row.event_id, coalesce(v_row.reply_to, ''), v_verdict ->> 'cause',
            v_row.executed ->> 'outcome', (v_row.executed ->> 'status')::integer, v_row.executed ->> 'message', p_now
        from tidegate.triggers t where t.id = v_row.trigger_id;
    elsif v_kind in ('handled', 'handler_failed') then
        -- What a person decided about the letter in the meantime stands.
        update tidegate.dead_letters set resolution = v_kind, handler_failure = v_verdict -> 'failed'
        where id = v_row.handles_letter_id
          and (resolution is null or resolution in ('handled', 'handler_failed'));
    end if;
    delete from tidegate.outbox where id = v_row.id;
end
$$;

-- Counts what was dropped, in the order of the ledger's key.
create function tidegate.count_loops(p_looped tidegate.loops[]) returns void
language sql as $$
    insert into tidegate.loops as l (trigger_id, root_id, count, last_event_id, last_at)
    select n.trigger_id, n.root_id, count(*), (array_agg(n.last_event_id order by n.ordinality desc))[1], max(n.last_at)
    from unnest(p_looped) with ordinality n
    group by n.trigger_id, n.root_id
    order by n.trigger_id, n.root_id
    on conflict (trigger_id, root_id) do update set
        count = l.count + excluded.count, last_event_id = excluded.last_event_id, last_at = excluded.last_at
$$;

-- What a claim gives: a delivery's row, and its trigger as it is now.
create type tidegate.exchanged as (
    kind               text,
    now                timestamptz,
    id                 bigint,
    lease              bigint,
    trigger_id         bigint,
    attempt            integer,
    due_at             timestamptz,
    max_attempts       integer,
    backoff            text,
    base_ms            integer,
    max_ms             integer,
    jitter             real,
    max_age_ms         bigint,
    timeout_ms         integer,
    enqueued_at        timestamptz,
    redrive_generation integer,
    reply_to           text,
    handles_letter_id  bigint,
    event_id           uuid,
    source             text,
    type               text,
    subject            text,
    time               timestamptz,
    actor              text,
    root_id            uuid,
    parent_id          uuid,
    depth              integer,
    traceparent        text,
    data               json,
    app                text,
    trigger_name       text,
    trigger_version    bigint,
    handler_kind       text,
    handler_name       text,
    script_version     bigint,
    registered_by      text,
    standing           text
);

-- How many places of a limited lane are taken, after those that are free for good are forgotten: their delivery no longer
-- bears the lease, or it was executed and only its reply is still to be delivered. An expired lease frees its place, but its
-- slot stays: until somebody else claims, it may be renewed. The caller holds the lane's lock.
create function tidegate.slots_taken(p_now timestamptz, p_trigger bigint) returns integer
language plpgsql as $$
begin
    delete from tidegate.slots s
    where s.trigger_id = p_trigger and not exists (
        select from tidegate.outbox o
        where o.id = s.delivery_id and o.lease = s.lease and o.lease_until > 'epoch' and o.executed is null offset 0);
    return (
        select count(*)
        from tidegate.slots s
        join tidegate.outbox o on o.id = any (array[s.delivery_id]) and o.lease = s.lease and o.lease_until > p_now
        where s.trigger_id = p_trigger);
end
$$;

-- How many rows of each lane may be claimed: as many as asked, and of a limited lane what its live leases leave. A
-- limited lane that another daemon is claiming right now gives nothing this time, so that neither waits and both do not take
-- the last place. Leases that were given before the lane had a limit are not counted.
create function tidegate.lane_quotas(p_now timestamptz, p_lanes bigint[], p_quotas integer[]) returns integer[]
language plpgsql as $$
declare
    v_lane record;
    v_live integer;
begin
    for v_lane in
        select t.id, t.max_concurrency, l.at
        from unnest(p_lanes) with ordinality l (id, at) join tidegate.triggers t on t.id = any (array[l.id])
        where t.max_concurrency is not null
    loop
        -- 7232 is this program's number for these locks.
        if pg_try_advisory_xact_lock((7232::bigint << 40) | v_lane.id) then
            v_live := tidegate.slots_taken(p_now, v_lane.id);
            p_quotas[v_lane.at] := least(p_quotas[v_lane.at], greatest(v_lane.max_concurrency - v_live, 0));
        else
            p_quotas[v_lane.at] := 0;
        end if;
    end loop;
    return p_quotas;
end
$$;

-- Settles what is finished, then claims what is next. Plain successes, which are nearly all, come as arrays in rising
-- order of ids and go by one statement, and so do executions whose callers wait for no more than their outcome; the other
-- settlements come as JSON, in order, null if there are none. Answers, by kind: 'fenced' and 'conflicted' settlements, 'woken' lanes that got rows, 'now' once, each 'lane' that may be claimed
-- from, and the 'claimed' rows, in which what their lane says is null. Those of one lane come in the order of their due time
-- and lane comes after lane, but for a row that changed while it was claimed: who depends on the order looks again.
create function tidegate.exchange(
    p_lost_message text, p_lease_us bigint, p_done_ids bigint[], p_done_leases bigint[], p_executed_ids bigint[],
    p_executed_leases bigint[], p_outcomes jsonb[], p_settle jsonb, p_lanes bigint[], p_quotas integer[],
    p_floors timestamptz[]
) returns setof tidegate.exchanged
language plpgsql
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
declare
    v_now timestamptz;
    v_item jsonb;
    v_one record;
    v_kept bigint[] := '{}';
    v_gone bigint[] := '{}';
    v_woken bigint[] := '{}';
    v_looped tidegate.loops[] := '{}';
    v_lane record;
    -- Of each lane: a lane that there is not is not open.
    v_open boolean[] := array_fill(false, array[cardinality(p_lanes)]);
    v_limited boolean[] := v_open;
    v_row tidegate.exchanged;
begin
    if p_settle is not null then
        perform tidegate.lock_settled(p_done_ids || p_executed_ids, p_settle);
    elsif cardinality(p_done_ids) > 0 and cardinality(p_executed_ids) > 0 then
        -- One of them alone takes its locks in their order by itself.
        perform from (select s.id from unnest(p_done_ids || p_executed_ids) s (id) order by s.id offset 0) s
        cross join lateral (select from tidegate.outbox o where o.id = s.id for update) o;
    end if;
    -- Behind the locks: what is applied now happens now.
    v_now := clock_timestamp();

    if cardinality(p_done_ids) > 0 then
        with gone as (
            delete from tidegate.outbox o using unnest(p_done_ids, p_done_leases) s (id, lease)
            where o.id = any (array[s.id]) and o.lease = s.lease and o.lease_until > 'epoch'
            returning o.id
        )
        select coalesce(array_agg(gone.id), '{}') into v_gone from gone;
    end if;
    if cardinality(p_executed_ids) > 0 then
        -- HOT: it is in no index. What is there already was kept when this was sent before, and its answer was lost.
        with kept as (
            update tidegate.outbox o set executed = coalesce(o.executed, s.outcome)
            from unnest(p_executed_ids, p_executed_leases, p_outcomes) s (id, lease, outcome)
            where o.id = any (array[s.id]) and o.lease = s.lease and o.lease_until > 'epoch'
            returning o.id
        )
        select coalesce(array_agg(kept.id), '{}') into v_kept from kept;
    end if;
    if cardinality(v_gone) + cardinality(v_kept) < cardinality(p_done_ids) + cardinality(p_executed_ids) then
        v_row.kind := 'fenced';
        for v_row.id, v_row.lease in
            select s.id, s.lease
            from unnest(p_done_ids || p_executed_ids, p_done_leases || p_executed_leases) s (id, lease)
            where s.id <> all (v_gone) and s.id <> all (v_kept)
        loop
            return next v_row;
        end loop;
    end if;

    if p_settle is not null then
        for v_item in select * from jsonb_array_elements(p_settle) loop
            v_one := tidegate.settle(v_now, v_item);
            v_woken := v_woken || v_one.woken;
            if v_one.looped is not null then
                v_looped := v_looped || v_one.looped;
            end if;
            if v_one.result <> 'applied' then
                v_row.kind := v_one.result;
                v_row.id := (v_item ->> 'id')::bigint;
                v_row.lease := (v_item ->> 'lease')::bigint;
                return next v_row;
            end if;
        end loop;
        if cardinality(v_looped) > 0 then
            perform tidegate.count_loops(v_looped);
        end if;
        v_row := null;
        v_row.kind := 'woken';
        for v_row.trigger_id in select distinct w from unnest(v_woken) w loop
            return next v_row;
        end loop;
    end if;

    v_row := null;
    v_row.kind := 'now';
    v_row.now := v_now;
    return next v_row;

    v_row := null;
    v_row.kind := 'lane';
    for v_lane in
        select l.at, t.*, tidegate.standing(t.registered_by, t.app) as standing, s.version as script_version
        from unnest(p_lanes) with ordinality l (id, at)
        cross join lateral (select * from tidegate.triggers t where t.id = l.id limit 1) t
        left join lateral (
            select version from tidegate.scripts where app = t.app and name = t.handler_name limit 1
        ) s on t.handler_kind = 'script'
        order by l.at
    loop
        -- The rows of a deleted trigger must die, even if it was paused; sync rows are orphans, and never wait.
        v_open[v_lane.at] := not v_lane.paused or v_lane.deleted_at is not null or v_lane.source in ('http', 'invoke');
        v_limited[v_lane.at] := v_lane.max_concurrency is not null;
        v_row.trigger_id := v_lane.id;
        v_row.app := v_lane.app;
        v_row.trigger_name := v_lane.name;
        v_row.trigger_version := v_lane.version;
        v_row.handler_kind := case when v_lane.deleted_at is null then v_lane.handler_kind end;
        v_row.handler_name := case when v_lane.deleted_at is null then v_lane.handler_name end;
        v_row.script_version := case when v_lane.deleted_at is null then v_lane.script_version end;
        v_row.registered_by := v_lane.registered_by;
        v_row.standing := v_lane.standing;
        return next v_row;
    end loop;
    if true <> all (v_open) then
        return;
    end if;
    if true = any (v_limited) then
        p_quotas := tidegate.lane_quotas(v_now, p_lanes, p_quotas);
    end if;
    return query
    with locked as materialized (
        -- Materialized, because the limits and the skipping must happen once and before the update: a `limit … for update`
        -- that was run again for each row would lock, and then lease, more rows than were asked for. The update finds the
        -- rows by where they are; a locked row stays in its place.
        select l.place, l.id, l.lease, q.trigger_id, q.limited
        from unnest(p_lanes, p_quotas, p_floors, v_open, v_limited) q (trigger_id, quota, floor, open, limited)
        cross join lateral (
            select o.ctid as place, o.id, o.lease from tidegate.outbox o
            where q.open
              and o.trigger_id = q.trigger_id and o.due_at >= q.floor and o.due_at <= v_now and o.lease_until <= v_now
            order by o.due_at, o.id + 0
            limit q.quota
            for update skip locked
        ) l
    ), slotted as (
        -- Nobody else can have leased what is locked: the next lease is known.
        insert into tidegate.slots as s (trigger_id, delivery_id, lease)
        select l.trigger_id, l.id, l.lease + 1 from locked l where l.limited
        on conflict (trigger_id, delivery_id) do update set lease = excluded.lease
    )
    update tidegate.outbox o set
        lease = o.lease + 1,
        lease_until = v_now + p_lease_us * interval '1 microsecond',
        leased_at = v_now,
        attempt = least(o.attempt + 1, o.max_attempts + 1),
        -- An expired lease's attempt was lost, unless it was a claim beyond the last attempt.
        failed = case when o.lease_until > 'epoch' and o.attempt <= o.max_attempts
            then coalesce(o.failed, '[]') || jsonb_build_object(
                'attempt', o.attempt, 'started_at', (extract(epoch from o.leased_at) * 1000000)::bigint,
                'duration', null, 'error', 'lost', 'message', p_lost_message)
            else o.failed end
    from locked l
    where o.ctid = l.place
    returning
        'claimed', null::timestamptz, o.id, o.lease, o.trigger_id, o.attempt, o.due_at, o.max_attempts, o.backoff,
        o.base_ms, o.max_ms, o.jitter, o.max_age_ms, o.timeout_ms, o.enqueued_at, o.redrive_generation, o.reply_to,
        o.handles_letter_id, o.event_id, o.source, o.type, o.subject, o.time, o.actor, o.root_id, o.parent_id, o.depth,
        o.traceparent, o.data, null::text, null::text, null::bigint, null::text, null::text, null::bigint, null::text,
        null::text;
end
$$;
