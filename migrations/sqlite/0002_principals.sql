-- Principals, their roles and their tokens.

-- A principal is `user:NAME`, or `token:NAME` for a token that is its own principal. `admin` and
-- `system` are built in and have no row.
create table principals (
    id            text primary key not null check (id like 'user:%' or id like 'token:%'),
    admin         integer not null,
    -- May read the metrics.
    monitor       integer not null default 0,
    disabled      integer not null default 0,
    password_hash text,
    created_at    integer not null
) strict, without rowid;

create table grants (
    principal text not null references principals (id) on delete cascade,
    app       text not null,
    role      text not null check (role in ('viewer', 'editor', 'owner')),
    primary key (principal, app)
) strict, without rowid;

-- `digest` is the SHA-256 of the token. The token itself is not stored.
create table tokens (
    name       text primary key not null,
    principal  text not null references principals (id) on delete cascade,
    digest     blob not null unique,
    created_at integer not null,
    expires_at integer
) strict, without rowid;

-- Deleting a principal finds its tokens here.
create index tokens_of on tokens (principal);

-- Every trigger with the standing of the principal that registered it, computed now. A claim and a
-- call read their lane here. SQLite merges the view into the statement, so that reading one trigger
-- costs lookups by primary keys alone. On Postgres the same rule is the function
-- `tidegate.standing`.
create view triggers_with_standing as
select t.*, case
    when t.registered_by in ('admin', 'system') then 'allowed'
    when p.id is null then 'missing'
    when p.disabled then 'disabled'
    when p.admin or exists (
        select 1 from grants g where g.principal = p.id and g.app = t.app and g.role <> 'viewer') then 'allowed'
    else 'denied'
end as standing
from triggers t left join principals p on p.id = t.registered_by;
