-- Settlements: the verdicts about claimed rows. `tidegate.exchange` in 0006 calls these functions.
-- The functions for dead letters are in 0010.
--
-- A settlement is valid if its claim holds its row: the claim lists the row, and the row still has
-- the listed turn. A row leaves its claim by a delete or by a new turn, and both need the lock of
-- the row. So a settlement does not lock its claim while it checks, and two settlements of one
-- claim do not wait for each other. Each statement of these functions sees all that was committed
-- before the statement began. So a check that comes after a lock stays true until the commit.
--
-- All transactions take locks in one order, so that they do not deadlock: rows of outbox by place,
-- keys by stripe, rows of dead_letters, of triggers and of loops, each by its key, then claims by
-- number, and last lanes by trigger. A transaction that holds a lane skips locked claims and locked
-- rows of outbox. One case is left: a row that moves while two transactions settle it. Then
-- Postgres ends one of them, and its daemon sends the settlements again.
--
-- The statements leave the planner one choice, for the reason in 0002. `o.id = any (array[s.id])`
-- is `o.id = s.id` in a form that no merge join can use. With the plain form the planner may walk
-- the whole primary key, which is cheap only while the table is empty. `lateral (… limit 1)` and
-- `offset 0` keep the planner from turning a lookup into a join.

-- Applies the effects of a handler: its writes, then its events.
--
-- Parameters: the time; the delivery; the effects, as JSON.
-- Returns: `applied`, false if a value that the handler read has changed (a conflict: nothing is
--   applied); the triggers that got rows.
-- Locks: none of its own. The caller holds the locks of all keys in the effects.
-- Changes: kv, outbox.
create function tidegate.apply_effects(
    p_now timestamptz, p_delivery bigint, p_effects jsonb, out applied boolean, out woken bigint[]
)
language plpgsql as $$
declare
    v_app text;
    v_cause tidegate.cause;
begin
    woken := '{}';
    select
        t.app, case when t.source = 'invoke' then o.event::json ->> 3 else t.registered_by end, c.root_id, o.event_id,
        c.depth + 1, c.traceparent
    into strict v_app, v_cause.actor, v_cause.root_id, v_cause.parent_id, v_cause.depth, v_cause.traceparent
    from (select * from tidegate.outbox where id = p_delivery limit 1) o
    cross join lateral tidegate.cause_of(p_event => o.event, p_event_id => o.event_id) c
    cross join lateral (select * from tidegate.triggers where id = o.trigger_id limit 1) t;
    -- A read of an absent key has the version -1.
    applied := not exists (
        select from jsonb_array_elements(p_effects -> 'reads') r
        left join lateral (
            select version from tidegate.kv
            where app = v_app and collection = r ->> 0 and key = r ->> 1 limit 1) k on true
        where coalesce(k.version, -1) <> (r ->> 2)::bigint);
    if not applied then
        return;
    end if;
    if p_effects @? '$.writes[0]' then
        select coalesce(w.woken, '{}') into woken
        from tidegate.kv_write(p_now => p_now, p_mutations => array(
            select row(v_app, w ->> 0, w ->> 1, w ->> 2, 'any', null, v_cause)::tidegate.kv_mutation
            from jsonb_array_elements(p_effects -> 'writes') with ordinality w (w, n)
            order by n)) w;
    end if;
    if p_effects @? '$.events[0]' then
        select woken || coalesce(array_agg(f.trigger_id), '{}') into woken
        from tidegate.fan_out(p_now => p_now, p_source => 'app', p_events => array(
            select row(v_app, tidegate.uuid_v7(p_now), e ->> 0, e ->> 1, (e ->> 2)::json, v_cause)::tidegate.new_event
            from jsonb_array_elements(p_effects -> 'events') with ordinality e (e, n)
            order by n)) f;
    end if;
end
$$;

-- Takes all locks that a batch of settlements needs, in the order at the top of this file: its
-- rows, the keys in its effects, the dead letters that it resolves and the triggers that it
-- disables.
--
-- It locks the rows of the settlements in arrays too, so that one statement takes all row locks in
-- order.
--
-- Parameters: the deliveries of the settlements in arrays; the other settlements, as JSON.
-- Returns: nothing.
-- Locks: the rows and keys named above, until the end of the transaction.
-- Changes: nothing.
create function tidegate.lock_settled(p_done_ids bigint[], p_settle jsonb) returns void
language plpgsql as $$
declare
    v_ids bigint[];
    v_stripe integer;
