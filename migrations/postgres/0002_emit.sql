-- Match and fan-out: the only place that makes outbox rows.

-- Anchored and case-sensitive; '*' matches any run of characters, all else is literal.
create function tidegate.pattern_matches(pattern text, value text) returns boolean
language sql immutable parallel safe
return value collate "C" like
    replace(replace(replace(replace(pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%') collate "C";

-- A UUID of version 7: the milliseconds, then random bits. A version 4 becomes one by its first six bytes and two bits.
create function tidegate.uuid_v7(moment timestamptz) returns uuid
language sql volatile parallel safe
return encode(
    set_bit(set_bit(
        overlay(
            uuid_send(gen_random_uuid())
            placing substring(int8send((extract(epoch from moment) * 1000)::bigint) from 3) from 1 for 6),
        52, 1), 53, 1), 'hex')::uuid;

-- One row for each enabled, living trigger of the app that the event matches, or for the one trigger that is named.
-- Answers the triggers that got a row. The notification has no content, so that Postgres makes one of all of a
-- transaction.
create function tidegate.fan_out(
    p_now timestamptz, p_app text, p_source text, p_event_id uuid, p_type text, p_subject text, p_data json,
    p_actor text, p_root_id uuid, p_parent_id uuid, p_depth integer, p_traceparent text,
    p_only bigint default null, p_letter bigint default null
) returns bigint[]
language plpgsql as $$
declare
    v_slash integer := case when p_source = 'kv' then strpos(p_subject, '/') else 0 end;
    v_woken bigint[];
begin
    with made as (
        insert into tidegate.outbox (
            trigger_id, due_at, max_attempts, depth, base_ms, max_ms, jitter, timeout_ms, enqueued_at, time, event_id,
            root_id, parent_id, max_age_ms, handles_letter_id, backoff, source, type, subject, actor, traceparent, data)
        select
            t.id, p_now, case when p_letter is null then t.max_attempts else 1 end, p_depth, t.base_ms, t.max_ms,
            t.jitter, t.timeout_ms, p_now, p_now, p_event_id, p_root_id, p_parent_id, t.max_age_ms, p_letter,
            t.backoff, p_source, p_type, p_subject, p_actor, p_traceparent, p_data
        from tidegate.triggers t
        where t.app = p_app and t.source = p_source and t.enabled and t.deleted_at is null
          and case
                when p_only is not null then t.id = p_only
                when p_source = 'kv' then
                    case p_type when 'kv.set' then t.on_set when 'kv.delete' then t.on_delete else false end
                    and tidegate.pattern_matches(t.first_pattern, left(p_subject, v_slash - 1))
                    and tidegate.pattern_matches(t.second_pattern, substr(p_subject, v_slash + 1))
                when p_source = 'app' then
                    tidegate.pattern_matches(t.first_pattern, p_type)
                    and tidegate.pattern_matches(t.second_pattern, p_subject)
                when p_source = 'dead_letter' then tidegate.pattern_matches(t.first_pattern, p_subject)
                else false
              end
        order by t.id
        returning trigger_id
    )
    select array_agg(trigger_id) into v_woken from made;
    if v_woken is not null then
        perform pg_notify('tidegate_outbox', '');
    end if;
    return coalesce(v_woken, '{}');
end
$$;

-- Emits an event of an app's own in the caller's transaction: a commit fires its triggers, a rollback does not.
-- Answers the event's id. It runs with the rights of the schema's owner, so that an application's role needs only
-- USAGE on the schema and EXECUTE on this function.
create function tidegate.emit(app text, type text, subject text default '', data jsonb default 'null') returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_now timestamptz := clock_timestamp();
    v_id uuid := tidegate.uuid_v7(v_now);
    v_control constant text := '[\u0001-\u001f\u007f-\u009f]';
begin
    if not exists (select from tidegate.apps a where a.name = emit.app) then
        raise exception 'there is no app %', quote_nullable(emit.app)
            using errcode = 'undefined_object', hint = 'tidegate deploy DIRECTORY makes one; nothing was emitted';
    end if;
    if emit.type is null or octet_length(emit.type) not between 1 and 255 or emit.type ~ v_control then
        raise exception 'the event type % is not valid', quote_nullable(emit.type)
            using errcode = 'invalid_parameter_value', hint = '1 to 255 bytes without control characters';
    end if;
    if emit.subject is null or octet_length(emit.subject) > 768 or emit.subject ~ v_control then
        raise exception 'the subject % is not valid', quote_nullable(emit.subject)
            using errcode = 'invalid_parameter_value', hint = 'at most 768 bytes without control characters';
    end if;
    if octet_length(coalesce(emit.data, 'null')::text) > 262144 then
        raise exception 'the data is % bytes long', octet_length(emit.data::text)
            using errcode = 'program_limit_exceeded', hint = 'at most 262144 bytes; nothing was emitted';
    end if;
    perform tidegate.fan_out(
        v_now, emit.app, 'app', v_id, emit.type, emit.subject, coalesce(emit.data, 'null')::text::json,
        'sql:' || session_user, v_id, null, 0, null);
    return v_id;
end
$$;
