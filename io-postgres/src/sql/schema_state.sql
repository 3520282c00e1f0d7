-- The state of the schema and the rights of the role, as far as a migration depends on them.
--
-- `use_grant` is the statement that lets the role use the schema, null if the role may use it.
-- `make_grant` is the statement that lets the role create the schema, null if the role may create
-- it. `owner` is the owner of the schema, null if the role may act as the owner.
select
    n.oid is not null as has_schema,
    exists (
        select from pg_class c where c.relnamespace = n.oid and c.relname = '_sqlx_migrations'
    ) as has_table,
    case when not has_schema_privilege(n.oid, 'usage')
        then format('grant usage on schema tidegate to %I;', current_user) end as use_grant,
    case when n.oid is null and not has_database_privilege(current_database(), 'create')
        then format('grant create on database %I to %I;', current_database(), current_user) end as make_grant,
    case when not pg_has_role(n.nspowner, 'member') then n.nspowner::regrole::text end as owner
from (select) one left join pg_namespace n on n.nspname = 'tidegate'
