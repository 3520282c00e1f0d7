-- The planner's settings for the functions that clients call, and for all statements within them.
--
-- Each statement has a plan that is made once per session and kept (see 0002). `enable_*` leaves
-- the planner only walks over indexes, with nested loops. `plan_cache_mode` keeps the planner from
-- planning again for each call. `jit = off` avoids the compilation of plans. A function that is
-- added later and that clients call needs the same settings.

do $$
declare
    v_function text;
begin
    foreach v_function in array array[
        'emit', 'emit_events', 'kv_mutate', 'claimed_rows', 'exchange', 'renew', 'discover', 'tick', 'begin_calls']
    loop
        execute format(
            'alter function %s set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
                set enable_mergejoin = off set plan_cache_mode = force_generic_plan set jit = off',
            ('tidegate.' || v_function)::regproc::regprocedure);
    end loop;
end
$$;
