-- Lists the statements that give the role of this session the rights that a daemon needs.
select format('grant select, insert, update, delete on all tables in schema tidegate to %I;', current_user) as statement
where exists (
    select from pg_class c
    where c.relnamespace = 'tidegate'::regnamespace and c.relkind in ('r', 'v')
      and not (has_table_privilege(c.oid, 'select') and (c.relkind = 'v' or (
          has_table_privilege(c.oid, 'insert') and has_table_privilege(c.oid, 'update')
          and has_table_privilege(c.oid, 'delete')))))
union all
select format('grant usage, select, update on all sequences in schema tidegate to %I;', current_user)
where exists (
    select from pg_class c
    where c.relnamespace = 'tidegate'::regnamespace and c.relkind = 'S'
      and not (has_sequence_privilege(c.oid, 'usage') and has_sequence_privilege(c.oid, 'select')
          and has_sequence_privilege(c.oid, 'update')))
union all
select format('grant execute on all functions in schema tidegate to %I;', current_user)
where exists (
    select from pg_proc p
    where p.pronamespace = 'tidegate'::regnamespace and not has_function_privilege(p.oid, 'execute'))
