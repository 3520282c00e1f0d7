select coalesce(sum(s.dead_tuple_count), 0)::double precision
from pg_class c
cross join lateral pgstattuple(c.oid::regclass) s
where c.relnamespace = 'tidegate'::regnamespace and c.relkind = 'r'