begin
    select array_agg(s.id) into v_ids
    from (
        select d.id from unnest(p_done_ids) d (id)
        union
        select (s ->> 'id')::bigint from jsonb_array_elements(p_settle) s
    ) s;
    perform from tidegate.outbox o where o.id = any (v_ids) order by o.ctid for update;

    -- From here on the statements look up rows by id alone, without the claim. For a fenced
    -- settlement they take more locks than needed.
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

-- Settles 'retry' and 'deferred': the row goes back to its lane, with a new due time. A deferral
-- does not count as an attempt. A row with a loss stays a suspect.
--
-- Parameters: the time; the delivery; the verdict.
-- Returns: nothing.
-- Locks: none; the caller holds the row's lock.
-- Changes: outbox.
create function tidegate.settle_later(p_now timestamptz, p_delivery bigint, p_verdict jsonb) returns void
language plpgsql as $$
begin
    update tidegate.outbox set
        due_at = p_now + (p_verdict ->> 'delay_us')::bigint * interval '1 microsecond', turn = turn + 1,
        waits = lost = 0, suspect = lost > 0,
        attempt = case p_verdict ->> 'kind' when 'deferred' then attempt else attempt + 1 end,
        failed = case p_verdict ->> 'kind'
            when 'deferred' then failed else coalesce(failed, '[]') || (p_verdict -> 'failed') end
    where id = p_delivery;
end
$$;

-- Settles 'executed': stores the outcome of a sync execution, and its reply under the call's
-- idempotency key.
--
-- The row stays until the reply is delivered. `tidegate.settle` calls this function only if no
-- outcome is stored yet. Otherwise the dispatcher did not get the first answer and has sent the
-- settlement again.
--
-- Parameters: the row of the delivery; the verdict.
-- Returns: nothing.
-- Locks: the row of the call key.
-- Changes: outbox (a HOT update: `executed` is in no index), call_keys.
create function tidegate.settle_executed(p_row tidegate.outbox, p_verdict jsonb) returns void
language plpgsql as $$
begin
    update tidegate.outbox set executed = p_verdict -> 'outcome' where id = p_row.id;
    if p_row.call_key is not null and p_verdict ? 'reply' then
        update tidegate.call_keys k set reply = (p_verdict ->> 'reply')::json
        from tidegate.triggers t
        where t.id = p_row.trigger_id and k.app = t.app and k.key = p_row.call_key and k.delivery_id = p_row.id;
    end if;
end
$$;

-- Settles 'dead': moves the delivery to the dead letters, and disables its trigger if the verdict
-- requires it. The caller deletes the row.
--
-- Parameters: the time; the row of the delivery; the verdict.
-- Returns: the triggers that got rows.
-- Locks: none; the caller holds the locks of the row and of the trigger.
-- Changes: dead_letters, outbox, triggers.
create function tidegate.settle_dead(p_now timestamptz, p_row tidegate.outbox, p_verdict jsonb) returns bigint[]
language plpgsql as $$
declare
    v_letter tidegate.dead_letters;
    v_woken bigint[];
begin
    -- The letter is inserted before the update of the trigger, because it stores the version that
    -- failed.
    v_letter := tidegate.bury(p_now => p_now, p_delivery => p_row.id, p_verdict => p_verdict);
    v_woken := tidegate.fire_dead_letter(p_now => p_now, p_letter => v_letter);
    if (p_verdict ->> 'disable_trigger')::boolean then
        -- A cron trigger that is enabled again starts with a new schedule, so its next tick is
        -- removed.
        update tidegate.triggers set
            enabled = false, spec = jsonb_set(spec, '{enabled}', 'false'), version = version + 1, next_tick = null
        where id = p_row.trigger_id and enabled;
    end if;
    return v_woken;
end
$$;

-- Settles 'abandoned': records that the reply of a sync execution was not delivered. The caller
-- deletes the row.
--
-- Parameters: the time; the row of the delivery; the verdict.
-- Returns: nothing.
-- Locks: none.
-- Changes: inserts into abandoned_executions.
create function tidegate.settle_abandoned(p_now timestamptz, p_row tidegate.outbox, p_verdict jsonb) returns void
language plpgsql as $$
begin
    insert into tidegate.abandoned_executions (
        delivery_id, app, trigger_id, event_id, reply_to, cause, outcome, status, message, at)
    select
        p_row.id, t.app, t.id, p_row.event_id, coalesce(p_row.reply_to, ''), p_verdict ->> 'cause',
        p_row.executed ->> 'outcome', (p_row.executed ->> 'status')::integer, p_row.executed ->> 'message', p_now
    from tidegate.triggers t where t.id = p_row.trigger_id;
end
$$;

