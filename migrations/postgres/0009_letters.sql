-- Selections of dead letters: the one filter for counting, discarding and redriving.

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
    -- Only letters with a greater id: the last id of the batch before.
    after          bigint
);

-- Whether a selection contains a dead letter. A redriven letter is in no selection.
--
-- Postgres inlines the function into the statement that calls it, so that its conditions can use
-- the table's indexes.
--
-- Parameters: the selection; the letter. Returns: true if the letter is in the selection. Locks:
-- none. Changes: nothing.
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
