select coalesce(sum(n_dead_tup), 0)::double precision from pg_stat_user_tables where schemaname = 'tidegate'
