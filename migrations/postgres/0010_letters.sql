-- Dead letters: how a delivery becomes a dead letter, and the filter for counting, discarding and
-- redriving.

-- Copies a delivery to the dead letters, with its event, the current state of its trigger, and all
-- failed attempts.
--
-- Parameters: the time; the delivery; the verdict 'dead', as JSON.
-- Returns: the new dead letter.
-- Locks: none.
-- Changes: inserts into dead_letters.
create function tidegate.bury(p_now timestamptz, p_delivery bigint, p_verdict jsonb) returns tidegate.dead_letters
language plpgsql as $$
declare
    v_letter tidegate.dead_letters;
begin
    insert into tidegate.dead_letters (
        app, delivery_id, trigger_id, trigger_name, trigger_version, principal,
        handler_kind, handler_name, script_version,
        reason, attempts, fingerprint, failed,
        created_at, enqueued_at, redrive_generation, previous_letter_id,
        max_attempts, policy_id, timeout_ms, event_id, time, event, data)
    select
        t.app, o.id, t.id, t.name, t.version, t.registered_by,
        -- A deleted trigger has no handler.
        case when t.deleted_at is null then t.handler_kind end,
        case when t.deleted_at is null then t.handler_name end,
        case when t.deleted_at is null then s.version end,
        p_verdict ->> 'reason', (p_verdict ->> 'attempts')::integer, p_verdict ->> 'fingerprint',
        coalesce(o.failed, '[]') || coalesce(nullif(p_verdict -> 'failed', 'null'), '[]'),
        p_now, o.enqueued_at, o.redrive_generation, o.previous_letter_id,
        o.max_attempts, o.policy_id, o.timeout_ms, o.event_id, o.time, o.event, o.data
    from (select * from tidegate.outbox where id = p_delivery limit 1) o
    cross join lateral (select * from tidegate.triggers where id = o.trigger_id limit 1) t
    left join lateral (
        select version from tidegate.scripts where app = t.app and name = t.handler_name limit 1
    ) s on t.handler_kind = 'script'
    returning * into strict v_letter;
    return v_letter;
end
$$;

-- The data of a `dead_letter.created` event.
--
-- Parameters: the dead letter.
-- Returns: the JSON object.
-- Locks: none.
-- Changes: nothing.
create function tidegate.dead_letter_data(p_letter tidegate.dead_letters) returns json
language plpgsql stable as $$
declare
    -- The last attempt that began. An error that is an object cannot be compared with a text.
    v_last jsonb := jsonb_path_query_array(
        p_letter.failed, '$[*] ? (@.error.type() == "object" || @.error != "never_began")') -> -1;
begin
    return json_build_object(
        'dead_letter_id', p_letter.id, 'trigger', p_letter.trigger_name, 'reason', p_letter.reason,
        'fingerprint', p_letter.fingerprint, 'attempts', p_letter.attempts,
        'error', case jsonb_typeof(v_last -> 'error')
            when 'object' then (select k from jsonb_object_keys(v_last -> 'error') k) else v_last ->> 'error' end,
        'message', v_last ->> 'message',
        'event', json_build_object(
            'id', p_letter.event_id, 'source', p_letter.event::json ->> 0, 'type', p_letter.event::json ->> 1,
            'subject', p_letter.event::json ->> 2, 'data', p_letter.data));
end
$$;

-- Fires the triggers that match a new dead letter. The letter of a handler of dead letters fires no
-- trigger.
--
-- Parameters: the time; the dead letter.
-- Returns: the triggers that got rows.
-- Locks: none.
-- Changes: inserts into outbox.
create function tidegate.fire_dead_letter(p_now timestamptz, p_letter tidegate.dead_letters) returns bigint[]
language plpgsql as $$
declare
    v_cause tidegate.cause := tidegate.cause_of(p_event => p_letter.event, p_event_id => p_letter.event_id);
begin
    if p_letter.event::json ->> 0 = 'dead_letter' then
        return '{}';
    end if;
    v_cause := row(
        p_letter.principal, v_cause.root_id, p_letter.event_id, v_cause.depth + 1, v_cause.traceparent);
    return array(
        select f.trigger_id
        from tidegate.fan_out(
            p_now => p_now, p_source => 'dead_letter', p_letter => p_letter.id, p_events => array[row(
                p_letter.app, tidegate.uuid_v7(p_now), 'dead_letter.created', p_letter.trigger_name,
                tidegate.dead_letter_data(p_letter => p_letter), v_cause)::tidegate.new_event]) f);
end
$$;

-- A selection of dead letters. A null field selects any value, except `resolution`.
create type tidegate.letter_selection as (
    app            text,
    ids            bigint[],
    trigger_name   text,
    fingerprint    text,
    reason         text,
    created_from   timestamptz,
    created_before timestamptz,
    -- Null: open letters only, or letters of any resolution if `ids` are given.
    resolution     text,
    -- Only letters with a greater id: the last id of the previous batch.
    after          bigint
);

-- Whether a selection contains a dead letter. A redriven letter is in no selection.
--
-- Postgres inlines the function into the statement that calls it, so that its conditions can use
-- the table's indexes.
--
-- Parameters: the selection; the letter.
-- Returns: true if the letter is in the selection.
-- Locks: none.
-- Changes: nothing.
create function tidegate.selects_letter(p_selection tidegate.letter_selection, p_letter tidegate.dead_letters)
returns boolean
language sql immutable parallel safe
return (p_letter).app = (p_selection).app
    and (p_letter).resolution is distinct from 'redriven'
    and ((p_selection).ids is null or (p_letter).id = any ((p_selection).ids))
    and ((p_selection).trigger_name is null or (p_letter).trigger_name = (p_selection).trigger_name)
    and ((p_selection).fingerprint is null or (p_letter).fingerprint = (p_selection).fingerprint)
    and ((p_selection).reason is null or (p_letter).reason = (p_selection).reason)
    and ((p_selection).created_from is null or (p_letter).created_at >= (p_selection).created_from)
    and ((p_selection).created_before is null or (p_letter).created_at < (p_selection).created_before)
    and ((p_letter).resolution is not distinct from (p_selection).resolution
        or ((p_selection).resolution is null and (p_selection).ids is not null))
    and (p_letter).id > coalesce((p_selection).after, 0);