-- Settles 'handled' and 'handler_failed': stores the result of its handler in a dead letter. The
-- caller deletes the row.
--
-- A letter that a user has already redriven or discarded keeps that resolution.
--
-- Parameters: the dead letter; the verdict.
-- Returns: nothing.
-- Locks: none; the caller holds the letter's lock.
-- Changes: dead_letters.
create function tidegate.settle_letter(p_letter bigint, p_verdict jsonb) returns void
language plpgsql as $$
begin
    update tidegate.dead_letters set
        resolution = p_verdict ->> 'kind', handler_failure = p_verdict -> 'failed'
    where id = p_letter and (resolution is null or resolution in ('handled', 'handler_failed'));
end
$$;

-- The row of a delivery, if a claim holds it.
--
-- Parameters: the delivery; the claim.
-- Returns: the row, or null.
-- Locks: none.
-- Changes: nothing.
create function tidegate.held_row(p_delivery bigint, p_claim bigint) returns tidegate.outbox
language plpgsql stable as $$
declare
    v_row tidegate.outbox;
begin
    select o.* into v_row
    from (
        select coalesce(c.turns[at.n], 0) as turn
        from tidegate.claims c cross join lateral (select array_position(c.ids, p_delivery) as n offset 0) at
        where c.claim = p_claim and at.n is not null
        limit 1
    ) listed
    join tidegate.outbox o on o.id = p_delivery and o.turn = listed.turn;
    return v_row;
end
$$;

-- Settles one delivery that is not a plain success: checks the fence, applies the effects, then
-- runs the function for the kind of the verdict.
--
-- Parameters: the time; the settlement, as JSON.
-- Returns: the result 'applied', 'fenced' or 'conflicted'; whether the row left its claim; the
--   triggers that got rows; the loop to count with `count_loops`, if the delivery was dropped.
-- Locks: none of its own; `lock_settled` has taken all locks.
-- Changes: outbox, and the tables of the functions it calls.
create function tidegate.settle(
    p_now timestamptz, p_settlement jsonb, out result text, out has_left boolean, out woken bigint[],
    out looped tidegate.loops
)
language plpgsql as $$
declare
    v_verdict jsonb := p_settlement -> 'verdict';
    v_kind text := v_verdict ->> 'kind';
    v_row tidegate.outbox;
    v_applied boolean;
begin
    v_row := tidegate.held_row(
        p_delivery => (p_settlement ->> 'id')::bigint, p_claim => (p_settlement ->> 'lease')::bigint);
    result := case when v_row.id is null then 'fenced' else 'applied' end;
    has_left := result = 'applied' and v_kind <> 'executed';
    woken := '{}';
    if result = 'fenced' or (v_kind = 'executed' and v_row.executed is not null) then
        return;
    end if;
    if v_verdict -> 'effects' is not null then
        select e.applied, e.woken into v_applied, woken
        from tidegate.apply_effects(p_now => p_now, p_delivery => v_row.id, p_effects => v_verdict -> 'effects') e;
        if not v_applied then
            result := 'conflicted';
            has_left := false;
            return;
        end if;
    end if;

    case v_kind
        when 'retry', 'deferred' then
            perform tidegate.settle_later(p_now => p_now, p_delivery => v_row.id, p_verdict => v_verdict);
            return;
        when 'executed' then
            perform tidegate.settle_executed(p_row => v_row, p_verdict => v_verdict);
            return;
        when 'dead' then
            woken := tidegate.settle_dead(p_now => p_now, p_row => v_row, p_verdict => v_verdict);
        when 'dropped' then
            looped := row(
                v_row.trigger_id, (tidegate.cause_of(v_row.event, v_row.event_id)).root_id, 1, v_row.event_id, p_now);
        when 'abandoned' then
            perform tidegate.settle_abandoned(p_now => p_now, p_row => v_row, p_verdict => v_verdict);
        when 'handled', 'handler_failed' then
            perform tidegate.settle_letter(p_letter => v_row.handles_letter_id, p_verdict => v_verdict);
        when 'done', 'replied' then
            -- These only delete the row.
            null;
    end case;
    delete from tidegate.outbox where id = v_row.id;
end
$$;

-- Counts dropped deliveries in the ledger of loops.
--
-- Parameters: one loop per dropped delivery.
-- Returns: nothing.
-- Locks: the rows of the loops, in the order of their key.
-- Changes: loops.
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

-- The settlements of an exchange. Two groups of settlements are applied by one statement each:
-- plain successes, which are nearly all settlements, and those of sync calls. They are passed as
-- arrays in rising order of ids. All others are passed as JSON.
create type tidegate.settlements as (
    done_ids    bigint[],
    done_claims bigint[],
    call_ids    bigint[],
    call_claims bigint[],
    -- The outcome of each execution that ended. Null: its reply is delivered.
    outcomes    jsonb[],
    -- Null if the arrays hold all settlements.
    others          jsonb
);

