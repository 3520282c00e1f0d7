-- Principals, their roles and their tokens.

-- `user:NAME`, or `token:NAME` for a token that is its own principal. `admin` and `system` are
-- built in and have no row.
create table tidegate.principals (
    id            text collate "C" primary key check (id like 'user:%' or id like 'token:%'),
    admin         boolean not null,
    -- May read the metrics.
    monitor       boolean not null default false,
    disabled      boolean not null default false,
    password_hash text,
    created_at    timestamptz not null
);

create table tidegate.grants (
    principal text collate "C" not null references tidegate.principals (id) on delete cascade,
    app       text collate "C" not null,
    role      text not null check (role in ('viewer', 'editor', 'owner')),
    primary key (principal, app)
);

-- Tokens. The table stores the SHA-256 digest of a token, not its text.
create table tidegate.tokens (
    name       text collate "C" primary key,
    principal  text collate "C" not null references tidegate.principals (id) on delete cascade,
    digest     bytea not null unique,
    created_at timestamptz not null,
    expires_at timestamptz
);

-- For deleting the tokens of a principal.
create index tokens_of on tidegate.tokens (principal);

-- The standing of the principal that registered a trigger. A claim evaluates it once per lane, in
-- its own snapshot.
--
-- Parameters: the principal; the app.
-- Returns: 'allowed', 'denied', 'disabled' or 'missing'.
-- Locks: none.
-- Changes: nothing.
create function tidegate.standing(p_principal text, p_app text) returns text
language plpgsql stable as $$
declare
    v_principal record;
begin
    if p_principal in ('admin', 'system') then
        return 'allowed';
    end if;
    select p.admin, p.disabled into v_principal from tidegate.principals p where p.id = p_principal;
    if not found then
        return 'missing';
    elsif v_principal.disabled then
        return 'disabled';
    elsif v_principal.admin
        or exists (
            select from tidegate.grants g where g.principal = p_principal and g.app = p_app and g.role <> 'viewer')
    then
        return 'allowed';
    end if;
    return 'denied';
end
$$;