-- The rows of a list that their claims list too. The caller compares the turns.
--
-- The condition with `is true` makes Postgres look a row up in a hash table of the list. As a join
-- it would compare each row with each element of the list. `unnest` in the select list gives its
-- rows directly; in the from list it would store them first.
--
-- Parameters: the deliveries, and the claim of each.
-- Returns: the listed rows. A row that has gone back since is still in the result, with its old
--   turn.
-- Locks: none.
-- Changes: nothing.
create function tidegate.listed_rows(p_ids bigint[], p_claims bigint[])
returns table (claim bigint, id bigint, turn integer, place tid)
language sql stable as $$
    select l.claim, l.id, coalesce(l.turn, 0), l.place
    from (
        select c.claim, unnest(c.ids) as id, unnest(c.turns) as turn, unnest(c.places) as place
        from (select distinct s.claim from unnest(p_claims) s (claim) offset 0) named
        cross join lateral (select * from tidegate.claims c where c.claim = named.claim limit 1) c
    ) l
    where ((l.id, l.claim) in (select unnest(p_ids), unnest(p_claims))) is true
$$;

-- Deletes the rows of plain successes.
--
-- A row is found by its place. A row that has moved since its claim (it was updated, or its table
-- was rewritten) is then found by its id. The id and the turn are checked in both cases, so a place
-- that another row has now does no harm. `o.id + 0` leaves the planner no index but the place.
--
-- Parameters: the deliveries, and the claim of each.
-- Returns: the deleted rows: `ids`; and the claim of each in `left_claims`.
-- Locks: the rows, in the order of places.
-- Changes: deletes from outbox.
create function tidegate.settle_done(
    p_ids bigint[], p_claims bigint[], out ids bigint[], out left_claims bigint[]
)
language plpgsql as $$
begin
    with listed as materialized (
        select l.id, l.turn, l.place from tidegate.listed_rows(p_ids => p_ids, p_claims => p_claims) l
    ), gone as (
        delete from tidegate.outbox o
        where o.ctid = any (array(select l.place from listed l))
          and ((o.id + 0, o.turn) in (select l.id, l.turn from listed l)) is true
        returning o.id
    )
    select coalesce(array_agg(g.id), '{}') into ids from gone g;
    left_claims := p_claims;
    if cardinality(ids) = cardinality(p_ids) then
        return;
    end if;
    with gone as (
        delete from tidegate.outbox o using (
            select * from tidegate.listed_rows(p_ids => p_ids, p_claims => p_claims) l where l.id <> all (ids) offset 0
        ) l
        where o.id = any (array[l.id]) and o.turn = l.turn
        returning o.id
    )
    select ids || array_agg(g.id) into ids from gone g;
    left_claims := array(
        select s.claim from unnest(p_ids, p_claims) s (id, claim) where (s.id in (select unnest(ids))) is true);
end
$$;

-- Settles sync calls: stores the outcome of an execution, or deletes the row after its reply.
--
-- An outcome that is already stored is not changed: the dispatcher did not get the first answer and
-- has sent the settlement again. The rows are found by id, because an outcome moves its row.
--
-- Parameters: the deliveries, the claim and the outcome of each. Null: its reply is delivered.
-- Returns: the rows of valid settlements: `ids`; and in `left_claims` the claims of deleted rows.
-- Locks: the rows, in the order of places.
-- Changes: outbox. An update is HOT, because `executed` is in no index.
create function tidegate.settle_calls(
    p_ids bigint[], p_claims bigint[], p_outcomes jsonb[], out ids bigint[], out left_claims bigint[]
)
language plpgsql as $$
begin
    with held as materialized (
        select s.*, o.ctid as place, o.executed is null as is_first
        from unnest(p_ids, p_claims, p_outcomes) s (id, claim, outcome)
        cross join lateral (
            select coalesce(c.turns[array_position(c.ids, s.id)], 0) as turn
            from tidegate.claims c where c.claim = s.claim and s.id = any (c.ids) limit 1
        ) l
        join tidegate.outbox o on o.id = any (array[s.id]) and o.turn = l.turn
        order by o.ctid
        for update of o
    ), kept as (
        update tidegate.outbox o set executed = h.outcome
        from held h where h.outcome is not null and h.is_first and o.id = any (array[h.id])
    ), gone as (
        delete from tidegate.outbox o using held h where h.outcome is null and o.id = any (array[h.id])
    )
    select coalesce(array_agg(h.id), '{}'), coalesce(array_agg(h.claim) filter (where h.outcome is null), '{}')
    into ids, left_claims from held h;
end
$$;
